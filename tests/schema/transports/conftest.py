"""What a real hub cannot be brought to do at will: subscriptions that wait for a sign."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.applications import Starlette

from schema import Endpoint
from schema.core.context import Context
from schema.transports.asgi_sender import Gone

PATIENCE = 10.0


class WaitingHub:
    """Its subscriptions tell nothing by themselves. Tests have their outlets."""

    def __init__(self) -> None:
        self.outlets: list[Any] = []
        self._changed = asyncio.Condition()

    async def follow(self, context: Context, request: Any, outlet: Any) -> None:
        self.outlets.append(outlet)
        await self._tell()
        try:
            await asyncio.Event().wait()
        finally:
            self.outlets.remove(outlet)
            await self._tell()

    async def has(self, count: int) -> None:
        """Wait until there are so many subscriptions."""
        async with asyncio.timeout(PATIENCE), self._changed:
            await self._changed.wait_for(lambda: len(self.outlets) == count)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


class Out:
    """A database that nobody answers at."""

    def read(self) -> Any:
        raise OSError("nobody answers")

    def __getattr__(self, name: str) -> Any:
        self.read()


async def refused(outlet: Any, payload: str) -> None:
    """Send again and again, until a client who takes nothing is given up."""
    try:
        while True:
            await outlet.send(payload)
    except Gone:
        pass


@pytest.fixture
def endpoint(application: Starlette) -> Endpoint:
    endpoint: Endpoint = application.state.endpoint
    return endpoint


@pytest.fixture
def waiting_hub(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> WaitingHub:
    hub = WaitingHub()
    monkeypatch.setattr(endpoint, "hub", hub)
    return hub
