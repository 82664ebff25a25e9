"""Operations on websockets, by the protocol graphql-transport-ws.

docs/clients/realtime.md tells clients what each close code asks of them.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from graphql import OperationType
from starlette.types import Receive, Scope, Send
from strawberry.http.websocket_origin import is_same_origin, normalize_allowed_origins, normalize_origin

from crm_graph.auth import Principal
from crm_graph.database import CONNECTION_ERRORS
from crm_graph.errors import Throttled, Unauthenticated
from schema.core.caller import Caller, bearer
from schema.execution.schema import read_json, write_json
from schema.transports.asgi_sender import Gone, Line
from schema.transports.connections import End
from schema.transports.operation_service import Endpoint, Outage, Request
from schema.transports.persisted_queries import Sent, by_id

PROTOCOL = "graphql-transport-ws"
INIT_SECONDS = 10.0
PARTING_SECONDS = 2.0
FINISHING_SECONDS = 30.0
"""How long what was begun may still take on a socket that is to be closed for a restart."""
RESTART = 1012
LONGEST_ID = 1000
LONGEST_REASON = 123
"""In bytes, as the websocket protocol has it."""
NO_TOKEN = 'Send a token with connection_init: {"authorization": "Bearer ..."}'
TRY_AGAIN = "something went wrong on our side: try again"
log = logging.getLogger(__name__)


class WebSockets:
    """The endpoint for upgraded connections."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.origins = normalize_allowed_origins(endpoint.settings.origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # the request to connect
        caller = Caller(scope)
        if not self._is_from_here(caller):
            await send({"type": "websocket.close", "code": 1008})  # answered with 403, as nothing was accepted
        elif PROTOCOL not in scope["subprotocols"]:
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close", "code": 4406, "reason": "Subprotocol not acceptable"})
        else:
            await send({"type": "websocket.accept", "subprotocol": PROTOCOL})
            await Socket(self.endpoint, caller, receive, send).serve()

    def _is_from_here(self, caller: Caller) -> bool:
        """Whether the page that connects, if it is a page, is one of ours: browsers let any page open a websocket."""
        origin = caller.headers.get("origin")
        if origin is None or is_same_origin(origin, caller.headers.get("host")):
            return True
        if normalize_origin(origin) in self.origins:
            return True
        log.warning("Refused a websocket from a page of %r. If it is yours, add it to CRM_GRAPH_ORIGINS.", origin)
        return False


class Close(Exception):
    """The end of a socket, and what the client is told. Without a code the client has gone by itself."""

    def __init__(self, code: int | None = None, reason: str = "") -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


class Socket:
    """One connection. The tasks of its operations all send on it."""

    def __init__(self, endpoint: Endpoint, caller: Caller, receive: Receive, send: Send) -> None:
        self.endpoint, self.caller = endpoint, caller
        self.principal: Principal | None = None
        self._receive, self._line = receive, Line(send)
        self._operations: dict[str, Operation] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._ending: asyncio.Future[Close] = asyncio.get_running_loop().create_future()

    async def serve(self) -> None:
        """Answer whatever comes until the client goes, or is asked to."""
        with self.endpoint.connections.connected(self):
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

    def end(self, why: End) -> None:
        self._end(Close(RESTART if why is End.RESTART else 4403, why.value))

    def _end(self, close: Close) -> None:
        if not self._ending.done():
            self._ending.set_result(close)

    async def _finish(self) -> None:
        """Let what was begun be answered, but for subscriptions, which end here and go on elsewhere."""
        for each in list(self._operations.values()):
            if each.follows:
                each.end()
        answering = [each.task for each in self._operations.values() if each.task is not None and not each.follows]
        if answering:
            await asyncio.wait(answering, timeout=FINISHING_SECONDS)

    async def _part(self, close: Close) -> None:
        if close.code is None:
            return
        reason = close.reason.encode(errors="replace")[:LONGEST_REASON].decode(errors="ignore")
        try:
            async with asyncio.timeout(PARTING_SECONDS):
                await self._line.send({"type": "websocket.close", "code": close.code, "reason": reason})
        except (Gone, TimeoutError):
            pass

    # Sending

    def offer(self, text: str) -> bool:
        return self._line.offer({"type": "websocket.send", "text": text})

    async def send(self, text: str) -> None:
        """Raises Gone."""
        try:
            await self._line.send({"type": "websocket.send", "text": text})
        except Gone:
            self._end(Close(1013, "nothing was taken for too long"))
            raise

    # Receiving

    async def _read(self) -> Close:
        """Handle what comes; answers why no more is to come."""
        try:
            message = await self._first()
            principal = await self._sign_in(_object(message, "payload"))
            with self.endpoint.connections.signed_in(principal.viewer):
                self.principal = principal
                await self.send('{"type":"connection_ack"}')
                while True:
                    await self._handle(await self._next())
        except Close as close:
            return close
        except Throttled as error:
            return Close(1013, error.message)
        except Gone:
            return Close()
        except Exception:
            log.exception("A websocket failed")
            return Close(1013, TRY_AGAIN)

    async def _first(self) -> dict[str, Any]:
        """The connection_init, which is awaited for ten seconds."""
        try:
            async with asyncio.timeout(INIT_SECONDS):
                while (message := await self._next())["type"] != "connection_init":
                    await self._handle(message)
                return message
        except TimeoutError:
            raise Close(4408, "Connection initialisation timeout") from None

    async def _next(self) -> dict[str, Any]:
        event = await self._receive()
        if event["type"] == "websocket.disconnect":
            raise Close
        text = event.get("text")
        if text is None:
            raise Close(4400, "Messages are text, not binary")
        try:
            message = read_json(text)
        except json.JSONDecodeError:
            raise Close(4400, "The message is not JSON") from None
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            raise Close(4400, "The message is not an object with a type")
        return message

    async def _sign_in(self, payload: Mapping[str, Any]) -> Principal:
        """Who it is. Raises Close."""
        given = next((value for name, value in payload.items() if name.lower() == "authorization"), None)
        header = given or self.caller.headers.get("authorization")
        token = bearer(header) if isinstance(header, str) else ""
        if not token:
            raise Close(4403, NO_TOKEN)
        try:
            return await self.endpoint.authenticate(token)
        except Unauthenticated as refusal:
            raise Close(4403, refusal.message) from None
        except CONNECTION_ERRORS as error:
            log.warning("The database cannot be read: %s", error)
            raise Close(1013, TRY_AGAIN) from None

    async def _handle(self, message: dict[str, Any]) -> None:
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
                raise Close(4429, "Too many initialisation requests")
            case unknown:
                raise Close(4400, f"There are no messages of type {unknown!r} to the server")

    async def _subscribe(self, message: dict[str, Any]) -> None:
        if self.principal is None:
            raise Close(4401, "Unauthorized")
        operation_id, data = _id(message), _request(_object(message, "payload"))
        if operation_id in self._operations:
            raise Close(4409, f"Subscriber for {operation_id} already exists")
        operation = Operation(self, operation_id)
        most = self.endpoint.settings.operations_per_socket
        while len(self._tasks) >= most > len(self._operations):  # what was completed is still on its way out
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        if len(self._tasks) >= most:
            throttled = Throttled(f"At most {most} operations may run on one socket at a time.")
            await operation.fail(self.endpoint.described(throttled))
            return
        request = await self.endpoint.read(data, self.caller, self.principal)
        errors = self.endpoint.refused(request)
        if errors is not None:
            await operation.fail(errors)
            return
        operation.follows = request.kind is OperationType.SUBSCRIPTION
        self._operations[operation_id] = operation
        operation.task = asyncio.create_task(self._operate(operation, request, self.principal))
        self._tasks.add(operation.task)
        operation.task.add_done_callback(self._tasks.discard)

    # Operating

    async def _operate(self, operation: Operation, request: Request, principal: Principal) -> None:
        try:
            try:
                with self.endpoint.connections.operation(principal.viewer):
                    errors = await self._serve(operation, request, principal)
            except Throttled as error:
                errors = self.endpoint.described(error)
            if errors is None:
                await operation.complete()
            else:
                await operation.fail(errors)
        except Gone:
            pass
        except Outage:
            self._end(Close(1013, TRY_AGAIN))
        finally:
            if self._operations.get(operation.id) is operation:
                del self._operations[operation.id]

    async def _serve(
        self, operation: Operation, request: Request, principal: Principal
    ) -> Sequence[Mapping[str, Any]] | None:
        bill = await self.endpoint.bill(request, self.caller, principal)
        try:
            context = await self.endpoint.context_of(self.caller, principal)
        except Unauthenticated as error:
            self.end(End.EXPIRED if principal.has_expired else End.REVOKED)
            raise Gone from error
        except Exception as error:
            return self.endpoint.failed(request, error)
        renewed = context.principal
        operation.writes = request.kind is OperationType.MUTATION
        errors = await self.endpoint.serve(context, request, bill, operation)
        if context.principal is not renewed:
            self.go_on_as(context.principal)
        return errors

    def go_on_as(self, principal: Principal) -> None:
        """Another token for the socket. One of another user is for the operation alone that came by it: what runs
        here already is somebody's."""
        if self.principal is not None and self.principal.is_same_user(principal):
            self.principal = principal


class Operation:
    """One operation of a socket, and the outlet of its answers. A mutation is executed to its end even if nobody waits
    for it any more."""

    __slots__ = ("_head", "_socket", "closed", "follows", "id", "task", "writes")

    def __init__(self, socket: Socket, operation_id: str) -> None:
        self.id = operation_id
        self.task: asyncio.Task[None] | None = None
        self.closed = self.follows = self.writes = False
        self._socket = socket
        self._head = f'{{"id":{json.dumps(operation_id)},"type":'

    def offer(self, payload: str) -> bool:
        return not self.closed and self._socket.offer(f'{self._head}"next","payload":{payload}}}')

    async def send(self, payload: str) -> None:
        await self._say(f'{self._head}"next","payload":{payload}}}')

    async def complete(self) -> None:
        await self._say(f'{self._head}"complete"}}')

    async def fail(self, errors: Sequence[Mapping[str, Any]]) -> None:
        await self._say(f'{self._head}"error","payload":{write_json(errors)}}}')

    async def _say(self, text: str) -> None:
        self.writes = False
        if self.closed:
            raise Gone
        await self._socket.send(text)

    def end(self) -> None:
        """Nobody is to hear of it from now on."""
        self.closed = True
        if self.task is not None and not self.writes:
            self.task.cancel()


def _id(message: Mapping[str, Any]) -> str:
    operation_id = message.get("id")
    if not isinstance(operation_id, str) or not 0 < len(operation_id) <= LONGEST_ID:
        raise Close(4400, f"The id is not a text of 1 to {LONGEST_ID} characters")
    return operation_id


def _object(of: Mapping[str, Any], name: str) -> dict[str, Any]:
    """An object that may be left out."""
    value = of.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Close(4400, f"The {name} is not an object")
    return value


def _request(payload: Mapping[str, Any]) -> Sent:
    query, name = payload.get("query"), payload.get("operationName")
    named = by_id(payload)
    if not isinstance(query, str) and not (query is None and named):
        raise Close(4400, "The payload has no query")
    if name is not None and not isinstance(name, str):
        raise Close(4400, "The operationName is not a text")
    variables, extensions = _object(payload, "variables"), _object(payload, "extensions")
    return Sent(query, variables, name or None, extensions, by_id=named, document_id=payload.get("documentId"))
