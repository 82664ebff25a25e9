"""What a real hub cannot be brought to do at will: subscriptions that wait for a sign."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.applications import Starlette

from schema import Endpoint
from schema.context import Context

PATIENCE = 10.0


class WaitingHub:
    """Its subscriptions tell nothing by themselves. Tests have their outlets."""

    def __init__(self) -> None:
        self.outlets: list[Any] = []
        self.contexts: list[Context] = []
        self.begun, self.ended = asyncio.Event(), asyncio.Event()

    async def follow(self, context: Context, request: Any, outlet: Any) -> None:
        self.contexts.append(context)
        self.outlets.append(outlet)
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.outlets.remove(outlet)
            if not self.outlets:
                self.ended.set()


@pytest.fixture
def endpoint(application: Starlette) -> Endpoint:
    endpoint: Endpoint = application.state.endpoint
    return endpoint


@pytest.fixture
def waiting_hub(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> WaitingHub:
    hub = WaitingHub()
    monkeypatch.setattr(endpoint, "hub", hub)
    return hub
