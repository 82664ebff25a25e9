"""The change log records exactly the changes that were made."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
import sqlalchemy as sa

from crm_graph import records
from crm_graph.access import Viewer
from crm_graph.changelog import ChangeLog, advance, journal_of
from crm_graph.errors import Conflict, Duplicate
from crm_graph.models import (
    Account,
    Activity,
    ActivityLink,
    ApiToken,
    Contact,
    EmailAddress,
    Opportunity,
    Team,
    User,
    now,
)
from tests.support.raw_rows import RawRows, Row
from tests.support.world import World


async def log_of(world: World, entity: str) -> list[Row]:
    return [change for change in await world.changes() if change["entity"] == entity]


# Content of the log


async def test_the_life_of_a_record(world: World) -> None:
    parent = await world.make("account", name="Parent")
    account = await world.make(
        "account", name="Acme", annualRevenue={"amount": "1000.50"}, parentId=parent, billingAddress={"city": "Oslo"}
    )
    await world.write("updateAccount", "revision", id=account, industry="Rockets", parentId=None, name="Acme")
    await world.write("deleteAccount", "revision", id=account)
    await world.write("restoreAccount", "revision", id=account)

    _, created, updated, deleted, restored = await log_of(world, "Account")
    sight = {"owner_id": world.admin.id, "team_id": None, "parent_id": parent, "currency": "USD", "deleted_at": None}
    orphan = {**sight, "parent_id": None}
    gone = {**orphan, "deleted_at": deleted["fields"]["deleted_at"][1]}
    assert (created["action"], created["before"], created["after"]) == ("CREATED", dict.fromkeys(sight), sight)
    assert created["fields"] == {
        "name": [None, "Acme"],
        "annual_revenue": [None, "1000.5"],
        "currency": [None, "USD"],
        "billing_address": [
            None,
            {"street": None, "city": "Oslo", "region": None, "postal_code": None, "country": None},
        ],
        "parent_id": [None, parent],
        "owner_id": [None, world.admin.id],
    }
    assert (updated["action"], updated["before"], updated["after"]) == ("UPDATED", sight, orphan)
    assert updated["fields"] == {"industry": [None, "Rockets"], "parent_id": [parent, None]}
    assert (deleted["action"], deleted["before"], deleted["after"]) == ("DELETED", orphan, gone)
    assert list(deleted["fields"]) == ["deleted_at"]
    assert (restored["action"], restored["before"], restored["after"]) == ("RESTORED", gone, orphan)
    assert restored["fields"] == {"deleted_at": [gone["deleted_at"], None]}


async def test_who_did_it_by_what_and_when(world: World) -> None:
    before = now()
    account = await world.make("account", name="Acme")

    [change] = await world.changes()

    [token] = [row for row in await world.rows(ApiToken) if row["user_id"] == world.admin.id]
    assert (change["actor"], change["user_id"], change["cause"]) == (
        f"token:{token['id']}",
        world.admin.id,
        "create_account",
    )
    assert (change["entity"], change["record_id"]) == ("Account", account)
    assert before <= change["happened_at"] <= change["recorded_at"] <= now()
    [row] = await world.rows(Account)
    assert before <= row["created_at"] <= row["updated_at"] <= change["recorded_at"]


async def test_several_flushes_of_one_record_are_one_entry(world: World) -> None:
    viewer = await world.viewer()
    account = await world.make("account", name="One", industry="Rockets")
    async with world.changelog.transaction(viewer, "test") as session:
        old = await records.find(session, viewer, Account, account)
        new = await records.create(session, viewer, Account, values={"name": "New"})
        await session.flush()
        old.name, new.name = "Two", "Newer"
        await session.flush()
        old.name, old.industry, new.employees = "Three", None, 7
        await session.flush()
        old.deleted_at = now()

    _, created, deleted = await log_of(world, "Account")
    assert (created["action"], deleted["action"]) == ("CREATED", "DELETED")
    assert created["fields"] == {"name": [None, "Newer"], "employees": [None, 7], "owner_id": [None, world.admin.id]}
    assert deleted["fields"]["name"] == ["One", "Three"]
    assert deleted["fields"]["industry"] == ["Rockets", None]
    assert (deleted["before"]["deleted_at"], deleted["fields"]["deleted_at"][0]) == (None, None)
    assert deleted["after"]["deleted_at"] == deleted["fields"]["deleted_at"][1]


async def test_values_are_logged_as_they_go_over_the_wire(world: World) -> None:
    viewer = await world.viewer()
    async with world.changelog.transaction(viewer, "test") as session:
        values: Row = {
            "last_name": "Lovelace",
            "birthday": "1815-12-10",
            "emails": [{"address": "ada@example.com"}],
            "email_opt_out": True,
        }
        contact = await records.create(session, viewer, Contact, values=values)
        contact.email_opt_out_at = dt.datetime(2026, 5, 4, 12, tzinfo=dt.timezone(dt.timedelta(hours=2)))

    [change] = await log_of(world, "Contact")
    assert change["fields"] == {
        "last_name": [None, "Lovelace"],
        "birthday": [None, "1815-12-10"],
        "emails": [None, [{"address": "ada@example.com", "label": None}]],
        "email_opt_out": [None, True],
        "email_opt_out_at": [None, "2026-05-04T10:00:00.000000Z"],
        "phone_opt_out": [None, False],
        "owner_id": [None, world.admin.id],
    }
    assert (await world.rows(Contact))[0]["emails"] == [EmailAddress("ada@example.com", None)]


async def test_what_totals_hang_on_is_always_there(world: World) -> None:
    viewer = await world.viewer()
    deal = await RawRows(world).plant(Opportunity, amount=Decimal("12.50"), currency="USD", probability=20)
    async with world.changelog.transaction(viewer, "test") as session:
        (await records.find(session, viewer, Opportunity, deal)).name = "Renamed"

    [change] = await log_of(world, "Opportunity")
    assert change["before"] == change["after"]
    assert {"amount", "currency", "probability", "stage_id", "pipeline_id", "account_id"} < set(change["before"])
    assert (change["after"]["amount"], change["after"]["probability"]) == ("12.5", 20)


async def test_secrets_are_not_logged(world: World) -> None:
    viewer = await world.viewer()
    async with world.changelog.transaction(viewer, "test") as session:
        user = User(workspace_id=viewer.workspace_id, id=User.new_id(), name="Eve", password_hash="first-secret")
        session.add(user)
        await session.flush()
    async with world.changelog.transaction(viewer, "test") as session:
        (await records.find(session, viewer, User, user.id)).password_hash = "second-secret"

    created, updated = await log_of(world, "User")
    assert "password_hash" not in created["fields"]
    assert updated["fields"] == {"password_hash": ["…", "…"]}
    assert "secret" not in str([created, updated])


@pytest.mark.parametrize("way", ["inserted", "add_packed"])
async def test_bulk_inserts_are_logged_like_others(world: World, way: str) -> None:
    viewer = await world.viewer()
    async with world.changelog.transaction(viewer, "test") as session:
        rows = [
            {"workspace_id": viewer.workspace_id, "id": Team.new_id(), "name": name, "external_id": None}
            for name in ("North", "South")
        ]
        getattr(journal_of(session), way)(Team, rows)

    north, south = await log_of(world, "Team")
    assert [change["record_id"] for change in (north, south)] == [row["id"] for row in rows]
    assert north["fields"] == {"name": [None, "North"]}
    assert (south["action"], south["before"], south["after"]) == (
        "CREATED",
        {"deleted_at": None},
        {"deleted_at": None},
    )


async def test_what_changes_after_the_log_was_written_is_logged_too(world: World) -> None:
    viewer = await world.viewer()
    async with world.changelog.transaction(viewer, "test") as session:
        account = await records.create(session, viewer, Account, values={"name": "One"})
        assert await advance(session) == 1
        account.name = "Two"
        assert await advance(session) == 2
        assert await advance(session) == 2

    one, two = await log_of(world, "Account")
    assert (one["fields"]["name"], two["fields"]["name"]) == ([None, "One"], ["One", "Two"])
    assert (one["action"], two["action"]) == ("CREATED", "UPDATED")


async def test_a_link_is_no_record_of_its_own(world: World) -> None:
    viewer = await world.viewer()
    account = await world.make("account", name="Acme")
    activity = await RawRows(world).plant(Activity)
    async with world.changelog.transaction(viewer, "test") as session:
        session.add(ActivityLink(workspace_id=viewer.workspace_id, activity_id=activity, account_id=account))

    assert [change["entity"] for change in await world.changes()] == ["Account"]


# Transactions


async def break_off(changelog: ChangeLog, viewer: Viewer) -> None:
    """A transaction that fails when its log is written already."""
    async with changelog.transaction(viewer, "test") as session:
        await records.create(session, viewer, Account, values={"name": "Lost"})
        await advance(session)
        raise RuntimeError


async def test_nothing_of_a_transaction_that_fails_is_kept(world: World) -> None:
    viewer = await world.viewer()
    stored = await world.everything()

    with pytest.raises(RuntimeError):
        await break_off(world.changelog, viewer)

    assert await world.everything() == stored


async def test_a_key_that_is_taken_meanwhile_is_a_duplicate(world: World) -> None:
    viewer = await world.viewer()
    await world.make("account", name="Acme", externalId="x")
    stored = await world.everything()

    async def insert() -> None:
        async with world.changelog.transaction(viewer, "test") as session:
            session.add(Account(workspace_id=viewer.workspace_id, id=Account.new_id(), name="B", external_id="x"))

    with pytest.raises(Duplicate) as caught:
        await insert()
    assert caught.value.field == "external_id"
    assert await world.everything() == stored


async def test_a_version_that_changed_meanwhile_is_a_conflict(world: World) -> None:
    viewer = await world.viewer()
    account = await world.make("account", name="Acme")
    stored = await world.everything()

    async def overtaken() -> None:
        async with world.changelog.transaction(viewer, "test") as session:
            (await records.find(session, viewer, Account, account)).name = "Late"
            overtake = sa.update(Account).where(Account.id == account).values(version=9)
            await session.execute(overtake, execution_options={"synchronize_session": False})

    with pytest.raises(Conflict):
        await overtaken()
    assert await world.everything() == stored
