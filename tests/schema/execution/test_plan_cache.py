"""The cache of compiled queries: its bounds, and everything that a statement depends on besides the document."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import AsyncIterator
from typing import Any

import pytest
import sqlalchemy as sa
from starlette.applications import Starlette

from crm_graph.models import ApiToken, Role, Visibility, now
from schema.execution import parsing
from schema.execution.parsing import parse_document
from tests.schema.platform.test_auth import sign_in
from tests.support.world import Person, World, build_world, running

NAMES = "query Names($first: Int, $after: String) { accounts(first: $first, after: $after) { %s nodes { name } } }"


@pytest.fixture(scope="module")
async def compiling(database_url: str) -> AsyncIterator[Starlette]:
    """An application that compiles queries, and reports how it executed them."""
    async with running(database_url, compiled=True, explain=True) as application:
        yield application


@pytest.fixture
async def here(compiling: Starlette) -> AsyncIterator[World]:
    world = await build_world(compiling)
    yield world
    await world.close()


def plans(world: World) -> Any:
    return world.application.state.service.schema._plans


async def ask(world: World, document: str, execution: str = "compiled", **variables: Any) -> Any:
    answer = await world.ask(document, **variables)
    assert answer["extensions"]["execution"] == execution
    return answer["data"]


async def test_what_is_not_compiled_is_executed_as_a_whole(here: World) -> None:
    account = await here.make("account", name="Acme")
    timeline = "query One($id: ID!) { account(id: $id) { name timeline { totalCount } } }"

    assert await ask(here, timeline, "executed", id=account) == {
        "account": {"name": "Acme", "timeline": {"totalCount": 0}}
    }
    assert await ask(here, "{ revision changes { caughtUp } }", "executed") == {
        "revision": (await ask(here, "{ revision }"))["revision"],
        "changes": {"caughtUp": True},
    }


async def test_what_is_deferred_is_executed_for_who_takes_parts_and_compiled_for_others(here: World) -> None:
    account = await here.make("account", name="Acme")
    body = {"query": "query ($id: ID!) { account(id: $id) { id ... @defer { name } } }", "variables": {"id": account}}
    headers = {"Authorization": f"Bearer {here.admin.token}", "Accept": "multipart/mixed, application/json"}

    parts = (await here.client.post("/graphql", json=body, headers=headers)).text
    whole = (await here.client.post("/graphql", json=body, headers={**headers, "Accept": "*/*"})).json()

    assert '"extensions":{"execution":"executed",' in parts
    assert '"incremental":[{"data":{"name":"Acme"},"id":"0"}]' in parts
    assert whole["data"] == {"account": {"id": account, "name": "Acme"}}
    assert whole["extensions"]["execution"] == "compiled"


async def test_an_object_without_fields_and_one_with_more_than_a_hundred(here: World) -> None:
    await here.make("account", name="Acme")
    many = " ".join(f"a{number}: name" for number in range(150))

    assert await ask(here, "{ accounts { nodes @skip(if: true) { id } } }") == {"accounts": {}}
    data = await ask(here, f"{{ accounts {{ nodes {{ {many} }} }} }}")
    assert data == {"accounts": {"nodes": [{f"a{number}": "Acme" for number in range(150)}]}}


async def test_page_sizes_are_of_a_statement_and_cursors_are_not(here: World) -> None:
    for name in ("A", "B", "C"):
        await here.make("account", name=name)
    document, before = NAMES % "pageInfo { endCursor }", plans(here)._leaves.weight
    sizes = []

    first = await ask(here, document, first=1)
    for size, after in ((1, first["accounts"]["pageInfo"]["endCursor"]), (1, None), (2, None)):
        data = await ask(here, document, first=size, after=after)
        sizes.append((len(data["accounts"]["nodes"]), plans(here)._leaves.weight > before))
        before = plans(here)._leaves.weight
    again = await ask(here, document, first=1, after=data["accounts"]["pageInfo"]["endCursor"])

    assert sizes == [(1, True), (1, True), (2, True)]  # with a cursor; with null; of another size
    assert [each["name"] for each in again["accounts"]["nodes"]] == ["C"]
    assert plans(here)._leaves.weight == before


async def test_a_wrong_cursor_and_a_wrong_size_are_refused_as_ever(here: World) -> None:
    for variables, field in (({"after": "?"}, "after"), ({"first": 0}, "first"), ({"first": 101}, "first")):
        answer = await here.ask(NAMES % "", **variables)
        assert [error["extensions"] for error in answer["errors"]] == [{"code": "BAD_USER_INPUT", "field": field}]
        assert answer["extensions"]["execution"] == "executed"


async def test_a_token_that_is_revoked_answers_nothing_more(here: World) -> None:
    person = await here.person(Role.REP)
    document = "{ viewer { name } }"

    before = [await here.ask(document, by=person) for _ in range(2)]
    async with here.raw() as connection:
        await connection.execute(sa.update(ApiToken).where(ApiToken.user_id == person.id).values(deleted_at=now()))
    after = await here.ask(document, by=person)

    assert [each["extensions"]["execution"] for each in before] == ["compiled", "compiled"]
    assert [error["extensions"]["code"] for error in after["errors"]] == ["UNAUTHENTICATED"]


async def test_a_session_that_ends_answers_nothing_more(here: World) -> None:
    signed_in = await sign_in(here, await here.person(Role.REP))
    person = Person(signed_in["user"]["id"], signed_in["accessToken"], Role.REP)
    document = "{ viewer { id } accounts { totalCount } }"

    before = [await here.ask(document, by=person) for _ in range(2)]
    await here.ask("mutation { signOut { revision } }", by=person)
    after = await here.ask(document, by=person)

    data = {"viewer": {"id": person.id}, "accounts": {"totalCount": 0}}
    assert [(each["data"], each["extensions"]["execution"]) for each in before] == [(data, "compiled")] * 2
    assert {error["extensions"]["code"] for error in after["errors"]} == {"UNAUTHENTICATED"}


async def test_a_new_role_and_a_new_default_hold_for_the_next_request(here: World) -> None:
    person = await here.person(Role.REP)
    await here.make("account", name="Acme", ownerId=here.admin.id)
    document = "{ accounts { totalCount } }"

    async def count() -> tuple[int, str]:
        answer = await here.ask(document, by=person)
        return answer["data"]["accounts"]["totalCount"], answer["extensions"]["execution"]

    found = [await count()]
    await here.default("account", Visibility.PRIVATE)
    found += [await count(), await count()]
    await here.write("updateUser", "user { id }", id=person.id, role="ADMIN")
    found += [await count(), await count()]

    # The cached viewer is outdated at first: then Python executes the query, with the viewer's current rights.
    assert found == [(1, "compiled"), (0, "executed"), (0, "compiled"), (1, "executed"), (1, "compiled")]


async def test_what_sqlite_cannot_parse_is_executed(here: World, caplog: pytest.LogCaptureFixture) -> None:
    await here.make("account", name="Acme")
    depth = 4
    document = f"{{ accounts {{ nodes {{ {'name children(first: 1) { nodes { ' * depth}name{' } }' * depth} }} }} }}"

    expected = "executed" if here.database.is_sqlite else "compiled"
    with caplog.at_level(logging.WARNING):
        data = [await ask(here, document, expected) for _ in range(2)]

    assert data == [{"accounts": {"nodes": [{"name": "Acme", "children": {"nodes": []}}]}}] * 2
    assert caplog.records == []


async def test_only_so_much_is_remembered(here: World, monkeypatch: pytest.MonkeyPatch) -> None:
    known = plans(here)
    monkeypatch.setattr(known._leaves, "max_weight", 20_000)

    for number in range(50):
        await ask(here, f"{{ a{number}: accounts {{ totalCount }} }}")
    assert known._leaves.weight <= 20_000
    assert known._leaves.weight == sum(size for _, size, _ in known._leaves._entries.values())
    assert 0 < len(known._leaves) < 20

    document = parse_document(here.application.state.service.schema._schema, NAMES % "totalCount")
    for first in range(1, 51):
        await ask(here, document.text, first=first)
    [fork] = document.memo[known, None].branches.values()
    assert 0 < len(fork.branches) < 20
    assert 50 in fork.branches
    for number in range(20):
        await ask(here, f"{{ b{number}: accounts {{ totalCount }} }}")
    assert document.memo[known, None].branches == {}


async def test_nothing_is_kept_of_a_document_that_was_forgotten(here: World, monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"{{ accounts {{ totalCount }} }} # {'x' * 1000}"
    await ask(here, text)
    document = weakref.ref(parse_document(here.application.state.service.schema._schema, text))
    assert document() is not None

    monkeypatch.setattr(parsing._documents, "max_weight", 0)
    await ask(here, "{ viewer { id } }")
    gc.collect()

    assert document() is None


async def test_a_reader_who_leaves_takes_no_connection_along(here: World) -> None:
    if here.database.is_sqlite:
        slow = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    else:
        slow = "SELECT pg_sleep(600)::text"
    tasks = [asyncio.create_task(here.database.fetch_text(slow, [])) for _ in range(12)]
    await asyncio.sleep(0.3)

    for task in tasks:
        task.cancel()
    left = await asyncio.gather(*tasks, return_exceptions=True)

    assert all(isinstance(each, asyncio.CancelledError) for each in left)
    assert await here.database.fetch_text("SELECT 'here'", []) == "here"
