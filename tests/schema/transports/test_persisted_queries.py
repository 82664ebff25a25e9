"""Persisted queries, automatic and trusted, on every transport."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from crm_graph.errors import Conflict, Invalid
from crm_graph.models import StoredDocument, now
from crm_graph.services.platform import persisted_queries as documents
from crm_graph.settings import PersistedQueries, Settings
from schema import OperationService
from schema.transports.negotiation import RESPONSE
from schema.transports.persisted_queries import PersistedQueryStore
from tests.support.live import EventClient, Server
from tests.support.world import World

WHO = "query Who { viewer { name } }"
NAMED = {"data": {"viewer": {"name": "Ada Admin"}}}
NOT_FOUND = ("PersistedQueryNotFound", {"code": "PERSISTED_QUERY_NOT_FOUND"})
NOT_SUPPORTED = ("PersistedQueryNotSupported", {"code": "PERSISTED_QUERY_NOT_SUPPORTED"})
ID_REQUIRED = (
    "This server accepts only trusted documents. Send the id of one.",
    {"code": "PERSISTED_QUERY_ID_REQUIRED"},
)
HASH = "extensions.persistedQuery.sha256Hash"
Change = Callable[..., None]


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def named(document_id: object, **others: Any) -> dict[str, Any]:
    return {**others, "extensions": {"persistedQuery": {"version": 1, "sha256Hash": document_id}}}


def error(answer: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The message and the extensions of the only error of a response."""
    [told] = answer["errors"]
    assert answer.keys() == {"errors"}
    return told["message"], told["extensions"]


@pytest.fixture(autouse=True)
async def persisted_queries(
    service: OperationService, world: World, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[PersistedQueryStore]:
    """An empty store with an empty cache."""
    persisted_queries = PersistedQueryStore(world.database, service.rate_limiter)
    monkeypatch.setattr(service, "persisted_queries", persisted_queries)
    yield persisted_queries
    async with world.raw() as connection:
        await connection.execute(sa.delete(StoredDocument))


@pytest.fixture
def change(service: OperationService, monkeypatch: pytest.MonkeyPatch) -> Change:
    """Change settings for one test."""

    def change(**settings: Any) -> None:
        monkeypatch.setattr(service, "settings", dataclasses.replace(service.settings, **settings))

    return change


async def stored(world: World) -> dict[str, tuple[str, bool]]:
    async with world.raw() as connection:
        rows = await connection.execute(sa.select(StoredDocument.__table__))
        return {row.id: (row.text, row.trusted) for row in rows}


async def test_a_document_is_kept_for_who_sends_it_with_its_hash(world: World) -> None:
    by_hash = named(sha256(WHO))

    assert error(await world.send(by_hash, token=world.admin.token)) == NOT_FOUND
    assert await world.send({**by_hash, "query": WHO}, token=world.admin.token) == NAMED
    with world.statements() as statements:
        assert await world.send(by_hash, token=world.admin.token) == NAMED

    assert await stored(world) == {sha256(WHO): (WHO, False)}
    assert [each for each in statements if "stored_documents" in each] == []
    assert await world.send({"documentId": f"sha256:{sha256(WHO)}"}, token=world.admin.token) == NAMED
    assert await world.send({"documentId": sha256(WHO), "query": ""}, token=world.admin.token) == NAMED


async def test_another_process_finds_it_and_looks_again_after_a_minute(
    world: World, persisted_queries: PersistedQueryStore, service: OperationService, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.send(named(sha256(WHO), query=WHO), token=world.admin.token)
    monkeypatch.setattr(service, "persisted_queries", PersistedQueryStore(world.database, service.rate_limiter))

    with world.statements() as statements:
        for _ in range(2):
            assert await world.send(named(sha256(WHO)), token=world.admin.token) == NAMED
    assert len([each for each in statements if "stored_documents" in each]) == 1

    async with world.raw() as connection:
        await connection.execute(sa.delete(StoredDocument))
    monkeypatch.setattr(persisted_queries._documents, "max_age", 0.0)
    persisted_queries._documents.clear()
    monkeypatch.setattr(service, "persisted_queries", persisted_queries)
    assert error(await world.send(named(sha256(WHO)), token=world.admin.token)) == NOT_FOUND


@pytest.mark.parametrize(
    ("body", "message", "field"),
    [
        (named(sha256("{ x }"), query=WHO), "The id is not the SHA-256 hash of the query.", HASH),
        ({"documentId": "x-mine:1", "query": WHO}, "The id is not the SHA-256 hash of the query.", "documentId"),
        (named(5), "An id has 1 to 200 visible ASCII characters.", HASH),
        (named("x" * 201), "An id has 1 to 200 visible ASCII characters.", HASH),
        ({"documentId": "ä"}, "An id has 1 to 200 visible ASCII characters.", "documentId"),
        (
            {"extensions": {"persistedQuery": {"version": 2, "sha256Hash": "x"}}},
            "Only version 1 of persisted queries is supported.",
            "extensions.persistedQuery.version",
        ),
        (
            {"extensions": {"persistedQuery": "x"}},
            "Only version 1 of persisted queries is supported.",
            "extensions.persistedQuery.version",
        ),
    ],
)
async def test_a_wrong_id_is_told_and_nothing_is_kept(
    world: World, body: dict[str, Any], message: str, field: str
) -> None:
    answer = await world.send(body, token=world.admin.token)

    assert error(answer) == (message, {"code": "BAD_USER_INPUT", "field": field})
    assert await stored(world) == {}


async def test_what_is_not_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    long = f"{WHO} #{'x' * documents.MAX_LENGTH}"
    unknown = "{ viewer { nothing } }"
    deep = "{ viewer { " + "manager { " * 30 + "id" + " }" * 32

    assert await world.send(named(sha256(long), query=long), token=world.admin.token) == NAMED
    _, extensions = error(await world.send(named(sha256(unknown), query=unknown), token=world.admin.token))
    assert extensions == {"code": "BAD_USER_INPUT"}
    _, extensions = error(await world.send(named(sha256(deep), query=deep), token=world.admin.token))
    assert extensions == {"code": "LIMIT_EXCEEDED", "limit": "levels", "most": 25}
    answer = await world.send(named(sha256(WHO), query=WHO))
    assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"

    assert await stored(world) == {}


async def test_to_have_documents_kept_costs(
    world: World, service: OperationService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.rate_limiter, "maximum", 2_500)
    monkeypatch.setattr(service.rate_limiter._local, "maximum", 2_500)
    monkeypatch.setattr(service.rate_limiter._local, "rate", 0)
    texts = [f"query Q{number} {{ viewer {{ name }} }}" for number in range(4)]

    answers = [await world.send(named(sha256(text), query=text), token=world.admin.token) for text in texts]

    assert answers == [NAMED] * 4
    assert set(await stored(world)) == {sha256(text) for text in texts[:2]}


async def test_to_look_for_documents_costs(
    world: World, service: OperationService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.rate_limiter, "maximum", 2)
    monkeypatch.setattr(service.rate_limiter._local, "maximum", 2)
    monkeypatch.setattr(service.rate_limiter._local, "rate", 0.001)
    monkeypatch.setattr(service.rate_limiter, "rate", 0.001)

    answers = [await world.send(named(str(number)), token=world.admin.token) for number in range(3)]

    assert [error(each)[1]["code"] for each in answers] == ["PERSISTED_QUERY_NOT_FOUND"] * 2 + ["THROTTLED"]


async def test_the_oldest_make_room_and_trusted_ones_stay(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MAX_UNTRUSTED", 2)
    await documents.trust(world.database, {"trusted": WHO})
    async with world.raw() as connection:
        old = now() - dt.timedelta(days=31)
        await connection.execute(sa.update(StoredDocument).values(kept_at=old))
        row = {"id": "old", "text": WHO, "trusted": False, "kept_at": old}
        await connection.execute(sa.insert(StoredDocument), [row])

    await documents.keep(world.database, "a", WHO)
    assert set(await stored(world)) == {"trusted", "a"}
    for each in "bcd":
        await documents.keep(world.database, each, WHO)

    assert set(await stored(world)) == {"trusted", "c", "d"}


async def test_only_so_much_is_known_in_memory(world: World, persisted_queries: PersistedQueryStore) -> None:
    persisted_queries._documents.max_weight = 3 * len(WHO)
    await documents.trust(world.database, dict.fromkeys("abcd", WHO))

    for each in "abcad":
        assert await world.send({"documentId": each}, token=world.admin.token) == NAMED

    assert list(persisted_queries._documents._entries) == ["c", "a", "d"]
    assert persisted_queries._documents.weight == 3 * len(WHO)


async def test_trusted_documents_alone(world: World, change: Change, server: Server) -> None:
    change(persisted_queries=PersistedQueries.ONLY)
    await documents.trust(world.database, {"who": WHO})
    other = "{ viewer { id } }"
    await documents.keep(world.database, sha256(other), other)

    for body in ({"documentId": "who"}, named("who"), named("who", query=WHO), {"documentId": "who", "variables": {}}):
        assert await world.send(body, token=world.admin.token) == NAMED
    for body in ({"query": WHO}, {"query": "{ __typename }"}, {"query": "{"}):
        assert error(await world.send(body, token=world.admin.token)) == ID_REQUIRED
    for body in (named(sha256(other)), named(sha256(other), query=other), named(sha256(WHO), query=WHO)):
        assert error(await world.send(body, token=world.admin.token)) == NOT_FOUND
    message, extensions = error(await world.send(named("who", query=other), token=world.admin.token))
    assert (message, extensions["field"]) == ("The id belongs to another document.", HASH)
    async with server.websocket(world.admin) as client:
        [refused] = await client.error(await client.start(WHO))
        assert (refused["message"], refused["extensions"]) == ID_REQUIRED


async def test_no_ids_at_all(world: World, change: Change) -> None:
    await documents.trust(world.database, {"who": WHO})
    change(persisted_queries=PersistedQueries.OFF, get_queries=False, get_without_header=True)

    assert error(await world.send({"documentId": "who"}, token=world.admin.token)) == NOT_SUPPORTED
    assert error(await world.send(named("who"), token=world.admin.token)) == NOT_SUPPORTED
    assert await world.send(named(sha256(WHO), query=WHO), token=world.admin.token) == NAMED
    assert (await world.client.get("/graphql", params={"documentId": "who"})).status_code == 405
    assert set(await stored(world)) == {"who"}


async def test_with_get_and_a_tag(world: World, change: Change) -> None:
    change(get_queries=False)
    write = 'mutation { createAccount(input: {name: "x"}) { revision } }'
    await documents.trust(world.database, {"who": WHO, "write": write})
    headers = {"Authorization": f"Bearer {world.admin.token}", "X-Requested-With": "x", "Accept": RESPONSE}

    async def get(**params: str) -> httpx.Response:
        return await world.client.get("/graphql", params=params, headers=headers)

    first = await get(documentId="who")
    assert (first.status_code, first.json()) == (200, NAMED)
    assert first.headers["cache-control"] == "private, no-cache"
    assert first.headers["vary"] == "authorization, accept, accept-encoding"
    headers["If-None-Match"] = first.headers["etag"]
    again = await get(extensions=json.dumps(named("who")["extensions"]))
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    await world.write("updateUser", "__typename", id=world.admin.id, name="Ada Lovelace")
    changed = await get(documentId="who")
    assert (changed.status_code, changed.json()["data"]) == (200, {"viewer": {"name": "Ada Lovelace"}})
    assert changed.headers["etag"] != first.headers["etag"]

    missing = await get(documentId="none")
    assert (missing.status_code, error(missing.json())) == (400, NOT_FOUND)
    assert missing.headers["cache-control"] == "no-store"
    assert "etag" not in missing.headers
    assert (await get(query=WHO)).status_code == 405
    assert (await get(documentId="write")).status_code == 405
    del headers["X-Requested-With"]
    assert (await get(documentId="who")).status_code == 400


async def test_in_a_list(world: World, change: Change) -> None:
    change(batch_operations=3)
    await documents.trust(world.database, {"who": WHO})
    headers = {"Authorization": f"Bearer {world.admin.token}"}
    body = [{"documentId": "who"}, {"documentId": "none"}, {"query": WHO}]

    first, second, third = (await world.client.post("/graphql", json=body, headers=headers)).json()

    assert (first, error(second), third) == (NAMED, NOT_FOUND, NAMED)


async def test_on_sockets_and_in_event_streams(world: World, server: Server) -> None:
    follow = "subscription Follow($id: ID!) { pipelineBoard(pipelineId: $id) { revision caughtUp } }"
    pipeline = await world.make("pipeline", name="Sales")
    body = {"variables": {"id": pipeline}, "query": follow}

    async with server.websocket(world.admin) as client:
        await client.send({"id": "1", "type": "subscribe", "payload": {**named(sha256(follow)), "variables": {}}})
        [told] = await client.error("1")
        assert (told["message"], told["extensions"]) == NOT_FOUND
        for number, each in enumerate([body, {"variables": body["variables"]}], 2):
            payload = {**each, **named(sha256(follow))}
            await client.send({"id": str(number), "type": "subscribe", "payload": payload})
            message = await client.next(str(number))
            assert message["data"]["pipelineBoard"]["caughtUp"] is True
    headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {world.admin.token}"}
    by_hash = {"documentId": sha256(follow), "variables": body["variables"]}
    async with server.client.stream("POST", server.url, json=by_hash, headers=headers) as response:
        assert (await EventClient(response).next())["data"]["pipelineBoard"]["caughtUp"] is True


def test_manifests() -> None:
    apollo = {
        "format": "apollo-persisted-query-manifest",
        "version": 1,
        "operations": [{"id": "abc", "name": "Who", "type": "query", "body": WHO}],
    }
    assert documents.read_manifest(json.dumps(apollo)) == {"abc": WHO}
    assert documents.read_manifest(json.dumps({"sha256:abc": WHO})) == {"abc": WHO}
    for wrong in ("[", "[]", '{"a": 5}', '{"": "{ x }"}', '{"a": ""}', json.dumps({**apollo, "version": 2})):
        with pytest.raises(Invalid):
            documents.read_manifest(wrong)


async def test_an_id_means_one_text_for_good(world: World) -> None:
    await documents.keep(world.database, sha256(WHO), WHO)

    assert await documents.trust(world.database, {"a": WHO, sha256(WHO): WHO}) == (2, 0)
    assert await documents.trust(world.database, {"a": WHO}) == (0, 0)
    with pytest.raises(Conflict, match="Another document is already trusted as a"):
        await documents.trust(world.database, {"a": "{ viewer { id } }", "b": WHO})
    assert await documents.trust(world.database, {"c": WHO}, alone=True) == (1, 2)

    assert await stored(world) == {"c": (WHO, True)}


def test_the_setting() -> None:
    settings = Settings.from_environment({"CRM_GRAPH_PERSISTED_QUERIES": "Only"})
    assert settings.persisted_queries is PersistedQueries.ONLY
