"""What requests and answers have in common, whatever they are about: an id, and what browsers are told."""

from __future__ import annotations

import itertools
import re
import secrets

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crm_graph.observability.logs import REQUEST_ID

REQUEST_ID_HEADER = b"x-request-id"
SAFE = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
]
_MINE, _count = secrets.token_hex(6).encode(), itertools.count(0x1000)
_SANE = re.compile(rb"[!-~]{1,100}")


class CommonHeaders:
    """Gives each request the id that it came with, or one of its own, and sends it back. Browsers are told to take the
    answer for nothing but what it says it is, and to show it in no frame; whether a connection is encrypted, and stays
    so, is for the proxy in front to say."""

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
                message["headers"] = [*message["headers"], *SAFE, (REQUEST_ID_HEADER, request_id)]
            await send(message)

        await self.app(scope, receive, marked if scope["type"] == "http" else send)


def _id_of(scope: Scope) -> bytes:
    for name, value in scope["headers"]:
        if name == REQUEST_ID_HEADER and _SANE.fullmatch(value):
            given: bytes = value
            return given
    return b"%s%x" % (_MINE, next(_count))
