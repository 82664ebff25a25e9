"""Records metrics with the Prometheus client, which is imported only if CRM_GRAPH_METRICS is on."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import NamedTuple

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from crm_graph.observability import metrics
from crm_graph.observability.metrics import ANONYMOUS

MAX_OPERATION_NAMES = 200
"""Clients choose the names of operations, and each name is a series that is kept for good."""
OTHER = "(other)"
"""The operation name for all names beyond MAX_OPERATION_NAMES."""
NAMELESS = "(nameless)"
"""The operation name for operations without one."""
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class _Series(NamedTuple):
    seconds: Histogram
    cost: Counter


def start() -> None:
    """Record metrics from now on."""
    metrics.start(recorder())


@functools.cache
def recorder() -> PrometheusRecorder:
    """The process's only recorder, because the registry is global too."""
    return PrometheusRecorder()


async def expose(request: Request) -> Response:
    """The metrics in Prometheus's text format."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


class PrometheusRecorder:
    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # they would double the number of series
        self._operations = Histogram(
            "crm_graph_operation_seconds",
            "Seconds from reading a query or mutation to its answer, including the time in the queue.",
            ["operation", "type", "execution"],
            buckets=SECONDS,
        )
        self._cost = Counter(
            "crm_graph_cost", "Cost of operations, as in docs/operators/limits.md.", ["operation", "type"]
        )
        self._subscriptions = Counter("crm_graph_subscriptions_begun", "Subscriptions started.", ["operation"])
        self._errors = Counter("crm_graph_errors", "Errors sent to clients.", ["code"])
        self._lag = Histogram(
            "crm_graph_feed_lag_seconds",
            "Seconds from a change, in any process, until its subscribers in this process are notified.",
            buckets=SECONDS,
        )
        REGISTRY.register(_Gauges())
        self._names: set[str] = set()
        self._series: dict[tuple[str | None, str, str], _Series] = {}

    def record_operation(self, name: str | None, kind: str, execution: str, seconds: float, cost: int) -> None:
        series = self._series.get((name, kind, execution)) or self._add(name, kind, execution)
        series.seconds.observe(seconds)
        series.cost.inc(cost)

    def _add(self, name: str | None, kind: str, execution: str) -> _Series:
        label = self._label(name)
        series = _Series(self._operations.labels(label, kind, execution), self._cost.labels(label, kind))
        if label != OTHER:
            self._series[name, kind, execution] = series
        return series

    def _label(self, name: str | None) -> str:
        if name is None:
            return NAMELESS
        if name in self._names or name == ANONYMOUS:
            return name
        if len(self._names) >= MAX_OPERATION_NAMES:
            return OTHER
        self._names.add(name)
        return name

    def record_subscription(self, name: str | None) -> None:
        self._subscriptions.labels(self._label(name)).inc()

    def record_error(self, code: str) -> None:
        self._errors.labels(code).inc()

    def record_lag(self, seconds: float) -> None:
        self._lag.observe(seconds)


class _Gauges(Collector):
    def collect(self) -> Iterable[GaugeMetricFamily]:
        for name, gauges in metrics.published_gauges.items():
            if gauges:
                total = sum(gauge.read() for gauge in gauges)
                yield GaugeMetricFamily(f"crm_graph_{name}", gauges[0].description, total)
