"""The clients that applications use, from npm, against a server in a process of its own: tests/clients has what each
of them must be able to do."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import io
import os
import re
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from crm_graph.cli import main
from crm_graph.services.demo.home import Home
from tests.conftest import POSTGRES_URL, skip
from tests.support.postgres import create_database, drop_database
from tests.support.servers import environment, running_server

CLIENTS = Path(__file__).parent / "clients"
EMAIL, PASSWORD = "ada@acme.example", "correct horse battery"
USER_OPERATIONS = 120
BUNDLE = Path(__file__).parents[1] / "crm_graph" / "static" / "graphiql" / "graphiql.js"
PICTURE = Path(__file__).parents[1] / "docs" / "graphiql.png"
LARGEST_PICTURE = 150_000
DEMO_ACCOUNTS = 40
INSTALL_SECONDS = 300.0
NODE_SECONDS = 180.0
NODE = 20


@pytest.fixture(scope="module")
def node() -> str:
    """The node program, with the clients installed for it."""
    program, npm = shutil.which("node"), shutil.which("npm")
    if program is None or npm is None:
        skip("node and npm are not here: no npm client was tested.")
    assert program is not None
    assert npm is not None
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.removeprefix("v").partition(".")[0]) < NODE:
        skip(f"node is {version.strip()}, and {NODE} is needed: no npm client was tested.")
    install(npm)
    return program


def install(npm: str) -> None:
    """Install what the lock file says, unless that is done. Test processes do it one after the other."""
    lock, done = CLIENTS / "package-lock.json", CLIENTS / "node_modules" / "installed.json"
    with lock.open() as locked:
        fcntl.flock(locked, fcntl.LOCK_EX)
        wanted = locked.read()
        if done.exists() and done.read_text() == wanted:
            return
        options = ["--no-audit", "--no-fund", "--loglevel=error"]
        installing = subprocess.run(
            [npm, "ci", *options], cwd=CLIENTS, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
        )
        assert installing.returncode == 0, installing.stdout + installing.stderr
        done.write_text(wanted)


def crm_graph(*arguments: str) -> str:
    """What a command prints. It runs in this process: a new one begins with a second of imports."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), pytest.raises(SystemExit) as ended:
        main(list(arguments))
    assert ended.value.code == 0, said.getvalue()
    return said.getvalue().strip()


@contextlib.asynccontextmanager
async def serving(database_url: str, folder: Path, **settings: object) -> AsyncIterator[dict[str, str]]:
    """A server of an empty database: the variables that tell the clients' tests of it."""
    variables = environment(database_url, password=PASSWORD, user_operations=USER_OPERATIONS, **settings)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        admin = ["--name", "Acme", "--email", EMAIL, "--user-name", "Ada Admin"]
        await asyncio.to_thread(crm_graph, "migrate")
        await asyncio.to_thread(crm_graph, "workspace", "create", *admin)
        token = await asyncio.to_thread(crm_graph, "token", "--email", EMAIL)
        await asyncio.to_thread(crm_graph, "trust", str(CLIENTS / "trusted.json"))
    async with running_server(variables, folder / "server.log") as server:
        told = {"URL": server.url, "TOKEN": token, "EMAIL": EMAIL, "PASSWORD": PASSWORD}
        told["USER_OPERATIONS"] = str(USER_OPERATIONS)
        yield {f"CRM_GRAPH_TEST_{name}": value for name, value in told.items()}


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
    run(node, client, on_sqlite)


def test_a_client_on_postgresql(node: str, on_postgresql: dict[str, str]) -> None:
    run(node, "graphql-ws", on_postgresql)


async def test_apollo_where_nothing_is_stored(node: str, tmp_path: Path) -> None:
    async with serving(f"sqlite:///{tmp_path}/crm.db", tmp_path, persisted_queries="off") as told:
        await asyncio.to_thread(run, node, "persisted-off", told)


async def test_graphql_over_http_to_the_letter(node: str, tmp_path: Path) -> None:
    """All that npm graphql-http audits, in the settings of the demo."""
    demo = Home(tmp_path, "").settings
    shown = {name: int(getattr(demo, name)) for name in ("introspection", "get_queries", "get_without_header")}
    async with serving(f"sqlite:///{tmp_path}/crm.db", tmp_path, **shown) as told:
        await asyncio.to_thread(run, node, "graphql-http", told)


async def test_graphiql_in_a_browser(node: str, tmp_path: Path) -> None:
    """The page of the demo, in a Chromium that reaches nothing but this machine. With CRM_GRAPH_TEST_SCREENSHOT=1, a
    picture of it is kept for the docs."""
    if not BUNDLE.exists():
        skip("GraphiQL is not built (scripts/build-web): its page was not tested.")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        skip("Chromium is not here (Debian: apt-get install chromium): GraphiQL's page was not tested.")
    home = Home.at(tmp_path)
    await home.prepare(DEMO_ACCOUNTS)
    demo = ("demo", "--folder", str(tmp_path))
    async with running_server(environment(""), tmp_path / "server.log", demo) as server:
        told = {"URL": server.url, "TOKEN": home.token, "EMAIL": home.email, "PASSWORD": home.password}
        told["CHROMIUM"] = str(chromium)
        if os.environ.get("CRM_GRAPH_TEST_SCREENSHOT") == "1":
            told["SCREENSHOT"] = str(PICTURE)
        variables = {f"CRM_GRAPH_TEST_{name}": value for name, value in told.items()}
        await asyncio.to_thread(run, node, "graphiql", variables)
    assert PICTURE.stat().st_size < LARGEST_PICTURE


def run(node: str, client: str, told: dict[str, str]) -> None:
    """Run the tests of one client, none of which may fail."""
    running = subprocess.Popen(
        [node, "--test", "--test-reporter=spec", f"{client}.test.mjs"],
        cwd=CLIENTS,
        env={**os.environ, **told},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        start_new_session=True,
    )
    try:
        said, _ = running.communicate(timeout=NODE_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(running.pid, signal.SIGKILL)  # node runs the tests in a process of its own
        pytest.fail(f"The tests do not end.\n{running.communicate()[0]}")

    assert running.returncode == 0, said
    assert re.search(r" pass [1-9]", said), said
