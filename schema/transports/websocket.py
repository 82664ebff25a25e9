"""Operations on websockets: the graphql-transport-ws protocol.

docs/clients/realtime.md describes the close codes.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence

from graphql import GraphQLFormattedError, OperationType
from starlette.types import Receive, Scope, Send
from strawberry.http.websocket_origin import is_same_origin, normalize_allowed_origins, normalize_origin

from crm_graph.auth import Principal
from crm_graph.database import CONNECTION_ERRORS
from crm_graph.errors import Throttled, Unauthenticated
from schema.core.caller import Caller, bearer
from schema.execution.schema import dump_json, parse_json
from schema.transports.asgi_sender import AsgiSender, ClientDisconnected
from schema.transports.connections import CloseReason
from schema.transports.operation_service import DatabaseUnavailable, OperationRequest, OperationService
from schema.transports.persisted_queries import GraphQLRequest, by_id

PROTOCOL = "graphql-transport-ws"
INIT_TIMEOUT_SECONDS = 10.0
CLOSE_TIMEOUT_SECONDS = 2.0
FINISH_TIMEOUT_SECONDS = 30.0
"""For running queries and mutations on a socket that closes for a restart."""
RESTART = 1012
MAX_ID_LENGTH = 1000
MAX_REASON_BYTES = 123
"""The websocket protocol's limit."""
NO_TOKEN = 'Send a token with connection_init: {"authorization": "Bearer ..."}'
TRY_AGAIN = "something went wrong on our side: try again"
log = logging.getLogger(__name__)


class WebSockets:
    """ASGI application for websockets."""

    def __init__(self, service: OperationService) -> None:
        self.service = service
        self.origins = normalize_allowed_origins(service.settings.origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # the request to connect
        caller = Caller(scope)
        if not self._is_from_here(caller):
            await send({"type": "websocket.close", "code": 1008})  # not accepted yet, so the client gets status 403
        elif PROTOCOL not in scope["subprotocols"]:
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close", "code": 4406, "reason": "Subprotocol not acceptable"})
        else:
            await send({"type": "websocket.accept", "subprotocol": PROTOCOL})
            await Socket(self.service, caller, receive, send).serve()

    def _is_from_here(self, caller: Caller) -> bool:
        """True for an allowed origin, and without one: browsers let any page open a websocket."""
        origin = caller.headers.get("origin")
        if origin is None or is_same_origin(origin, caller.headers.get("host")):
            return True
        if normalize_origin(origin) in self.origins:
            return True
        log.warning("Refused a websocket from a page of %r. If it is yours, add it to CRM_GRAPH_ORIGINS.", origin)
        return False


class CloseSocket(Exception):
    """Closes the socket with a code and a reason; without a code, the client has disconnected."""

    def __init__(self, code: int | None = None, reason: str = "") -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


class Socket:
    """One connection, shared by the tasks of its operations."""

    def __init__(self, service: OperationService, caller: Caller, receive: Receive, send: Send) -> None:
        self.service, self.caller = service, caller
        self.principal: Principal | None = None
        self._receive, self._sender = receive, AsgiSender(send)
        self._operations: dict[str, SocketOperation] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._ending: asyncio.Future[CloseSocket] = asyncio.get_running_loop().create_future()

    async def serve(self) -> None:
        """Handle messages until the client disconnects or the server closes the socket."""
        with self.service.connections.connected(self):
            reading = asyncio.create_task(self._read())
            try:
                await asyncio.wait({reading, self._ending}, return_when=asyncio.FIRST_COMPLETED)
                if self._ending.done() and self._ending.result().code == RESTART:
                    reading.cancel()
                    await self._finish()
            finally:
                reading.cancel()
                for operation in self._operations.values():
                    operation.end()
            await self._part(self._ending.result() if self._ending.done() else await reading)
            await asyncio.wait({reading, *self._tasks})

    def end(self, why: CloseReason) -> None:
        self._end(CloseSocket(RESTART if why is CloseReason.RESTART else 4403, why.value))

    def _end(self, close: CloseSocket) -> None:
        if not self._ending.done():
            self._ending.set_result(close)

    async def _finish(self) -> None:
        """Wait for running queries and mutations. Subscriptions end here: clients resume them elsewhere."""
        for each in list(self._operations.values()):
            if each.is_subscription:
                each.end()
        answering = [
            each.task for each in self._operations.values() if each.task is not None and not each.is_subscription
        ]
        if answering:
            await asyncio.wait(answering, timeout=FINISH_TIMEOUT_SECONDS)

    async def _part(self, close: CloseSocket) -> None:
        if close.code is None:
            return
        reason = close.reason.encode(errors="replace")[:MAX_REASON_BYTES].decode(errors="ignore")
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                await self._sender.send({"type": "websocket.close", "code": close.code, "reason": reason})
        except (ClientDisconnected, TimeoutError):
            pass

    # Sending

    def try_send(self, text: str) -> bool:
        return self._sender.try_send({"type": "websocket.send", "text": text})

    async def send(self, text: str) -> None:
        """Raises ClientDisconnected."""
        try:
            await self._sender.send({"type": "websocket.send", "text": text})
        except ClientDisconnected:
            self._end(CloseSocket(1013, "Client is not reading."))
            raise

    # Receiving

    async def _read(self) -> CloseSocket:
        """Handle messages; returns the reason for the end."""
        try:
            message = await self._first()
            principal = await self._sign_in(_object(message, "payload"))
            with self.service.connections.signed_in(principal.viewer):
                self.principal = principal
                await self.send('{"type":"connection_ack"}')
                while True:
                    await self._handle(await self._next())
        except CloseSocket as close:
            return close
        except Throttled as error:
            return CloseSocket(1013, error.message)
        except ClientDisconnected:
            return CloseSocket()
        except Exception:
            log.exception("A websocket failed")
            return CloseSocket(1013, TRY_AGAIN)

    async def _first(self) -> dict[str, object]:
        """The connection_init message, which must arrive within INIT_TIMEOUT_SECONDS."""
        try:
            async with asyncio.timeout(INIT_TIMEOUT_SECONDS):
                while (message := await self._next())["type"] != "connection_init":
                    await self._handle(message)
                return message
        except TimeoutError:
            raise CloseSocket(4408, "Connection initialisation timeout") from None

    async def _next(self) -> dict[str, object]:
        event = await self._receive()
        if event["type"] == "websocket.disconnect" or self._ending.done():  # what comes after the end is not begun
            raise CloseSocket
        text = event.get("text")
        if text is None:
            raise CloseSocket(4400, "Messages are text, not binary")
        try:
            message = parse_json(text)
        except json.JSONDecodeError:
            raise CloseSocket(4400, "The message is not JSON") from None
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            raise CloseSocket(4400, "The message is not an object with a type")
        return message

    async def _sign_in(self, payload: Mapping[str, object]) -> Principal:
        """Authenticate the client. Raises CloseSocket."""
        given = next((value for name, value in payload.items() if name.lower() == "authorization"), None)
        header = given or self.caller.headers.get("authorization")
        token = bearer(header) if isinstance(header, str) else ""
        if not token:
            raise CloseSocket(4403, NO_TOKEN)
        try:
            return await self.service.authenticate(token)
        except Unauthenticated as refusal:
            raise CloseSocket(4403, refusal.message) from None
        except CONNECTION_ERRORS as error:
            log.warning("The database cannot be read: %s", error)
            raise CloseSocket(1013, TRY_AGAIN) from None

    async def _handle(self, message: dict[str, object]) -> None:
        match message["type"]:
            case "subscribe":
                await self._subscribe(message)
            case "complete":
                operation = self._operations.pop(_id(message), None)
                if operation is not None:
                    operation.end()
            case "ping":
                _object(message, "payload")
                await self.send('{"type":"pong"}')
            case "pong":
                _object(message, "payload")
            case "connection_init":
                raise CloseSocket(4429, "Too many initialisation requests")
            case unknown:
                raise CloseSocket(4400, f"Unknown message type {unknown!r}")

    async def _subscribe(self, message: dict[str, object]) -> None:
        if self.principal is None:
            raise CloseSocket(4401, "Unauthorized")
        operation_id, data = _id(message), _request(_object(message, "payload"))
        if operation_id in self._operations:
            raise CloseSocket(4409, f"Subscriber for {operation_id} already exists")
        operation = SocketOperation(self, operation_id)
        most = self.service.settings.operations_per_socket
        while len(self._tasks) >= most > len(self._operations):  # completed operations that are still being cancelled
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        if len(self._tasks) >= most:
            throttled = Throttled(f"At most {most} operations may run on one socket at a time.")
            await operation.fail(self.service.format_error(throttled))
            return
        request = await self.service.prepare(data, self.caller, self.principal)
        errors = self.service.rejection_errors(request)
        if errors is not None:
            await operation.fail(errors)
            return
        operation.is_subscription = request.kind is OperationType.SUBSCRIPTION
        self._operations[operation_id] = operation
        operation.task = asyncio.create_task(self._operate(operation, request, self.principal))
        self._tasks.add(operation.task)
        operation.task.add_done_callback(self._tasks.discard)

    # Operating

    async def _operate(self, operation: SocketOperation, request: OperationRequest, principal: Principal) -> None:
        try:
            try:
                with self.service.connections.operation(principal.viewer):
                    errors = await self._serve(operation, request, principal)
            except Throttled as error:
                errors = self.service.format_error(error)
            if errors is None:
                await operation.complete()
            else:
                await operation.fail(errors)
        except ClientDisconnected:
            pass
        except DatabaseUnavailable:
            self._end(CloseSocket(1013, TRY_AGAIN))
        finally:
            if self._operations.get(operation.id) is operation:
                del self._operations[operation.id]

    async def _serve(
        self, operation: SocketOperation, request: OperationRequest, principal: Principal
    ) -> Sequence[GraphQLFormattedError] | None:
        charge = await self.service.charge(request, self.caller, principal)
        try:
            context = await self.service.context_for(self.caller, principal)
        except Unauthenticated as error:
            self.end(CloseReason.EXPIRED if principal.has_expired else CloseReason.REVOKED)
            raise ClientDisconnected from error
        except Exception as error:
            return self.service.format_failure(request, error)
        renewed = context.principal
        operation.is_mutation = request.kind is OperationType.MUTATION
        errors = await self.service.serve(context, request, charge, operation)
        if context.principal is not renewed:
            self.switch_principal(context.principal)
        return errors

    def switch_principal(self, principal: Principal) -> None:
        """Use another token for the socket, if it is of the same user; operations of this user may be running."""
        if self.principal is not None and self.principal.is_same_user(principal):
            self.principal = principal


class SocketOperation:
    """One operation of a socket, and the sink of its results. A mutation always runs to its end."""

    __slots__ = ("_head", "_socket", "closed", "id", "is_mutation", "is_subscription", "task")

    def __init__(self, socket: Socket, operation_id: str) -> None:
        self.id = operation_id
        self.task: asyncio.Task[None] | None = None
        self.closed = self.is_subscription = self.is_mutation = False
        self._socket = socket
        self._head = f'{{"id":{json.dumps(operation_id)},"type":'

    def try_send(self, payload: str) -> bool:
        return not self.closed and self._socket.try_send(f'{self._head}"next","payload":{payload}}}')

    async def send(self, payload: str) -> None:
        await self._send(f'{self._head}"next","payload":{payload}}}')

    async def complete(self) -> None:
        await self._send(f'{self._head}"complete"}}')

    async def fail(self, errors: Sequence[GraphQLFormattedError]) -> None:
        await self._send(f'{self._head}"error","payload":{dump_json(errors)}}}')

    async def _send(self, text: str) -> None:
        self.is_mutation = False
        if self.closed:
            raise ClientDisconnected
        await self._socket.send(text)

    def end(self) -> None:
        """Stop the operation, and send nothing more."""
        self.closed = True
        if self.task is not None and not self.is_mutation:
            self.task.cancel()


def _id(message: Mapping[str, object]) -> str:
    operation_id = message.get("id")
    if not isinstance(operation_id, str) or not 0 < len(operation_id) <= MAX_ID_LENGTH:
        raise CloseSocket(4400, f"id is not a string of 1 to {MAX_ID_LENGTH} characters")
    return operation_id


def _object(of: Mapping[str, object], name: str) -> dict[str, object]:
    """An object that may be left out."""
    value = of.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise CloseSocket(4400, f"{name} is not an object")
    return value


def _request(payload: Mapping[str, object]) -> GraphQLRequest:
    query, name = payload.get("query"), payload.get("operationName")
    named = by_id(payload)
    if not isinstance(query, str) and not (query is None and named):
        raise CloseSocket(4400, "The payload has no query")
    if name is not None and not isinstance(name, str):
        raise CloseSocket(4400, "operationName is not a string")
    variables, extensions = _object(payload, "variables"), _object(payload, "extensions")
    return GraphQLRequest(
        query, variables, name or None, extensions, by_id=named, document_id=payload.get("documentId")
    )
