"""Settings, buckets and queues for one test."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from starlette.applications import Starlette

from schema import OperationService

Change = Callable[..., None]


@pytest.fixture
def service(application: Starlette) -> OperationService:
    service: OperationService = application.state.service
    return service


@pytest.fixture
def change(service: OperationService, monkeypatch: pytest.MonkeyPatch) -> Change:
    """Change settings for one test."""

    def change(**settings: Any) -> None:
        monkeypatch.setattr(service, "settings", dataclasses.replace(service.settings, **settings))

    return change
