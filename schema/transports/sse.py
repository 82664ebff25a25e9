"""Operations as event streams, by the protocol graphql-sse in its mode of distinct connections: one operation each.

What can be understood is answered in the stream, errors included; only a request that is none has another status.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from cross_web import HTTPException
from graphql import OperationType
from starlette.datastructures import Headers
from starlette.requests import Request as HTTPRequest
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send
from strawberry.http import GraphQLRequestData

from crm_graph.errors import BadUserInput, Throttled, Unauthenticated
from crm_graph.services.auth import Principal
from schema.context import Context
from schema.execution import write_json
from schema.transports.endpoint import Endpoint, Request
from schema.transports.line import Gone, Line
from schema.transports.sessions import End

EVENTS = "text/event-stream"
JSON = {"application/json", "application/graphql-response+json"}
KEEP_ALIVE_SECONDS = 12.0
KEEP_ALIVE = ":\n\n"
COMPLETE = "event: complete\ndata: \n\n"  # browsers do not notice an event without data
HEADERS = {
    "content-type": f"{EVENTS}; charset=utf-8",
    "cache-control": "no-cache, no-transform",
    "x-accel-buffering": "no",
}
Parse = Callable[[HTTPRequest], Awaitable[GraphQLRequestData | list[GraphQLRequestData]]]


def wants_events(scope: Scope) -> bool:
    """Whether a request is for an event stream. A client that takes JSON as well is answered in JSON."""
    if scope["type"] != "http":
        return False
    accepted = ",".join(Headers(scope=scope).getlist("accept")).lower()
    kinds = {each.partition(";")[0].strip() for each in accepted.split(",")}
    return EVENTS in kinds and kinds.isdisjoint(JSON)


class EventStream:
    """One request and the stream that answers it, which is the outlet of its operation."""

    def __init__(self, endpoint: Endpoint, parse: Parse) -> None:
        self.endpoint, self.parse = endpoint, parse
        self.principal: Principal | None = None
        self._line: Line
        self._ending: asyncio.Future[End] = asyncio.get_running_loop().create_future()

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = HTTPRequest(scope, receive)
        try:
            request = await self._read(connection)
        except HTTPException as refusal:
            await _refused(refusal)(scope, receive, send)
            return
        context = await self.endpoint.context(connection)
        if context.signed_in is not None:
            self.principal = context.principal
        self._line = Line(send)
        await send({"type": "http.response.start", "status": 200, "headers": Headers(HEADERS).raw})
        with self.endpoint.connections.connected(self):
            operating = asyncio.create_task(self._operate(context, request))
            leaving = asyncio.create_task(_leave(receive))
            try:
                await self._stream(request, operating, leaving)
            except Gone:
                pass
            finally:
                leaving.cancel()
                if request.kind is not OperationType.MUTATION:  # which is executed to its end, whoever waits for it
                    operating.cancel()
                await asyncio.wait({operating, leaving})

    def end(self, why: End) -> None:
        if not self._ending.done():
            self._ending.set_result(why)

    async def _stream(self, request: Request, operating: asyncio.Task[Any], leaving: asyncio.Task[None]) -> None:
        """Stream until the operation is through, the client has gone, or the stream is to be ended. Raises Gone."""
        await self._say(KEEP_ALIVE)  # some browsers take no notice of the headers alone
        while not operating.done() and not leaving.done() and not self._ending.done():
            await asyncio.wait(
                {operating, leaving, self._ending},
                timeout=KEEP_ALIVE_SECONDS,
                return_when=asyncio.FIRST_COMPLETED,
            )
            self._line.offer(_chunk(KEEP_ALIVE))
        if leaving.done():
            return
        if not operating.done() and request.kind is OperationType.SUBSCRIPTION:
            operating.cancel()
            if self._ending.result() is End.RESTART:
                await self._line.send(_chunk("", more=False))  # without «complete», so that the client comes again
                return
            errors = self.endpoint.described(Unauthenticated(self._ending.result().message))
        else:
            errors = await operating
        told = f"{_next(write_json({'errors': errors}))}{COMPLETE}" if errors else COMPLETE
        await self._line.send(_chunk(told, more=False))

    async def _operate(self, context: Context, request: Request) -> Sequence[Mapping[str, Any]] | None:
        """Serve the operation; answers the errors that kept it from being served, or ended it. Raises Gone."""
        try:
            with self.endpoint.connections.operation(context.signed_in):
                return await self.endpoint.serve(context, request, self)
        except Throttled as error:
            return self.endpoint.described(error)

    async def _read(self, connection: HTTPRequest) -> Request:
        """Raises HTTPException for a request that is none."""
        if connection.method not in {"GET", "POST"}:
            raise HTTPException(405, "Use GET or POST")
        if self.endpoint.connections.draining:
            raise HTTPException(503, End.RESTART.message)
        data = await self.parse(connection)
        if isinstance(data, list) or not data.query:
            raise HTTPException(400, "No GraphQL query found in the request")
        if data.operation_name is not None and not isinstance(data.operation_name, str):
            raise HTTPException(400, "The operationName is not a text")
        data.operation_name = data.operation_name or None
        request = self.endpoint.read(data)
        if request.kind is OperationType.MUTATION and connection.method == "GET":
            raise HTTPException(405, "Mutations are not allowed when using GET")
        return request

    # The outlet

    def offer(self, payload: str) -> bool:
        return self._line.offer(_chunk(_next(payload)))

    async def send(self, payload: str) -> None:
        await self._say(_next(payload))

    async def _say(self, text: str) -> None:
        await self._line.send(_chunk(text))


async def _leave(receive: Receive) -> None:
    """Wait until the client goes."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _next(payload: str) -> str:
    return f"event: next\ndata: {payload}\n\n"


def _chunk(text: str, *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.response.body", "body": text.encode(), "more_body": more}


def _refused(refusal: HTTPException) -> Response:
    error = {"message": f"{refusal.reason.rstrip('.')}.", "extensions": {"code": BadUserInput.code}}
    headers = {"allow": "POST" if "Mutations" in refusal.reason else "GET, POST"} if refusal.status_code == 405 else {}
    return JSONResponse({"errors": [error]}, refusal.status_code, headers)
