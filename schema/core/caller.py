"""The sender of a request."""

from __future__ import annotations

from starlette.requests import HTTPConnection
from starlette.types import Scope


class Caller(HTTPConnection):
    """The sender's token, empty if there is none, and address. Both are read once."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope)
        self.token = bearer(self.header(b"authorization").decode("latin-1"))
        client = scope.get("client")
        self.address: str | None = None if client is None else client[0]

    def header(self, name: bytes) -> bytes:
        """The value of the first header with a lower-case name; empty if there is none."""
        for each, value in self.scope["headers"]:
            if each == name:
                found: bytes = value
                return found
        return b""


def bearer(header: str) -> str:
    """The token in `Bearer …`; empty if there is none."""
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
