"""Lines of the log, each with the id of the request that it is about."""

from __future__ import annotations

import itertools
import logging
import re
import secrets
from contextvars import ContextVar
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUEST_ID = ContextVar("REQUEST_ID", default="-")
HEADER = b"x-request-id"
_MINE, _count = secrets.token_hex(6).encode(), itertools.count(0x1000)
_SANE = re.compile(rb"[!-~]{1,100}")


class RequestIds:
    """Gives each request the id that it came with, or one of its own, and sends it back."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == HEADER), b"")
        request_id = given if given and _SANE.fullmatch(given) else b"%s%x" % (_MINE, next(_count))
        REQUEST_ID.set(request_id.decode())

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (HEADER, request_id)]
            await send(message)

        await self.app(scope, receive, named if scope["type"] == "http" else send)


class WithRequestId(logging.Filter):
    """Keeps all lines."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = REQUEST_ID.get()
        return True


CONFIG: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"request_id": {"()": WithRequestId}},
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["request_id"]}},
    "loggers": {"uvicorn": {"level": "INFO"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
}
