"""Each limit on each transport, with its exact response."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
import sqlalchemy as sa

from crm_graph import auth
from crm_graph.bounded_cache import BoundedCache
from crm_graph.models import Account
from loaders import Loaders
from loaders.sql_json.statement import Statement
from schema import FairQueue, OperationService, RateLimiter
from schema.core.caller import Caller
from schema.transports.negotiation import JSON, RESPONSE
from tests.schema.limits.conftest import Change
from tests.support.abuse import ABUSES, Abuse
from tests.support.live import Server
from tests.support.world import Person, World

WHO = "{ viewer { id } }"
LIST = "{ accounts(first: 10) { nodes { name } } }"
CUBE = (
    "{ accounts(first: 100) { nodes { contacts(first: 100) { nodes { activities(first: 100) { nodes { id } } } } } } }"
)
CREATE = "mutation ($name: String!) { createAccount(input: {name: $name}) { account { name } } }"
TRANSPORTS = ["http", "events", "websocket"]
PATIENCE = 10.0


async def ask(server: Server, how: str, query: str, by: Person, **variables: Any) -> dict[str, Any]:
    """The response; only its errors if a websocket rejects the operation."""
    if how == "http":
        headers = {"Authorization": f"Bearer {by.token}"}
        body = {"query": query, "variables": variables}
        response = await server.client.post(server.url, json=body, headers=headers)
        answer: dict[str, Any] = response.json()
        return answer
    if how == "events":
        async with server.events(query, by=by, **variables) as stream:
            return await stream.next()
    async with server.websocket(by) as client:
        message = await client.about(await client.start(query, **variables))
        return {"errors": message["payload"]} if message["type"] == "error" else message["payload"]


async def status(
    server: Server, query: str, by: Person, media: str = RESPONSE
) -> tuple[int, str | None, dict[str, Any]]:
    """The status, the header Retry-After, and the response."""
    headers = {"Authorization": f"Bearer {by.token}", "Accept": media}
    response = await server.client.post(server.url, json={"query": query}, headers=headers)
    return response.status_code, response.headers.get("retry-after"), response.json()


# Documents


async def test_what_is_read_for_the_first_time_costs_its_sender(
    world: World, server: Server, service: OperationService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "rate_limiter", RateLimiter(100, 1))
    wrong = [f"{{ nothing{number} }} # {'x' * 2_000}" for number in range(3)]
    codes = [(await ask(server, "http", each, world.admin))["errors"][0]["extensions"]["code"] for each in wrong]
    assert codes == ["BAD_USER_INPUT", "BAD_USER_INPUT", "THROTTLED"]

    monkeypatch.setattr(service, "rate_limiter", RateLimiter(100, 1))
    await ask(server, "http", WHO, world.admin)  # caches the principal, who then pays
    right = [f"{{ viewer {{ id }} }} # {number} {'x' * 3_000}" for number in (1, 2)]
    answers = [await ask(server, "http", each, world.admin) for each in (right[0], right[0], right[1])]
    assert [each.get("data") for each in answers] == [{"viewer": {"id": world.admin.id}}] * 2 + [None]
    assert answers[2]["errors"][0]["extensions"]["code"] == "THROTTLED"


@pytest.mark.parametrize("how", TRANSPORTS)
@pytest.mark.parametrize("abuse", [each for each in ABUSES if len(each.text) < 200_000], ids=lambda abuse: abuse.name)
async def test_an_abuse_is_refused(world: World, server: Server, abuse: Abuse, how: str) -> None:
    answer = await ask(server, how, abuse.text, world.admin)
    assert answer.keys() == {"errors"}
    told = dict(answer["errors"][0]["extensions"])
    told.pop("most", None)
    assert told == abuse.extensions


async def test_a_limit_is_told_with_its_status(world: World, server: Server) -> None:
    text = f"{{ viewer {{ {'id ' * 51} }} }}"
    extensions = {"code": "LIMIT_EXCEEDED", "limit": "fields of one name beside each other", "most": 50}
    error = {
        "message": "A document may have at most 50 fields of one name beside each other.",
        "extensions": extensions,
    }
    assert await status(server, text, world.admin) == (400, None, {"errors": [error]})
    assert await status(server, text, world.admin, JSON) == (200, None, {"errors": [error]})


@pytest.mark.parametrize("how", TRANSPORTS)
async def test_variables_have_a_number_of_values(world: World, server: Server, how: str) -> None:
    ids = "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }"
    [error] = (await ask(server, how, ids, world.admin, ids=["a"] * 20_000))["errors"]
    assert error["extensions"] == {"code": "LIMIT_EXCEEDED", "limit": "values of variables", "most": 20_000}
    wide = "query ($filter: AccountFilter) { accounts(filter: $filter) { totalCount } }"
    condition = {"and": [{"name": {"in": ["a"] * 1_000}}] * 20}
    [error] = (await ask(server, how, wide, world.admin, filter=condition))["errors"]
    assert error["extensions"]["code"] == "LIMIT_EXCEEDED"
    [error] = (await ask(server, how, ids, world.admin, ids=["a"] * 101))["errors"]
    assert error["extensions"] == {"code": "BAD_USER_INPUT", "field": "ids"}


@pytest.mark.parametrize("how", TRANSPORTS)
async def test_an_order_has_a_number_of_terms(world: World, server: Server, how: str) -> None:
    query = "query ($order: [AccountOrder!]) { accounts(orderBy: $order) { nodes { id } } }"
    terms = [{"field": "NAME", "direction": "DESC"}] * 51
    assert await ask(server, how, query, world.admin, order=terms[1:]) == {"data": {"accounts": {"nodes": []}}}
    [error] = (await ask(server, how, query, world.admin, order=terms))["errors"]
    assert error["extensions"] == {"code": "BAD_USER_INPUT", "field": "orderBy"}


# Cost


@pytest.mark.parametrize("how", TRANSPORTS)
async def test_what_costs_too_much_is_refused(world: World, server: Server, how: str) -> None:
    [error] = (await ask(server, how, CUBE, world.admin))["errors"]
    assert error == {
        "message": "This operation costs 1010100; the maximum is 25000. Request fewer rows or fewer fields.",
        "extensions": {"code": "COST_EXCEEDED", "cost": 1_010_100, "maxCost": 25_000},
    }


@pytest.mark.parametrize("how", TRANSPORTS)
async def test_a_write_or_a_subscription_of_too_much_is_not_begun(
    world: World, server: Server, change: Change, how: str
) -> None:
    change(operation_cost=10)
    [error] = (await ask(server, how, CREATE, world.admin, name="Acme"))["errors"]
    assert error["extensions"] == {"code": "COST_EXCEEDED", "cost": 11, "maxCost": 10}
    assert await world.rows(Account) == []
    if how != "http":
        live = "subscription { changes { revision changes { record { id } } } }"
        [error] = (await ask(server, how, live, world.admin))["errors"]
        assert error["extensions"] == {"code": "COST_EXCEEDED", "cost": 20, "maxCost": 10}
    change(operation_cost=0)
    assert "errors" not in await ask(server, how, CREATE, world.admin, name="Acme")


async def test_who_is_refused_does_not_pay(
    world: World, server: Server, service: OperationService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "rate_limiter", RateLimiter(100, 1))
    for how in TRANSPORTS:
        assert (await ask(server, how, CUBE, world.admin))["errors"][0]["extensions"]["code"] == "COST_EXCEEDED"
    assert "errors" not in await ask(server, "http", "{ accounts(first: 95) { nodes { id } } }", world.admin)


async def test_the_cost_is_told_to_who_asks(
    world: World, server: Server, service: OperationService, monkeypatch: pytest.MonkeyPatch, change: Change
) -> None:
    await world.make("account", name="Acme")
    monkeypatch.setattr(service, "rate_limiter", RateLimiter(1_000, 1))
    compiled = service.settings.compiled
    actual = 10 if compiled else 1
    headers = {"Authorization": f"Bearer {world.admin.token}"}

    response = await server.client.post(server.url, json={"query": LIST}, headers=headers)
    assert response.json().keys() == {"data"}
    response = await server.client.post(server.url, json={"query": LIST}, headers={**headers, "X-CRM-Graph-Cost": "1"})
    assert response.json()["extensions"] == {
        "cost": {
            "requestedQueryCost": 10,
            "actualQueryCost": actual,
            "throttleStatus": {
                "maximumAvailable": 1_000,
                "currentlyAvailable": 1_000 - 2 * actual,
                "restoreRate": 1,
            },
        }
    }
    body = {"query": LIST, "extensions": {"cost": True}}
    response = await server.client.post(server.url, json=body, headers=headers)
    assert response.json()["extensions"]["cost"]["throttleStatus"]["currentlyAvailable"] == 1_000 - 3 * actual
    async with server.websocket(world.admin) as client:
        await client.send({"id": "x", "type": "subscribe", "payload": body})
        assert (await client.next("x"))["extensions"]["cost"]["requestedQueryCost"] == 10
    change(explain=True)
    answer = await ask(server, "events", LIST, world.admin)
    assert answer["extensions"].keys() == {"execution", "cost"}
    monkeypatch.setattr(service, "rate_limiter", RateLimiter(0, 1))
    answer = await ask(server, "http", LIST, world.admin)
    assert answer["extensions"]["cost"] == {"requestedQueryCost": 10, "actualQueryCost": actual}


# Rate limits


@pytest.mark.parametrize("how", TRANSPORTS)
async def test_who_asks_for_more_than_there_is_has_to_wait(
    world: World, server: Server, service: OperationService, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(service, "rate_limiter", RateLimiter(15, 1))
    assert "errors" not in await ask(server, how, CREATE, world.admin, name="Acme")
    if how == "events":
        response = await server.client.post(
            server.url,
            json={"query": CREATE, "variables": {"name": "Bcme"}},
            headers={"Authorization": f"Bearer {world.admin.token}", "Accept": "text/event-stream"},
        )
        assert (response.status_code, response.headers["content-type"]) == (429, "application/json; charset=utf-8")
        [error] = response.json()["errors"]
        assert response.headers["retry-after"] == str(math.ceil(error["extensions"]["retryAfter"]))
    else:
        [error] = (await ask(server, how, CREATE, world.admin, name="Bcme"))["errors"]
    wait = error["extensions"].pop("retryAfter")
    assert 5 < wait <= 7
    left = {"maximumAvailable": 15, "currentlyAvailable": 11 - wait, "restoreRate": 1}
    assert error["extensions"] == {"code": "THROTTLED", "throttleStatus": left}
    assert error["message"] == f"Rate limit exceeded. Retry in {wait} seconds."
    assert [row["name"] for row in await world.rows(Account)] == ["Acme"]
    rep = await world.person()
    assert "errors" not in await ask(server, how, LIST, rep)  # another user has another bucket


async def test_the_status_of_who_has_to_wait(
    world: World, server: Server, service: OperationService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "rate_limiter", RateLimiter(10, 1))
    await status(server, LIST, world.admin)  # caches the principal of the token
    [token] = [key for key in service.rate_limiter._local._levels._entries if key.startswith("token:")]
    service.rate_limiter._local._levels.clear()
    await service.rate_limiter.charge(token, 10)
    code, after, answer = await status(server, LIST, world.admin)
    assert (code, after) == (429, "10")
    assert answer.keys() == {"errors"}
    code, after, answer = await status(server, LIST, world.admin, JSON)
    assert (code, after, answer["errors"][0]["extensions"]["code"]) == (200, None, "THROTTLED")


async def test_who_is_nobody_shares_with_all_of_the_address(
    world: World, server: Server, service: OperationService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "rate_limiter", RateLimiter(10, 1))
    monkeypatch.setattr(service, "_principals", BoundedCache(10))
    headers = {"Accept": RESPONSE}
    codes = [
        (await server.client.post(server.url, json={"query": LIST}, headers=headers | by)).status_code
        for by in ({}, {"Authorization": "Bearer nothing"}, {"Authorization": f"Bearer {world.admin.token}"}, {})
    ]
    # The first got no data, so 9 of 10 are refunded. That is too little for the second, but enough for the minimum that
    # a token costs until it is authenticated.
    assert codes == [401, 429, 200, 429]
    levels = service.rate_limiter._local._levels
    assert sorted(key.partition(":")[0] for key in levels._entries) == ["client", "token"]
    assert 9 <= levels._entries["client:127.0.0.1"][0][0] < 10


# The queue


@pytest.mark.parametrize("how", TRANSPORTS)
async def test_who_finds_the_queue_full_is_sent_away(
    world: World, server: Server, service: OperationService, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    rep = await world.person()
    monkeypatch.setattr(service, "queue", FairQueue(1, 1))
    monkeypatch.setattr(service, "rate_limiter", RateLimiter(15, 1))
    await service.queue.acquire("somebody")
    waiting = asyncio.create_task(ask(server, how, CREATE, world.admin, name="Acme"))
    async with asyncio.timeout(PATIENCE):
        while not service.queue._waiting:  # noqa: ASYNC110  # there is no event of it
            await asyncio.sleep(0.01)
    [error] = (await ask(server, how, CREATE, rep, name="Bcme"))["errors"]
    assert error == {
        "message": "The server is overloaded. Try again later.",
        "extensions": {"code": "OVERLOADED", "retryAfter": 1.0},
    }
    if how == "http":
        for media in (RESPONSE, JSON):
            assert (await status(server, WHO, rep, media))[:2] == (503, "1")
    service.queue.release()
    assert "errors" not in await waiting
    assert [row["name"] for row in await world.rows(Account)] == ["Acme"]
    assert "errors" not in await ask(server, how, CREATE, rep, name="Bcme")  # the refused attempt cost nothing
    assert service.queue._running == 0


# Time limits


SLOW = {
    "sqlite": "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) || '' FROM n",
    "postgresql": "SELECT pg_sleep(600)::text",
}


async def are_over(world: World) -> None:
    """Wait until all reads have ended: no connection is in use, and PostgreSQL executes no slow statement."""
    running_reads = (
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep(600)%'"
    )
    pools: list[Any] = [each.pool for each in world.database.engines]
    async with asyncio.timeout(PATIENCE):
        while any(pool.checkedout() for pool in pools):  # noqa: ASYNC110  # there is no event of it
            await asyncio.sleep(0.01)
        while not world.database.is_sqlite:
            async with world.database.read() as session:
                if (await session.execute(sa.text(running_reads))).scalar_one() == 0:
                    break
            await asyncio.sleep(0.01)


@pytest.fixture
def slow(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading a list of accounts takes ten minutes, compiled or executed."""
    text = SLOW["sqlite" if world.database.is_sqlite else "postgresql"]

    async def answer(self: Statement, database: Any, variables: Any) -> str | None:
        result: str | None = await database.fetch_text(text, [])
        return result

    async def page(self: Loaders, *arguments: Any) -> Any:
        return await self.read(lambda session: session.execute(sa.text(text)))

    monkeypatch.setattr(Statement, "answer", answer)
    monkeypatch.setattr(Loaders, "page", page)


@pytest.mark.parametrize("how", TRANSPORTS)
@pytest.mark.parametrize("query", [LIST, "{ revision accounts { nodes { id } } }"], ids=["read", "snapshot"])
@pytest.mark.usefixtures("slow")
async def test_a_query_is_ended_when_its_time_is_over(
    world: World, server: Server, service: OperationService, change: Change, how: str, query: str
) -> None:
    change(query_seconds=0.3)
    error = {
        "message": "The query timed out. Request less data.",
        "extensions": {"code": "TIMEOUT"},
    }
    assert await ask(server, how, query, world.admin) == {"errors": [error]}
    await are_over(world)
    if how == "http":
        assert await status(server, query, world.admin) == (504, None, {"errors": [error]})
        assert await status(server, query, world.admin, JSON) == (200, None, {"errors": [error]})
    assert service.queue._running == 0


@pytest.mark.usefixtures("slow")
async def test_many_queries_that_are_ended_leave_the_pool_whole(
    world: World, server: Server, service: OperationService, change: Change
) -> None:
    change(query_seconds=0.3)
    answers = await asyncio.gather(*[ask(server, "http", LIST, world.admin) for _ in range(25)])
    assert {answer["errors"][0]["extensions"]["code"] for answer in answers} == {"TIMEOUT"}
    await are_over(world)
    change(query_seconds=0)
    assert len(await world.rows(Account)) == 0


async def test_a_mutation_that_began_is_run_to_its_end(
    world: World, server: Server, service: OperationService, change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(query_seconds=0.05)
    answer = service.schema.execute_document

    async def slowly(*arguments: Any) -> Any:
        await asyncio.sleep(0.2)
        return await answer(*arguments)

    monkeypatch.setattr(service.schema, "execute_document", slowly)
    assert "errors" not in await ask(server, "http", CREATE, world.admin, name="Acme")
    assert (await ask(server, "http", WHO, world.admin))["errors"][0]["extensions"] == {"code": "TIMEOUT"}


async def test_who_is_proven_anew_is_no_stranger_meanwhile(
    world: World, server: Server, service: OperationService, monkeypatch: pytest.MonkeyPatch
) -> None:
    await status(server, LIST, world.admin)  # caches the principal of the token
    prove, payers = auth.authenticate, []

    async def proving(*args: Any) -> Any:
        payers.append(service._payer(Caller({"type": "http", "headers": [authorization]}), None))
        return await prove(*args)

    authorization = (b"authorization", f"Bearer {world.admin.token}".encode())
    monkeypatch.setattr(auth, "authenticate", proving)
    await service.authenticate(world.admin.token)

    [(is_sure, payer)] = payers
    assert is_sure
    assert payer.startswith("token:")
