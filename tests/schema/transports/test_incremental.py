"""Incremental delivery: queries with @defer and @stream on each transport, in each format."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from graphql import FormattedIncrementalResult, GraphQLFormattedError
from graphql.execution.types import FormattedCompletedResult, FormattedPendingResult

from crm_graph.errors import TimedOut
from crm_graph.models import Visibility
from loaders.core.dataloaders import Loaders
from schema.transports.multipart import LegacyIncrementalFormat
from schema.transports.negotiation import IncrementalFormat, incremental_format
from tests.schema.transports.conftest import PATIENCE
from tests.support.live import Server
from tests.support.world import World

V0_2 = "multipart/mixed;incrementalSpec=v0.2,application/graphql-response+json,application/json;q=0.9"
APOLLO_2022 = "multipart/mixed;deferSpec=20220824,application/graphql-response+json,application/json;q=0.9"
ACCOUNT = """
query Customer($id: ID!, $later: Boolean! = true) {
  account(id: $id) { name ...Rest @defer(if: $later, label: "rest") }
}
fragment Rest on Account { owner { name } timeline(first: 1) { nodes { __typename } } }
"""
STREAM = """
query Accounts { accounts(orderBy: [{field: NAME}]) { nodes @stream(initialCount: 1, label: "more") { name } } }
"""
HEAD, REST = "Content-Type: application/json; charset=utf-8\r\n\r\n", "\r\n---"


async def send(server: Server, world: World, query: str, accept: str = V0_2, **variables: Any) -> httpx.Response:
    headers = {"Accept": accept, "Authorization": f"Bearer {world.admin.token}"}
    return await server.client.post(server.url, json={"query": query, "variables": variables}, headers=headers)


def parts_of(response: httpx.Response) -> list[dict[str, Any]]:
    """The parts of a multipart response; checks its exact framing."""
    assert response.status_code == 200
    begin, *found, end = response.text.split("\r\n---")
    assert (begin, end) == ("", "--\r\n")
    assert all(each.startswith(f"\r\n{HEAD}") for each in found)
    return [json.loads(each.removeprefix(f"\r\n{HEAD}")) for each in found]


@pytest.fixture
async def account_id(world: World) -> str:
    account_id = await world.make("account", name="Acme", ownerId=world.admin.id)
    await world.make("activity", type="CALL", subject="Hello", accountIds=[account_id])
    return account_id


async def test_what_is_deferred_comes_later(world: World, server: Server, account_id: str) -> None:
    response = await send(server, world, ACCOUNT, id=account_id)

    assert response.headers["content-type"] == 'multipart/mixed; boundary="-"; incrementalSpec=v0.2'
    assert response.headers["cache-control"] == "no-store"
    first, second = parts_of(response)
    assert first == {
        "data": {"account": {"name": "Acme"}},
        "pending": [{"id": "0", "path": ["account"], "label": "rest"}],
        "hasNext": True,
    }
    rest = {"owner": {"name": "Ada Admin"}, "timeline": {"nodes": [{"__typename": "ActivityEntry"}]}}
    assert second == {"incremental": [{"data": rest, "id": "0"}], "completed": [{"id": "0"}], "hasNext": False}


async def test_lists_come_item_by_item(world: World, server: Server) -> None:
    for name in ("A", "B", "C"):
        await world.make("account", name=name)

    first, *others = parts_of(await send(server, world, STREAM))

    assert first == {
        "data": {"accounts": {"nodes": [{"name": "A"}]}},
        "pending": [{"id": "0", "path": ["accounts", "nodes"], "label": "more"}],
        "hasNext": True,
    }
    items = [item for part in others for each in part.get("incremental", ()) for item in each["items"]]
    assert items == [{"name": "B"}, {"name": "C"}]
    assert [part["hasNext"] for part in others][-1] is False
    assert [each for part in others for each in part.get("completed", ())] == [{"id": "0"}]


async def test_clients_of_2022_are_told_paths(world: World, server: Server, account_id: str) -> None:
    response = await send(server, world, ACCOUNT, APOLLO_2022, id=account_id)

    assert response.headers["content-type"] == 'multipart/mixed; boundary="-"; deferSpec=20220824'
    first, second = parts_of(response)
    assert first == {"data": {"account": {"name": "Acme"}}, "hasNext": True}
    rest = {"owner": {"name": "Ada Admin"}, "timeline": {"nodes": [{"__typename": "ActivityEntry"}]}}
    assert second == {"incremental": [{"data": rest, "path": ["account"], "label": "rest"}], "hasNext": False}


def test_paths_of_lists_within_what_was_deferred_and_of_what_failed() -> None:
    former = LegacyIncrementalFormat()
    errors: list[GraphQLFormattedError] = [{"message": "No."}]
    pending: list[FormattedPendingResult] = [
        {"id": "0", "path": ["a"]},
        {"id": "1", "path": ["a", "list"], "label": "l"},
    ]
    assert former({"data": {"a": {"list": [1]}}, "pending": pending, "hasNext": True}) == {
        "data": {"a": {"list": [1]}},
        "hasNext": True,
    }
    brought: list[FormattedIncrementalResult] = [
        {"id": "0", "subPath": ["b"], "data": {"more": []}},
        {"id": "1", "items": [2, 3]},
        {"id": "1", "items": [4], "errors": errors},
    ]
    former._data["a"]["b"] = {"known": True}
    pending = [{"id": "2", "path": ["a", "b", "more"]}]
    assert former({"incremental": brought, "pending": pending, "hasNext": True}) == {
        "incremental": [
            {"data": {"more": []}, "path": ["a", "b"]},
            {"items": [2, 3], "path": ["a", "list", 1], "label": "l"},
            {"items": [4], "path": ["a", "list", 3], "label": "l", "errors": errors},
        ],
        "hasNext": True,
    }
    completed: list[FormattedCompletedResult] = [
        {"id": "0", "errors": errors},
        {"id": "1"},
        {"id": "2", "errors": errors},
    ]
    assert former({"completed": completed, "hasNext": False}) == {
        "incremental": [
            {"data": None, "path": ["a"], "errors": errors},
            {"items": None, "path": ["a", "b", "more", 0], "errors": errors},
        ],
        "hasNext": False,
    }


@pytest.mark.parametrize(
    ("accept", "how"),
    [
        ("", None),
        ("*/*, application/json", None),
        ("multipart/mixed;q=0, application/json", None),
        ("multipart/mixed;q=0.5, application/json", None),
        ("*/*, multipart/mixed;q=0.9", None),
        ("multipart/mixed;q=0.9, application/json;q=0.9", IncrementalFormat.V0_2),
        ("multipart/mixed", IncrementalFormat.V0_2),
        ("multipart/mixed;boundary=graphql;subscriptionSpec=1.0, application/json", None),
        ("application/json, text/event-stream, multipart/mixed", IncrementalFormat.V0_2),
        ('multipart/mixed;boundary="-";deferSpec=20220824, */*', IncrementalFormat.APOLLO_2022),
        ('Multipart/Mixed; DeferSpec="20220824"', IncrementalFormat.APOLLO_2022),
        ("multipart/mixed;deferSpec=20220824, multipart/mixed;incrementalSpec=v0.2", IncrementalFormat.V0_2),
    ],
)
def test_who_takes_which_parts(accept: str, how: IncrementalFormat | None) -> None:
    assert incremental_format(accept.encode()) is how


async def test_who_takes_no_parts_is_answered_as_a_whole(world: World, server: Server, account_id: str) -> None:
    query = "query ($id: ID!) { account(id: $id) { name ... @defer { owner { name } } } }"
    answer = {"data": {"account": {"name": "Acme", "owner": {"name": "Ada Admin"}}}}

    for accept in ("application/json", "application/graphql-response+json", "*/*"):
        response = await send(server, world, query, accept, id=account_id)
        assert response.json() == answer
        assert response.headers["content-type"].startswith("application/")
    async with server.websocket(world.admin) as client:
        assert await client.ask(query, id=account_id) == answer
        assert (await client.ask(ACCOUNT, id=account_id))["data"]["account"]["owner"] == {"name": "Ada Admin"}


async def test_who_takes_parts_alone_has_what_has_none_in_json(world: World, server: Server, account_id: str) -> None:
    assert len(parts_of(await send(server, world, ACCOUNT, "multipart/mixed", id=account_id))) == 2
    response = await send(server, world, "{ viewer { name } }", "multipart/mixed")
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    assert response.json() == {"data": {"viewer": {"name": "Ada Admin"}}}


async def test_what_is_deferred_no_more_or_by_a_mutation_is_answered_as_a_whole(
    world: World, server: Server, account_id: str
) -> None:
    response = await send(server, world, ACCOUNT, id=account_id, later=False)
    assert response.headers["content-type"] == "application/graphql-response+json; charset=utf-8"
    assert response.json()["data"]["account"]["owner"] == {"name": "Ada Admin"}

    document = 'mutation { createAccount(input: {name: "B"}) { account { name ... @defer { version } } } }'
    response = await send(server, world, document)
    assert response.json() == {"data": {"createAccount": {"account": {"name": "B", "version": 1}}}}


async def test_event_streams_take_parts(world: World, server: Server, account_id: str) -> None:
    async with server.events(ACCOUNT, by=world.admin, id=account_id) as stream:
        first, second = await stream.next(), await stream.next()
        await stream.completed()

    assert first["data"] == {"account": {"name": "Acme"}}
    assert first["hasNext"] is True
    assert second["incremental"][0]["data"]["owner"] == {"name": "Ada Admin"}
    assert second["hasNext"] is False


async def test_all_parts_are_of_one_revision(
    world: World, server: Server, account_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write after the first part does not show in the others."""
    query = """query ($id: ID!) { account(id: $id) { id ... @defer { name } ... @defer {
      owner { name } contacts { totalCount nodes { lastName } } } } revision }"""
    service = server.application.state.service
    answers = service.schema.execute_incrementally

    async def interrupted(*arguments: Any) -> AsyncIterator[dict[str, Any]]:
        async for part in answers(*arguments):
            yield part
            if "data" in part:
                await world.make("contact", lastName="Late", accountId=account_id)

    monkeypatch.setattr(service.schema, "execute_incrementally", interrupted)
    first, *rest = parts_of(await send(server, world, query, id=account_id))

    assert first["data"]["account"] == {"id": account_id}
    told = {name: value for part in rest for each in part["incremental"] for name, value in each["data"].items()}
    assert told["contacts"] == {"totalCount": 0, "nodes": []}
    answer = await world.data(
        "query ($id: ID!) { account(id: $id) { contacts { totalCount } } revision }", id=account_id
    )
    assert answer["account"]["contacts"]["totalCount"] == 1
    assert answer["revision"] != first["data"]["revision"]


async def test_what_may_not_be_seen_is_not_deferred_either(world: World, server: Server) -> None:
    other = await world.person()
    await world.default("account", Visibility.PRIVATE)
    account_id = await world.make("account", name="Acme", ownerId=world.admin.id)
    headers = {"Accept": V0_2, "Authorization": f"Bearer {other.token}"}
    body = {"query": ACCOUNT, "variables": {"id": account_id}}

    response = await server.client.post(server.url, json=body, headers=headers)

    assert response.json() == {"data": {"account": None}}


async def test_errors_of_later_parts_are_masked_and_of_refused_requests_have_their_status(
    world: World, server: Server, account_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(Loaders, "page", fail)
    monkeypatch.setattr(Loaders, "pages", fail)
    query = "query ($id: ID!) { account(id: $id) { name ... @defer { contacts { nodes { id } } } } }"
    first, second = parts_of(await send(server, world, query, id=account_id))
    assert first["data"] == {"account": {"name": "Acme"}}
    assert "a secret" not in json.dumps(second)
    [[error]] = [each["errors"] for each in second["completed"]]  # its field is not nullable, so the whole part fails
    assert error["message"] == "Something went wrong on our side."
    assert error["extensions"]["code"] == "INTERNAL"

    headers = {"Accept": V0_2, "Authorization": "Bearer nobody's"}
    response = await server.client.post(server.url, json={"query": STREAM}, headers=headers)
    assert response.status_code == 401
    assert response.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    response = await send(server, world, "{ nothing ... @defer { viewer { id } } }")
    assert response.status_code == 400
    response = await send(server, world, ACCOUNT, id={"not": "an id"})
    assert response.status_code == 400
    assert response.json()["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_what_takes_too_long_is_said_to_fail(
    world: World, server: Server, account_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = server.application.state.service
    answers = service.schema.execute_incrementally

    async def slow(*arguments: Any) -> AsyncIterator[dict[str, Any]]:
        async for part in answers(*arguments):
            yield part
            await asyncio.sleep(PATIENCE)

    monkeypatch.setattr(service.schema, "execute_incrementally", slow)
    monkeypatch.setattr(service, "settings", replace(service.settings, query_seconds=1))
    first, second = parts_of(await send(server, world, ACCOUNT, id=account_id))

    assert first["data"] == {"account": {"name": "Acme"}}
    errors = [{"message": TimedOut().message, "extensions": {"code": "TIMEOUT"}}]
    assert second == {"completed": [{"id": "0", "errors": errors}], "hasNext": False}


async def test_who_goes_ends_what_was_still_to_come(
    world: World, server: Server, account_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, ended = server.application.state.service, asyncio.Event()
    answers = service.schema.execute_incrementally

    async def slow(*arguments: Any) -> AsyncIterator[dict[str, Any]]:
        try:
            async for part in answers(*arguments):
                yield part
                await asyncio.sleep(PATIENCE)
        finally:
            ended.set()

    monkeypatch.setattr(service.schema, "execute_incrementally", slow)
    headers = {"Accept": V0_2, "Authorization": f"Bearer {world.admin.token}"}
    body = {"query": ACCOUNT, "variables": {"id": account_id}}
    async with server.client.stream("POST", server.url, json=body, headers=headers) as response:
        assert "hasNext" in await anext(response.aiter_text())
        assert service.queue.running_count == 1
    await asyncio.wait_for(ended.wait(), PATIENCE / 2)
    await asyncio.sleep(0)

    assert service.queue.running_count == 0


async def test_parts_cost_what_was_asked(world: World, server: Server, account_id: str) -> None:
    headers = {"Accept": V0_2, "Authorization": f"Bearer {world.admin.token}", "X-CRM-Graph-Cost": "1"}
    body = {"query": ACCOUNT, "variables": {"id": account_id}}
    first, *_ = parts_of(await server.client.post(server.url, json=body, headers=headers))

    cost = first["extensions"]["cost"]
    assert cost["requestedQueryCost"] == cost["actualQueryCost"] == 3
