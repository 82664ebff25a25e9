"""A subscription manager that tests control, and a database that is down."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.applications import Starlette

from schema import OperationService
from schema.core.context import Context
from schema.transports.asgi_sender import ClientDisconnected

PATIENCE = 10.0


class WaitingManager:
    """Its subscriptions send nothing by themselves. Tests send to their sinks, `outlets`."""

    def __init__(self) -> None:
        self.outlets: list[Any] = []
        self._changed = asyncio.Condition()

    async def serve(self, context: Context, request: Any, sink: Any) -> None:
        self.outlets.append(sink)
        await self._tell()
        try:
            await asyncio.Event().wait()
        finally:
            self.outlets.remove(sink)
            await self._tell()

    async def has(self, count: int) -> None:
        """Wait until there are `count` subscriptions."""
        async with asyncio.timeout(PATIENCE), self._changed:
            await self._changed.wait_for(lambda: len(self.outlets) == count)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


class Out:
    """A database that is down."""

    def read(self) -> Any:
        raise OSError("nobody answers")

    def __getattr__(self, name: str) -> Any:
        self.read()


async def refused(sink: Any, payload: str) -> None:
    """Send until the client, which reads nothing, is disconnected."""
    try:
        while True:
            await sink.send(payload)
    except ClientDisconnected:
        pass


@pytest.fixture
def service(application: Starlette) -> OperationService:
    service: OperationService = application.state.service
    return service


@pytest.fixture
def waiting_hub(service: OperationService, monkeypatch: pytest.MonkeyPatch) -> WaitingManager:
    manager = WaitingManager()
    monkeypatch.setattr(service, "manager", manager)
    return manager
