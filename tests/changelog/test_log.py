"""Reading the log: revisions, pages, the newest rows in memory, and revisions that cannot be replayed."""

from __future__ import annotations

import datetime as dt

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from crm_graph import records
from crm_graph.changelog import RecentChanges, Revision, log
from crm_graph.errors import BadUserInput, ResyncRequired
from crm_graph.models import Account, Change, Workspace, now
from tests.support.world import World

DAY = dt.timedelta(days=1)


async def fill(world: World, count: int) -> None:
    """So many rows in the log."""
    viewer = await world.viewer()
    async with world.changelog.transaction(viewer, "test") as session:
        for number in range(count):
            await records.create(session, viewer, Account, values={"name": f"Account {number}"})


async def age(world: World, days: float, *, up_to: int) -> None:
    """Make the rows up to a revision as old as that."""
    async with world.raw() as connection:
        here = sa.and_(Change.workspace_id == world.workspace_id, Change.revision <= up_to)
        await connection.execute(sa.update(Change).where(here).values(recorded_at=now() - days * DAY))


def test_a_revision_is_read_as_it_is_written() -> None:
    revision = Revision("01h455vb4pex5vsknk084sn02q", 12345678901234567)

    assert str(revision) == "01h455vb4pex5vsknk084sn02q.12345678901234567"
    assert Revision.parse(str(revision), "after") == revision
    assert Revision.parse("e.0", "after") == Revision("e", 0)


@pytest.mark.parametrize(
    "text",
    ["", ".", "7", ".7", "e.", "e.x", "e.-1", "e.+1", "e.1.5", "e .1", "e.1 ", "e\n.1", "é.1", "e.²", "e.1_0", "e.1e3",
     "e." + 19 * "9", "e-f.1", "\0.1"],
)  # fmt: skip
def test_what_is_no_revision_is_refused_with_the_argument(text: str) -> None:
    with pytest.raises(BadUserInput) as refused:
        Revision.parse(text, "after")
    assert (refused.value.field, refused.value.message) == ("after", "after is not a revision of this server.")


async def require(session: AsyncSession, workspace_id: str, after: Revision) -> None:
    await log.require_replayable(
        session, workspace_id, after, await log.current_revision(session, workspace_id), 30 * DAY
    )


async def test_the_log_is_read_in_pages_of_a_workspace(world: World, other_world: World) -> None:
    await fill(world, 5)
    await fill(other_world, 3)
    async with world.database.snapshot() as session:
        stand = await log.current_revision(session, world.workspace_id)
        pages = [
            [row.revision for row in await log.read(session, world.workspace_id, after, to, limit)]
            for after, to, limit in [(0, 5, 2), (2, 5, 2), (4, 5, 2), (5, 5, 2), (0, 3, 9), (1, 3, 9)]
        ]

    assert stand.number == 5
    assert pages == [[1, 2], [3, 4], [5], [], [1, 2, 3], [2, 3]]


async def test_a_row_has_what_decides_and_the_names_of_what_changed(world: World) -> None:
    account = await world.make("account", name="Acme")
    note = await world.make("activity", type="NOTE", subject="Met", accountIds=[account])
    await world.write("updateActivity", "revision", id=note, body="Long", accountIds=[])
    await world.write("deleteActivity", "revision", id=note)
    async with world.database.snapshot() as session:
        _, created, updated, deleted = await log.read(session, world.workspace_id, 0, 4)

    assert (created.entity, created.record_id, created.action, created.existed) == ("Activity", note, "CREATED", False)
    assert (updated.names, updated.values, updated.existed) == (("body", "links"), {"links": [[account], None]}, True)
    assert (deleted.names, deleted.existed, deleted.after["deleted_at"] is None) == (("deleted_at",), True, False)
    assert (updated.user_id, updated.cause, updated.before["owner_id"]) == (
        world.admin.id,
        "update_activity",
        world.admin.id,
    )


async def test_the_tail_keeps_the_newest_rows(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "MAX_RECENT", 4)
    monkeypatch.setattr(log, "MAX_PAGE", 3)
    await fill(world, 10)
    tail = RecentChanges(world.workspace_id, 2)

    def numbers(after: int) -> list[int] | None:
        rows = tail.after(after)
        return None if rows is None else [row.revision for row in rows]

    async with world.database.snapshot() as session:
        assert (tail.at, numbers(2), numbers(1), numbers(9)) == (2, [], None, [])
        read = [row.revision for row in await tail.extend(session, 4)]
        assert (read, tail.at, numbers(2), numbers(3), numbers(1)) == ([3, 4], 4, [3, 4], [4], None)
        while tail.at < 10:
            await tail.extend(session, 10)
        assert await tail.extend(session, 10) == []

    assert (tail.at, numbers(6), numbers(5), numbers(10)) == (10, [7, 8, 9, 10], None, [])


@pytest.mark.parametrize(("after", "answerable"), [(0, False), (2, False), (3, True), (4, True), (5, True), (6, False)])
async def test_what_is_past_retention_or_in_the_future_is_not_answered(
    world: World, after: int, answerable: bool
) -> None:
    await fill(world, 5)
    await age(world, 31, up_to=3)
    async with world.database.snapshot() as session:
        stand = await log.current_revision(session, world.workspace_id)
        asked = Revision(stand.epoch, after)
        if answerable:
            await require(session, world.workspace_id, asked)
        else:
            with pytest.raises(ResyncRequired) as refused:
                await require(session, world.workspace_id, asked)
            assert refused.value.revision == str(stand)


async def test_where_the_log_stands_is_answered_however_old(world: World) -> None:
    await fill(world, 2)
    await age(world, 365, up_to=2)
    async with world.database.snapshot() as session:
        stand = await log.current_revision(session, world.workspace_id)
        await require(session, world.workspace_id, stand)
        with pytest.raises(ResyncRequired):
            await require(session, world.workspace_id, Revision(stand.epoch, 1))


async def test_of_an_epoch_that_is_over_nothing_is_answered(world: World) -> None:
    await fill(world, 2)
    async with world.raw() as connection:
        here = sa.update(Workspace).where(Workspace.id == world.workspace_id)
        await connection.execute(here.values(epoch="restored"))
    async with world.database.snapshot() as session:
        stand = await log.current_revision(session, world.workspace_id)
        assert stand == Revision("restored", 2)
        with pytest.raises(ResyncRequired) as refused:
            await require(session, world.workspace_id, Revision("former", 1))
    assert refused.value.revision == "restored.2"
