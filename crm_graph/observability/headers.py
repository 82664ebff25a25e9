"""Request ids, and security headers for browsers."""

from __future__ import annotations

import itertools
import re
import secrets

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crm_graph.observability.logs import REQUEST_ID

REQUEST_ID_HEADER = b"x-request-id"
SECURITY_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
]
_PREFIX, _count = secrets.token_hex(6).encode(), itertools.count(0x1000)
_VALID_ID = re.compile(rb"[!-~]{1,100}")


class CommonHeaders:
    """Sends back each request's X-Request-Id, or a new one, with headers against sniffing and framing.

    Strict-Transport-Security is left to the proxy that terminates TLS.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        request_id = _id_of(scope)
        REQUEST_ID.set(request_id.decode())

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *SECURITY_HEADERS, (REQUEST_ID_HEADER, request_id)]
            await send(message)

        await self.app(scope, receive, marked if scope["type"] == "http" else send)


def _id_of(scope: Scope) -> bytes:
    for name, value in scope["headers"]:
        if name == REQUEST_ID_HEADER and _VALID_ID.fullmatch(value):
            given: bytes = value
            return given
    return b"%s%x" % (_PREFIX, next(_count))
