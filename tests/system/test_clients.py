"""The clients that applications use, from npm, against a server in a process of its own: tests/clients has what each
of them must be able to do."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from crm_graph.services.demo.workspace_dir import WorkspaceDir
from tests.conftest import POSTGRES_URL, skip
from tests.support.databases import create_database, drop_database
from tests.support.npm import CLIENTS, node_with, run_tests, serving
from tests.support.servers import environment, running_server

BUNDLE = Path(__file__).parents[2] / "crm_graph" / "static" / "graphiql" / "graphiql.js"
PICTURE = Path(__file__).parents[2] / "docs" / "graphiql.png"
LARGEST_PICTURE = 150_000
DEMO_ACCOUNTS = 40


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


@pytest.mark.parametrize("client", ["graphql-ws", "graphql-sse", "apollo", "urql", "persisted"])
def test_a_client(node: str, on_sqlite: dict[str, str], client: str) -> None:
    run_tests(CLIENTS, node, client, on_sqlite)


def test_a_client_on_postgresql(node: str, on_postgresql: dict[str, str]) -> None:
    run_tests(CLIENTS, node, "graphql-ws", on_postgresql)


async def test_apollo_where_nothing_is_stored(node: str, tmp_path: Path) -> None:
    async with serving(f"sqlite:///{tmp_path}/crm.db", tmp_path, persisted_queries="off") as told:
        await asyncio.to_thread(run_tests, CLIENTS, node, "persisted-off", told)


async def test_graphql_over_http_to_the_letter(node: str, tmp_path: Path) -> None:
    """All that npm graphql-http audits, in the settings of the demo."""
    demo = WorkspaceDir(tmp_path, "").settings
    shown = {name: int(getattr(demo, name)) for name in ("introspection", "get_queries", "get_without_header")}
    async with serving(f"sqlite:///{tmp_path}/crm.db", tmp_path, **shown) as told:
        await asyncio.to_thread(run_tests, CLIENTS, node, "graphql-http", told)


async def test_graphiql_in_a_browser(node: str, tmp_path: Path) -> None:
    """The page of the demo, in a Chromium that reaches nothing but this machine. With CRM_GRAPH_TEST_SCREENSHOT=1, a
    picture of it is kept for the docs."""
    if not BUNDLE.exists():
        skip("GraphiQL is not built (scripts/build-web): its page was not tested.")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        skip("Chromium is not here (Debian: apt-get install chromium): GraphiQL's page was not tested.")
    home = WorkspaceDir.at(tmp_path)
    await home.prepare(DEMO_ACCOUNTS)
    demo = ("demo", "--folder", str(tmp_path))
    async with running_server(environment(""), tmp_path / "server.log", demo) as server:
        told = {"URL": server.url, "TOKEN": home.token, "EMAIL": home.email, "PASSWORD": home.password}
        told["CHROMIUM"] = str(chromium)
        if os.environ.get("CRM_GRAPH_TEST_SCREENSHOT") == "1":
            told["SCREENSHOT"] = str(PICTURE)
        variables = {f"CRM_GRAPH_TEST_{name}": value for name, value in told.items()}
        await asyncio.to_thread(run_tests, CLIENTS, node, "graphiql", variables)
    assert PICTURE.stat().st_size < LARGEST_PICTURE
