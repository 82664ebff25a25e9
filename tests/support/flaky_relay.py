"""A line between clients and a server, which can break, and can go silent."""

from __future__ import annotations

import asyncio
import contextlib
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator

from tests.support.proxies import copy


class Wire:
    """Carries connections to an address."""

    def __init__(self, address: str) -> None:
        self._host, _, self._port = address.partition(":")
        self._ends: list[StreamWriter] = []
        self._silent: set[StreamWriter] = set()

    def cut(self) -> None:
        """The connections of this moment break."""
        for end in self._ends:
            end.close()
        self._ends.clear()

    def silence(self) -> None:
        """What is sent on the connections of this moment is lost, and nobody is told."""
        self._silent.update(self._ends)

    async def carry(self, near: StreamReader, back: StreamWriter) -> None:
        far, out = await asyncio.open_connection(self._host, int(self._port))
        self._ends += [back, out]
        await asyncio.gather(
            copy(near, out, lambda: out in self._silent), copy(far, back, lambda: back in self._silent)
        )


@contextlib.asynccontextmanager
async def wire_to(address: str) -> AsyncIterator[tuple[Wire, str]]:
    """A wire, and the address at which it begins."""
    wire = Wire(address)
    server = await asyncio.start_server(wire.carry, "127.0.0.1", 0)
    try:
        yield wire, f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        wire.cut()
