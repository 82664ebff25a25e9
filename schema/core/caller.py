"""Who sends a request, as his connection tells."""

from __future__ import annotations

from starlette.requests import HTTPConnection
from starlette.types import Scope


class Caller(HTTPConnection):
    """His token, empty where there is none, and his address; both are looked for once."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope)
        self.token = bearer(self.header(b"authorization").decode("latin-1"))
        client = scope.get("client")
        self.address: str | None = None if client is None else client[0]

    def header(self, name: bytes) -> bytes:
        """The first header of a name in small letters; empty where there is none."""
        for each, value in self.scope["headers"]:
            if each == name:
                found: bytes = value
                return found
        return b""


def bearer(header: str) -> str:
    """The token in «Bearer …»; empty where there is none."""
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
