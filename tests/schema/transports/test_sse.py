"""Operations as event streams: the protocol, and each wrong use with its exact response."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from crm_graph.models import Account
from schema import OperationService
from schema.transports import asgi_sender, sse
from tests.schema.transports.conftest import PATIENCE, WaitingManager, refused
from tests.support.live import Server
from tests.support.world import World

WHO = "{ viewer { id } }"
CHANGES = "subscription ($after: String) { changes(after: $after) { revision changes { recordId } } }"
CREATE = "mutation ($name: String!) { createAccount(input: {name: $name}) { account { name } } }"
EVENTS = {"Accept": "text/event-stream"}
BY_ADDRESS = {**EVENTS, "Apollo-Require-Preflight": "1"}


async def test_queries_mutations_and_subscriptions(world: World, server: Server) -> None:
    async with server.events(CHANGES, by=world.admin) as live:
        assert (await live.next())["data"]["changes"]["changes"] == []
        async with server.events(WHO, by=world.admin) as stream:
            assert await stream.next() == {"data": {"viewer": {"id": world.admin.id}}}
            await stream.completed()
        async with server.events(CREATE, by=world.admin, name="Acme") as stream:
            assert await stream.next() == {"data": {"createAccount": {"account": {"name": "Acme"}}}}
            await stream.completed()
        [account] = await world.rows(Account)
        assert (await live.next())["data"]["changes"]["changes"] == [{"recordId": account["id"]}]


async def test_the_stream_as_it_goes_over_the_wire(world: World, server: Server) -> None:
    headers = {**BY_ADDRESS, "Accept": "text/event-stream; charset=utf-8, */*"}
    headers["Authorization"] = f"Bearer {world.admin.token}"
    response = await server.client.get(server.url, params={"query": "{ viewer { name } }"}, headers=headers)

    assert response.status_code == 200
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["cache-control"] == "no-cache, no-transform"
    assert response.headers["x-accel-buffering"] == "no"
    told = response.text.replace(":\n\n", "")
    assert told == 'event: next\ndata: {"data":{"viewer":{"name":"Ada Admin"}}}\n\nevent: complete\ndata: \n\n'


async def test_a_get_request_has_its_variables_in_the_url(world: World, server: Server) -> None:
    await world.make("account", name="Acme")
    params = {
        "query": "query A($first: Int) { accounts(first: $first) { nodes { name } } } query B { viewer { id } }",
        "operationName": "A",
        "variables": json.dumps({"first": 1}),
    }
    headers = {**BY_ADDRESS, "Authorization": f"Bearer {world.admin.token}"}
    response = await server.client.get(server.url, params=params, headers=headers)

    assert '{"data":{"accounts":{"nodes":[{"name":"Acme"}]}}}' in response.text


async def test_who_takes_json_too_is_answered_in_json(world: World, server: Server) -> None:
    headers = {
        "Accept": "application/graphql-response+json, application/json, text/event-stream",
        "Authorization": f"Bearer {world.admin.token}",
    }
    response = await server.client.post(server.url, json={"query": WHO}, headers=headers)
    assert response.json() == {"data": {"viewer": {"id": world.admin.id}}}

    response = await server.client.post(server.url, json={"query": CHANGES}, headers=headers)
    assert response.status_code == 400
    [error] = response.json()["errors"]
    assert error["message"] == "Send subscriptions over a websocket, or with Accept: text/event-stream."


async def test_one_may_sign_in_by_a_stream_but_follow_nothing_before(world: World, server: Server) -> None:
    refusal = "Sign in first: send a token as `Authorization: Bearer …`."
    async with server.events(CHANGES) as stream:
        assert await stream.next() == {"errors": [{"message": refusal, "extensions": {"code": "UNAUTHENTICATED"}}]}
        await stream.completed()
    async with server.events('mutation { signIn(input: {email: "x", password: "y"}) { accessToken } }') as stream:
        [error] = (await stream.next())["errors"]
        assert error["message"] == "The email or the password is wrong."
        await stream.completed()


@pytest.mark.parametrize(
    ("query", "name", "message"),
    [
        ("{ viewer { id }", None, "Syntax Error: Expected Name, found <EOF>."),
        ("{ nothing }", None, "Cannot query field 'nothing' on type 'Query'."),
        (WHO, "Other", "operationName matches no operation in the document."),
        (f"query A {WHO} query B {WHO}", None, "operationName matches no operation in the document."),
    ],
)
async def test_a_wrong_document_is_told_in_the_stream(
    world: World, server: Server, query: str, name: str | None, message: str
) -> None:
    async with server.events(query, by=world.admin, operation_name=name) as stream:
        answer = await stream.next()
        assert answer.keys() == {"errors"}
        assert answer["errors"][0]["message"] == message
        assert answer["errors"][0]["extensions"] == {"code": "BAD_USER_INPUT"}
        await stream.completed()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "The body is not JSON in UTF-8, or is nested too deeply."),
        (b'[{"query": "{ a }"}]', "An operation is a JSON object with a query."),
    ],
)
async def test_a_request_that_is_none(server: Server, body: bytes, message: str) -> None:
    headers = {**EVENTS, "Content-Type": "application/json"}
    response = await server.client.post(server.url, content=body, headers=headers)

    error = {"message": message, "extensions": {"code": "BAD_USER_INPUT"}}
    assert (response.status_code, response.json()) == (400, {"errors": [error]})
    assert response.headers["content-type"] == "application/json; charset=utf-8"


async def test_methods_that_are_not_for_this(world: World, server: Server) -> None:
    headers = {**BY_ADDRESS, "Authorization": f"Bearer {world.admin.token}"}
    params = {"query": CREATE, "variables": '{"name": "Acme"}'}

    response = await server.client.get(server.url, params=params, headers=headers)
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert response.json()["errors"][0]["message"] == "Send mutations with POST."
    response = await server.client.put(server.url, headers=headers)
    assert (response.status_code, response.headers["allow"]) == (405, "GET, POST")
    assert await world.rows(Account) == []


async def test_a_silent_stream_is_kept_alive(
    world: World, server: Server, waiting_hub: WaitingManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "KEEP_ALIVE_SECONDS", 0.05)
    async with server.events(CHANGES, by=world.admin) as stream:
        await waiting_hub.has(1)
        with pytest.raises(TimeoutError):
            await stream.event(within=0.4)
        assert stream.comments >= 3
        assert waiting_hub.outlets[0].try_send("1")


async def test_who_goes_is_followed_no_more(world: World, server: Server, waiting_hub: WaitingManager) -> None:
    async with server.events(CHANGES, by=world.admin):
        await waiting_hub.has(1)
    await waiting_hub.has(0)


async def test_a_mutation_is_executed_to_its_end(
    world: World, server: Server, service: OperationService, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on, done = asyncio.Event(), asyncio.Event(), asyncio.Event()
    answer = service.schema.execute_document

    async def slow(*arguments: Any) -> Any:
        begun.set()
        await go_on.wait()
        result = await answer(*arguments)
        done.set()
        return result

    monkeypatch.setattr(service.schema, "execute_document", slow)
    async with asyncio.timeout(PATIENCE):
        async with server.events(CREATE, by=world.admin, name="Acme"):
            await begun.wait()
        go_on.set()
        await done.wait()

    assert [row["name"] for row in await world.rows(Account)] == ["Acme"]


async def test_a_stuck_client_is_left_out_and_let_go(
    world: World, server: Server, waiting_hub: WaitingManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asgi_sender, "SEND_TIMEOUT_SECONDS", 0.3)
    payload = '"' + "x" * 100_000 + '"'
    async with asyncio.timeout(PATIENCE), server.events(CHANGES, by=world.admin):
        await waiting_hub.has(1)
        [sink] = waiting_hub.outlets
        await refused(sink, payload)
        assert not sink.try_send(payload)


async def test_a_server_that_stops_ends_streams_without_completing_them(
    world: World, server: Server, service: OperationService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To clients this is a lost connection, so they reconnect."""
    monkeypatch.setattr(service.connections, "draining", False)  # restored after the test
    async with server.events(CHANGES, by=world.admin) as stream:
        await stream.next()
        service.connections.drain()
        assert await stream.event() is None
    response = await server.client.post(server.url, json={"query": CHANGES}, headers=EVENTS)
    assert response.status_code == 503
    assert response.json()["errors"][0]["message"] == "The server restarts. Reconnect."


async def test_an_outage_at_the_beginning_has_a_status(
    world: World, server: Server, service: OperationService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "database", None)
    headers = {**EVENTS, "Authorization": f"Bearer {world.admin.token}"}
    response: httpx.Response = await server.client.post(server.url, json={"query": WHO}, headers=headers)

    assert response.status_code == 500
