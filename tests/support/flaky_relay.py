"""A TCP relay between clients and a server that can break connections or drop what they carry."""

from __future__ import annotations

import asyncio
import contextlib
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator

from tests.support.proxies import copy


class FlakyRelay:
    """Relays connections to an address."""

    def __init__(self, address: str) -> None:
        self._host, _, self._port = address.partition(":")
        self._ends: list[StreamWriter] = []
        self._silent: set[StreamWriter] = set()

    def cut(self) -> None:
        """Close all current connections."""
        for end in self._ends:
            end.close()
        self._ends.clear()

    def silence(self) -> None:
        """Drop what is sent on the current connections, without closing them."""
        self._silent.update(self._ends)

    async def carry(self, near: StreamReader, back: StreamWriter) -> None:
        far, out = await asyncio.open_connection(self._host, int(self._port))
        self._ends += [back, out]
        await asyncio.gather(
            copy(near, out, lambda: out in self._silent), copy(far, back, lambda: back in self._silent)
        )


@contextlib.asynccontextmanager
async def flaky_relay(address: str) -> AsyncIterator[tuple[FlakyRelay, str]]:
    """Yield a relay to an address, and the address that it listens on."""
    relay = FlakyRelay(address)
    server = await asyncio.start_server(relay.carry, "127.0.0.1", 0)
    try:
        yield relay, f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        relay.cut()
