"""Session fixtures: one database of each kind. Each test has its own workspace in it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import uvloop
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from starlette.applications import Starlette

from crm_graph import migrations
from crm_graph.database import Database
from tests.support.databases import create_database, drop_database, without_sync
from tests.support.live import Server, serving
from tests.support.world import World, build_world, running

POSTGRES_URL = os.environ.get("CRM_GRAPH_TEST_POSTGRES_URL")
REDIS_URL = os.environ.get("CRM_GRAPH_TEST_REDIS_URL")
LONG_TESTS = os.environ.get("CRM_GRAPH_TEST_LONG") == "1"
"""Generated tests run many more examples, and query plans are checked on much more data."""
REQUIRE_ALL = os.environ.get("CRM_GRAPH_TEST_REQUIRE_ALL") == "1"


def skip(reason: str) -> None:
    """Skip a test whose service is missing. Fail if all services are required."""
    if REQUIRE_ALL:
        pytest.fail(reason)
    pytest.skip(reason)


DATABASES = ["sqlite", "postgresql"]
EXECUTED = "postgresql-executed"
"""Queries are compiled to SQL on PostgreSQL and executed in Python on SQLite. Tests that read the graph also run on
PostgreSQL without compiling, so that each database and each execution has passed them."""
READ_THE_GRAPH = {"schema", "loaders", "access"}
ENGINES_OF_BOTH = {"limits", "subscriptions", "transports"}
"""Folders of tests/schema whose code is the same for both executions."""


@pytest.fixture(scope="session")
def _asyncio_loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Run tests on the event loop of `crm-graph serve`.

    This overrides pytest-asyncio's fixture. Its hook `pytest_asyncio_loop_factories` would do so for async tests only,
    and each sync test between them would end all async session fixtures."""
    return uvloop.new_event_loop


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test on each database, unless it names its own."""
    if "database_url" not in metafunc.fixturenames:
        return
    if any("database_url" in mark.args[0] for mark in metafunc.definition.iter_markers("parametrize")):
        return
    folders = set(metafunc.definition.path.relative_to(Path(__file__).parent).parts)
    reads_the_graph = bool(folders & READ_THE_GRAPH) and not folders & ENGINES_OF_BOTH
    executed = [EXECUTED] if reads_the_graph and "application" in metafunc.fixturenames else []
    metafunc.parametrize("database_url", [*DATABASES, *executed], indirect=True, scope="session")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the slow tests of whole systems first, so that no process is left with one at the end."""
    system = Path(__file__).parent / "system"
    items.sort(key=lambda item: system not in item.path.parents)


@pytest.fixture(scope="session")
async def database_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, worker_id: str
) -> AsyncIterator[str]:
    """A migrated database."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('db')}/crm.db"
    elif POSTGRES_URL is None:
        skip("CRM_GRAPH_TEST_POSTGRES_URL is not set: nothing was tested on PostgreSQL.")
    else:
        url = await create_database(POSTGRES_URL, f"{request.param}_{worker_id}_{os.getpid()}")
    database = Database(url)
    await migrations.upgrade(database.writer)
    await database.close()
    yield url
    if request.param != "sqlite":
        assert POSTGRES_URL is not None
        await drop_database(POSTGRES_URL, make_url(url).database or "")


@pytest.fixture(scope="session")
async def application(database_url: str) -> AsyncIterator[Starlette]:
    """The application. A hook checks the visibility marks of every statement that it sends."""
    async with running(
        database_url,
        body_bytes=50_000_000,  # so that texts of any length get as far as their fields
        get_queries=True,
        graphiql=True,
        introspection=True,
        compiled=database_url.startswith("postgresql") and EXECUTED not in database_url,
    ) as application:
        yield application


@pytest.fixture(scope="session")
async def raw_engine(application: Starlette) -> AsyncIterator[AsyncEngine]:
    """Connections to the database that bypass the application."""
    engine = without_sync(create_async_engine(application.state.database.url, pool_size=1))
    yield engine
    await engine.dispose()


@pytest.fixture(scope="session")
async def server(application: Starlette) -> AsyncIterator[Server]:
    """The application on a local port."""
    async with serving(application) as server:
        yield server


@pytest.fixture
def watched(application: Starlette, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The test fails if a statement lacks a visibility mark, or if a compiled statement fails: execution in Python
    would hide that."""
    yield
    assert application.state.visibility_hook.breaches == []
    records = [*caplog.get_records("setup"), *caplog.get_records("call")]
    assert [record for record in records if record.name == "schema.execution.plan_cache"] == []


@pytest.fixture
async def world(application: Starlette, raw_engine: AsyncEngine, watched: None) -> AsyncIterator[World]:
    """A workspace with an admin, watched."""
    world = await build_world(application, raw_engine)
    yield world
    await world.close()


@pytest.fixture
async def other_world(application: Starlette, raw_engine: AsyncEngine) -> AsyncIterator[World]:
    """Another workspace in the same database, whose records must not be visible."""
    world = await build_world(application, raw_engine)
    yield world
    await world.close()


@pytest.fixture
def samples() -> Path:
    """Folder of sample data beside the checkout. Tests that need it are skipped without it."""
    folder = Path(__file__).parents[1].parent / "shared" / "data"
    if not folder.is_dir():
        skip(f"{folder} does not exist: the import of real data was not tested.")
    return folder
