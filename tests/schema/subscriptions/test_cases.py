"""Subscriptions to cases: each write is sent as the right kind of event, live and after resuming."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from crm_graph.models import Role, Visibility
from tests.support.raw_rows import Row
from tests.support.subscribers import following, number_of, settled
from tests.support.world import Person, World

CASE_UPDATES = """subscription Cases($filter: CaseFilter, $after: String) {
  caseUpdates(filter: $filter, after: $after) {
    revision caughtUp
    events {
      kind revision happenedAt actor { id } caseId
      case { id subject status escalationLevel owner { id } team { id } }
    }
  }
}"""
Act = tuple[str, Row]
"""A mutation and its input; the case's id is added."""
RESOLVE = ("changeCaseStatus", {"status": "RESOLVED", "expectedVersion": 1})
EACH: dict[str, tuple[Sequence[Act], Sequence[Act], str]] = {
    "its text changes": ([], [("updateCase", {"subject": "Still broken"})], "CHANGED"),
    "its priority changes": ([], [("updateCase", {"priority": "LOW"})], "CHANGED"),
    "work on it begins": ([], [("changeCaseStatus", {"status": "IN_PROGRESS", "expectedVersion": 1})], "CHANGED"),
    "it is resolved": ([], [RESOLVE], "CLOSED"),
    "it is closed": ([], [("changeCaseStatus", {"status": "CLOSED", "expectedVersion": 1})], "CLOSED"),
    "it is closed when resolved": (
        [RESOLVE],
        [("changeCaseStatus", {"status": "CLOSED", "expectedVersion": 2})],
        "CLOSED",
    ),
    "it is reopened": (
        [RESOLVE],
        [("changeCaseStatus", {"status": "IN_PROGRESS", "expectedVersion": 2})],
        "CHANGED",
    ),
    "it goes up a level": ([], [("escalateCase", {"reason": "Late"})], "ESCALATED"),
    "it goes up to somebody": ([], [("escalateCase", {"reason": "Late", "toOwnerId": "rep"})], "ESCALATED"),
    "it goes to somebody": ([], [("assignCase", {"ownerId": "rep"})], "ASSIGNED"),
    "it goes to a queue": ([], [("assignCase", {"teamId": "team"})], "ASSIGNED"),
    "it is deleted": ([], [("deleteCase", {})], "LEFT"),
    "it is restored": ([("deleteCase", {})], [("restoreCase", {})], "ENTERED"),
}
SEVERAL: dict[str, tuple[Sequence[Act], str]] = {
    "closed and given away": (
        [("assignCase", {"ownerId": "rep"}), ("changeCaseStatus", {"status": "CLOSED", "expectedVersion": 2})],
        "CLOSED",
    ),
    "escalated and changed": ([("escalateCase", {"reason": "Late"}), ("updateCase", {"subject": "x"})], "ESCALATED"),
    "given away and changed": ([("assignCase", {"ownerId": "rep"}), ("updateCase", {"subject": "x"})], "ASSIGNED"),
    "resolved and reopened": (
        [RESOLVE, ("changeCaseStatus", {"status": "IN_PROGRESS", "expectedVersion": 2})],
        "CHANGED",
    ),
    "deleted and restored": ([("deleteCase", {}), ("restoreCase", {})], "CHANGED"),
    "changed and deleted": ([("updateCase", {"subject": "x"}), ("deleteCase", {})], "LEFT"),
}


async def do(world: World, mutation: str, *, by: Person | None = None, **values: Any) -> str:
    """A mutation that must succeed; returns its revision."""
    answer = await world.write(mutation, "__typename", by=by, **values)
    assert answer["userErrors"] == [], answer["userErrors"]
    revision: str = answer["revision"]
    return revision


class Desk:
    """An open case, and a user and a team to assign it to."""

    def __init__(self, world: World, case: str, named: dict[str, str]) -> None:
        self.world, self.case, self.named = world, case, named

    @classmethod
    async def make(cls, world: World) -> Desk:
        named = {"rep": (await world.person()).id, "team": await world.team()}
        return cls(world, await world.make("case", subject="Broken"), named)

    async def act(self, acts: Sequence[Act]) -> str:
        """Execute these mutations; returns the revision after them."""
        revision = await now(self.world)
        for mutation, values in acts:
            sent: Row = {name: self.named.get(value, value) for name, value in values.items()}
            revision = await do(self.world, mutation, id=self.case, **sent)
        return revision


async def now(world: World) -> str:
    revision: str = (await world.data("{ changes { revision } }"))["changes"]["revision"]
    return revision


def told(events: Sequence[Row]) -> list[tuple[str, str]]:
    return [(event["kind"], event["caseId"]) for event in events]


@pytest.mark.parametrize("name", EACH)
async def test_what_becomes_of_a_case_is_told(world: World, name: str) -> None:
    before, acts, kind = EACH[name]
    desk = await Desk.make(world)
    await desk.act(before)
    async with following(world, CASE_UPDATES) as follower:
        revision = await desk.act(acts)
        await settled(world)

    [_, message] = follower.messages
    [event] = message["events"]
    case = await world.data("query($id: ID!) { case(id: $id) { id subject status escalationLevel } }", id=desk.case)
    assert told([event]) == [(kind, desk.case)]
    assert (event["revision"], message["revision"], event["actor"]["id"]) == (revision, revision, world.admin.id)
    assert (event["case"] and {key: event["case"][key] for key in case["case"]}) == case["case"]


@pytest.mark.parametrize("name", EACH)
async def test_what_became_of_a_case_is_told_to_who_comes_back(world: World, name: str) -> None:
    before, acts, kind = EACH[name]
    desk = await Desk.make(world)
    after = await desk.act(before)
    revision = await desk.act(acts)
    async with following(world, CASE_UPDATES, after=after) as follower:
        pass

    [message] = follower.messages
    assert told(message["events"]) == [(kind, desk.case)]
    assert (message["caughtUp"], message["revision"]) == (True, revision)


@pytest.mark.parametrize("name", SEVERAL)
async def test_of_several_things_the_first_of_the_list_is_told(world: World, name: str) -> None:
    acts, kind = SEVERAL[name]
    desk = await Desk.make(world)
    after = await now(world)
    revision = await desk.act(acts)
    async with following(world, CASE_UPDATES, after=after) as follower:
        pass

    assert [(*each, event["revision"]) for each, event in zip(told(follower.events), follower.events, strict=True)] == [
        (kind, desk.case, revision)
    ]


async def test_a_case_is_opened_once(world: World) -> None:
    after = await now(world)
    async with following(world, CASE_UPDATES) as follower:
        case = await world.make("case", subject="New")
        await settled(world)
        gone = await world.make("case", subject="Short")
        await settled(world)
        await do(world, "deleteCase", id=gone)
        await settled(world)
    async with following(world, CASE_UPDATES, after=after) as back:
        pass

    assert told(follower.events) == [("OPENED", case), ("OPENED", gone), ("LEFT", gone)]
    assert told(back.events) == [("OPENED", case)]


async def test_nothing_else_is_told(world: World, other_world: World) -> None:
    async with following(world, CASE_UPDATES) as follower:
        await other_world.make("case", subject="Theirs")
        account = await world.make("account", name="Acme")
        await world.make("activity", type="NOTE", subject="Met", accountIds=[account])
        case = await world.make("case", subject="Ours")
        await settled(world)

    assert told(follower.events) == [("OPENED", case)]


async def test_an_answer_to_the_customer_changes_the_case(world: World) -> None:
    case = await world.make("case", subject="Broken")
    async with following(world, CASE_UPDATES) as follower:
        await world.make("activity", type="EMAIL", subject="Sorry", direction="OUTBOUND", caseIds=[case])
        await settled(world)

    assert told(follower.events) == [("CHANGED", case)]


# Filters


async def test_a_filtered_list_is_entered_and_left_by_what_the_filter_says(world: World) -> None:
    case = await world.make("case", subject="Broken", priority="LOW")
    after = await now(world)
    condition: dict[str, Any] = {"filter": {"priority": {"in": ["HIGH", "URGENT"]}}}
    async with following(world, CASE_UPDATES, **condition) as follower:
        edits: list[Row] = [{"priority": "HIGH"}, {"priority": "URGENT"}, {"subject": "x"}, {"priority": "LOW"}]
        for values in edits:
            await do(world, "updateCase", id=case, **values)
            await settled(world)
        await do(world, "updateCase", id=case, subject="y")
        new = await world.make("case", subject="New", priority="URGENT")
        await settled(world)
    async with following(world, CASE_UPDATES, after=after, **condition) as back:
        pass

    assert told(follower.events) == [
        ("ENTERED", case),
        ("CHANGED", case),
        ("CHANGED", case),
        ("LEFT", case),
        ("OPENED", new),
    ]
    # Its former membership is no longer known, so LEFT is sent once.
    assert told(back.events) == [("LEFT", case), ("OPENED", new)]


async def test_a_filter_through_edges_is_unsettled_by_other_records(world: World) -> None:
    account = await world.make("account", name="Acme", industry="Rockets")
    contact = await world.make("contact", lastName="Lovelace", accountId=account, title="Engineer")
    case = await world.make("case", subject="Broken", contactId=contact)
    other = await world.make("case", subject="Elsewhere")
    condition: dict[str, Any] = {
        "filter": {"contact": {"title": {"eq": "engineer"}, "account": {"industry": {"eq": "rockets"}}}},
    }
    async with following(world, CASE_UPDATES, **condition) as follower:
        for mutation, values in (
            ("updateContact", {"id": contact, "title": "Poet"}),
            ("updateContact", {"id": contact, "title": "Engineer"}),
            ("updateAccount", {"id": account, "industry": "Boats"}),
            ("updateAccount", {"id": account, "industry": "Rockets"}),
            ("deleteContact", {"id": contact}),
            ("restoreContact", {"id": contact}),
            ("updateCase", {"id": other, "contactId": contact}),
            ("updateCase", {"id": other, "contactId": None}),
            ("deleteAccount", {"id": account}),
        ):
            revision = await do(world, mutation, **values)
            await settled(world)

    assert told(follower.events) == [
        ("LEFT", case),
        ("ENTERED", case),
        ("LEFT", case),
        ("ENTERED", case),
        ("LEFT", case),
        ("ENTERED", case),
        ("ENTERED", other),
        ("LEFT", other),
        ("LEFT", case),
    ]
    assert follower.events[-1]["revision"] == revision


async def test_who_comes_back_to_a_filter_through_edges_reads_anew_where_these_changed(world: World) -> None:
    account = await world.make("account", name="Acme", industry="Rockets")
    case = await world.make("case", subject="Broken", accountId=account)
    condition: dict[str, Any] = {"filter": {"account": {"industry": {"eq": "rockets"}}}}
    after = await now(world)
    await do(world, "updateCase", id=case, subject="x")
    async with following(world, CASE_UPDATES, after=after, **condition) as back:
        assert told(back.events) == [("CHANGED", case)]
    revision = await do(world, "updateAccount", id=account, industry="Boats")
    async with following(world, CASE_UPDATES, live=False, after=after, **condition) as back:
        error = await back.ended()

    assert (error.extensions or {})["code"] == "RESYNC"
    assert (error.extensions or {})["revision"] == revision


async def test_my_own_cases(world: World) -> None:
    rep = await world.person()
    condition: dict[str, Any] = {"filter": {"ownerId": {"eq": rep.id}}}
    async with following(world, CASE_UPDATES, by=rep, **condition) as follower:
        case = await world.make("case", subject="Broken", by=rep)
        await settled(world)
        await do(world, "assignCase", id=case, ownerId=world.admin.id)
        await settled(world)
        await do(world, "assignCase", id=case, ownerId=rep.id)
        await settled(world)

    assert told(follower.events) == [("OPENED", case), ("LEFT", case), ("ENTERED", case)]


# Visibility


async def test_private_cases_are_told_to_those_who_see_them(world: World) -> None:
    boss = await world.person(Role.MANAGER)
    rep, mate, stranger = await world.person(manager=boss), await world.person(), await world.person()
    team = await world.team(mate)
    await world.default("case", Visibility.PRIVATE)
    after = await now(world)
    async with (
        following(world, CASE_UPDATES, by=boss) as of_boss,
        following(world, CASE_UPDATES, by=rep) as of_rep,
        following(world, CASE_UPDATES, by=mate) as of_mate,
        following(world, CASE_UPDATES, by=stranger) as of_stranger,
        following(world, CASE_UPDATES) as of_admin,
    ):
        case = await world.make("case", subject="Broken", ownerId=rep.id)
        await settled(world)
        await do(world, "escalateCase", id=case, reason="Late", toTeamId=team)
        await settled(world)
        await do(world, "changeCaseStatus", id=case, status="CLOSED", expectedVersion=2)
        await settled(world)
        await do(world, "removeTeamMember", teamId=team, userId=mate.id)
        await settled(world)
        await do(world, "updateCase", id=case, subject="x")
        await settled(world)
        await do(world, "addTeamMember", teamId=team, userId=stranger.id)
        await settled(world)

    assert of_boss.kinds == of_rep.kinds == ["OPENED", "LEFT"]
    assert of_mate.kinds == ["ENTERED", "CLOSED", "LEFT"]
    assert of_stranger.kinds == ["ENTERED"]
    assert of_admin.kinds == ["OPENED", "ESCALATED", "CLOSED", "CHANGED"]
    for person, expected in ((boss, []), (rep, []), (None, ["OPENED"])):
        async with following(world, CASE_UPDATES, by=person, after=after) as back:
            assert back.kinds == expected


async def test_who_lost_sight_of_a_case_while_away_is_told_so(world: World) -> None:
    rep, other = await world.person(), await world.person()
    await world.default("case", Visibility.PRIVATE)
    lost, never = [await world.make("case", subject="Broken", ownerId=each.id) for each in (rep, other)]
    after = await now(world)
    for case in (lost, never):
        await do(world, "updateCase", id=case, subject="x")
        await do(world, "assignCase", id=case, ownerId=world.admin.id)
    async with following(world, CASE_UPDATES, by=rep, after=after) as back:
        pass

    assert told(back.events) == [("LEFT", lost)]
    assert back.events[0]["case"] is None


async def test_events_come_in_the_order_of_their_last_changes(world: World) -> None:
    cases = [await world.make("case", subject="Broken") for _ in range(3)]
    after = await now(world)
    for case in (*cases, cases[0]):
        await do(world, "escalateCase", id=case, reason="Late")
    async with following(world, CASE_UPDATES, after=after) as back:
        pass

    assert [event["caseId"] for event in back.events] == [cases[1], cases[2], cases[0]]
    numbers = [number_of(event["revision"]) for event in back.events]
    assert numbers == sorted(numbers)
