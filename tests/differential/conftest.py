"""The rows to ask over in each database, and the two executions."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import create_async_engine
from starlette.applications import Starlette

from tests.support.differential.dataset import insert_rows
from tests.support.differential.engines import Execution, Pair, compiled_schema, ordinary_schema


@pytest.fixture(scope="session")
async def populated(application: Starlette) -> Pair:
    """The two executions, over a database with the rows."""
    engine = create_async_engine(application.state.database.url)
    await insert_rows(engine)
    await engine.dispose()
    state = application.state
    outside = state.settings, state.database, state.changelog
    return Pair(Execution(ordinary_schema(), *outside), Execution(compiled_schema(), *outside))


@pytest.fixture
async def pair(populated: Pair, application: Starlette, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Pair]:
    """The two, of which neither goes round the gate, and no statement fails: Python's answer would hide it."""
    yield populated
    assert application.state.visibility_hook.breaches == []
    assert [record for record in caplog.get_records("call") if record.name == "schema.execution.plan_cache"] == []
