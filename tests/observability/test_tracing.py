"""Spans of operations and statements, as an exporter gets them."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from starlette.applications import Starlette

from crm_graph.observability import logs, tracing
from tests.support.live import Server
from tests.support.world import World

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HEADERS = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
LIST = 'query List { accounts(first: 3, filter: {name: {eq: "Secret"}}) { nodes { name } } }'


@pytest.fixture
def spans(application: Starlette) -> Iterator[InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.start(application.state.database.engines, provider)
    yield exporter
    tracing.stop()


def operations(spans: InMemorySpanExporter) -> list[ReadableSpan]:
    return [each for each in spans.get_finished_spans() if each.kind is SpanKind.SERVER]


def statements(spans: InMemorySpanExporter, of: ReadableSpan) -> list[ReadableSpan]:
    found = [each for each in spans.get_finished_spans() if each.kind is SpanKind.CLIENT]
    assert of.context is not None
    return [each for each in found if each.parent is not None and each.parent.span_id == of.context.span_id]


async def ask(world: World, query: str, **headers: str) -> None:
    sent = {"Authorization": f"Bearer {world.admin.token}", **headers}
    await world.client.post("/graphql", json={"query": query}, headers=sent)


async def test_an_operation_has_a_span_in_the_trace_of_its_request(world: World, spans: InMemorySpanExporter) -> None:
    await ask(world, LIST)
    spans.clear()
    with world.statements() as sent:
        await ask(world, LIST, **HEADERS)

    [operation] = operations(spans)
    assert operation.name == "query List"
    assert dict(operation.attributes or {}) == {
        "graphql.operation.type": "query",
        "graphql.operation.name": "List",
        "graphql.document": LIST.replace("Secret", "…"),
    }
    assert operation.context is not None
    assert operation.parent is not None
    assert (f"{operation.context.trace_id:032x}", f"{operation.parent.span_id:016x}") == (TRACE, PARENT)
    system = "sqlite" if world.database.is_sqlite else "postgresql"
    assert [dict(each.attributes or {}) for each in statements(spans, operation)] == [
        {"db.system.name": system, "db.operation.name": each.split()[0], "db.query.text": each} for each in sent
    ]
    assert len(sent) == (1 if world.compiled else 2)


async def test_a_write_has_a_span_of_each_statement(world: World, spans: InMemorySpanExporter) -> None:
    with world.statements() as sent:
        await ask(world, 'mutation { createAccount(input: {name: "Acme"}) { account { name } } }')

    [operation] = operations(spans)
    assert operation.name == "mutation"
    texts = [(each.attributes or {})["db.query.text"] for each in statements(spans, operation)]
    assert sorted(map(str, texts)) == sorted(sent)
    assert all(each.start_time and each.end_time and each.end_time > each.start_time for each in operations(spans))


async def test_an_error_is_told_by_its_span(
    world: World, spans: InMemorySpanExporter, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.application.state.service, "database", None)
    caplog.handler.addFilter(logs.RequestContextFilter())
    await ask(world, LIST, **HEADERS)

    [operation] = operations(spans)
    assert (operation.attributes or {})["error.type"] == "AttributeError"
    assert operation.status.status_code is StatusCode.ERROR
    [line] = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert (vars(line)["operation"], vars(line)["trace_id"]) == ("List", TRACE)


async def test_a_refusal_is_told_by_its_span(world: World, spans: InMemorySpanExporter) -> None:
    await world.send({"query": LIST})

    [operation] = operations(spans)
    assert (operation.attributes or {})["error.type"] == "UNAUTHENTICATED"
    assert operation.status.status_code is StatusCode.ERROR


async def test_each_operation_of_a_websocket_has_a_span_of_its_own(
    world: World, server: Server, spans: InMemorySpanExporter
) -> None:
    async with server.websocket(world.admin) as client:
        await asyncio.gather(*[client.start(LIST) for _ in range(2)])
        for number in ("1", "2"):
            await client.next(number)
            await client.completed(number)

    found = operations(spans)
    assert [each.name for each in found] == ["query List"] * 2
    assert len({each.context.trace_id for each in found if each.context}) == 2


def test_nothing_is_imported_while_it_is_off() -> None:
    """But for what redis imports wherever it is installed, to count with."""
    program = "import redis.asyncio, sys; before = {*sys.modules}; import crm_graph.app; print({*sys.modules} - before)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "'crm_graph.observability.tracing'" in done.stdout
    assert "opentelemetry" not in done.stdout
