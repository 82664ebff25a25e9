"""Grouping: subscribers share payloads if their operations and their visibility are equal."""

from __future__ import annotations

import contextlib
from random import Random

import pytest

from crm_graph.models import Case, Role, Visibility
from schema.subscriptions.operations import SubscriptionOperation, parse_subscription
from tests.schema.subscriptions.test_cases import do, now
from tests.support.customers import Company
from tests.support.raw_rows import Row
from tests.support.subscribers import Subscriber, following, settled
from tests.support.world import Person, World

PLAIN = "subscription { caseUpdates { revision caughtUp events { kind case { id } } } }"
Key = tuple[str, str]


def key(world: World, text: str, variables: Row | None = None, name: str | None = None) -> Key:
    return operation(world, text, name).key(variables)


def operation(world: World, text: str, name: str | None = None) -> SubscriptionOperation:
    return parse_subscription(world.application.state.service.manager.schema._schema, text, name)


# Equal operations


SAME: dict[str, tuple[str, Row]] = {
    "spaces, commas and comments": (
        "subscription{caseUpdates{revision,caughtUp # all\n events{kind\n\ncase{id}}}}",
        {},
    ),
    "after as a literal": (
        'subscription { caseUpdates(after: "e.7") { revision caughtUp events { kind case { id } } } }',
        {},
    ),
    "after as a variable": (
        "subscription ($x: String) { caseUpdates(after: $x) { revision caughtUp events { kind case { id } } } }",
        {"x": "e.7"},
    ),
    "after as a variable of another name, not sent": (
        "subscription ($at: String) { caseUpdates(after: $at) { revision caughtUp events { kind case { id } } } }",
        {},
    ),
    "after as a variable with a default": (
        'subscription ($x: String = "e.1") { caseUpdates(after: $x){ revision caughtUp events { kind case { id } } } }',
        {"x": "e.7"},
    ),
}
OTHER: dict[str, tuple[str, Row]] = {
    "another alias": ("subscription { c: caseUpdates { revision caughtUp events { kind case { id } } } }", {}),
    "another order of fields": ("subscription { caseUpdates { caughtUp revision events { kind case { id } } } }", {}),
    "another field": ("subscription { caseUpdates { revision caughtUp events { kind case { id subject } } } }", {}),
    "another filter": (
        "subscription { caseUpdates(filter: {number: {eq: 1}}) { revision caughtUp events { kind case { id } } } }",
        {},
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_where_one_stands_and_how_one_writes_are_no_part_of_the_question(world: World, name: str) -> None:
    assert key(world, *SAME[name]) == key(world, PLAIN)


@pytest.mark.parametrize("name", OTHER)
def test_another_answer_is_another_question(world: World, name: str) -> None:
    assert key(world, *OTHER[name]) != key(world, PLAIN)


def test_variables_are_the_same_in_any_order_and_another_question_with_other_values(world: World) -> None:
    text = """subscription ($filter: CaseFilter, $first: Int, $after: String) {
      caseUpdates(filter: $filter, after: $after) { events { case { activities(first: $first) { totalCount } } } }
    }"""
    one = {"filter": {"number": {"gt": 1}, "subject": {"contains": "x"}}, "first": 5, "after": "e.1"}
    two = {"after": "e.2", "first": 5, "filter": {"subject": {"contains": "x"}, "number": {"gt": 1}}}

    assert key(world, text, one) == key(world, text, two)
    for other in ({**one, "first": 6}, {**one, "filter": {"number": {"gt": 1}}}, {**one, "filter": None}, {"first": 5}):
        assert key(world, text, other) != key(world, text, one)
    assert operation(world, text).variables(one) == {"filter": one["filter"], "first": 5}


def test_a_variable_that_is_used_elsewhere_too_is_a_part_of_the_question(world: World) -> None:
    text = """subscription ($at: String) {
      caseUpdates(after: $at) { events { case { activities(after: $at) { totalCount } } } }
    }"""

    assert key(world, text, {"at": "x.1"}) != key(world, text, {"at": "x.2"})
    assert operation(world, text).variables({"at": "x.1"}) == {"at": "x.1"}


def test_only_the_root_fields_after_is_left_out(world: World) -> None:
    text = """subscription ($at: String, $cursor: String) {
      caseUpdates(after: $at) { events { case { activities(after: $cursor) { totalCount } } } }
    }"""

    assert key(world, text, {"at": "e.1", "cursor": "a"}) == key(world, text, {"at": "e.2", "cursor": "a"})
    assert key(world, text, {"at": "e.1", "cursor": "a"}) != key(world, text, {"at": "e.1", "cursor": "b"})


@pytest.mark.parametrize(
    "text",
    [
        "subscription S($at: String) { ...All } fragment All on Subscription { caseUpdates(after: $at) { revision } }",
        "subscription S($at: String) { ... on Subscription { caseUpdates(after: $at) { revision } } }",
    ],
)
async def test_the_root_field_in_a_fragment_is_served_all_the_same(world: World, text: str) -> None:
    """Such operations keep `after` in their key, so only subscribers with the same `after` share a group."""
    after = await now(world)
    case = await world.make("case", subject="Broken")
    assert key(world, text, {"at": "e.1"}) != key(world, text, {"at": "e.2"})
    text = text.replace("{ revision }", "{ revision caughtUp events { kind caseId } }")
    async with following(world, text, at=after) as follower:
        await do(world, "updateCase", id=case, subject="x")
        await settled(world)

    assert [(event["kind"], event["caseId"]) for event in follower.events] == [("OPENED", case), ("CHANGED", case)]


async def test_one_operation_of_a_document(world: World) -> None:
    text = f"query Q {{ cases {{ totalCount }} }} {PLAIN.replace('subscription', 'subscription S')}"
    parsed = operation(world, text, "S")

    assert parsed.key({}) == key(world, PLAIN.replace("subscription", "subscription S"))
    assert [each.name.value for each in parsed.node.definitions] == ["S"]  # type: ignore[attr-defined]


# Equal visibility


def selecting(fields: str) -> str:
    return (
        f"subscription($after: String) {{ caseUpdates(after: $after) {{ caughtUp events {{ case {{ {fields} }} }} }} }}"
    )


PERSONAL = [
    "activities { totalCount }",
    "account { activities { nodes { id } } }",
    "account { summary { openCases lastActivity { id } } }",
    "account { timeline { totalCount } }",
    "account { timeline { nodes { id at } } }",
    "account { opportunities { edges { node { activities { pageInfo { hasNextPage } } } } } }",
    "owner { apiTokens { totalCount } }",
]
COMMON = [
    "id subject status",
    "owner { name manager { name } }",
    "account { name parent { name } opportunities { totalCount nodes { amount { amount } } } }",
    "contact { campaigns { nodes { name memberCount } } cases { totalCount } }",
]


async def groups_of(world: World, text: str, *people: Person) -> int:
    """The number of groups that serve these people."""
    async with contextlib.AsyncExitStack() as stack:
        for person in people:
            await stack.enter_async_context(following(world, text, by=person))
        return len(world.application.state.service.manager._workspaces[world.workspace_id][0].groups)


async def test_fragments_are_looked_into(world: World) -> None:
    text = selecting("...F") + " fragment F on Case { contact { activities { totalCount } } }"
    assert await groups_of(world, text, await world.person(), await world.person()) == 2


@pytest.mark.parametrize("fields", PERSONAL)
async def test_what_everybody_sees_otherwise_is_not_shared(world: World, fields: str) -> None:
    people = [await world.person(), await world.person(), world.admin]
    assert await groups_of(world, selecting(fields), *people) == 3


@pytest.mark.parametrize("fields", COMMON)
async def test_what_all_see_is_shared_until_it_is_private(world: World, fields: str) -> None:
    admin = await world.person(Role.ADMIN)
    people = [await world.person(), await world.person(Role.READ_ONLY), await world.person(Role.MANAGER)]
    text = selecting(fields)

    assert await groups_of(world, text, *people, world.admin, admin) == 2
    await world.default("campaign", Visibility.PRIVATE)
    assert await groups_of(world, text, *people, world.admin, admin) == 4


async def test_another_workspace_is_another_room(world: World, other_world: World) -> None:
    async with following(world, PLAIN) as ours, following(other_world, PLAIN) as theirs:
        await world.make("case", subject="Ours")
        await settled(world)
        await other_world.make("case", subject="Theirs")
        await settled(other_world)

    assert (len(ours.events), len(theirs.events)) == (1, 1)
    assert ours.events != theirs.events


# Sharing does not change payloads

SELECTIONS = [
    "id subject",
    "id owner { name }",
    "account { name contacts { totalCount nodes { lastName } } opportunities { nodes { name amount { amount } } } }",
    "account { summary { openPipeline { count } openCases lastActivity { id } } }",
    "contact { lastName activities { nodes { id subject } } opportunities { totalCount } }",
    "account { timeline { totalCount nodes { __typename id } } }",
    "activities { nodes { id participants { user { id } } } }",
    "account { campaigns { nodes { name memberCount } } children { nodes { name } } }",
]


@pytest.mark.parametrize("seed", range(2))
async def test_who_is_served_together_gets_what_each_would_get_alone(world: World, seed: int) -> None:
    chance = Random(seed)
    company = await Company.open(world)
    company.people["mate"] = await world.person(name="Mate")
    company.people["reader"] = await world.person(Role.READ_ONLY, name="Reader")
    if seed % 2:
        await world.default("opportunity", Visibility.PRIVATE)
    await world.make("case", subject="Broken", accountId=company.account)
    for _ in range(10):
        await company.step(chance)
    fields = " ".join(chance.sample(SELECTIONS[:4], 2)), " ".join(chance.sample(SELECTIONS, 3))
    together: dict[tuple[str, str], Subscriber] = {}
    alone: dict[tuple[str, str], Subscriber] = {}
    async with contextlib.AsyncExitStack() as stack:
        for selection in fields:
            text = selecting(selection)
            for name, person in company.people.items():
                own = text.replace("subscription", f"subscription {name}")
                together[selection, name] = await stack.enter_async_context(following(world, text, by=person))
                alone[selection, name] = await stack.enter_async_context(following(world, own, by=person))
        groups = world.application.state.service.manager._workspaces[world.workspace_id][0].groups
        shared = [group for group in groups.values() if len(group.subscribers) > 1]
        assert bool(shared) or seed % 2
        for _ in range(10):
            await company.step(chance)
            case = chance.choice(sorted(row["id"] for row in await world.rows(Case)))
            await world.write("updateCase", "__typename", id=case, description=str(chance.random()))
            await settled(world)
        for each, follower in together.items():
            assert follower.error is None
            assert follower.messages == alone[each].messages, each
    assert sum(len(follower.events) for follower in together.values()) >= 50
