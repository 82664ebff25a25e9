"""Reads of single records that come at the same moment: one statement answers them, each with its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import pytest
import sqlalchemy as sa
from starlette.applications import Starlette

from crm_graph.database import Database
from crm_graph.database.batching import MAX_BATCH, BatchedStatement
from crm_graph.models import ApiToken, Role, Visibility, now
from tests.support.world import World, build_world, running

# SQLite statements are not batched, since SQLite runs in the same process.
pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True, scope="session")
ACCOUNT = "query ($id: ID!) { account(id: $id) { id name owner { name } } }"


@pytest.fixture(scope="module")
async def compiling(database_url: str) -> AsyncIterator[Starlette]:
    """An application that compiles, and whose database answers several at once."""
    async with running(database_url, compiled=True) as application:
        yield application


@pytest.fixture
async def here(compiling: Starlette) -> AsyncIterator[World]:
    world = await build_world(compiling)
    yield world
    await world.close()


@pytest.fixture
def sent(here: World, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Sequence[Any]]]:
    """The statements and their parameters, by method: one request or several."""
    seen: list[tuple[str, Sequence[Any]]] = []

    def watched(way: str) -> Callable[[str, Sequence[Any]], Awaitable[Any]]:
        fetch = getattr(here.database, way)

        async def noted(statement: str, values: Sequence[Any]) -> Any:
            seen.append((way, values))
            return await fetch(statement, values)

        return noted

    for way in ("fetch_text", "fetch_texts"):
        monkeypatch.setattr(here.database, way, watched(way))
    return seen


def ways(sent: list[tuple[str, Sequence[Any]]]) -> list[str]:
    return [way for way, _ in sent]


async def test_each_gets_his_own(here: World, sent: list[tuple[str, Sequence[Any]]]) -> None:
    ids = [await here.make("account", name=f"Account {number}") for number in range(4)]
    await here.data(ACCOUNT, id=ids[0])  # so that it is compiled, and its asker known
    sent.clear()

    found = await asyncio.gather(*(here.data(ACCOUNT, id=each) for each in [*reversed(ids), "acc_none", ids[0]]))

    assert [each["account"] and each["account"]["name"] for each in found] == [
        "Account 3",
        "Account 2",
        "Account 1",
        "Account 0",
        None,
        "Account 0",
    ]
    assert ways(sent) == ["fetch_texts"]


async def test_each_sees_what_he_may(here: World, sent: list[tuple[str, Sequence[Any]]]) -> None:
    await here.default("account", Visibility.PRIVATE)
    one, other = await here.person(Role.REP), await here.person(Role.REP)
    ids = [await here.make("account", name="Of one", by=one), await here.make("account", name="Of other", by=other)]
    for each in (one, other):
        await here.data(ACCOUNT, by=each, id=ids[0])
    sent.clear()

    found = await asyncio.gather(*(here.data(ACCOUNT, by=by, id=each) for by in (one, other) for each in ids))

    assert [each["account"] and each["account"]["name"] for each in found] == ["Of one", None, None, "Of other"]
    assert ways(sent) == ["fetch_texts"]


async def test_whose_token_is_revoked_is_refused_beside_others(
    here: World, sent: list[tuple[str, Sequence[Any]]]
) -> None:
    gone, account = await here.person(Role.ADMIN), await here.make("account", name="Acme")
    for each in (here.admin, gone):
        await here.data(ACCOUNT, by=each, id=account)
    async with here.raw() as connection:
        await connection.execute(sa.update(ApiToken).where(ApiToken.user_id == gone.id).values(deleted_at=now()))
    sent.clear()

    found = await asyncio.gather(*(here.ask(ACCOUNT, by=by, id=account) for by in (here.admin, gone)))

    assert found[0]["data"]["account"]["name"] == "Acme"
    assert [each["extensions"]["code"] for each in found[1]["errors"]] == ["UNAUTHENTICATED"]
    assert ways(sent) == ["fetch_texts"]


async def test_what_stands_in_the_documents_is_not_mixed_up(here: World, sent: list[tuple[str, Sequence[Any]]]) -> None:
    ids = [await here.make("account", name=name) for name in ("A", "B", "C")]
    documents = [
        f"query ($id: ID!) {{ one: account(id: {one}) {{ name }} other: account(id: {other}) {{ name }} }}"
        for one, other in (("$id", f'"{ids[0]}"'), ("$id", f'"{ids[1]}"'), (f'"{ids[0]}"', "$id"))
    ]
    for each in documents:
        await here.data(each, id=ids[2])
    sent.clear()

    found = await asyncio.gather(*(here.data(each, id=ids[2]) for each in documents for _ in range(2)))

    assert [(each["one"]["name"], each["other"]["name"]) for each in found] == [
        *[("C", "A")] * 2,
        *[("C", "B")] * 2,
        *[("A", "C")] * 2,
    ]
    assert ways(sent) == ["fetch_texts"] * 3


async def test_lists_and_sums_are_asked_for_alone(here: World, sent: list[tuple[str, Sequence[Any]]]) -> None:
    account = await here.make("account", name="Acme")
    for selection in ("contacts { nodes { id } }", "contacts { totalCount }"):
        document = f"query ($id: ID!) {{ account(id: $id) {{ name {selection} }} }}"
        await here.data(document, id=account)
        sent.clear()

        await asyncio.gather(*(here.data(document, id=account) for _ in range(3)))

        assert ways(sent) == ["fetch_text"] * 3


async def test_not_too_many_wait_for_one_another(here: World, sent: list[tuple[str, Sequence[Any]]]) -> None:
    account = await here.make("account", name="Acme")
    await here.data(ACCOUNT, id=account)
    sent.clear()

    await asyncio.gather(*(here.data(ACCOUNT, id=account) for _ in range(MAX_BATCH + 2)))

    assert [len(values[-1]) for _, values in sent] == [MAX_BATCH, 2]


HALF = "SELECT (12 / $1::INTEGER)::text"
HALVES = BatchedStatement(
    "SELECT (12 / asked.p0)::text FROM unnest($1::INTEGER[]) WITH ORDINALITY AS asked(p0, place)", (0,)
)
SLOW = "SELECT pg_sleep($1::FLOAT)::text"
SLOWER = BatchedStatement("SELECT pg_sleep(asked.p0)::text FROM unnest($1::FLOAT[]) AS asked(p0)", (0,))


async def test_what_is_wrong_with_one_is_not_wrong_with_others(here: World) -> None:
    fetched = (here.database.batcher.fetch(HALF, HALVES, [each]) for each in (3, 0, 4))

    found = await asyncio.gather(*fetched, return_exceptions=True)

    assert [found[0], type(found[1]).__name__, found[2]] == ["4", "DivisionByZeroError", "3"]


async def running_statements(database: Database) -> int:
    text = "SELECT count(*)::text FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'"
    return int(await database.fetch_text(text, []) or 0)


async def test_who_leaves_takes_it_from_nobody_and_the_last_one_ends_it(here: World) -> None:
    tasks = [asyncio.create_task(here.database.batcher.fetch(SLOW, SLOWER, [each])) for each in (0.0, 0.3, 0.0)]
    await asyncio.sleep(0.1)
    tasks[0].cancel()
    found = await asyncio.gather(*tasks, return_exceptions=True)

    assert [isinstance(found[0], asyncio.CancelledError), *found[1:]] == [True, "", ""]

    tasks = [asyncio.create_task(here.database.batcher.fetch(SLOW, SLOWER, [600.0])) for _ in range(3)]
    await asyncio.sleep(0.2)
    before = await running_statements(here.database)
    for each in tasks:
        each.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for _ in range(200):  # ten seconds, far less than the statement would take
        if not await running_statements(here.database):
            break
        await asyncio.sleep(0.05)

    assert (before, await running_statements(here.database)) == (1, 0)
