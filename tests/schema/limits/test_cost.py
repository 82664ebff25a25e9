"""The cost of operations: the requested cost before execution, and the actual cost of the result."""

from __future__ import annotations

import json
from typing import Any

import pytest
from graphql import get_introspection_query

from schema import build_schema
from schema.limits.cost import Cost
from schema.transports.graphiql_examples import EXAMPLES

ONE_KEY = (
    f"{{ nodes(ids: {json.dumps(['a'] * 100)}) " + "{ ... on %s { nodes { id } } } ... on %s { nodes { id } } } } }"
)
SCHEMA = build_schema()
LIST = "{ accounts(first: 100) { nodes { name %s } } }"
BY_VARIABLE = "query ($first: Int = 7, $last: Int) { accounts(first: $first, last: $last) { nodes { id } } }"
BOTH_WAYS = """query ($with: Boolean!) {
  viewer { id manager @include(if: $with) { id } teams @skip(if: $with) { totalCount } }
}"""
BOTH_SIZES = """query ($ids: [ID!]!, $first: Int) {
  nodes(ids: $ids) { id }
  accounts(first: $first) { nodes { id } }
}"""


def cost_of(text: str) -> Cost:
    document = SCHEMA.parse(text)
    assert document.errors == ()
    return SCHEMA.cost(document, None)


@pytest.mark.parametrize(
    ("text", "cost"),
    [
        ("{ __typename }", 1),  # the minimum
        ("{ viewer { name } }", 1),
        ("{ viewer { name manager { name manager { name } } } }", 3),
        ("{ accounts { nodes { name } } }", 25),
        (LIST % "", 100),
        (LIST % "billingAddress { city } annualRevenue { amount }", 100),
        (LIST % "owner { name }", 200),
        (LIST % "contacts { totalCount }", 600),
        (LIST % "contacts(first: 100) { nodes { id } }", 10_100),
        (LIST % "contacts(first: 100) { edges { node { id owner { id } } } pageInfo { endCursor } }", 20_100),
        (LIST % "contacts(first: 100) { nodes { id activities(first: 100) { nodes { id } } } }", 1_010_100),
        ("{ accounts(last: 3) { totalCount edges { cursor node { id } } nodes { id } } }", 11),
        ("{ accounts(first: 9) { ...A } } fragment A on AccountConnection { nodes { id } ... { nodes { name } } }", 9),
        ("{ a: accounts(first: 1) { nodes { id } } b: accounts(first: 2) { nodes { id } } }", 3),
        ("{ viewer { id ...A ...A } } fragment A on User { manager { id } }", 2),
        ('{ nodes(ids: ["a", "b", "c"]) { id ... on Account { owner { id } } ... on User { manager { id } } } }', 9),
        (
            '{ account(id: "a") { summary { openCases openPipeline { count sums { amount } } lastActivity { id } } } }',
            13,
        ),
        ('{ account(id: "a") { timeline(first: 4) { nodes { at actor { id } } } } }', 9),
        ('{ pipelineBoard(pipelineId: "a") { stages { totals { count } cards(first: 5) { nodes { id } } } } }', 111),
        ("{ changes(first: 500) { changes { record { id } } } }", 1_000),
        ("{ changes { changes { recordId } } }", 100),
        ('mutation { deleteAccount(input: {id: "a"}) { revision } }', 10),
        ('mutation { deleteAccount(input: {id: "a"}) { account { owner { id } } userErrors { code } } }', 12),
        ('mutation { signIn(input: {email: "a", password: "b"}) { accessToken } signOut { revision } }', 20),
        ("subscription { changes { changes { record { id } } } }", 20),
        # The same response key for fields of different types: in either order, all of them count.
        (ONE_KEY % ("Account { x: contacts(first: 1)", "Contact { x: activities(first: 100)"), 100 * 102),
        (ONE_KEY % ("Contact { x: activities(first: 100)", "Account { x: contacts(first: 1)"), 100 * 102),
        (ONE_KEY % ("Account { x: contacts(first: 2)", "Opportunity { x: contactRoles(first: 2)"), 100 * 5),
        (
            '{ node(id: "") { ... on Account { x: owner { a: id } } ... on Contact { x: account { owner { id } } } } }',
            4,
        ),
        (get_introspection_query(), 5_000),
        (get_introspection_query(input_value_deprecation=True, directive_is_repeatable=True), 5_000),
        (f"{{ __schema {{ types {{ {' '.join(f'a{n}: fields {{ name }}' for n in range(16))} }} }} }}", 25_000),
        (f"{{ __schema {{ types {{ {' '.join(f'a{n}: fields {{ name }}' for n in range(248))} }} }} }}", 1_185_000),
        (
            f"{{ __schema {{ types {{ {' '.join(f'a{n}: fields {{ ...A }}' for n in range(8))} }} }} }} "
            "fragment A on __Field { name args { name } }",
            25_000,
        ),
        ('{ a: __type(name: "User") { name } __schema { queryType { name } } }', 10_000),
    ],
)
def test_what_it_may_cost(text: str, cost: int) -> None:
    assert cost_of(text).requested(None) == cost


@pytest.mark.parametrize(
    ("text", "variables", "cost"),
    [
        (BY_VARIABLE, {}, 7),
        (BY_VARIABLE, {"first": 50}, 50),
        (BY_VARIABLE, {"first": None}, 25),
        (BY_VARIABLE, {"first": None, "last": 3}, 3),
        (BY_VARIABLE, {"first": 3.0}, 3),
        (BY_VARIABLE, {"first": 10**30}, 25),
        (BY_VARIABLE, {"first": 1_000_000}, 100),
        (BY_VARIABLE, {"first": -5}, 25),
        (BY_VARIABLE, {"first": "many"}, 25),
        (BY_VARIABLE, {"first": [1], "last": {"a": 1}}, 25),
        (BOTH_WAYS, {"with": True}, 2),
        (BOTH_WAYS, {"with": False}, 6),
        ("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", {"ids": ["a"] * 30}, 30),
        ("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", {"ids": "a"}, 1),
        ("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", {"ids": ["a"] * 3_000}, 100),
    ],
)
def test_variables_count(text: str, variables: dict[str, Any], cost: int) -> None:
    made = cost_of(text)
    for _ in range(2):  # cached the second time
        assert made.requested(variables) == cost


@pytest.mark.parametrize(("count", "cost"), [(0, 1), (1, 2), (3_000, 6_000)])
def test_entities_count(count: int, cost: int) -> None:
    text = """query ($of: [_Any!]!) {
      _entities(representations: $of) { ... on Account { owner { id } annualRevenue { amount } } }
    }"""
    schema = build_schema(federation=True)
    made = schema.cost(schema.parse(text), None)

    assert made.requested({"of": [{"__typename": "Account", "id": "a"}] * count}) == cost
    assert (
        made.actual({"_entities": [{"owner": {"id": "u"}}, {"owner": None}, None]}) == 4
    )  # the null costs 1, too: it was looked up


def test_the_schema_of_a_subgraph_costs_as_much_as_any() -> None:
    schema = build_schema(federation=True)

    assert schema.cost(schema.parse("{ _service { sdl } }"), None).requested(None) == 5_000


def test_it_is_reckoned_once_for_equal_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    made = cost_of("query ($id: ID!, $first: Int) { account(id: $id) { contacts(first: $first) { nodes { id } } } }")
    assert made.requested({"id": "a", "first": 5}) == 6
    monkeypatch.setattr(made, "_parts", None)
    assert made.requested({"id": "b", "first": 5}) == 6


def test_what_is_remembered_is_bounded() -> None:
    made = cost_of(
        "query ($ids: [ID!]!, $first: Int) { nodes(ids: $ids) { id } accounts(first: $first) { nodes { id } } }"
    )
    for first in range(1, 100):
        for count in range(1, 4):
            assert made.requested({"ids": ["a"] * count, "first": first}) == count + first
    assert len(made._requested) <= 100


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["name"])
def test_the_examples_are_far_from_too_much(example: dict[str, Any]) -> None:
    assert 1 <= cost_of(example["query"]).requested(example["variables"]) < 3_000


def test_what_it_did_cost() -> None:
    made = cost_of("{ a: accounts(first: 100) { totalCount nodes { name owner { name } } } viewer { manager { id } } }")
    assert made.requested(None) == 207
    owned, own = {"name": "A", "owner": {"name": "x"}}, {"name": "B", "owner": None}
    nodes = [owned, own, own]
    assert made.actual({"a": {"totalCount": 3, "nodes": nodes}, "viewer": {"manager": None}}) == 10
    assert made.actual({"a": {"totalCount": 0, "nodes": []}, "viewer": None}) == 5
    assert made.actual({}) == 0
