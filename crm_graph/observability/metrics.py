"""What this process does, counted for Prometheus. docs/operators/operations.md tells what to make of it."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from starlette.requests import Request
from starlette.responses import Response

Read = Callable[[], float]
MAX_OPERATION_NAMES = 200
ANONYMOUS, OTHER, NAMELESS = "(anonymous)", "(other)", "(nameless)"
"""What stands for the names of operations whose senders are nobody, of those beyond the first 200, and of those
without one: clients choose the names, and each becomes a series that is kept for good."""
disable_created_metrics()  # type: ignore[no-untyped-call]  # of as many again, which tell nothing
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

_operations = Histogram(
    "crm_graph_operation_seconds",
    "Queries and mutations that were answered: from when they were read, waiting for their turn included.",
    ["operation", "type", "execution"],
    buckets=SECONDS,
)
_cost = Counter("crm_graph_cost", "What operations cost, as docs/operators/limits.md has it.", ["operation", "type"])
_begun = Counter("crm_graph_subscriptions_begun", "Subscriptions that were begun.", ["operation"])
_errors = Counter("crm_graph_errors", "Errors that clients were told.", ["code"])
_lag = Histogram(
    "crm_graph_feed_lag_seconds",
    "From when a change was recorded, by whichever process, until its followers here were told.",
    buckets=SECONDS,
)
_names: set[str] = set()


class _Counted(NamedTuple):
    seconds: Histogram
    cost: Counter


_counted: dict[tuple[str | None, str, str], _Counted] = {}


def answered(name: str | None, kind: str, execution: str, seconds: float, cost: int) -> None:
    """Count a query or a mutation. `execution` says how it was answered, or why not."""
    seen = _counted.get((name, kind, execution)) or _learn(name, kind, execution)
    seen.seconds.observe(seconds)
    seen.cost.inc(cost)


def _learn(name: str | None, kind: str, execution: str) -> _Counted:
    label = _label(name)
    seen = _Counted(_operations.labels(label, kind, execution), _cost.labels(label, kind))
    if label != OTHER:
        _counted[name, kind, execution] = seen
    return seen


def begun(name: str | None) -> None:
    """Count a subscription that begins."""
    _begun.labels(_label(name)).inc()


def _label(name: str | None) -> str:
    if name is None:
        return NAMELESS
    if name in _names or name == ANONYMOUS:
        return name
    if len(_names) >= MAX_OPERATION_NAMES:
        return OTHER
    _names.add(name)
    return name


def failed(code: str) -> None:
    """Count an error that a client is told."""
    _errors.labels(code).inc()


def told(seconds: float) -> None:
    """Count a change that followers were told, this long after it was recorded."""
    _lag.observe(seconds)


@contextlib.contextmanager
def watching(values: Mapping[str, tuple[str, Read]]) -> Iterator[None]:
    """Inside the block, values are read whenever the metrics are: {name: (description, read)}. Those that several
    applications of the process have by one name are added up."""
    for name, (description, read) in values.items():
        _watched(name, description).append(read)
    try:
        yield
    finally:
        for name, (description, read) in values.items():
            _watched(name, description).remove(read)


@functools.cache
def _watched(name: str, description: str) -> list[Read]:
    reads: list[Read] = []
    Gauge(f"crm_graph_{name}", description).set_function(lambda: sum(read() for read in reads))
    return reads


async def expose(request: Request) -> Response:
    """The metrics, as Prometheus reads them."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
