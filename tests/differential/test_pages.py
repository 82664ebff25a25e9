"""Pages are turned alike, forwards and backwards, each with a cursor of the page before."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from random import Random

import pytest
from graphql import get_named_type

from tests.support.differential.answers import difference
from tests.support.differential.arguments import Arguments
from tests.support.differential.dataset import DEFAULTS, ROLES, Row, Who
from tests.support.differential.engines import Pair
from tests.support.differential.operations import Case, public

LISTS = {
    name: get_named_type(field.type).name.removesuffix("Connection")
    for name, field in public().query_type.fields.items()  # type: ignore[union-attr]  # there is one
    if "orderBy" in field.args
}
NESTED = [
    (root, name, get_named_type(field.type).name.removesuffix("Connection"))
    for root, parent in LISTS.items()
    for name, field in public().type_map[parent].fields.items()  # type: ignore[attr-defined]  # an object type
    if "orderBy" in field.args
]
PAGE = "totalCount pageInfo { hasNextPage hasPreviousPage startCursor endCursor } edges { cursor node { id } }"
ARGUMENTS = "first: $first, after: $after, last: $last, before: $before, filter: $filter, orderBy: $order"
MOST_PAGES = 12
PARTS = 3


def declared(target: str) -> str:
    return (
        f"query ($first: Int, $after: String, $last: Int, $before: String, $filter: {target}Filter, "
        f"$order: [{target}Order!])"
    )


async def turn(pair: Pair, chance: Random, text: str, target: str, find: Callable[[Row], Row | None]) -> int:
    """Turn the pages of a list in some order, to the end; how many there were."""
    arguments = Arguments(chance, public())
    backward = chance.random() < 0.4
    variables: Row = {"last" if backward else "first": chance.choice([1, 1, 2, 3, 5]), "order": arguments.order(target)}
    if chance.random() < 0.3:
        variables["filter"] = arguments.filter(target)
    case = Case(text, None, variables, Who(chance.randrange(len(ROLES)), chance.randrange(len(DEFAULTS))))
    turned = 0
    while turned < MOST_PAGES:
        turned += 1
        ordinary, compiled = await pair.answers(case)
        assert (difference(ordinary, compiled), ordinary.codes) == (None, []), str(case)
        page = find(json.loads(compiled.text)["data"])
        if page is None or not page["pageInfo"]["hasPreviousPage" if backward else "hasNextPage"]:
            break
        cursor = page["pageInfo"]["startCursor" if backward else "endCursor"]
        case = dataclasses.replace(case, variables={**variables, "before" if backward else "after": cursor})
    return turned


@pytest.mark.parametrize("part", range(PARTS))
async def test_pages_of_lists(pair: Pair, part: int) -> None:
    lists = list(LISTS.items())[part::PARTS]
    turned = 0
    for root, target in lists:
        text = f"{declared(target)} {{ page: {root}({ARGUMENTS}) {{ {PAGE} }} }}"
        for number in range(3):
            turned += await turn(pair, Random(f"{root} {number}"), text, target, lambda data: data["page"])

    assert turned > 6 * len(lists)


@pytest.mark.parametrize("part", range(PARTS))
async def test_pages_of_lists_in_a_list(pair: Pair, part: int) -> None:
    lists = NESTED[part::PARTS]
    turned = 0
    for root, name, target in lists:
        inner = f"{name}({ARGUMENTS}) {{ {PAGE} }}"
        text = f"{declared(target)} {{ parents: {root}(first: 30) {{ nodes {{ id page: {inner} }} }} }}"
        turned += await turn(pair, Random(f"{root} {name}"), text, target, longest)

    assert turned > len(lists)


def longest(data: Row) -> Row | None:
    """The page of the longest of the lists."""
    pages = [parent["page"] for parent in data["parents"]["nodes"]]
    return max(pages, key=lambda page: int(page["totalCount"]), default=None)
