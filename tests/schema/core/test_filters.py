"""Filters: every operator on every kind of column, on both databases, without revealing hidden records."""

from __future__ import annotations

import datetime as dt
import unicodedata
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crm_graph import models
from crm_graph.database import casefold_text
from crm_graph.models import ForecastCategory, Role, Visibility
from crm_graph.models.types import wire
from schema.core.filters import MAX_CONDITIONS, MAX_FILTER_DEPTH, MAX_VALUES
from tests.support.raw_rows import START, RawRows, Row
from tests.support.world import Person, World

Test = Callable[[Any], bool]
DAY = dt.timedelta(1)
DEALS: list[Row] = [
    {
        "name": "Ärger_50%",
        "lead_source": "web",
        "amount": Decimal("10.5"),
        "probability": 50,
        "close_date": START.date(),
    },
    {"name": "ärger 50", "lead_source": None, "amount": Decimal("-3"), "probability": 0, "close_date": None},
    {"name": "ΟΔΟΣ", "lead_source": "Web", "amount": None, "probability_pinned": True, "close_date": None},
    {"name": "οδός/σο", "lead_source": "fair", "amount": Decimal("99999999999999.9999"), "probability": 100},
    {"name": "back\\slash", "stage_entered_at": START, "forecast_category": ForecastCategory.COMMIT},
    {"name": "İI\u0131i", "stage_entered_at": START + DAY, "close_date": START.date() + DAY},
    {"name": "a'b\"c -- ; 🦊", "lead_source": "%", "forecast_category": ForecastCategory.OMITTED},
]


def meanings(operand: Any, some: list[Any]) -> dict[str, tuple[Any, Test]]:
    """The meaning of each operator for a value that is not null."""
    return {
        "eq": (operand, lambda value: value == operand),
        "in": (some, lambda value: value in some),
        "notIn": (some, lambda value: value not in some),
        "gt": (operand, lambda value: value > operand),
        "gte": (operand, lambda value: value >= operand),
        "lt": (operand, lambda value: value < operand),
        "lte": (operand, lambda value: value <= operand),
    }


COLUMNS: dict[str, tuple[list[Any], tuple[str, ...]]] = {
    "amount": ([Decimal("-3"), Decimal("10.5"), Decimal("99999999999999.9999")], ()),
    "probability": ([0, 50, 100], ()),
    "close_date": ([START.date(), START.date() + DAY], ()),
    "stage_entered_at": ([START, START + DAY], ()),
    "forecast_category": ([ForecastCategory.COMMIT, ForecastCategory.PIPELINE], ("gt", "gte", "lt", "lte")),
    "probability_pinned": ([True, False], ("in", "notIn", "gt", "gte", "lt", "lte")),
    "lead_source": (["WEB", "fair", "%"], ()),
}


async def plant(world: World) -> list[Row]:
    raw = RawRows(world)
    for deal in DEALS:
        await raw.plant(models.Opportunity, **deal)
    return await world.rows(models.Opportunity)


MOST_LISTS = 100


async def found(world: World, name: str, *filters: Row, by: Person | None = None) -> list[set[str]]:
    """The ids in the lists of an entity, one a filter, as many as may be of one request."""
    if len(filters) > MOST_LISTS:
        rest = await found(world, name, *filters[MOST_LISTS:], by=by)
        return [*await found(world, name, *filters[:MOST_LISTS], by=by), *rest]
    field = "opportunities" if name == "Opportunity" else f"{name.lower()}s"
    variables: Row = {f"f{number}": each for number, each in enumerate(filters)}
    declared = ", ".join(f"${each}: {name}Filter" for each in variables)
    lists = " ".join(
        f"{each}: {field}(first: 100, filter: ${each}) {{ totalCount nodes {{ id }} }}" for each in variables
    )
    data = await world.data(f"query ({declared}) {{ {lists} }}", by=by, **variables)
    assert all(page["totalCount"] == len(page["nodes"]) for page in data.values())
    return [{node["id"] for node in data[each]["nodes"]} for each in variables]


def camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


@pytest.mark.parametrize("column", COLUMNS)
async def test_every_operator_on_every_kind_of_column(world: World, column: str) -> None:
    rows = await plant(world)
    operands, left_out = COLUMNS[column]
    filters: list[Row] = []
    expected: list[set[str]] = []

    def ask(operator: str, sent: Any, holds: Test, null: bool) -> None:
        """A condition, and its opposite, which every other row meets."""
        one = {camel(column): {operator: wire(sent)}}
        matching = {row["id"] for row in rows if (null if row[column] is None else holds(row[column]))}
        filters.extend([one, {"not": one}])
        expected.extend([matching, {row["id"] for row in rows} - matching])

    for operand in operands:
        folded = casefold_text(operand) if isinstance(operand, str) and column == "lead_source" else operand
        for some in ([], [operand], operands):
            texts = [casefold_text(each) for each in some] if column == "lead_source" else some
            for operator, (_, holds) in meanings(folded, texts).items():
                if operator not in left_out:
                    sent = some if operator in {"in", "notIn"} else operand
                    on = (lambda value, holds=holds: holds(casefold_text(value))) if column == "lead_source" else holds
                    ask(operator, sent, on, null=operator == "notIn")
    ask("isNull", True, lambda value: False, null=True)
    ask("isNull", False, lambda value: True, null=False)
    ask("eq", None, lambda value: False, null=True)

    assert await found(world, "Opportunity", *filters) == expected


@pytest.mark.parametrize(
    ("operator", "sent", "names"),
    [
        ("eq", "ärger_50%", ["Ärger_50%"]),
        ("eq", unicodedata.normalize("NFD", "ÄRGER 50"), ["ärger 50"]),
        ("startsWith", "ÄRGER", ["Ärger_50%", "ärger 50"]),
        ("contains", "%", ["Ärger_50%"]),
        ("contains", "_", ["Ärger_50%"]),
        ("contains", "\\", ["back\\slash"]),
        ("contains", "/", ["οδός/σο"]),
        ("contains", "%%", []),
        ("startsWith", "_", []),
        ("startsWith", "%rger", []),
        ("contains", "ς", ["ΟΔΟΣ", "οδός/σο"]),
        ("contains", "Σ", ["ΟΔΟΣ", "οδός/σο"]),
        ("contains", "οδοσ", ["ΟΔΟΣ"]),
        ("contains", "ος", ["ΟΔΟΣ"]),
        ("eq", "οδος", ["ΟΔΟΣ"]),
        ("contains", "i", ["İI\u0131i"]),
        ("startsWith", "İi", ["İI\u0131i"]),
        ("contains", "\u0131", ["İI\u0131i"]),
        ("contains", "'b\"C -- ;", ["a'b\"c -- ; 🦊"]),
        ("contains", "🦊", ["a'b\"c -- ; 🦊"]),
        ("contains", "' OR 1=1", []),
        ("contains", "", [deal["name"] for deal in DEALS]),
        ("in", ["ARGER", "BACK\\SLASH", "οδόσ/ΣΟ"], ["back\\slash", "οδός/σο"]),
        ("gt", "\u03bf", ["ΟΔΟΣ", "οδός/σο"]),
    ],
)
async def test_text_is_compared_without_case_and_without_wildcards(
    world: World, operator: str, sent: Any, names: list[str]
) -> None:
    name_of = {row["id"]: row["name"] for row in await plant(world)}

    [ids] = await found(world, "Opportunity", {"name": {operator: sent}})

    assert {name_of[each] for each in ids} == set(names)


LEAVES: list[tuple[Row, Callable[[Row], bool]]] = [
    ({"amount": {"gt": "0"}}, lambda row: row["amount"] is not None and row["amount"] > 0),
    ({"leadSource": {"eq": "web"}}, lambda row: (row["lead_source"] or "").lower() == "web"),
    ({"leadSource": {"notIn": ["web"]}}, lambda row: (row["lead_source"] or "").lower() != "web"),
    (
        {"amount": {"isNull": True}, "probability": {"lte": 0}},
        lambda row: row["amount"] is None and not row["probability"],
    ),
    ({"closeDate": {"gte": "2026-01-01", "lt": "2026-01-02"}}, lambda row: row["close_date"] == START.date()),
    ({}, lambda row: True),
]
TREES = st.recursive(
    st.sampled_from(LEAVES),
    lambda inner: st.one_of(
        inner.map(lambda one: ({"not": one[0]}, lambda row: not one[1](row))),
        st.lists(inner, max_size=3).map(
            lambda some: ({"and": [f for f, _ in some]}, lambda row: all(holds(row) for _, holds in some))
        ),
        st.lists(inner, max_size=3).map(
            lambda some: ({"or": [f for f, _ in some]}, lambda row: any(holds(row) for _, holds in some))
        ),
    ),
    max_leaves=6,
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(trees=st.lists(TREES, min_size=1, max_size=8))
async def test_and_or_and_not_nest(world: World, trees: list[tuple[Row, Callable[[Row], bool]]]) -> None:
    rows = await world.rows(models.Opportunity) or await plant(world)

    lists = await found(world, "Opportunity", *(filter_ for filter_, _ in trees))

    assert lists == [{row["id"] for row in rows if holds(row)} for _, holds in trees]


async def test_a_filter_sees_no_record_that_the_viewer_does_not(world: World) -> None:
    rep = await world.person(Role.REP)
    await world.default("account", Visibility.PRIVATE)
    secret = await world.make("account", name="Secret", ownerId=world.admin.id)
    known = await world.make("account", name="Known", by=rep)
    child = await world.make("account", name="Child", parentId=secret, ownerId=rep.id)
    raw = RawRows(world)
    hidden, shown, free = [await raw.plant(models.Opportunity, account_id=each) for each in (secret, known, None)]
    asked: list[Row] = [
        {"account": {"name": {"eq": "Secret"}}},
        {"account": {"id": {"eq": secret}}},
        {"account": {}},
        {"accountId": {"eq": secret}},
        {"accountId": {"in": [secret, known]}},
        {"accountId": {"isNull": False}},
        {"accountId": {"isNull": True}},
        {"accountId": {"eq": None}},
        {"accountId": {"notIn": [secret]}},
        {"accountId": {"notIn": [known]}},
        {"not": {"account": {"name": {"eq": "Secret"}}}},
        {"not": {"accountId": {"eq": known}}},
    ]

    everything, all_three = {hidden, shown, free}, [{hidden}, {hidden}, {hidden, shown}]
    assert await found(world, "Opportunity", *asked[:3]) == all_three
    assert await found(world, "Opportunity", *asked, by=rep) == [
        set(),
        set(),
        {shown},
        set(),
        {shown},
        {shown},
        {hidden, free},
        {hidden, free},
        everything,
        {hidden, free},
        everything,
        {hidden, free},
    ]
    parents: list[Row] = [{"parent": {"name": {"contains": "s"}}}, {"parentId": {"eq": secret}}]
    assert await found(world, "Account", *parents) == [{child}, {child}]
    assert await found(world, "Account", *parents, {"parentId": {"isNull": True}}, by=rep) == [
        set(),
        set(),
        {known, child},
    ]


async def test_a_deleted_record_is_no_value_and_its_edge_matches_nothing(world: World) -> None:
    account = await world.make("account", name="Gone")
    deal = await RawRows(world).plant(models.Opportunity, account_id=account)
    owner: Row = {"account": {"name": {"eq": "gone"}}}
    lifted: Row = {"account": {"deletedAt": {"isNull": False}}}
    assert await found(world, "Opportunity", owner, {"accountId": {"eq": account}}) == [{deal}, {deal}]

    await world.write("deleteAccount", "revision", id=account)

    assert await found(world, "Opportunity", owner, lifted, {"accountId": {"eq": account}}) == [set(), set(), set()]
    assert await found(world, "Opportunity", {"accountId": {"isNull": True}}) == [{deal}]


async def test_deleted_records_are_listed_where_the_filter_speaks_of_them(world: World) -> None:
    here, gone = await world.make("account", name="Here"), await world.make("account", name="Gone")
    await world.write("deleteAccount", "revision", id=gone)

    assert await found(
        world,
        "Account",
        {},
        {"deletedAt": {"isNull": False}},
        {"deletedAt": {"isNull": True}},
        {"or": [{"deletedAt": {"isNull": False}}, {"name": {"eq": "here"}}]},
        {"not": {"deletedAt": {"isNull": True}}},
        {"and": [{"not": {"deletedAt": {"lt": "2020-01-01T00:00:00Z"}}}]},
        {"name": {"eq": "gone"}},
        {"deletedAt": None},
    ) == [{here}, {gone}, {here}, {here, gone}, {gone}, {here, gone}, set(), {here}]


async def test_another_workspace_is_not_there(world: World, other_world: World) -> None:
    theirs = await other_world.make("account", name="Theirs")
    ours = await world.make("account", name="Ours")

    filters: list[Row] = [{"id": {"in": [theirs, ours]}}, {"parentId": {"eq": theirs}}, {"not": {"id": {"eq": theirs}}}]
    assert await found(world, "Account", *filters) == [{ours}, set(), {ours}]


def nested(levels: int, by: str) -> Row:
    condition: Row = {"name": {"eq": "x"}}
    for _ in range(levels):
        condition = {by: condition}
    return condition


@pytest.mark.parametrize("by", ["not", "parent", "and"])
async def test_a_filter_is_as_deep_as_a_database_can_take(world: World, by: str) -> None:
    rep = await world.person(Role.REP)
    await world.default("account", Visibility.PRIVATE)

    assert await found(world, "Account", nested(MAX_FILTER_DEPTH - 3, by), by=rep) == [set()]

    answer = await world.ask(ACCOUNTS, filter=nested(MAX_FILTER_DEPTH - 2, by), by=rep)
    assert refusal(answer) == ("BAD_USER_INPUT", "filter", f"A filter is at most {MAX_FILTER_DEPTH} levels deep.")


async def test_a_filter_is_as_wide_as_a_database_can_take(world: World) -> None:
    names = [{"name": {"eq": str(number)}} for number in range(MAX_CONDITIONS)]
    third = MAX_CONDITIONS // 3
    assert await found(world, "Account", {"or": names[:third]}, {"and": names[:third]}) == [set(), set()]

    answer = await world.ask(ACCOUNTS, filter={"or": names})
    assert refusal(answer) == ("BAD_USER_INPUT", "filter", f"A filter has at most {MAX_CONDITIONS} conditions.")

    many = [str(number) for number in range(MAX_VALUES)]
    assert await found(world, "Account", {"name": {"in": many}}, {"employees": {"in": list(range(MAX_VALUES))}}) == [
        set(),
        set(),
    ]
    answer = await world.ask(ACCOUNTS, filter={"annualRevenue": {"in": [*many, "1"]}})
    assert refusal(answer) == (
        "BAD_USER_INPUT",
        "filter.annualRevenue",
        f"At most {MAX_VALUES} values are allowed.",
    )


ACCOUNTS = "query ($filter: AccountFilter) { accounts(filter: $filter) { nodes { id } } }"


def refusal(answer: Row) -> tuple[str, str, str]:
    [error] = answer["errors"]
    assert answer["data"] is None
    return error["extensions"]["code"], error["extensions"]["field"], error["message"]
