"""Operations on websockets: the protocol, and each wrong use with its exact error or close code."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest
import sqlalchemy as sa
from websockets.exceptions import InvalidStatus

from crm_graph.models import Account, Role, User
from schema import OperationService
from schema.transports import asgi_sender, websocket
from tests.schema.transports.conftest import PATIENCE, Out, WaitingManager, refused
from tests.support.live import Server
from tests.support.world import World

WHO = "{ viewer { id role } }"
CHANGES = "subscription ($after: String) { changes(after: $after) { revision caughtUp changes { recordId } } }"
CREATE = "mutation ($name: String!) { createAccount(input: {name: $name}) { account { name } userErrors { code } } }"
INIT = {"type": "connection_init"}
UNKNOWN = "The token is not valid. Sign in again, or use another API token."


def subscribe(id: Any = "1", **payload: Any) -> dict[str, Any]:
    return {"type": "subscribe", "id": id, "payload": {"query": WHO, **payload}}


# Operations


async def test_queries_mutations_and_subscriptions(world: World, server: Server) -> None:
    async with server.websocket(world.admin) as client:
        who = await client.ask(WHO)
        live = await client.start(CHANGES)
        first = await client.next(live)
        made = await client.ask(CREATE, name="Acme")
        second = await client.next(live)
        await client.stop(live)
        again = await client.ask("query Who($with: Boolean!) { viewer { id @include(if: $with) } }", **{"with": True})

    assert who == {"data": {"viewer": {"id": world.admin.id, "role": "ADMIN"}}}
    assert first["data"]["changes"]["changes"] == []
    assert made == {"data": {"createAccount": {"account": {"name": "Acme"}, "userErrors": []}}}
    [account] = await world.rows(Account)
    assert second["data"]["changes"]["changes"] == [{"recordId": account["id"]}]
    assert again == {"data": {"viewer": {"id": world.admin.id}}}


async def test_a_token_in_the_upgrade_will_do_and_the_keys_case_does_not_matter(world: World, server: Server) -> None:
    header = {"Authorization": f"Bearer {world.admin.token}"}
    async with server.websocket(additional_headers=header) as client:
        await client.init(None)
        assert await client.ask(WHO) == {"data": {"viewer": {"id": world.admin.id, "role": "ADMIN"}}}
    async with server.websocket() as client:
        await client.send({**INIT, "payload": {"AUTHORIZATION": f"bearer {world.admin.token}"}})
        assert await client.receive() == {"type": "connection_ack"}


async def test_pings_are_answered_before_and_after_the_ack(world: World, server: Server) -> None:
    async with server.websocket() as client:
        await client.send({"type": "ping"})
        assert await client.receive() == {"type": "pong"}
        await client.init(world.admin.token)
        await client.send({"type": "pong", "payload": {"unasked": True}})
        await client.send({"type": "ping", "payload": {"at": 1}})
        assert await client.receive() == {"type": "pong"}


async def test_each_operation_is_asked_by_who_one_is_by_then(world: World, server: Server) -> None:
    rep = await world.person(Role.REP)
    async with server.websocket(rep) as client:
        assert (await client.ask(WHO))["data"]["viewer"]["role"] == "REP"
        async with world.raw() as connection:
            await connection.execute(sa.update(User).where(User.id == rep.id).values(role=Role.READ_ONLY))
        assert (await client.ask(WHO))["data"]["viewer"]["role"] == "READ_ONLY"
        refused = await client.ask(CREATE, name="Acme")

    assert refused["data"]["createAccount"]["userErrors"] == [{"code": "FORBIDDEN"}]
    assert await world.rows(Account) == []


async def test_an_operation_that_is_stopped_ends(world: World, server: Server, waiting_hub: WaitingManager) -> None:
    async with server.websocket(world.admin) as client:
        live = await client.start(CHANGES)
        await waiting_hub.has(1)
        [sink] = waiting_hub.outlets
        assert sink.try_send('{"data":1}')
        await client.stop(live)
        await waiting_hub.has(0)
        assert not sink.try_send('{"data":2}')
        assert await client.next(live) == {"data": 1}
        # The id may be reused, and gets no results of the old operation.
        assert await client.start(WHO, operation_id=live) == live
        assert (await client.next(live))["data"]["viewer"]["id"] == world.admin.id
        await client.completed(live)


async def test_operations_end_with_their_socket(world: World, server: Server, waiting_hub: WaitingManager) -> None:
    async with server.websocket(world.admin) as client:
        await client.start(CHANGES)
        await client.start(CHANGES)
        await waiting_hub.has(2)
    await waiting_hub.has(0)


@pytest.mark.parametrize("goes", [True, False])
async def test_a_mutation_is_executed_to_its_end(
    world: World, server: Server, service: OperationService, monkeypatch: pytest.MonkeyPatch, goes: bool
) -> None:
    """A mutation is finished if its client completes it or, with `goes`, disconnects."""
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
        async with server.websocket(world.admin) as client:
            write = await client.start(CREATE, name="Acme")
            await begun.wait()
            if not goes:
                await client.stop(write)
                monkeypatch.setattr(service.connections, "user_operations", 1)
                [error] = await client.error(await client.start(WHO))
                assert error["extensions"] == {"code": "THROTTLED"}  # a completed mutation counts until it has finished
        go_on.set()
        await done.wait()

    assert [row["name"] for row in await world.rows(Account)] == ["Acme"]


# Invalid operations: the socket stays open


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("{ viewer { id }", "Syntax Error: Expected Name, found <EOF>."),
        ("", "Syntax Error: Unexpected <EOF>."),
        ("{ account(id: " + "[" * 2_000, "Syntax Error: Document is nested too deeply. Parsing aborted."),
        ("{ nothing }", "Cannot query field 'nothing' on type 'Query'."),
        ("query A { viewer { id } } query B { viewer { id } }", "operationName matches no operation in the document."),
        ("fragment F on User { id }", "Fragment 'F' is never used."),
        ("subscription { nothing }", "Cannot query field 'nothing' on type 'Subscription'."),
    ],
)
async def test_a_wrong_document_is_an_error_of_its_operation(
    world: World, server: Server, query: str, message: str
) -> None:
    async with server.websocket(world.admin) as client:
        [error, *_] = await client.error(await client.start(query))
        assert (error["message"], error["extensions"]) == (message, {"code": "BAD_USER_INPUT"})
        assert await client.ask(WHO) == {"data": {"viewer": {"id": world.admin.id, "role": "ADMIN"}}}


async def test_a_name_that_names_no_operation(world: World, server: Server) -> None:
    async with server.websocket(world.admin) as client:
        for name in ("Other", "\ud800"):
            [error] = await client.error(await client.start("query Who { viewer { id } }", operation_name=name))
            assert error == {
                "message": "operationName matches no operation in the document.",
                "extensions": {"code": "BAD_USER_INPUT"},
            }
        assert "errors" not in await client.ask(WHO, operation_name="")


async def test_errors_of_execution_come_with_the_answer(world: World, server: Server) -> None:
    async with server.websocket(world.admin) as client:
        answer = await client.ask("query ($first: Int) { accounts(first: $first) { nodes { id } } }", first=0)
        [error] = answer["errors"]
        assert error["extensions"] == {"code": "BAD_USER_INPUT", "field": "first"}
        answer = await client.ask("query ($first: Int) { accounts(first: $first) { nodes { id } } }", first="x")
        assert [each["extensions"] for each in answer["errors"]] == [{"code": "BAD_USER_INPUT"}]
        assert answer.keys() == {"errors"}


async def test_what_nobody_foresaw_is_masked(
    world: World, server: Server, service: OperationService, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*arguments: Any) -> None:
        raise ValueError("a secret")

    monkeypatch.setattr(service.manager, "serve", fail)
    async with server.websocket(world.admin) as client:
        [error] = await client.error(await client.start(CHANGES))

    assert error["message"] == "Something went wrong on our side."
    assert (error["extensions"]["code"], len(error["extensions"]["id"])) == ("INTERNAL", 32)


async def test_an_after_that_cannot_be_ends_its_operation_alone(world: World, server: Server) -> None:
    async with server.websocket(world.admin) as client:
        [malformed] = await client.error(await client.start(CHANGES, after="yesterday"))
        [other_epoch] = await client.error(await client.start(CHANGES, after="epoch.1"))
        assert malformed["extensions"] == {"code": "BAD_USER_INPUT", "field": "after"}
        assert other_epoch["extensions"]["code"] == "RESYNC"
        live = await client.start(CHANGES, after=other_epoch["extensions"]["revision"])
        assert (await client.next(live))["data"]["changes"]["caughtUp"] is True


async def test_the_operation_beyond_the_most_is_refused_and_nothing_else_happens(
    world: World, server: Server, service: OperationService, waiting_hub: WaitingManager
) -> None:
    most = service.settings.operations_per_socket
    async with server.websocket(world.admin) as client:
        ids = [await client.start(CHANGES) for _ in range(most)]
        refused = await client.start(CREATE, name="Acme")
        [error] = await client.error(refused)
        assert error == {
            "message": "At most 100 operations may run on one socket at a time.",
            "extensions": {"code": "THROTTLED"},
        }
        await waiting_hub.has(100)
        assert most == 100
        await client.stop(ids[0])
        await waiting_hub.has(99)
        await client.ask(CREATE, name="Birch")

    assert [row["name"] for row in await world.rows(Account)] == ["Birch"]


async def test_a_user_has_so_many_operations_in_all_connections(
    world: World,
    server: Server,
    service: OperationService,
    waiting_hub: WaitingManager,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service.connections, "user_operations", 2)
    rep = await world.person()
    error = {
        "message": "At most 2 operations of one user may run here at a time.",
        "extensions": {"code": "THROTTLED"},
    }
    async with server.websocket(rep) as one, server.websocket(rep) as two, server.websocket(world.admin) as other:
        ids = [await one.start(CHANGES), await two.start(CHANGES)]
        await waiting_hub.has(2)
        assert await one.error(await one.start(WHO)) == [error]
        assert await two.error(await two.start(WHO)) == [error]
        async with server.events(WHO, by=rep) as stream:
            assert await stream.next() == {"errors": [error]}
            await stream.completed()
        assert (await other.ask(WHO))["data"]["viewer"]["id"] == world.admin.id
        await one.stop(ids[0])
        await waiting_hub.has(1)
        assert (await one.ask(WHO))["data"]["viewer"]["id"] == rep.id


# Invalid messages: the socket closes


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("{", "The message is not JSON"),
        ("", "The message is not JSON"),
        ("[" * 100_000, "The message is not JSON"),
        ("[]", "The message is not an object with a type"),
        ("null", "The message is not an object with a type"),
        ({"id": "1"}, "The message is not an object with a type"),
        ({"type": 1}, "The message is not an object with a type"),
        (b"{}", "Messages are text, not binary"),
        ({"type": "start"}, "Unknown message type 'start'"),
        ({"type": "next", "id": "1"}, "Unknown message type 'next'"),
        ({"type": "x" * 1000}, "Unknown message type '" + "x" * 101),
        ({"type": "ping", "payload": 1}, "payload is not an object"),
        ({"type": "pong", "payload": "x"}, "payload is not an object"),
        ({"type": "complete"}, "id is not a string of 1 to 1000 characters"),
        (subscribe(id=None), "id is not a string of 1 to 1000 characters"),
        (subscribe(id=""), "id is not a string of 1 to 1000 characters"),
        (subscribe(id=1), "id is not a string of 1 to 1000 characters"),
        (subscribe(id="x" * 1001), "id is not a string of 1 to 1000 characters"),
        ({"type": "subscribe", "id": "1"}, "The payload has no query"),
        ({"type": "subscribe", "id": "1", "payload": []}, "payload is not an object"),
        (subscribe(query=None), "The payload has no query"),
        (subscribe(operationName=1), "operationName is not a string"),
        (subscribe(variables=[]), "variables is not an object"),
        (subscribe(extensions="x"), "extensions is not an object"),
    ],
    ids=range(24),
)
async def test_a_malformed_message(world: World, server: Server, message: Any, reason: str) -> None:
    async with server.websocket(world.admin) as client:
        await client.send(message)
        assert await client.closed() == (4400, reason)


@pytest.mark.parametrize(
    ("messages", "close"),
    [
        ([subscribe()], (4401, "Unauthorized")),
        ([INIT], (4403, 'Send a token with connection_init: {"authorization": "Bearer ..."}')),
        ([{**INIT, "payload": {}}], (4403, 'Send a token with connection_init: {"authorization": "Bearer ..."}')),
        ([{**INIT, "payload": {"authorization": 1}}],
         (4403, 'Send a token with connection_init: {"authorization": "Bearer ..."}')),
        ([{**INIT, "payload": {"authorization": "crm_x"}}],
         (4403, 'Send a token with connection_init: {"authorization": "Bearer ..."}')),
        ([{**INIT, "payload": {"authorization": "Bearer crm_x"}}], (4403, UNKNOWN)),
        ([{**INIT, "payload": {"authorization": "Bearer \ud800"}}], (4403, UNKNOWN)),
        ([{**INIT, "payload": []}], (4400, "payload is not an object")),
    ],
    ids=range(8),
)  # fmt: skip
async def test_a_wrong_beginning(server: Server, messages: list[Any], close: tuple[int, str]) -> None:
    async with server.websocket() as client:
        for message in messages:
            await client.send(message)
        assert await client.closed() == close


async def test_a_second_connection_init(world: World, server: Server) -> None:
    async with server.websocket(world.admin) as client:
        await client.send(INIT)
        assert await client.closed() == (4429, "Too many initialisation requests")


async def test_no_connection_init_in_time(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "INIT_TIMEOUT_SECONDS", 0.1)
    async with server.websocket() as client:
        await client.send({"type": "ping"})
        assert await client.closed() == (4408, "Connection initialisation timeout")


async def test_an_id_that_is_running(world: World, server: Server, waiting_hub: WaitingManager) -> None:
    async with server.websocket(world.admin) as client:
        await client.start(CHANGES, operation_id="mine")
        await waiting_hub.has(1)
        await client.start(WHO, operation_id="mine")
        assert await client.closed() == (4409, "Subscriber for mine already exists")
    await waiting_hub.has(0)


async def test_a_reason_that_is_too_long_is_cut_between_characters(
    world: World, server: Server, waiting_hub: WaitingManager
) -> None:
    async with server.websocket(world.admin) as client:
        await client.start(CHANGES, operation_id="é" * 100)
        await client.start(CHANGES, operation_id="é" * 100)
        assert await client.closed() == (4409, "Subscriber for " + "é" * 54)


async def test_a_message_that_is_too_long(world: World, server: Server) -> None:
    async with server.websocket(world.admin) as client:
        await client.send(subscribe(query="#" * 1_000_001))
        code, _ = await client.closed()
        assert code == 1009


@pytest.mark.parametrize("protocols", [(), ("graphql-ws",), ("graphql-sse", "other")])
async def test_another_subprotocol(server: Server, protocols: tuple[str, ...]) -> None:
    async with server.websocket(protocols=protocols) as client:
        assert await client.closed() == (4406, "Subprotocol not acceptable")


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        ("http://crm.example", "crm.example", True),
        ("https://crm.example", "crm.example", True),
        ("https://CRM.example:443", "crm.example", True),
        ("http://crm.example:8000", "crm.example:8000", True),
        ("https://app.example", "crm.example", True),
        ("https://app.example:444", "crm.example", False),
        ("http://app.example", "crm.example", False),
        ("http://crm.example", "crm.example:8000", False),
        ("https://evil.example", "crm.example", False),
        ("https://crm.example.evil.example", "crm.example", False),
        ("null", "crm.example", False),
        ("", "crm.example", False),
    ],
)
async def test_a_page_of_somebody_else(
    server: Server, service: OperationService, monkeypatch: pytest.MonkeyPatch, origin: str, host: str, allowed: bool
) -> None:
    apps = [getattr(route, "app", None) for route in server.application.routes]
    [websockets] = [app for app in apps if isinstance(app, websocket.WebSockets)]
    monkeypatch.setattr(websockets, "origins", {"https://app.example"})
    address, _, port = server.address.partition(":")
    options: dict[str, Any] = {"url": f"ws://{host}/graphql", "host": address, "port": int(port), "origin": origin}
    if allowed:
        async with server.websocket(**options) as client:
            await client.send({"type": "ping"})
            assert await client.receive() == {"type": "pong"}
    else:
        with pytest.raises(InvalidStatus) as refused:
            async with server.websocket(**options):
                pass
        assert refused.value.response.status_code == 403


# Slow and stuck clients, outages, restarts


async def test_a_stuck_client_is_left_out_and_let_go(
    world: World,
    server: Server,
    service: OperationService,
    waiting_hub: WaitingManager,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(asgi_sender, "SEND_TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr(websocket, "CLOSE_TIMEOUT_SECONDS", 0.3)
    payload = '"' + "x" * 100_000 + '"'
    async with (
        asyncio.timeout(PATIENCE),
        server.websocket(world.admin) as well,
        server.websocket(world.admin, max_queue=1, close_timeout=0.1) as stuck,
    ):
        await stuck.start(CHANGES)
        await waiting_hub.has(1)
        [sink] = waiting_hub.outlets
        await refused(sink, payload)
        assert not sink.try_send(payload)
        await waiting_hub.has(0)
        assert "errors" not in await well.ask(WHO)


@pytest.mark.parametrize("error", [OSError("gone"), RuntimeError("after sending 'websocket.close'")])
async def test_what_is_closed_takes_nothing(error: Exception) -> None:
    """try_send() raises nothing, so that fan-out does not fail for one closed client."""

    async def send(message: Any) -> None:
        raise error

    assert asgi_sender.AsgiSender(send).try_send({"type": "websocket.send"}) is False
    with pytest.raises(asgi_sender.ClientDisconnected):
        await asgi_sender.AsgiSender(send).send({"type": "websocket.send"})


async def test_a_client_that_reads_again_is_sent_all_in_order(
    world: World, server: Server, waiting_hub: WaitingManager
) -> None:
    async with asyncio.timeout(PATIENCE), server.websocket(world.admin, max_queue=1) as client:
        live = await client.start(CHANGES)
        await waiting_hub.has(1)
        [sink] = waiting_hub.outlets
        taken = 0
        while sink.try_send(f'[{taken},"{"x" * 100_000}"]'):
            taken += 1
        waiting = asyncio.create_task(sink.send(f"[{taken}]"))
        numbers = [(await client.next(live))[0] for _ in range(taken + 1)]  # type: ignore[index]
        await waiting

    assert numbers == list(range(taken + 1))


async def test_while_the_database_is_out_clients_are_to_try_again(
    world: World, server: Server, service: OperationService, monkeypatch: pytest.MonkeyPatch
) -> None:
    try_again = (1013, "something went wrong on our side: try again")
    async with server.websocket(world.admin) as client, server.websocket(world.admin) as other:
        monkeypatch.setattr(service, "database", Out())
        [error] = await client.error(await client.start(WHO))
        assert error["extensions"]["code"] == "INTERNAL"
        async with server.websocket() as late:
            await late.send({**INIT, "payload": {"authorization": f"Bearer {world.admin.token}"}})
            assert await late.closed() == try_again
        await other.start(CHANGES)
        assert await other.closed() == try_again  # clients would not retry after an error
        monkeypatch.undo()
        assert "errors" not in await client.ask(WHO)


async def test_a_subscription_that_the_database_keeps_from_beginning_is_to_be_begun_again(
    world: World, server: Server, service: OperationService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.manager, "database", Out())
    async with server.websocket(world.admin) as client:
        await client.start(CHANGES)
        assert await client.closed() == (1013, "something went wrong on our side: try again")
    async with server.events(CHANGES, by=world.admin) as stream:
        assert await stream.event() is None


async def test_a_server_that_stops_asks_all_to_come_again(
    world: World, server: Server, service: OperationService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.connections, "draining", False)  # restored after the test
    async with server.websocket(world.admin) as client, server.websocket() as nobody:
        live = await client.start(CHANGES)
        await client.next(live)
        service.connections.drain()
        assert await client.closed() == (1012, "the server restarts")
        assert await nobody.closed() == (1012, "the server restarts")
    async with server.websocket() as late:
        assert await late.closed() == (1012, "the server restarts")


def test_the_limits_are_settings(service: OperationService) -> None:
    assert dataclasses.asdict(service.settings) | {
        "operations_per_socket": 100,
        "user_operations": 1000,
        "socket_message_bytes": 1_000_000,
    } == dataclasses.asdict(service.settings)


async def test_a_user_has_so_many_sockets(
    world: World, server: Server, service: OperationService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.connections, "user_operations", 2)
    rep = await world.person()
    async with server.websocket(world.admin), server.websocket(world.admin) as second:
        async with server.websocket() as third:
            await third.send({"type": "connection_init", "payload": {"authorization": f"Bearer {world.admin.token}"}})
            assert await third.closed() == (1013, "At most 2 sockets of one user may be open here at a time.")
        async with server.websocket(rep):
            pass
        await second.connection.close()
        async with asyncio.timeout(PATIENCE):
            while sum(service.connections._sockets.values()) > 1:  # noqa: ASYNC110  # there is no event of it
                await asyncio.sleep(0.01)
        async with server.websocket(world.admin) as third:
            assert (await third.ask("{ viewer { id } }"))["data"] == {"viewer": {"id": world.admin.id}}
    async with asyncio.timeout(PATIENCE):
        while service.connections._sockets:  # noqa: ASYNC110  # there is no event of it
            await asyncio.sleep(0.01)
