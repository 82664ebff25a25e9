"""The metrics, and the setting that serves them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest
from prometheus_client import REGISTRY

from crm_graph import app
from crm_graph.errors import ConfigurationError
from crm_graph.observability import metrics, prometheus
from crm_graph.settings import Settings
from tests.support.live import Server
from tests.support.world import World

LIST = "query List { accounts(first: 10) { nodes { name } } }"
WRITE = "mutation Write { createAccount(input: {name: %s}) { revision } }"
CHANGES = "subscription Follow { changes { revision } }"
HIDDEN = "query Hidden { viewer { id } nothing }"


@pytest.fixture(autouse=True)
def recorder() -> prometheus.PrometheusRecorder:
    """Records the metrics of the tests' applications, whose settings leave them off."""
    prometheus.start()
    return prometheus.recorder()


def told(name: str, **labels: str) -> float:
    """The value of a series."""
    return REGISTRY.get_sample_value(f"crm_graph_{name}", labels) or 0.0


async def grown(name: str, labels: Mapping[str, str], before: float, by: float) -> None:
    """Wait until a series has grown by exactly this."""
    async with asyncio.timeout(10):
        while told(name, **labels) - before < by:  # noqa: ASYNC110  # there is no event of it
            await asyncio.sleep(0.01)
    assert told(name, **labels) - before == by


async def test_operations_are_counted_by_name_type_and_execution(world: World) -> None:
    execution = "compiled" if world.compiled else "executed"
    read = {"operation": "List", "type": "query", "execution": execution}
    write = {"operation": "Write", "type": "mutation", "execution": "executed"}
    nobody = {"operation": metrics.ANONYMOUS, "type": "query", "execution": "executed"}
    before = [told("operation_seconds_count", **each) for each in (read, write, nobody)]
    costs = [told("cost_total", operation=each["operation"], type=each["type"]) for each in (read, write)]

    await world.data(LIST)
    await world.data(LIST)
    await world.data(WRITE % '"Acme"')
    await world.send({"query": LIST})

    after = [told("operation_seconds_count", **each) for each in (read, write, nobody)]
    assert [now - then for now, then in zip(after, before, strict=True)] == [2, 1, 1]
    spent = [told("cost_total", operation=each["operation"], type=each["type"]) for each in (read, write)]
    assert [now - then for now, then in zip(spent, costs, strict=True)] == [20 if world.compiled else 2, 10]


async def test_each_error_is_counted_once(world: World, server: Server) -> None:
    codes = ("BAD_USER_INPUT", "UNAUTHENTICATED", "LIMIT_EXCEEDED")
    before = {code: told("errors_total", code=code) for code in codes}

    assert len((await world.ask(HIDDEN))["errors"]) == 1
    await world.send({"query": LIST})
    await world.ask(f"{{ viewer {{ {'id ' * 51} }} }}")
    async with server.websocket(world.admin) as client:
        await client.error(await client.start(HIDDEN))
    async with server.events(HIDDEN, by=world.admin) as stream:
        await stream.next()

    assert {code: told("errors_total", code=code) - before[code] for code in codes} == {
        "BAD_USER_INPUT": 3,
        "UNAUTHENTICATED": 1,
        "LIMIT_EXCEEDED": 1,
    }


async def test_subscriptions_and_their_lag_are_told(world: World, server: Server) -> None:
    begun, lag = told("subscriptions_begun_total", operation="Follow"), told("feed_lag_seconds_count")
    seconds = told("feed_lag_seconds_sum")
    async with server.websocket(world.admin) as client:
        following = [await client.start(CHANGES) for _ in range(3)]
        for each in following:
            await client.next(each)
        assert told("subscriptions_begun_total", operation="Follow") - begun == 3
        assert (told("subscribers"), told("connections")) == (3, 1)
        await world.make("account", name="Acme")
        for each in following:
            await client.next(each)
        await grown("feed_lag_seconds_count", {}, lag, 1)
        assert 0 < told("feed_lag_seconds_sum") - seconds < 5
    async with asyncio.timeout(10):
        while told("subscribers"):  # noqa: ASYNC110  # there is no event of it
            await asyncio.sleep(0.01)


async def test_what_is_at_work_is_told(world: World) -> None:
    async with world.database.read() as session, world.database.read_connection():
        await session.connection()
        assert told("database_connections") == 2
    assert told("database_connections") == 0
    assert told("operations_at_work") == told("operations_waiting") == 0
    assert told("broadcast_connected") == 1


def test_clients_cannot_make_up_series_without_end(
    monkeypatch: pytest.MonkeyPatch, recorder: prometheus.PrometheusRecorder
) -> None:
    monkeypatch.setattr(recorder, "_names", {f"Name{number}" for number in range(prometheus.MAX_OPERATION_NAMES - 1)})
    monkeypatch.setattr(recorder, "_series", {})
    for name in ("Last", *(f"More{number}" for number in range(500)), None, metrics.ANONYMOUS):
        metrics.record_operation(name, "query", "made up", 0.1, 1)

    other = {"operation": prometheus.OTHER, "type": "query", "execution": "made up"}
    assert told("operation_seconds_count", **other) == 500
    for name in ("Last", prometheus.NAMELESS, metrics.ANONYMOUS):
        assert told("operation_seconds_count", **{**other, "operation": name}) == 1
    assert len(recorder._series) == 3


@pytest.mark.parametrize("shown", [True, False])
async def test_metrics_are_shown_only_where_a_setting_says_so(tmp_path: Path, shown: bool) -> None:
    settings = Settings(database_url=f"sqlite:///{tmp_path}/crm.db", metrics=shown)
    transport = httpx.ASGITransport(app=app.build(settings))
    async with httpx.AsyncClient(transport=transport, base_url="http://crm.test") as client:
        response = await client.get("/metrics")

    assert response.status_code == (200 if shown else 404)
    if shown:
        assert "# TYPE crm_graph_operation_seconds histogram" in response.text
        assert "process_resident_memory_bytes" in response.text


def test_workers_that_share_a_port_have_no_metrics() -> None:
    settings = Settings(metrics=True, broadcast_url="redis://127.0.0.1")
    settings.check_workers(1)
    with pytest.raises(
        ConfigurationError, match=r"^CRM_GRAPH_METRICS needs one process per port, and 2 workers share one\."
    ):
        settings.check_workers(2)
