"""Settings, buckets and queues for one test."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from starlette.applications import Starlette

from schema import Endpoint

Change = Callable[..., None]


@pytest.fixture
def endpoint(application: Starlette) -> Endpoint:
    endpoint: Endpoint = application.state.endpoint
    return endpoint


@pytest.fixture
def change(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> Change:
    """Change settings for one test."""

    def change(**settings: Any) -> None:
        monkeypatch.setattr(endpoint, "settings", dataclasses.replace(endpoint.settings, **settings))

    return change
