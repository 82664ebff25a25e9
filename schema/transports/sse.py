"""Operations as event streams: the graphql-sse protocol in distinct connections mode, one operation per connection.

Errors of an operation are sent in the stream with status 200. Only malformed requests have another status.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from graphql import GraphQLFormattedError, OperationType
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from crm_graph.auth import Principal
from crm_graph.errors import Throttled, Unauthenticated
from schema.core.caller import Caller
from schema.core.context import Context
from schema.execution.schema import dump_json
from schema.limits.rate_limiter import Charge
from schema.transports.asgi_sender import AsgiSender, ClientDisconnected, body_chunk, wait_for_disconnect
from schema.transports.connections import CloseReason
from schema.transports.negotiation import EVENTS
from schema.transports.operation_service import DatabaseUnavailable, OperationRequest, OperationService
from schema.transports.request_parsing import RequestRejected, check_method, parse_request

KEEP_ALIVE_SECONDS = 12.0
KEEP_ALIVE = ":\n\n"
COMPLETE = "event: complete\ndata: \n\n"  # browsers ignore events without data
HEADERS = {
    "content-type": f"{EVENTS}; charset=utf-8",
    "cache-control": "no-cache, no-transform",
    "x-accel-buffering": "no",
}
Errors = Sequence[GraphQLFormattedError] | None


async def event_stream(service: OperationService, scope: Scope, content: object, send: Send) -> EventStream:
    """The stream of a request's operation. Raises RequestRejected and Throttled."""
    if service.connections.draining:
        raise RequestRejected(503, CloseReason.RESTART.message)
    caller = Caller(scope)
    request = await service.prepare(parse_request(content), caller)
    check_method(scope, request.kind)
    charge = await service.charge(request, caller)
    return EventStream(service, await service.context(caller), request, charge, AsgiSender(send))


class EventStream:
    """The stream of one operation, and the sink of its results."""

    def __init__(
        self, service: OperationService, context: Context, request: OperationRequest, charge: Charge, sender: AsgiSender
    ) -> None:
        self.service, self.context, self.request, self.charge = service, context, request, charge
        self.principal: Principal | None = None if context.viewer_or_none is None else context.principal
        self._sender = sender
        self._closed = False
        self._ending: asyncio.Future[CloseReason] = asyncio.get_running_loop().create_future()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the operation completes, the client disconnects, or the server closes the stream."""
        with self.service.connections.connected(self):
            operating, disconnecting = (
                asyncio.create_task(self._operate()),
                asyncio.create_task(wait_for_disconnect(receive)),
            )
            try:
                await self._stream(operating, disconnecting)
            except (ClientDisconnected, DatabaseUnavailable):
                pass
            finally:
                self._closed = True
                disconnecting.cancel()
                # A mutation always runs to its end.
                if self.request.kind is not OperationType.MUTATION:
                    operating.cancel()
                await asyncio.gather(operating, disconnecting, return_exceptions=True)

    def end(self, why: CloseReason) -> None:
        if not self._ending.done():
            self._ending.set_result(why)

    async def _stream(self, operating: asyncio.Task[Errors], disconnecting: asyncio.Task[None]) -> None:
        """Raises ClientDisconnected and DatabaseUnavailable."""
        events: set[asyncio.Future[Any]] = {operating, disconnecting, self._ending}
        while not any(each.done() for each in events):
            done, _ = await asyncio.wait(events, timeout=KEEP_ALIVE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                self._sender.try_send(body_chunk(KEEP_ALIVE))
        if disconnecting.done():
            return
        if not operating.done() and self.request.kind is OperationType.SUBSCRIPTION:
            why = self._ending.result()
            if why is CloseReason.RESTART:
                await self._end("")  # without a `complete` event, so that the client reconnects
                return
            errors: Errors = self.service.format_error(Unauthenticated(why.message))
        else:
            try:
                errors = await operating
            except DatabaseUnavailable:
                await self._end("")
                raise
        await self._end(f"{_next(dump_json({'errors': errors}))}{COMPLETE}" if errors else COMPLETE)

    async def _operate(self) -> Errors:
        """Serve the operation. Raises ClientDisconnected and DatabaseUnavailable."""
        # Some browsers open the stream only when a body arrives: send a comment.
        await self._sender.send({"type": "http.response.start", "status": 200, "headers": Headers(HEADERS).raw})
        await self._sender.send(body_chunk(KEEP_ALIVE))
        try:
            with self.service.connections.operation(self.context.viewer_or_none):
                return await self.service.serve(self.context, self.request, self.charge, self, in_parts=True)
        except Throttled as error:
            return self.service.format_error(error)

    async def _end(self, text: str) -> None:
        """Send the last part of the body."""
        self._closed = True
        await self._sender.send(body_chunk(text, more=False))

    def try_send(self, payload: str) -> bool:
        return not self._closed and self._sender.try_send(body_chunk(_next(payload)))

    async def send(self, payload: str) -> None:
        if self._closed:
            raise ClientDisconnected
        await self._sender.send(body_chunk(_next(payload)))


def _next(payload: str) -> str:
    return f"event: next\ndata: {payload}\n\n"
