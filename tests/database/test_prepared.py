"""Statements that bypass SQLAlchemy are answered, logged, refused and cancelled like its own."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from crm_graph import records
from crm_graph.access import Permission, Viewer, unscoped
from crm_graph.database import Database
from crm_graph.database.prepared import fetch, fetch_records, find_records
from crm_graph.errors import Conflict, Duplicate
from crm_graph.models import Account, Opportunity, Workspace
from tests.support.raw_rows import temporary_rows
from tests.support.world import World

ACCOUNTS = Account.__table__.c
ACCOUNT = sa.select(Account, sa.literal(7)).where(
    unscoped(Account, "a test"),
    ACCOUNTS.workspace_id == sa.bindparam("workspace_id"),
    ACCOUNTS.id == sa.bindparam("id"),
)
REVISION = sa.select(Workspace.__table__.c.revision).where(Workspace.__table__.c.id == sa.bindparam("id"))
PID = sa.select(sa.func.pg_backend_pid().label("pid"))
DEAL = {"competitors": ["Ä"], "custom": {"a": [1]}, "currency": "EUR"}


def of(world: World, record_id: str) -> dict[str, str]:
    return {"workspace_id": world.workspace_id, "id": record_id}


async def rename(world: World, viewer: Viewer, account_id: str, name: str) -> None:
    async with world.changelog.transaction(viewer, "test") as session:
        (await records.find(session, viewer, Account, account_id, to=Permission.EDIT)).name = name


async def test_records_have_the_values_that_sessions_read(world: World) -> None:
    columns = [column.key for column in Opportunity.__table__.columns]
    statement = sa.select(Opportunity).where(
        unscoped(Opportunity, "a test"), Opportunity.workspace_id == sa.bindparam("workspace_id")
    )
    async with temporary_rows(world) as raw, world.database.read() as session:
        await raw.plant(Opportunity, **DEAL)
        [[direct]] = await fetch_records(session, Opportunity, statement, {"workspace_id": world.workspace_id})
        record = (await session.execute(statement, {"workspace_id": world.workspace_id})).scalar_one()

        assert [getattr(direct, name) for name in columns] == [getattr(record, name) for name in columns]
        assert (direct.competitors, direct.custom, direct.currency) == (["Ä"], {"a": [1]}, "EUR")


async def test_rows_have_the_columns_names(world: World) -> None:
    async with world.database.read() as session:
        rows = await fetch(session, REVISION, {"id": world.workspace_id})
        none = await fetch(session, REVISION, {"id": "ws_none"})

    assert [row.revision for row in rows] == [0]
    assert none == []


async def test_found_records_are_the_sessions_own(world: World) -> None:
    account = await world.make("account", name="One")
    async with world.changelog.transaction(await world.viewer(), "test") as session:
        [(record, seven)] = await find_records(session, Account, ACCOUNT, of(world, account))
        record.name = "Two"
        [(again, _)] = await find_records(session, Account, ACCOUNT, of(world, account))
        assert again is record
        assert (record.name, seven) == ("Two", 7)

    [row] = await world.rows(Account)
    assert (row["name"], row["version"]) == ("Two", 2)


async def test_those_who_listen_hear_of_a_statement(world: World) -> None:
    with world.statements() as seen:
        async with world.database.read() as session:
            await fetch(session, REVISION, {"id": world.workspace_id})

    assert [" ".join(each.split()[:4]) for each in seen] == ["SELECT workspaces.revision FROM workspaces"]


async def test_a_taken_key_is_named(world: World) -> None:
    await world.make("account", name="One", externalId="taken")
    account = await world.make("account", name="Two")
    viewer = await world.viewer()

    with pytest.raises(Duplicate) as refusal:
        async with world.changelog.transaction(viewer, "test") as session:
            (await records.find(session, viewer, Account, account)).external_id = "taken"

    assert refusal.value.field == "external_id"
    assert [(row["name"], row["version"]) for row in await world.rows(Account)] == [("One", 1), ("Two", 1)]


async def test_a_record_that_was_changed_meanwhile_is_a_conflict(world: World) -> None:
    account = await world.make("account", name="One")
    viewer = await world.viewer()

    async def come_late() -> None:
        async with world.changelog.transaction(viewer, "test") as session:
            record = await records.find(session, viewer, Account, account)
            record.name = "Lost"
            await session.execute(sa.text("UPDATE accounts SET version = 5 WHERE id = :id"), {"id": account})

    with pytest.raises(Conflict):
        await come_late()

    assert [(row["name"], row["version"]) for row in await world.rows(Account)] == [("One", 1)]


async def test_a_broken_connection_leaves_the_pool(world: World) -> None:
    if world.database.is_sqlite:
        pytest.skip("SQLite has no connections to break.")
    async with world.database.read() as session:
        [[pid]] = await fetch(session, PID, {})
        async with world.raw() as connection:
            await connection.execute(sa.select(sa.func.pg_terminate_backend(pid)))
        with pytest.raises(DBAPIError) as failure:
            await fetch(session, REVISION, {"id": world.workspace_id})

    assert failure.value.connection_invalidated
    async with world.database.read() as session:
        assert len(await fetch(session, REVISION, {"id": world.workspace_id})) == 1


async def test_a_statement_alone_is_sent_again_where_its_connection_broke(world: World) -> None:
    database = Database(world.database.url.render_as_string(hide_password=False), pool_size=1)
    try:
        if not database.is_sqlite:
            [[pid]] = await fetch(database, PID, {})
            async with world.raw() as connection:
                await connection.execute(sa.select(sa.func.pg_terminate_backend(pid)))
        [row] = await fetch(database, REVISION, {"id": world.workspace_id})
    finally:
        await database.close()

    assert row.revision == 0


async def test_a_statement_that_nobody_waits_for_any_more_holds_nothing(world: World) -> None:
    account = await world.make("account", name="One")
    viewer = await world.viewer()
    async with world.changelog.transaction(viewer, "test") as session:
        await records.find(session, viewer, Account, account, to=Permission.EDIT)
        waiting = asyncio.create_task(rename(world, viewer, account, "Two"))
        await asyncio.sleep(0.2)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    await rename(world, viewer, account, "Three")
    assert [(row["name"], row["version"]) for row in await world.rows(Account)] == [("Three", 2)]
