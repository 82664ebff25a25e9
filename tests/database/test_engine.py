"""A cancelled caller ends its statement and frees its connection; writers wait for each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import sqlalchemy as sa

from crm_graph.database import Database, engine, sql
from crm_graph.models import Account
from tests.support.world import build_world, running

PATIENCE = 10.0
ENDLESS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT tick(i) FROM n) SELECT max(i) || '' FROM n"
LONG = "SELECT pg_sleep(600)::text AS waited_for_this"
AT_WORK = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%AS waited_for_this'"
Read = Callable[[Database, str], Awaitable[Any]]


async def fetch_text(database: Database, statement: str) -> Any:
    return await database.fetch_text(statement, [])


async def read(database: Database, statement: str) -> Any:
    async with database.read() as session:
        return (await session.execute(sa.text(statement))).scalar()


async def snapshot(database: Database, statement: str) -> Any:
    async with database.snapshot() as session:
        return (await session.execute(sa.text(statement))).scalar()


@pytest.fixture
def ticks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows while SQLite is at the endless statement."""
    ticks: list[int] = []

    def tick(number: int) -> int:
        ticks.append(number)
        return number + 1

    monkeypatch.setitem(sql.SQLITE_FUNCTIONS, "tick", (1, tick))
    return ticks


@pytest.fixture
async def database(database_url: str, ticks: list[int]) -> AsyncIterator[Database]:
    database = Database(database_url, pool_size=1)
    yield database
    await database.close()


@pytest.mark.parametrize("way", [fetch_text, read, snapshot])
async def test_a_statement_is_ended_when_its_task_is_cancelled(database: Database, ticks: list[int], way: Read) -> None:
    for _ in range(3):  # more than there are connections
        running = asyncio.ensure_future(way(database, ENDLESS if database.is_sqlite else LONG))
        await asyncio.sleep(0.1)
        running.cancel()
        async with asyncio.timeout(PATIENCE):
            await asyncio.wait([running])
        assert running.cancelled()
        if database.is_sqlite:
            done = len(ticks)
            assert done > 0
            await asyncio.sleep(0.1)
            assert len(ticks) == done
        else:
            assert await read(database, AT_WORK) == 0
    assert await way(database, "SELECT 'good'") == "good"
    assert {each.pool.checkedout() for each in database.engines} == {0}  # type: ignore[attr-defined]  # of a queue


async def test_a_write_waits_for_another_one_but_not_for_ever(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "BUSY_TIMEOUT", 300)
    async with running(database_url) as application:
        world = await build_world(application)
        account = await world.make("account", name="Acme")

        async with world.raw() as connection:
            await connection.execute(sa.update(Account).where(Account.id == account).values(name="Held"))
            answer = await world.write("updateAccount", "account { name }", id=account, name="New")

        assert [each["code"] for each in answer["userErrors"]] == ["CONFLICT"]
        assert [each["name"] for each in await world.rows(Account)] == ["Held"]
        again = await world.write("updateAccount", "account { name }", id=account, name="New")
        assert again["account"] == {"name": "New"}
        await world.close()
