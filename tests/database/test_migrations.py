"""Migrations of databases with something in them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from sqlalchemy.engine import make_url

from crm_graph import migrations
from crm_graph.database import Database
from crm_graph.models import Workspace
from tests import conftest
from tests.support.databases import create_database, drop_database

# Rows as they were at revision 0001, spelled out: the models are those of today.
MOMENT = "'2026-01-01T00:00:00.000000Z'"
FIRST = f"""
    INSERT INTO workspaces (id, name, currency, epoch, revision, account_visibility, lead_visibility,
        opportunity_visibility, case_visibility, campaign_visibility, created_at, updated_at, version)
        VALUES ('w1', 'One', 'USD', 'e', 0, 'PUBLIC', 'PUBLIC', 'PUBLIC', 'PUBLIC', 'PUBLIC', {MOMENT}, {MOMENT}, 1),
            ('w2', 'Two', 'USD', 'e', 0, 'PUBLIC', 'PUBLIC', 'PUBLIC', 'PUBLIC', 'PUBLIC', {MOMENT}, {MOMENT}, 1);
    INSERT INTO teams (workspace_id, id, name, created_at, updated_at, version, custom)
        VALUES ('w1', 't1', 'Team', {MOMENT}, {MOMENT}, 1, '{{}}');
    INSERT INTO users (workspace_id, id, name, role, active, created_at, updated_at, version, custom)
        VALUES ('w1', 'u1', 'Ada', 'REP', true, {MOMENT}, {MOMENT}, 1, '{{}}');
    INSERT INTO pipelines (workspace_id, id, name, position, created_at, updated_at, version, custom)
        VALUES ('w1', 'p1', 'Sales', 0, {MOMENT}, {MOMENT}, 1, '{{}}'),
            ('w2', 'p1', 'Sales', 0, {MOMENT}, {MOMENT}, 1, '{{}}');
    INSERT INTO stages (workspace_id, id, pipeline_id, name, position, probability, category, forecast_category,
        required_fields, created_at, updated_at, version, custom)
        VALUES ('w1', 's1', 'p1', 'New', 0, 10, 'OPEN', 'PIPELINE', '[]', {MOMENT}, {MOMENT}, 1, '{{}}'),
            ('w1', 's2', 'p1', 'Won', 1, 100, 'WON', 'CLOSED', '[]', {MOMENT}, {MOMENT}, 1, '{{}}'),
            ('w2', 's1', 'p1', 'New', 0, 10, 'OPEN', 'PIPELINE', '[]', {MOMENT}, {MOMENT}, 1, '{{}}');
"""
DEAL = f"""
    INSERT INTO opportunities (workspace_id, id, name, pipeline_id, stage_id, rank, stage_entered_at, amount, currency,
        probability, probability_pinned, forecast_category, forecast_category_pinned, competitors, owner_id, team_id,
        created_at, updated_at, deleted_at, version, custom)
    VALUES (:workspace, :id, 'Deal', 'p1', :stage, 'a0', {MOMENT}, :amount, :currency, :probability, false, 'PIPELINE',
        false, '[]', :owner, :team, {MOMENT}, {MOMENT}, {{deleted}}, 1, '{{{{}}}}')
"""
LARGEST = 999_999_999_999_999_999
DEALS = [
    ("w1", "s1", LARGEST, "USD", 100, "u1", "t1"),
    ("w1", "s1", LARGEST, "USD", 55, "u1", "t1"),
    ("w1", "s1", -15_000, "USD", 10, "u1", "t1"),
    ("w1", "s1", -LARGEST, "EUR", 50, "u1", "t1"),
    ("w1", "s1", None, "EUR", 50, "u1", "t1"),
    ("w1", "s1", None, None, 50, "u1", "t1"),
    ("w1", "s1", 7, None, 50, "u1", "t1"),
    ("w1", "s1", 1, "USD", 50, "u1", None),
    ("w1", "s2", 1, "USD", 100, None, None),
    ("w2", "s1", 0, "USD", 100, None, None),
]
TOTALS = {
    ("w1", "s1", "", "u1", "t1"): (3, 0, 0),
    ("w1", "s1", "EUR", "u1", "t1"): (1, -LARGEST, -50 * LARGEST),
    ("w1", "s1", "USD", "u1", "t1"): (3, 2 * LARGEST - 15_000, 155 * LARGEST - 150_000),
    ("w1", "s1", "USD", "u1", ""): (1, 1, 50),
    ("w1", "s2", "USD", "", ""): (1, 1, 100),
    ("w2", "s1", "USD", "", ""): (1, 0, 0),
}


@pytest.fixture(params=["sqlite", "postgresql"])
async def fresh(request: pytest.FixtureRequest, tmp_path: Path, worker_id: str) -> AsyncIterator[Database]:
    """An empty database."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/crm.db"
    elif conftest.POSTGRES_URL is None:
        conftest.skip("CRM_GRAPH_TEST_POSTGRES_URL is not set: migrations were not tested on PostgreSQL.")
    else:
        url = await create_database(conftest.POSTGRES_URL, f"crm_graph_migrations_{worker_id}")
    database = Database(url)
    yield database
    await database.close()
    if not database.is_sqlite:
        await drop_database(conftest.POSTGRES_URL or "", make_url(url).database or "")


async def test_totals_are_filled_from_the_deals_that_there_are(fresh: Database) -> None:
    async with fresh.writer.begin() as connection:
        await connection.run_sync(migrations._run, command.upgrade, "0001")
        for statement in FIRST.split(";")[:-1]:
            await connection.execute(sa.text(statement))
        for number, deal in enumerate([*DEALS, DEALS[0]]):
            names = ("workspace", "stage", "amount", "currency", "probability", "owner", "team")
            text = DEAL.format(deleted="NULL" if number < len(DEALS) else MOMENT)
            await connection.execute(sa.text(text), {"id": f"o{number}", **dict(zip(names, deal, strict=True))})

    await migrations.upgrade(fresh.writer)

    async with fresh.reader.connect() as connection:
        rows = await connection.execute(sa.text("SELECT * FROM stage_totals"))
        found = {
            tuple(key): (count, high * 10**9 + low, weighted_high * 10**9 + weighted_low)
            for *key, count, high, low, weighted_high, weighted_low in rows
        }
    assert found == TOTALS


async def test_lists_come_in_order_after_an_upgrade_that_was_broken_off(fresh: Database) -> None:
    async with fresh.writer.begin() as connection:
        await connection.run_sync(migrations._run, command.upgrade, "0006")
        await connection.execute(sa.text("CREATE INDEX ix_cases_workspace_id_contact_id_id ON cases (contact_id)"))
    assert await on_cases(fresh, "contact_id") == {
        "ix_cases_workspace_id_contact_id": ["workspace_id", "contact_id"],
        "ix_cases_workspace_id_contact_id_id": ["contact_id"],
    }

    await migrations.upgrade(fresh.writer)
    await migrations.check(fresh.writer)
    upgraded = {"ix_cases_workspace_id_contact_id_id": ["workspace_id", "contact_id", "id"]}
    assert await on_cases(fresh, "contact_id") == upgraded

    async with fresh.writer.connect() as connection:
        await connection.run_sync(migrations._run, command.downgrade, "0006")
        await connection.commit()
    assert await on_cases(fresh, "contact_id") == {"ix_cases_workspace_id_contact_id": ["workspace_id", "contact_id"]}

    await migrations.upgrade(fresh.writer)
    assert await on_cases(fresh, "contact_id") == upgraded


async def on_cases(database: Database, column: str) -> dict[str, list[str | None]]:
    """The indexes of cases that have this column: their names and their columns."""
    async with database.reader.connect() as connection:
        found = await connection.run_sync(lambda sync: sa.inspect(sync).get_indexes("cases"))
    return {str(each["name"]): each["column_names"] for each in found if column in each["column_names"]}


async def test_visibility_defaults_become_one_column_and_back(fresh: Database) -> None:
    defaults = ["PRIVATE", "PUBLIC_READ", "PUBLIC", "PRIVATE", "PUBLIC_READ"]
    names = [f"{each}_visibility" for each in ("account", "lead", "opportunity", "case", "campaign")]
    async with fresh.writer.begin() as connection:
        await connection.run_sync(migrations._run, command.upgrade, "0001")
        await connection.execute(sa.text(FIRST.split(";")[0]))
        values = ", ".join(f"{name} = '{value}'" for name, value in zip(names, defaults, strict=True))
        await connection.execute(sa.text(f"UPDATE workspaces SET {values} WHERE id = 'w2'"))

    await migrations.upgrade(fresh.writer)

    select = sa.select(Workspace.id, Workspace.visibility_defaults).order_by(Workspace.id)
    async with fresh.reader.connect() as connection:
        found = [tuple(row) for row in await connection.execute(select)]
    entities = ["Account", "Lead", "Opportunity", "Case", "Campaign"]
    assert found == [
        ("w1", dict.fromkeys(entities, "PUBLIC")),
        ("w2", dict(zip(entities, defaults, strict=True))),
    ]

    async with fresh.writer.connect() as connection:
        await connection.run_sync(migrations._run, command.downgrade, "0007")
        await connection.commit()
    async with fresh.reader.connect() as connection:
        rows = await connection.execute(sa.text(f"SELECT {', '.join(names)} FROM workspaces ORDER BY id"))
        assert [list(row) for row in rows] == [["PUBLIC"] * 5, defaults]

    await migrations.upgrade(fresh.writer)
    await migrations.check(fresh.writer)
