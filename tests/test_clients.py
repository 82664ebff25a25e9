"""The clients that applications use, from npm, against a server in a process of its own: tests/clients has what each
of them must be able to do."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from crm_graph.services.demo.home import Home
from tests.conftest import POSTGRES_URL, skip
from tests.support.npm import CLIENTS, node_with, run_tests, serving
from tests.support.postgres import create_database, drop_database


@pytest.fixture(scope="module")
def node() -> str:
    return node_with(CLIENTS)


@pytest.fixture(scope="module")
async def on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, str]]:
    folder = tmp_path_factory.mktemp("clients")
    async with serving(f"sqlite:///{folder}/crm.db", folder) as told:
        yield told


@pytest.fixture(scope="module")
async def on_postgresql(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, str]]:
    if POSTGRES_URL is None:
        skip("CRM_GRAPH_TEST_POSTGRES_URL is not set: no npm client was tested on PostgreSQL.")
    assert POSTGRES_URL is not None
    name = f"crm_graph_clients_{os.getpid()}"
    url = await create_database(POSTGRES_URL, name)
    try:
        async with serving(url, tmp_path_factory.mktemp("clients")) as told:
            yield told
    finally:
        await drop_database(POSTGRES_URL, name)


@pytest.mark.parametrize("client", ["graphql-ws", "graphql-sse", "apollo", "urql"])
def test_a_client(node: str, on_sqlite: dict[str, str], client: str) -> None:
    run_tests(CLIENTS, node, client, on_sqlite)


def test_a_client_on_postgresql(node: str, on_postgresql: dict[str, str]) -> None:
    run_tests(CLIENTS, node, "graphql-ws", on_postgresql)


async def test_graphql_over_http_to_the_letter(node: str, tmp_path: Path) -> None:
    """All that npm graphql-http audits, in the settings of the demo."""
    demo = Home(tmp_path, "").settings
    shown = {name: int(getattr(demo, name)) for name in ("introspection", "get_queries", "get_without_header")}
    async with serving(f"sqlite:///{tmp_path}/crm.db", tmp_path, **shown) as told:
        await asyncio.to_thread(run_tests, CLIENTS, node, "graphql-http", told)
