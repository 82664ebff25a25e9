"""GraphQL over HTTP: one response per request. Requests for event streams are passed on to that transport.

docs/clients/http.md describes requests and statuses.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import sys
import zlib
from collections.abc import Sequence

from graphql import OperationType
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from crm_graph.errors import Overloaded, RequestError, Throttled, TimedOut, Unauthenticated
from schema.core.caller import Caller
from schema.execution.schema import Response, encode_json
from schema.transports.asgi_sender import ClientDisconnected
from schema.transports.graphiql import PAGE_HEADERS, graphiql_page
from schema.transports.multipart import MultipartResponse
from schema.transports.negotiation import EVENTS, GZIP, HTML, JSON, RESPONSE, encoding, incremental_format, media_type
from schema.transports.operation_service import Admission, OperationRequest, OperationService
from schema.transports.request_parsing import RequestRejected, check_method, parse_request, read_content
from schema.transports.sse import event_stream

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

SMALL = 1_400
"""Bytes: smaller bodies fit into one packet and are not compressed."""
LARGE = 100_000
"""Bytes: larger bodies are compressed in a thread, so that other requests do not wait."""
GZIP_LEVEL = 4
VARY = b"authorization, accept, accept-encoding"
STATUS = {
    Unauthenticated.code: 401,
    Throttled.code: 429,
    "INTERNAL": 500,
    Overloaded.code: 503,
    TimedOut.code: 504,
}


class HTTP:
    """ASGI application for GraphQL over HTTP."""

    def __init__(self, service: OperationService) -> None:
        self.service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        settings, headers = self.service.settings, dict(scope["headers"])
        accept = b",".join([value for name, value in scope["headers"] if name == b"accept"])
        media = media_type(accept, page=settings.graphiql and scope["method"] == "GET")
        reply: ASGIApp
        try:
            if media is None and incremental_format(accept):
                media = JSON  # for responses that are not incremental
            if media is None:
                raise RequestRejected(406, f"Accept {RESPONSE}, {JSON} or {EVENTS}.")
            if media == HTML:
                page = graphiql_page(Caller(scope).url.path, settings.demo_token)
                reply = HTMLResponse(page, headers=PAGE_HEADERS)
            else:
                content = await read_content(settings, scope, headers, receive)
                if media == EVENTS:
                    reply = await event_stream(self.service, scope, content, send)
                elif isinstance(content, list):
                    reply = GraphQLResponse(200, await self._batch(scope, content), media)
                else:
                    reply = await self._reply(scope, content, media, accept)
        except ClientDisconnected:
            return
        except RequestRejected as refusal:
            reply = GraphQLResponse(refusal.status, refusal.answer, media, allow=refusal.allow)
        except RequestError as error:  # an event stream that was not started
            reply = GraphQLResponse(STATUS[error.code], {"errors": self.service.format_error(error)}, media)
        except Exception as error:
            reply = GraphQLResponse(500, {"errors": self.service.format_error(error)}, media)
        await reply(scope, receive, send)

    async def _reply(self, scope: Scope, content: object, media: str, accept: bytes) -> ASGIApp:
        """The response to one operation. Raises RequestRejected."""
        caller = Caller(scope)
        sent = parse_request(content)
        request = await self.service.prepare(sent, caller)
        how = incremental_format(accept) if request.has_parts else None
        if how is None:
            fresh = scope["method"] == "GET" and sent.by_id
            return _reply(await self._answer(caller, request), media, fresh=fresh)
        try:
            charge = await self.service.charge(request, caller)
            context = await self.service.context(caller)
        except RequestError as error:
            return _reply({"errors": self.service.format_error(error)}, media)
        answers = self.service.execute_incrementally(context, request, charge)
        return MultipartResponse(self.service, answers, how, lambda answer: _reply(answer, media))

    async def _answer(self, caller: Caller, request: OperationRequest) -> Response:
        """The result of one operation. Raises RequestRejected."""
        errors = self.service.rejection_errors(request)
        if errors is not None:
            return {"errors": errors}
        if request.kind is OperationType.SUBSCRIPTION:
            raise RequestRejected(400, f"Send subscriptions over a websocket, or with Accept: {EVENTS}.")
        check_method(caller.scope, request.kind)
        with self.service.traced(request, caller):
            try:
                charge = await self.service.charge(request, caller)
                async with Admission(self.service.queue, charge):
                    return await self.service.execute(await self.service.context(caller), request, charge)
            except RequestError as error:
                return {"errors": self.service.format_error(error)}

    async def _batch(self, scope: Scope, contents: Sequence[object]) -> list[Response]:
        """The results of several operations, executed one after the other. Raises RequestRejected."""
        most = self.service.settings.batch_operations
        if not 0 < len(contents) <= most:
            allowed = f"Send 1 to {most} operations in a batch" if most else "Send operations one by one"
            raise RequestRejected(400, f"{allowed}, not {len(contents)}.")
        answers = []
        for content in contents:
            try:
                caller = Caller(scope)
                request = await self.service.prepare(parse_request(content), caller)
                answers.append(await self._answer(caller, request))
            except RequestRejected as refusal:
                answers.append(refusal.answer)
            except Exception as error:
                answers.append({"errors": self.service.format_error(error)})
        return answers


class GraphQLResponse:
    """Response with one result, or the results of a batch."""

    __slots__ = ("_allow", "_answer", "_fresh", "_media", "_status")

    def __init__(
        self,
        status: int,
        answer: Response | Sequence[Response],
        media: str | None,
        *,
        allow: str | None = None,
        fresh: bool = False,
    ) -> None:
        """`fresh` lets clients cache a result without errors, and revalidate it by its ETag."""
        self._status, self._answer, self._allow, self._fresh = status, answer, allow, fresh
        self._media = RESPONSE if media == RESPONSE else JSON

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, sent = encode_json(self._answer), dict(scope["headers"])
        headers = [(b"content-type", f"{self._media}; charset=utf-8".encode())]
        if self._fresh and self._status == 200 and "errors" not in self._answer:
            tag = b'W/"%s"' % hashlib.sha256(self._media.encode() + body).hexdigest().encode()
            headers += [(b"etag", tag), (b"cache-control", b"private, no-cache"), (b"vary", VARY)]
            if tag in sent.get(b"if-none-match", b""):
                await send({"type": "http.response.start", "status": 304, "headers": headers[1:]})
                await send({"type": "http.response.body", "body": b""})
                return
        elif scope["method"] == "GET":
            headers.append((b"cache-control", b"no-store"))
        if len(body) > SMALL:
            accepted = sent.get(b"accept-encoding", b"")
            if coding := encoding(accepted):
                body = await _compressed(coding, body)
                headers.append((b"content-encoding", coding.encode()))
        headers.append((b"content-length", b"%d" % len(body)))
        if self._allow:
            headers.append((b"allow", self._allow.encode()))
        if self._status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        if self._status in {429, 503} and (seconds := _wait(self._answer)):
            headers.append((b"retry-after", b"%d" % seconds))
        await send({"type": "http.response.start", "status": self._status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _reply(answer: Response, media: str, *, fresh: bool = False) -> GraphQLResponse:
    return GraphQLResponse(*_outcome(answer, media), media, fresh=fresh)


def _outcome(answer: Response, media: str) -> tuple[int, Response]:
    """The status and the body of a result. Plain JSON has status 200, except for overload, so that proxies notice.

    If all errors are UNAUTHENTICATED, the request is refused as a whole, and `data` is omitted.
    """
    codes = [error["extensions"]["code"] for error in answer.get("errors", ())]
    if media == JSON:
        return 503 if codes == [Overloaded.code] else 200, answer
    if answer.get("data") is None and set(codes) == {Unauthenticated.code}:
        answer = answer.copy()
        answer.pop("data", None)
    return 200 if "data" in answer else STATUS.get(codes[0], 400), answer


def _wait(answer: Response | Sequence[Response]) -> int:
    """Seconds after which to retry, rounded up; 0 if unknown."""
    assert isinstance(answer, dict)  # a batch has status 200
    [error, *_] = answer["errors"]
    return math.ceil(error["extensions"].get("retryAfter", 0))


async def _compressed(coding: str, body: bytes) -> bytes:
    compress = _gzip if coding == GZIP else zstd.compress
    return compress(body) if len(body) < LARGE else await asyncio.to_thread(compress, body)


def _gzip(body: bytes) -> bytes:
    return zlib.compress(body, GZIP_LEVEL, wbits=31)  # 31: with a gzip header
