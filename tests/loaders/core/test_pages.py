"""Pages of every list, in every order, while rows come and go: each row that stays is seen once, in its place.

What a page must hold is computed here from the rows, without a database.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from crm_graph import models
from crm_graph.database import casefold_text
from crm_graph.models import types
from schema.build import Query
from schema.core import TYPES, ToMany
from schema.core.filters import INPUT_TYPES
from tests.support.raw_rows import START, RawRows, Row, temporary_rows, values_of
from tests.support.world import World

modest = settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # examples are small as they are
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
PAGE = "totalCount pageInfo { hasNextPage hasPreviousPage startCursor endCursor } nodes { id } edges { cursor }"
ARGUMENTS = "first: $first, after: $after, last: $last, before: $before, filter: $filter, orderBy: $order"


def lists_of(cls: Any) -> list[ToMany]:
    return [each for each in cls.__strawberry_definition__.fields if isinstance(each, ToMany)]


ROOTS = {each.target.__name__: each.python_name for each in lists_of(Query)}
NESTED = {
    f"{name}.{each.python_name}": (name, each)
    for name, node in TYPES.items()
    if name in ROOTS
    for each in lists_of(node)
}


def camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


async def link(raw: RawRows, parent: str, many: ToMany, parent_id: str, child_id: str) -> None:
    """Tie a child to a parent in a relation through other tables; a campaign reaches an account twice."""
    child = many.target.__name__
    match parent, child:
        case "Account", "Campaign":
            for _ in range(2):
                contact = await raw.plant(models.Contact, account_id=parent_id)
                await raw.plant(models.CampaignMember, campaign_id=child_id, contact_id=contact)
        case "Contact", "Opportunity":
            await raw.plant(models.ContactRole, contact_id=parent_id, opportunity_id=child_id)
        case "Contact", "Campaign":
            await raw.plant(models.CampaignMember, contact_id=parent_id, campaign_id=child_id)
        case "Team", "User":
            await raw.plant(models.Membership, team_id=parent_id, user_id=child_id)
        case "User", "Team":
            await raw.plant(models.Membership, user_id=parent_id, team_id=child_id)
        case _:
            other, activity, target = (
                (child, parent_id, child_id) if parent == "Activity" else (parent, child_id, parent_id)
            )
            await raw.plant(models.ActivityLink, activity_id=activity, **{f"{other.lower()}_id": target})


# The order, as Python has it


@dataclass(frozen=True)
class Term:
    column: str
    descending: bool = False
    nulls_first: bool = False

    @property
    def wire(self) -> Row:
        direction, nulls = ("DESC" if self.descending else "ASC"), ("FIRST" if self.nulls_first else "LAST")
        return {"field": self.column.upper(), "direction": direction, "nulls": nulls}


def sort_key(model: Any, terms: list[Term]) -> Callable[[Row], Any]:
    def value(row: Row, column: str) -> Any:
        kind, found = model.__table__.columns[column].type, row[column]
        if isinstance(kind, types.Enum) and found is not None:
            return list(kind.members).index(found)
        return casefold_text(found) if isinstance(kind, types.Text) and column not in {"id", "rank"} else found

    def compare(left: Row, right: Row) -> int:
        for term in (*terms, Term("id")):
            one, other = value(left, term.column), value(right, term.column)
            if one == other:
                continue
            if one is None or other is None:
                return -1 if (one is None) is term.nulls_first else 1
            return -1 if (one < other) is not term.descending else 1
        return 0

    return functools.cmp_to_key(compare)


def sortable(name: str) -> list[str]:
    field_, *_ = INPUT_TYPES[f"{name}Order"].__strawberry_definition__.fields
    return [member.value for member in field_.type.wrapped_cls]


@st.composite
def order_terms(draw: Any, name: str) -> list[Term]:
    columns = draw(st.lists(st.sampled_from(sortable(name)), max_size=2, unique=True))
    return [Term(column, draw(st.booleans()), draw(st.booleans())) for column in columns]


@st.composite
def rows(draw: Any, name: str, terms: list[Term], number: int) -> Row:
    """A row that matters to an order by what is drawn for it."""
    model = TYPES[name].__model__
    drawn = {term.column: draw(st.sampled_from(values_of(model, term.column, number))) for term in terms}
    drawn.pop("deleted_at", None)
    shuffled = draw(st.integers(0, 999))
    return {**drawn, "id": f"{model.prefix}_{shuffled:03}_{number}"}


def usual_order(name: str) -> list[Term]:
    return [Term(each.column, each.descending, each.nulls_first) for each in TYPES[name].__order__]


@dataclass
class Walk:
    """A client that turns pages, and what it has seen."""

    size: int
    backward: bool
    key: Callable[[Row], Any]
    last: Row | None = None
    cursor: str | None = None
    seen: list[str] = field(default_factory=list)

    @property
    def arguments(self) -> Row:
        return (
            {"last": self.size, "before": self.cursor} if self.backward else {"first": self.size, "after": self.cursor}
        )

    def check(self, page: Row, there: list[Row]) -> list[Row]:
        """The rows that the page must hold, in the order of the walk."""
        there = sorted(there, key=self.key, reverse=self.backward)
        rest = there
        if self.last is not None:
            at = self.key(self.last)
            rest = [row for row in there if (self.key(row) < at if self.backward else self.key(row) > at)]
        expected = rest[: self.size]
        ids = [row["id"] for row in expected]
        assert [node["id"] for node in page["nodes"]] == (ids[::-1] if self.backward else ids)
        assert page["totalCount"] == len(there)
        info = page["pageInfo"]
        more, behind = len(rest) > self.size, self.last is not None
        assert (info["hasNextPage"], info["hasPreviousPage"]) == ((behind, more) if self.backward else (more, behind))
        cursors = [edge["cursor"] for edge in page["edges"]]
        assert (info["startCursor"], info["endCursor"]) == ((cursors[0], cursors[-1]) if cursors else (None, None))
        return expected

    def turn(self, page: Row, expected: list[Row]) -> bool:
        """Go on behind the page; false at the end."""
        info = page["pageInfo"]
        self.seen.extend(row["id"] for row in expected)
        if expected:
            self.last, self.cursor = expected[-1], info["startCursor" if self.backward else "endCursor"]
        return bool(info["hasPreviousPage" if self.backward else "hasNextPage"])


# The properties


@pytest.mark.parametrize("name", ROOTS)
@modest
@given(data=st.data())
async def test_a_row_that_stays_is_seen_once_and_in_its_place(world: World, name: str, data: st.DataObject) -> None:
    model = TYPES[name].__model__
    chosen = data.draw(order_terms(name), "order")
    terms = chosen or usual_order(name)
    filtered = data.draw(st.sampled_from([None, *(term.column for term in terms)]), "filter")
    condition = filtered and {camel(filtered): {"isNull": False}}
    walk = Walk(data.draw(st.integers(1, 4), "size"), data.draw(st.booleans(), "backward"), sort_key(model, terms))
    document = f"query ($first: Int, $after: String, $last: Int, $before: String, $filter: {name}Filter, "
    document += f"$order: [{name}Order!]) {{ page: {ROOTS[name]}({ARGUMENTS}) {{ {PAGE} }} }}"
    async with temporary_rows(world) as raw:

        async def come() -> None:
            await raw.plant(model, **data.draw(rows(name, terms, len(raw.planted)), "row"))

        for _ in range(data.draw(st.integers(0, 6), "rows")):
            await come()
        there = staying = await read(world, model, filtered)
        while True:
            variables: Row = {"order": [term.wire for term in chosen] or None, "filter": condition or None}
            answer = await world.data(document, **variables, **walk.arguments)
            if not walk.turn(answer["page"], walk.check(answer["page"], there)):
                break
            if len(raw.planted) < 15 and data.draw(st.booleans(), "does a row come?"):
                await come()
            if data.draw(st.booleans(), "does a row go?") and (own := [r for r in there if r["id"] != world.admin.id]):
                gone = data.draw(st.sampled_from(own), "which")["id"]
                await raw.change(model, gone, deleted_at=START)
                staying = [row for row in staying if row["id"] != gone]
            there = await read(world, model, filtered)

    assert len(set(walk.seen)) == len(walk.seen)
    assert {row["id"] for row in staying} <= set(walk.seen)


async def read(world: World, model: Any, filtered: str | None) -> list[Row]:
    """The rows that a list must have."""
    everything = await world.rows(model)
    if filtered == "deleted_at":
        return [row for row in everything if row["deleted_at"] is not None]
    return [row for row in everything if row["deleted_at"] is None and (filtered is None or row[filtered] is not None)]


@pytest.mark.parametrize("path", NESTED)
@settings(modest, max_examples=5)
@given(data=st.data())
async def test_lists_of_several_parents_are_paged_each_by_itself(world: World, path: str, data: st.DataObject) -> None:
    parent, many = NESTED[path]
    name = many.target.__name__
    model = TYPES[name].__model__
    chosen = data.draw(
        order_terms(name).map(lambda terms: [term for term in terms if term.column != "deleted_at"]), "order"
    )
    terms = chosen or usual_order(name)
    walk = Walk(data.draw(st.integers(1, 3), "size"), data.draw(st.booleans(), "backward"), sort_key(model, terms))
    document = f"query ($ids: [ID!], $first: Int, $after: String, $last: Int, $before: String, $filter: {name}Filter, "
    document += f"$order: [{name}Order!]) {{ parents: {ROOTS[parent]}(filter: {{id: {{in: $ids}}}}) "
    document += f"{{ nodes {{ id page: {camel(many.python_name)}({ARGUMENTS}) {{ {PAGE} }} }} }} }}"
    async with temporary_rows(world) as raw:
        parents = [await raw.plant(TYPES[parent].__model__) for _ in range(3)]
        children: dict[str, list[str]] = {each: [] for each in parents}

        async def come() -> None:
            row = data.draw(rows(name, terms, len(raw.planted)), "row")
            of = data.draw(st.sampled_from(parents), "parent")
            relation = many.relation
            assert relation is not None
            if relation.by is not None:
                children[of].append(await raw.plant(model, **{**row, relation.by: of}))
            else:
                children[of].append(await raw.plant(model, **row))
                await link(raw, parent, many, of, children[of][-1])

        for _ in range(data.draw(st.integers(2, 6), "rows")):
            await come()
        while True:
            found = {row["id"]: row for row in await world.rows(model)}
            variables: Row = {"ids": parents, "order": [term.wire for term in chosen] or None}
            answer = await world.data(document, **variables, **walk.arguments)
            pages = {node["id"]: node["page"] for node in answer["parents"]["nodes"]}
            expected = {each: walk.check(pages[each], [found[child] for child in children[each]]) for each in parents}
            if not walk.turn(pages[parents[0]], expected[parents[0]]):
                break
            if len(raw.planted) < 30 and data.draw(st.booleans(), "does a row come?"):
                await come()


@pytest.mark.parametrize("name", ROOTS)
async def test_every_order_there_is(world: World, name: str) -> None:
    model = TYPES[name].__model__
    terms = [Term(each, *ways) for each in sortable(name) for ways in itertools.product((False, True), repeat=2)]
    async with temporary_rows(world) as raw:
        for number in range(7):
            values = {
                each: values_of(model, each, number) for each in sortable(name) if each not in {"id", "deleted_at"}
            }
            await raw.plant(model, **{each: some[number % len(some) - 1] for each, some in values.items()})
        there = await read(world, model, None)
        walks = [Walk(size=3, backward=n % 3 == 0, key=sort_key(model, [term])) for n, term in enumerate(terms)]
        for _ in range(2):
            fields = []
            for number, (walk, term) in enumerate(zip(walks, terms, strict=True)):
                order = "{{field: {field}, direction: {direction}, nulls: {nulls}}}".format(**term.wire)
                page = ", ".join(f'{key}: "{value}"' for key, value in walk.arguments.items() if isinstance(value, str))
                size = "last: 3" if walk.backward else "first: 3"
                fields.append(f"p{number}: {ROOTS[name]}({size} {page} orderBy: [{order}]) {{ {PAGE} }}")
            pages = await world.data("{" + " ".join(fields) + "}")
            for number, walk in enumerate(walks):
                walk.turn(pages[f"p{number}"], walk.check(pages[f"p{number}"], there))

    assert all(len(set(walk.seen)) == 6 for walk in walks)
