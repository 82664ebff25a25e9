"""Headers of HTTP responses: request ids, compression, and CORS."""

from __future__ import annotations

import asyncio
import gzip
import logging
import sys
from pathlib import Path

import httpx
import pytest

from crm_graph import app
from crm_graph.observability import logs
from crm_graph.settings import Settings
from schema import OperationService
from schema.transports import http
from tests.schema.transports.test_http import WHO, signed_in
from tests.support.live import Server
from tests.support.world import World

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


@pytest.mark.parametrize("name", ["4bf92f3577b34da6", "x" * 100, "a:b/c-d_e.f~!"])
async def test_a_request_keeps_the_id_that_it_came_with(world: World, name: str) -> None:
    response = await world.client.post("/graphql", json={"query": WHO}, headers={"X-Request-Id": name})
    assert response.headers["x-request-id"] == name


@pytest.mark.parametrize("name", ["", "x" * 101, "a b", "é"])
async def test_a_request_without_a_good_id_is_given_one(world: World, name: str) -> None:
    given = [(b"x-request-id", name.encode()), (b"content-type", b"application/json")]
    answers = [await world.client.post("/graphql", content=b"{", headers=given) for _ in range(2)]
    made = {response.headers["x-request-id"] for response in answers}
    assert len(made) == 2
    assert {len(each) for each in made} == {16}


async def test_the_log_tells_which_request_a_line_is_about(
    world: World, service: OperationService, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(service, "database", None)
    caplog.handler.addFilter(logs.RequestContextFilter())
    ids = [f"request-{number}" for number in range(3)]
    await asyncio.gather(
        *[
            world.client.post("/graphql", json={"query": WHO}, headers=signed_in(world, **{"X-Request-Id": each}))
            for each in ids
        ]
    )
    logging.getLogger("crm_graph").warning("about none")

    lines = [(record.__dict__["request_id"], record.levelname) for record in caplog.records]
    assert sorted(lines) == [("-", "WARNING"), *[(each, "ERROR") for each in ids]]


async def test_long_answers_are_compressed_for_those_who_take_it(world: World, server: Server) -> None:
    await world.make("account", name="Acme", description="long " * 1_000)
    body = {"query": "{ accounts { nodes { description } } }"}
    plain = await server.client.post(server.url, json=body, headers=signed_in(world, **{"Accept-Encoding": "br"}))
    assert "content-encoding" not in plain.headers
    for coding, decompress in (("gzip", gzip.decompress), ("zstd", zstd.decompress)):
        headers = signed_in(world, **{"Accept-Encoding": coding})
        async with server.client.stream("POST", server.url, json=body, headers=headers) as response:
            raw = b"".join([piece async for piece in response.aiter_raw()])

        assert response.headers["content-encoding"] == coding
        assert response.headers["content-length"] == str(len(raw))
        assert decompress(raw) == plain.content
        assert len(raw) < len(plain.content) / 10


async def test_an_answer_that_is_compressed_beside_the_loop_is_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "LARGE", 10)
    await world.make("account", name="Acme", description="long " * 1_000)
    body = {"query": "{ accounts { nodes { description } } }"}
    response = await world.client.post("/graphql", json=body, headers=signed_in(world, **{"Accept-Encoding": "gzip"}))

    assert response.headers["content-encoding"] == "gzip"
    assert response.json() == {"data": {"accounts": {"nodes": [{"description": ("long " * 1_000).strip()}]}}}


async def test_short_answers_are_not_compressed(world: World) -> None:
    headers = signed_in(world, **{"Accept-Encoding": "gzip, zstd"})
    response = await world.client.post("/graphql", json={"query": WHO}, headers=headers)
    assert "content-encoding" not in response.headers


async def test_pages_of_other_origins(tmp_path: Path) -> None:
    settings = Settings(database_url=f"sqlite:///{tmp_path}/crm.db", origins=("https://app.example:443",))
    transport = httpx.ASGITransport(app=app.build(settings))
    ask = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    async with httpx.AsyncClient(transport=transport, base_url="http://crm.test") as client:
        for origin, allowed in (("https://app.example", "https://app.example"), ("https://evil.example", None)):
            response = await client.options("/graphql", headers={"Origin": origin, **ask})
            assert response.status_code == (200 if allowed else 400)
            assert response.headers.get("access-control-allow-origin") == allowed
            response = await client.post("/graphql", json={"query": "{ __typename }"}, headers={"Origin": origin})
            assert response.json() == {"data": {"__typename": "Query"}}
            assert response.headers.get("access-control-allow-origin") == allowed


async def test_without_a_setting_pages_of_other_origins_read_nothing(world: World) -> None:
    headers = {"Origin": "https://app.example"}
    response = await world.client.post("/graphql", json={"query": "{ __typename }"}, headers=headers)
    assert not [name for name in response.headers if name.startswith("access-control")]
