"""Operations over HTTP: accepted requests, each status and media type, and the errors of malformed requests."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import orjson
import pytest
from graphql import ExecutionResult

from crm_graph.models import Account
from schema import OperationService
from schema.transports import http
from schema.transports.negotiation import JSON, RESPONSE
from tests.support.live import Server
from tests.support.world import World

WHO = "{ viewer { id } }"
LIST = "{ accounts { totalCount } }"
CREATE = "mutation ($name: String!) { createAccount(input: {name: $name}) { account { name } } }"
UNREADABLE = "The body is not JSON in UTF-8, or is nested too deeply."
NO_OPERATION = "An operation is a JSON object with a query."
NO_NAME = "operationName is not a GraphQL name."
NO_TOKEN = "Sign in first: send a token as `Authorization: Bearer …`."
Change = Callable[..., None]


@pytest.fixture
def change(service: OperationService, monkeypatch: pytest.MonkeyPatch) -> Change:
    """Change settings for one test."""

    def change(**settings: Any) -> None:
        monkeypatch.setattr(service, "settings", dataclasses.replace(service.settings, **settings))

    return change


def signed_in(world: World, **headers: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {world.admin.token}", **headers}


def told(response: httpx.Response) -> tuple[int, str, str | None]:
    """The status of a refused request, and the message and field of its only error."""
    answer = response.json()
    [error] = answer["errors"]
    assert answer.keys() == {"errors"}
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    return response.status_code, error["message"], error["extensions"].get("field")


@pytest.mark.parametrize(
    ("query", "variables", "status", "keys"),
    [
        ("{ viewer { name } }", {}, 200, {"data"}),
        ("{ viewer { name } accounts(first: 0) { totalCount } }", {}, 200, {"data", "errors"}),
        ("{", {}, 400, {"errors"}),
        ("{ nothing }", {}, 400, {"errors"}),
        ("query Other { viewer { name } } query Another { viewer { name } }", {}, 400, {"errors"}),
        ("query ($id: ID!) { account(id: $id) { id } }", {}, 400, {"errors"}),
    ],
)
async def test_the_status_and_the_media_type(
    world: World, query: str, variables: dict[str, Any], status: int, keys: set[str]
) -> None:
    for media, expected in ((RESPONSE, status), (JSON, 200)):
        body = {"query": query, "variables": variables}
        response = await world.client.post("/graphql", json=body, headers=signed_in(world, Accept=media))

        assert (response.status_code, response.json().keys()) == (expected, keys)
        assert response.headers["content-type"] == f"{media}; charset=utf-8"


async def test_the_status_of_who_is_not_signed_in(world: World) -> None:
    error = {"message": NO_TOKEN, "extensions": {"code": "UNAUTHENTICATED"}, "locations": [{"line": 1, "column": 3}]}
    refused = {**error, "path": ["accounts"]}

    response = await world.client.post("/graphql", json={"query": LIST}, headers={"Accept": RESPONSE})
    assert (response.status_code, response.json()) == (401, {"errors": [refused]})
    assert response.headers["www-authenticate"] == "Bearer"
    response = await world.client.post("/graphql", json={"query": LIST}, headers={"Accept": JSON})
    assert (response.status_code, response.json()) == (200, {"data": None, "errors": [refused]})
    assert "www-authenticate" not in response.headers
    response = await world.client.post("/graphql", json={"query": WHO}, headers={"Accept": RESPONSE})
    assert response.status_code == 200  # viewer is nullable, so there is data
    assert response.json() == {"data": {"viewer": None}, "errors": [{**error, "path": ["viewer"]}]}


async def test_nothing_that_we_have_is_acceptable(world: World) -> None:
    body = {"query": CREATE, "variables": {"name": "Acme"}}
    response = await world.client.post("/graphql", json=body, headers=signed_in(world, Accept="text/html, text/*"))

    message = "Accept application/graphql-response+json, application/json or text/event-stream."
    assert told(response) == (406, message, None)
    assert await world.rows(Account) == []


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/graphql"],
)
async def test_a_body_of_another_type(world: World, content_type: str) -> None:
    body = json.dumps({"query": CREATE, "variables": {"name": "Acme"}})
    headers = signed_in(world, **({"Content-Type": content_type} if content_type else {}))
    response = await world.client.post("/graphql", content=body, headers=headers)

    assert told(response) == (415, "Send operations as application/json.", None)
    assert await world.rows(Account) == []


@pytest.mark.parametrize(
    ("body", "message", "field"),
    [
        (b"", UNREADABLE, None),
        (b"{", UNREADABLE, None),
        (b"[" * 100_000, UNREADABLE, None),
        (b'{"query": "{ viewer { id } }", "variables": {"a": NaN}}', UNREADABLE, None),
        (b'{"query": "\xff"}', UNREADABLE, None),
        ('{"query": "{ viewer { id } }"}'.encode("utf-16"), UNREADABLE, None),
        (b"null", NO_OPERATION, None),
        (b"5", NO_OPERATION, None),
        (b"[]", "Send operations one by one, not 0.", None),
        (b'[{"query": "{ a }"}]', "Send operations one by one, not 1.", None),
        (b"{}", "query is missing.", "query"),
        (b'{"query": ""}', "query is missing.", "query"),
        (b'{"query": 0}', "query is not a string.", "query"),
        (b'{"query": "{ a }", "operationName": 5}', "operationName is not a string.", "operationName"),
        ('{"query": "{ a }", "operationName": "É"}'.encode(), NO_NAME, "operationName"),
        (b'{"query": "{ a }", "operationName": "\\ud800"}', NO_NAME, "operationName"),
        (b'{"query": "{ a }", "variables": []}', "variables is not an object.", "variables"),
        (b'{"query": "{ a }", "variables": false}', "variables is not an object.", "variables"),
        (b'{"query": "{ a }", "extensions": "x"}', "extensions is not an object.", "extensions"),
    ],
    ids=range(19),
)  # fmt: skip
async def test_a_request_that_is_none(world: World, body: bytes, message: str, field: str | None) -> None:
    for media in (JSON, RESPONSE):
        headers = signed_in(world, Accept=media) | {"Content-Type": "application/json"}
        response = await world.client.post("/graphql", content=body, headers=headers)

        assert told(response) == (400, message, field)
        assert response.headers["content-type"] == f"{media}; charset=utf-8"


async def test_a_body_that_is_too_long(world: World, server: Server, change: Change) -> None:
    body = json.dumps({"query": CREATE, "variables": {"name": "Acme"}}).encode()
    change(body_bytes=len(body))
    headers = signed_in(world) | {"Content-Type": "application/json"}

    async def in_pieces(*pieces: bytes) -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    refusal = 413, f"A request has at most {len(body)} bytes.", None
    response = await server.client.post(server.url, content=body + b" ", headers=headers)
    assert told(response) == refusal
    response = await server.client.post(server.url, content=in_pieces(body, b" "), headers=headers)
    assert told(response) == refusal
    assert await world.rows(Account) == []
    for content in (body, in_pieces(body[:9], body[9:])):
        response = await server.client.post(server.url, content=content, headers=headers)
        assert response.json() == {"data": {"createAccount": {"account": {"name": "Acme"}}}}


async def test_a_length_that_is_too_much_is_refused_before_reading(service: OperationService, change: Change) -> None:
    change(body_bytes=10)

    async def receive() -> Any:
        raise AssertionError("The body was read.")

    assert await status_of(service, receive, {b"content-length": b"11"}) == [413]


async def test_who_goes_before_all_is_sent_is_not_answered(service: OperationService) -> None:
    messages = [{"type": "http.request", "body": b'{"query": ', "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> Any:
        return messages.pop(0)

    assert await status_of(service, receive, {}) == []


async def status_of(service: OperationService, receive: Any, headers: dict[bytes, bytes]) -> list[int]:
    """The status of the response; empty without a response."""
    scope = {"type": "http", "method": "POST", "path": "/graphql", "query_string": b""}
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope["headers"] = [(b"content-type", b"application/json"), *headers.items()]
    await http.HTTP(service)(scope, receive, send)
    return [message["status"] for message in sent if message["type"] == "http.response.start"]


async def test_a_query_in_the_address(world: World) -> None:
    account = await world.make("account", name="Ünïted")
    query = "query A($id: ID!) { account(id: $id) { name } } query B { viewer { id } }"
    params = {"query": query, "operationName": "A", "variables": json.dumps({"id": account}), "extensions": "{}"}
    by = {"Apollo-Require-Preflight": "1"}, {"X-Requested-With": "x"}, {"Content-Type": "application/json"}
    for header in by:
        response = await world.client.get("/graphql", params=params, headers=signed_in(world, **header))

        assert (response.status_code, response.json()) == (200, {"data": {"account": {"name": "Ünïted"}}})
        assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("address", "message", "field"),
    [
        ("", "query is missing.", "query"),
        ("?query=", "query is missing.", "query"),
        ("?query=%FF", "The query string is not percent-encoded UTF-8.", None),
        ("?query={a}&variables={", "variables is not JSON in UTF-8, or is nested too deeply.", "variables"),
        ("?query={a}&variables=[]", "variables is not an object.", "variables"),
        ("?query={a}&extensions=1", "extensions is not an object.", "extensions"),
        ("?query={a}&operationName=%C3%89", NO_NAME, "operationName"),
    ],
)
async def test_an_address_that_asks_for_nothing(world: World, address: str, message: str, field: str | None) -> None:
    headers = signed_in(world) | {"Apollo-Require-Preflight": "1"}
    response = await world.client.get(f"/graphql{address}", headers=headers)

    assert told(response) == (400, message, field)


async def test_a_link_can_ask_for_something_only_where_a_setting_says_so(world: World, change: Change) -> None:
    by_link = {"Content-Type": "text/plain"}
    response = await world.client.get("/graphql", params={"query": WHO}, headers=signed_in(world, **by_link))
    assert told(response) == (400, "Send the header Apollo-Require-Preflight with GET.", None)
    change(get_without_header=True)
    response = await world.client.get("/graphql", params={"query": WHO}, headers=signed_in(world))
    assert response.json() == {"data": {"viewer": {"id": world.admin.id}}}


async def test_methods_that_are_not_for_this(world: World, change: Change) -> None:
    by_address = signed_in(world) | {"Apollo-Require-Preflight": "1"}
    params = {"query": CREATE, "variables": '{"name": "Acme"}'}

    response = await world.client.get("/graphql", params=params, headers=by_address)
    assert told(response) == (405, "Send mutations with POST.", None)
    assert response.headers["allow"] == "POST"
    for method in ("PUT", "DELETE", "OPTIONS", "TRACE"):
        response = await world.client.request(method, "/graphql", params=params, headers=by_address)
        assert told(response) == (405, "Send operations with GET or POST.", None)
        assert response.headers["allow"] == "GET, POST"
    change(get_queries=False, get_without_header=True)
    response = await world.client.get("/graphql", params={"query": WHO}, headers=by_address)
    assert told(response) == (405, "Send operations with POST.", None)
    assert response.headers["allow"] == "POST"
    assert await world.rows(Account) == []


async def test_a_batch(world: World, change: Change) -> None:
    change(batch_operations=6)
    create = {"query": CREATE, "variables": {"name": "Acme"}}
    subscription = {"query": "subscription { changes { revision } }"}
    batch = [{"query": WHO}, create, {"query": LIST}, {"query": "{"}, 5, subscription]
    response = await world.client.post("/graphql", json=batch, headers=signed_in(world, Accept=RESPONSE))

    who, created, listed, unreadable, none, live = response.json()
    assert response.status_code == 200
    assert who == {"data": {"viewer": {"id": world.admin.id}}}
    assert created == {"data": {"createAccount": {"account": {"name": "Acme"}}}}
    assert listed == {"data": {"accounts": {"totalCount": 1}}}
    assert unreadable["errors"][0]["message"] == "Syntax Error: Expected Name, found <EOF>."
    assert none == {"errors": [{"message": NO_OPERATION, "extensions": {"code": "BAD_USER_INPUT"}}]}
    assert live["errors"][0]["message"].startswith("Send subscriptions over a websocket")
    assert len(await world.rows(Account)) == 1


async def test_a_batch_that_is_none(world: World, change: Change) -> None:
    change(batch_operations=2)
    create = {"query": CREATE, "variables": {"name": "Acme"}}
    for batch in ([], [create] * 3):
        response = await world.client.post("/graphql", json=batch, headers=signed_in(world))
        message = f"Send 1 to 2 operations in a batch, not {len(batch)}."
        assert told(response) == (400, message, None)
    assert await world.rows(Account) == []


async def test_an_answer_in_json_goes_out_as_it_is_with_its_extensions(
    world: World, service: OperationService, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def answer(context: Any, *rest: object) -> ExecutionResult:
        context.extensions["execution"] = "compiled"
        return ExecutionResult(orjson.Fragment(b'{"amount": 1.50}'))  # type: ignore[arg-type]  # already JSON

    monkeypatch.setattr(service.schema, "execute_document", answer)
    response = await world.client.post("/graphql", json={"query": WHO}, headers={"Accept": RESPONSE})

    assert response.status_code == 200
    assert response.content == b'{"data":{"amount": 1.50},"extensions":{"execution":"compiled"}}'


async def test_what_nobody_foresaw_is_masked(
    world: World, service: OperationService, monkeypatch: pytest.MonkeyPatch, change: Change
) -> None:
    change(batch_operations=1)
    monkeypatch.setattr(service, "database", None)
    for body in ({"query": WHO}, [{"query": WHO}]):
        response = await world.client.post("/graphql", json=body, headers=signed_in(world))

        answer = response.json() if isinstance(body, dict) else response.json()[0]
        [error] = answer["errors"]
        assert response.status_code == (500 if isinstance(body, dict) else 200)
        assert answer.keys() == {"errors"}
        assert error["message"] == "Something went wrong on our side."
        assert error["extensions"]["code"] == "INTERNAL"


async def test_a_failure_before_execution_has_a_status(
    world: World, service: OperationService, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise OSError("nobody answers")

    monkeypatch.setattr("schema.execution.schema.experimental_execute_incrementally", fail)
    monkeypatch.setattr(service.schema, "_plans", None)
    response = await world.client.post("/graphql", json={"query": WHO}, headers=signed_in(world, Accept=RESPONSE))

    assert response.status_code == 500
    assert [each["extensions"]["code"] for each in response.json()["errors"]] == ["INTERNAL"]
