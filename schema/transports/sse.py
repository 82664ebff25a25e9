"""Operations as event streams, by the protocol graphql-sse in its mode of distinct connections: one operation each.

What can be understood is answered in the stream, errors included; only a request that is none has another status.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from graphql import OperationType
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
COMPLETE = "event: complete\ndata: \n\n"  # browsers do not notice an event without data
HEADERS = {
    "content-type": f"{EVENTS}; charset=utf-8",
    "cache-control": "no-cache, no-transform",
    "x-accel-buffering": "no",
}
Errors = Sequence[Mapping[str, Any]] | None


async def event_stream(service: OperationService, scope: Scope, content: object, send: Send) -> EventStream:
    """The stream that answers what was sent. Raises Refusal where that is no operation, and Throttled."""
    if service.connections.draining:
        raise RequestRejected(503, CloseReason.RESTART.message)
    caller = Caller(scope)
    request = await service.prepare(parse_request(content), caller)
    check_method(scope, request.kind)
    charge = await service.charge(request, caller)
    return EventStream(service, await service.context(caller), request, charge, AsgiSender(send))


class EventStream:
    """The stream that answers one operation, and the outlet of its answers."""

    def __init__(
        self, service: OperationService, context: Context, request: OperationRequest, charge: Charge, sender: AsgiSender
    ) -> None:
        self.service, self.context, self.request, self.charge = service, context, request, charge
        self.principal: Principal | None = None if context.viewer_or_none is None else context.principal
        self._sender = sender
        self._closed = False
        self._ending: asyncio.Future[CloseReason] = asyncio.get_running_loop().create_future()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the operation is through, the client goes, or is asked to."""
        with self.service.connections.connected(self):
            operating, leaving = asyncio.create_task(self._operate()), asyncio.create_task(wait_for_disconnect(receive))
            try:
                await self._stream(operating, leaving)
            except (ClientDisconnected, DatabaseUnavailable):
                pass
            finally:
                self._closed = True
                leaving.cancel()
                # A mutation is executed to its end, whoever waits for it.
                if self.request.kind is not OperationType.MUTATION:
                    operating.cancel()
                await asyncio.gather(operating, leaving, return_exceptions=True)

    def end(self, why: CloseReason) -> None:
        if not self._ending.done():
            self._ending.set_result(why)

    async def _stream(self, operating: asyncio.Task[Errors], leaving: asyncio.Task[None]) -> None:
        """Raises Gone and Outage."""
        signs: set[asyncio.Future[Any]] = {operating, leaving, self._ending}
        while not any(sign.done() for sign in signs):
            happened, _ = await asyncio.wait(signs, timeout=KEEP_ALIVE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if not happened:
                self._sender.try_send(body_chunk(KEEP_ALIVE))
        if leaving.done():
            return
        if not operating.done() and self.request.kind is OperationType.SUBSCRIPTION:
            why = self._ending.result()
            if why is CloseReason.RESTART:
                await self._end("")  # without «complete», so that the client comes again
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
        """Serve the operation. Raises Gone and Outage."""
        # The comment is for browsers that take no notice of the headers alone.
        await self._sender.send({"type": "http.response.start", "status": 200, "headers": Headers(HEADERS).raw})
        await self._sender.send(body_chunk(KEEP_ALIVE))
        try:
            with self.service.connections.operation(self.context.viewer_or_none):
                return await self.service.serve(self.context, self.request, self.charge, self, in_parts=True)
        except Throttled as error:
            return self.service.format_error(error)

    async def _end(self, text: str) -> None:
        """Say the last of it."""
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
