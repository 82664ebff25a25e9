"""Metrics of this process. docs/operators/operations.md describes each one.

Nothing is recorded until `start`, which crm_graph.observability.prometheus calls if CRM_GRAPH_METRICS is on.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, Protocol

ANONYMOUS = "(anonymous)"
"""The operation name for clients that are not signed in."""


class Gauge(NamedTuple):
    """A value that is read when the metrics are."""

    description: str
    read: Callable[[], float]


class Recorder(Protocol):
    """Has a method for each function of this module that records something."""

    def record_operation(self, name: str | None, kind: str, execution: str, seconds: float, cost: int) -> None: ...

    def record_subscription(self, name: str | None) -> None: ...

    def record_error(self, code: str) -> None: ...

    def record_lag(self, seconds: float) -> None: ...


published_gauges: dict[str, list[Gauge]] = {}
_recorder: Recorder | None = None


def start(recorder: Recorder) -> None:
    """Record metrics from now on."""
    global _recorder
    _recorder = recorder


def record_operation(name: str | None, kind: str, execution: str, seconds: float, cost: int) -> None:
    """Record a query or mutation. `execution` is how it was executed, or why it was not."""
    if _recorder is not None:
        _recorder.record_operation(name, kind, execution, seconds, cost)


def record_subscription(name: str | None) -> None:
    """Record the start of a subscription."""
    if _recorder is not None:
        _recorder.record_subscription(name)


def record_error(code: str) -> None:
    """Record an error that is sent to a client."""
    if _recorder is not None:
        _recorder.record_error(code)


def record_lag(seconds: float) -> None:
    """Record the time from a change until its subscribers in this process are notified."""
    if _recorder is not None:
        _recorder.record_lag(seconds)


@contextlib.contextmanager
def gauges(values: Mapping[str, Gauge]) -> Iterator[None]:
    """Publish gauges by their names, inside the block. Gauges of the same name are added up."""
    for name, gauge in values.items():
        published_gauges.setdefault(name, []).append(gauge)
    try:
        yield
    finally:
        for name, gauge in values.items():
            published_gauges[name].remove(gauge)
