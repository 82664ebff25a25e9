"""Connecting to the broadcast: the only module that imports broadcaster and relies on its private parts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from broadcaster import Broadcast

TIMEOUT_SECONDS = 5.0
"""The maximum for connecting, disconnecting and sending."""


@contextlib.asynccontextmanager
async def connect(url: str) -> AsyncIterator[Broadcast]:
    """A connected broadcast. Raises TimeoutError, and what the backend raises where it cannot connect."""
    broadcast = Broadcast(url)
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await broadcast.connect()
        yield broadcast
    finally:
        # A broken connection may fail to close, which does not matter. The backend's own task has to end, but
        # Broadcast.disconnect of 0.3.1 does not reach it where connecting has failed.
        for disconnect in (broadcast.disconnect, broadcast._backend.disconnect):
            with contextlib.suppress(Exception):
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    await disconnect()


async def check(url: str, channel: str) -> None:
    """Raises what `connect` raises, and what subscribing does."""
    async with connect(url) as broadcast, broadcast.subscribe(channel):
        pass
