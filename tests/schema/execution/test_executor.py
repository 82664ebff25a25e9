"""Planned execution returns the same data and errors as GraphQL's own, for all kinds of values."""

from __future__ import annotations

import asyncio
import datetime as dt
import enum
import gc
import itertools
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
import strawberry
from graphql import experimental_execute_incrementally, parse
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.utils.await_maybe import await_maybe

from crm_graph.models import Account
from crm_graph.settings import Settings
from loaders.core.dataloaders import Loaders
from schema.core.context import Context, Info
from schema.core.declared import Arguments, DeclaredField, DeferredValue
from schema.core.scalars import JSON, config
from schema.execution.executor import Executor
from tests.schema.accounts.test_customers import CUSTOMER
from tests.support.world import World


class Stock(StrawberryGraphQLCoreExecutionContext):
    """The reference: Strawberry's execution without plans."""


class Counting(Executor):
    """Counts the fields that GraphQL's own execution resolves."""

    left: int = 0

    def execute_field(self, *args: Any) -> Any:
        type(self).left += 1
        return super().execute_field(*args)


async def answer(
    schema: Any, text: str, executor: Any, *, root: object = None, context: object = None, variables: Any = None
) -> tuple[Any, list[Any]]:
    """The data, and the errors sorted: those of sibling fields have no order."""
    result: Any = await await_maybe(
        experimental_execute_incrementally(
            schema, parse(text), root, context_value=context, variable_values=variables, executor_class=executor
        )
    )
    return result.data, sorted((each.formatted for each in result.errors or ()), key=repr)


# Valid and invalid values of all kinds, in every position of a small schema


@strawberry.enum
class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Loaded(DeclaredField):
    """Returns a value, a future or a DeferredValue, or raises an error."""

    def resolve(self, source: Any, info: Info, arguments: Arguments) -> object:
        given = source.given
        if isinstance(given, Late):
            future = asyncio.get_running_loop().create_future()
            if isinstance(given.value, Exception):
                future.set_exception(given.value)
            else:
                asyncio.get_running_loop().call_soon(future.set_result, given.value)
            return DeferredValue(future, lambda value: value) if given.made else future
        if isinstance(given, Exception):
            raise given
        return given


class Late(SimpleNamespace):
    """A pending value; with `made`, a DeferredValue."""


def loaded() -> Any:
    return Loaded()


@strawberry.type
class Leaf:
    text: str
    number: int | None
    colour: Colour | None
    colours: list[Colour | None] | None
    texts: list[str] | None
    amount: Decimal | None
    day: dt.date | None
    at: dt.datetime | None
    flag: bool | None
    anything: JSON | None

    @classmethod
    def is_type_of(cls, value: Any, info: Any) -> bool:
        return not getattr(value, "stranger", False)


@strawberry.type
class Branch:
    name: str
    leaf: Leaf | None
    sure: Leaf
    leaves: list[Leaf] | None
    perhaps: list[Leaf | None] | None
    later: Leaf | None = loaded()
    surely: Leaf = loaded()
    many: list[Leaf] | None = loaded()


@strawberry.type
class Root:
    branches: list[Branch | None] | None
    branch: Branch | None
    sure: Branch


SCHEMA = strawberry.Schema(query=Root, config=config())._schema
LEAF = "{ __typename text number colour colours texts amount day at flag anything }"
BRANCH = f"{{ n: name leaf {LEAF} sure {LEAF} leaves {{ text }} perhaps {LEAF} }}"
LATER = f"{{ branch {{ later {LEAF} surely {{ text ...F }} }} }} fragment F on Leaf {{ colour }}"
GOOD: dict[str, Any] = {
    "text": "Grüße",
    "number": 7,
    "colour": Colour.RED,
    "colours": [Colour.BLUE, None],
    "texts": ["a", "b"],
    "amount": Decimal("1250.50"),
    "day": dt.date(2026, 5, 4),
    "at": dt.datetime(2026, 5, 4, 10, tzinfo=dt.UTC),
    "flag": True,
    "anything": {"a": [1, None]},
}
WRONG: list[Any] = [
    None, 7, 2**40, 1.5, "red", "text", True, ["a", None], ("a",), {"a": 1}, {1, 2}, Colour.BLUE, Decimal("0E+3"),
    dt.datetime(2026, 5, 4), ValueError("wrong"), SimpleNamespace(), object, iter([Colour.RED]),
]  # fmt: skip


def leaf(**values: Any) -> Any:
    return SimpleNamespace(**{**GOOD, **values})


def branch(**values: Any) -> Any:
    usual = {
        "name": "b",
        "leaf": leaf(),
        "sure": leaf(),
        "leaves": [leaf()],
        "perhaps": [leaf(), None],
        "given": leaf(),
    }
    return SimpleNamespace(**{**usual, **values})


def roots(made: Any) -> Any:
    return SimpleNamespace(branch=made, sure=made, branches=[branch(), made, None, branch()])


async def assert_same(text: str, root: Any) -> tuple[Any, list[Any]]:
    expected = await answer(SCHEMA, text, Stock, root=root)
    assert await answer(SCHEMA, text, Executor, root=root) == expected
    return expected


@pytest.mark.parametrize("name", GOOD)
async def test_wrong_values_in_leaves(name: str) -> None:
    for value, place in itertools.product(WRONG, ["leaf", "sure", "leaves", "perhaps"]):
        if hasattr(value, "__next__"):
            continue  # an iterator is exhausted by the first execution
        wrong = leaf(**{name: value})
        made = branch(**{place: [leaf(), wrong] if place in {"leaves", "perhaps"} else wrong})
        await assert_same(f"{{ branches {BRANCH} branch {BRANCH} }}", roots(made))


@pytest.mark.parametrize("name", ["leaf", "sure", "leaves", "perhaps", "name"])
async def test_wrong_values_in_objects(name: str) -> None:
    missing = leaf()
    del missing.colour
    wrong = [*WRONG, leaf(stranger=True), [leaf(stranger=True), leaf()], missing, [missing], [leaf(), None, leaf()]]
    for value in wrong:
        if not hasattr(value, "__next__"):
            await assert_same(f"{{ branches {BRANCH} branch {BRANCH} }}", roots(branch(**{name: value})))
            await assert_same(f"{{ branches {BRANCH} sure {BRANCH} }}", roots(branch(**{name: value})))


async def test_values_that_come_later() -> None:
    missing = leaf()
    del missing.text
    values = [None, leaf(), leaf(text=None), leaf(colour="green"), leaf(stranger=True), missing, ValueError("no"), 7]
    for value, made in itertools.product(values, [True, False]):
        for given in (value, Late(value=value, made=made)):
            root = roots(branch(given=given))
            await assert_same(f"{{ branches {{ n: name later {LEAF} }} branch {{ later {LEAF} name }} }}", root)
            await assert_same(f"{{ branches {{ surely {LEAF} later {{ text }} }} branch {{ surely {LEAF} }} }}", root)
            await assert_same(LATER, root)
    several = Late(value=[leaf(), leaf(number=2**31)], made=True)
    data, errors = await assert_same("{ branch { many { number } } }", roots(branch(given=several)))
    assert data == {"branch": {"many": [{"number": 7}, {"number": None}]}}
    assert [each["path"] for each in errors] == [["branch", "many", 1, "number"]]


async def test_selections() -> None:
    for text in (
        "{ branch { name name leaf { text } leaf { number t: text } } }",
        "query ($no: Boolean = false) { branch { name @include(if: $no) leaf { text @skip(if: $no) } } }",
        "{ branch { ... on Branch { leaf { ...F } } ...B } } fragment F on Leaf { text } fragment B on Branch { name }",
        "{ a: branch { name } b: branch { leaf { __typename } } branches { __typename } }",
    ):
        _, errors = await assert_same(text, roots(branch()))
        assert errors == []


async def test_plans_leave_nothing_over() -> None:
    Counting.left = 0
    rows = [branch(given=Late(value=leaf(), made=True)) for _ in range(100)]
    text = f"{{ branches {{ name leaf {LEAF} later {LEAF} many: leaves {{ texts }} }} }}"
    data, errors = await answer(SCHEMA, text, Counting, root=SimpleNamespace(branches=rows))
    assert (len(data["branches"]), errors, Counting.left) == (100, [], 1)


# The real schema

LIST = """
    query ($first: Int = 3, $after: String) {
      accounts(first: $first, after: $after) {
        totalCount pageInfo { hasNextPage startCursor endCursor }
        edges { cursor node { id name type annualRevenue { amount currency } owner { id name } } }
        nodes { opportunities(first: 2) { totalCount nodes { name amount { amount currency } stage { name } } } }
      }
    }
"""
OPERATIONS = [
    LIST,
    "{ accounts { nodes { contacts(first: 0) { nodes { id } } name } } }",
    '{ accounts { nodes { contacts(after: "none") { nodes { id } } name } } }',
    '{ accounts(first: 1) { nodes { opportunities(filter: { name: { eq: "Deal 1" } }) { nodes { name } } } } }',
    "{ accounts { nodes { parent { parent { name } children { nodes { parent { name } } } } } } }",
    "{ accounts { nodes { summary { openCases wonRevenue { amount } } timeline { nodes { __typename at } } } } }",
    "{ viewer { id manager { name } accounts { totalCount } } workspace { name } revision }",
    '{ account(id: "acc_none") { name } node(id: "none") { id } }',
]


async def seeded(world: World) -> list[str]:
    accounts: list[str] = []
    for number in range(4):
        parent: dict[str, Any] = {"parentId": accounts[0]} if number else {}
        account = await world.make("account", name=f"Account {number}", ownerId=world.admin.id, **parent)
        await world.make("contact", lastName=f"Person {number}", accountId=account)
        accounts.append(account)
    return accounts


async def asked(world: World, text: str, executor: Any, **variables: Any) -> tuple[Any, list[Any]]:
    context = Context(Settings(), world.database, world.changelog, viewer_or_none=await world.viewer())
    schema = world.application.state.service.schema._schema
    return await answer(schema, text, executor, context=context, variables=variables)


async def test_the_graph(world: World) -> None:
    accounts = await seeded(world)
    for text in OPERATIONS:
        assert await asked(world, text, Executor) == await asked(world, text, Stock), text
    expected = await asked(world, CUSTOMER, Stock, id=accounts[0])
    assert expected[1] == []
    assert await asked(world, CUSTOMER, Executor, id=accounts[0]) == expected


async def test_what_cannot_be_read_is_told_once(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await seeded(world)
    text = "{ accounts { nodes { name owner { name } parent { name } contacts { nodes { account { name } } } } } }"

    async def fail(*arguments: Any) -> None:
        raise ConnectionResetError("The database is out.")

    monkeypatch.setattr(Loaders, "_records", fail)
    expected = await asked(world, text, Stock)
    assert [len(expected[0]["accounts"]["nodes"]), len(expected[1])] == [4, 11]
    assert await asked(world, text, Executor) == expected
    gc.collect()
    assert [each for each in caplog.records if each.name == "asyncio"] == []


async def test_a_list_takes_a_statement_a_level(world: World) -> None:
    await seeded(world)
    for executor in (Stock, Executor):
        with world.statements() as sent:
            _, errors = await asked(world, LIST, executor)
        assert errors == []
        assert len([each for each in sent if "FROM" in each and "api_tokens" not in each]) == 5


def records() -> list[Any]:
    return [each for each in gc.get_objects() if isinstance(each, Account)]


async def test_what_was_read_does_not_wait_for_the_collector(world: World) -> None:
    for name in ("A", "B"):
        account = await world.make("account", name=name)
        await world.make("contact", lastName=name, accountId=account)
    timelines = "{ accounts { nodes { name timeline { totalCount } contacts { nodes { account { name } } } } } }"
    await world.data(timelines)
    gc.collect()
    before = len(records())

    gc.disable()
    try:
        await world.data(timelines)  # timelines are never compiled
        await asyncio.sleep(0)
        assert len(records()) == before
    finally:
        gc.enable()
