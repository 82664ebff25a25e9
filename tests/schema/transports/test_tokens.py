"""Tokens of open connections: a connection closes within five seconds after its token ends, unless it is renewed."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import jwt
import pytest
import sqlalchemy as sa

from crm_graph import auth
from crm_graph.auth import Principal
from crm_graph.database import Database
from crm_graph.models import ApiToken, Role, Session, User, now
from schema import ConnectionRegistry, OperationService
from schema.transports import connections as sessions
from schema.transports.connections import CloseReason
from tests.schema.transports.conftest import Out
from tests.support.live import Server
from tests.support.world import Person, World

PROMISED = 5.0
WHO = "{ viewer { id role } }"
CHANGES = "subscription { changes { revision changes { recordType } } }"
RENEW = """mutation ($token: String!) {
  renewToken(input: {token: $token}) { expiresAt user { id } userErrors { code field message } }
}"""
REFRESH = "mutation ($token: String!) { refreshToken(input: {refreshToken: $token}) { user { id } } }"
PASSWORD = "correct horse battery"
HASH = "$argon2id$v=19$m=8,t=1,p=1$VWEYOF2qEVpU3k+ikdfdoA$PbG4wUtDhP/Jzgv9FxE8rautiDzkRLdB4HTZOkWFbr0"
SIGN_IN = """mutation ($email: String!, $password: String!) {
  signIn(input: {email: $email, password: $password}) { user { id } }
}"""


async def session_of(world: World, person: Person) -> tuple[str, str]:
    """A new session of a person: its id and its refresh token."""
    row = {"workspace_id": world.workspace_id, "id": Session.new_id(), "user_id": person.id}
    more = {"refresh_hash": auth.digest("secret"), "expires_at": now() + dt.timedelta(days=1)}
    async with world.raw() as connection:
        await connection.execute(sa.insert(Session), [{**row, **more}])
    return row["id"], f"{row['id']}.secret"


def access(world: World, person: Person, session_id: str, seconds: float = 900) -> Person:
    """The person with an access token of a session. It expires `seconds` after the next full second."""
    moment = int(time.time()) + 1
    claims = {"sub": person.id, "wid": world.workspace_id, "sid": session_id, "iat": moment, "exp": moment + seconds}
    claims |= {"iss": "crm-graph", "aud": "crm-graph-api", "iat": moment - 1}
    return Person(person.id, jwt.encode(claims, world.application.state.settings.secret_key), person.role)


async def change(world: World, model: Any, record_id: str, **values: Any) -> None:
    async with world.raw() as connection:
        table = model.__table__
        await connection.execute(sa.update(table).where(table.c.id == record_id).values(values))


# The end of a token


async def revoke_session(world: World, person: Person, session_id: str) -> None:
    await world.data("mutation { signOut { user { id } } }", by=person)


async def sign_out_everywhere(world: World, person: Person, session_id: str) -> None:
    answer = await world.write("signOutEverywhere", "user { id }", by=person)
    assert answer["userErrors"] == []


async def deactivate(world: World, person: Person, session_id: str) -> None:
    answer = await world.write("updateUser", "user { id }", id=person.id, active=False)
    assert answer["userErrors"] == []


async def delete(world: World, person: Person, session_id: str) -> None:
    await change(world, User, person.id, deleted_at=now())


@pytest.mark.parametrize("end", [revoke_session, sign_out_everywhere, deactivate, delete])
async def test_a_session_that_ends_ends_its_connections(
    world: World, server: Server, end: Callable[[World, Person, str], Awaitable[None]]
) -> None:
    rep = await world.person()
    session_id, _ = await session_of(world, rep)
    other_id, _ = await session_of(world, rep)
    signed_in = access(world, rep, session_id)
    async with (
        server.websocket(signed_in) as client,
        server.websocket(access(world, rep, other_id)) as other,
        server.websocket(world.admin) as admin,
        server.events(CHANGES, by=signed_in) as stream,
    ):
        live = await client.start(CHANGES)
        await client.next(live)
        await stream.next()

        await end(world, signed_in, session_id)

        began = time.monotonic()
        assert await client.closed() == (4403, "token revoked")
        while "data" in (answer := await stream.next()):
            pass
        # The subscription manager reads deactivated users from the change log, and may be faster.
        [error] = answer["errors"]
        assert error["message"] in {"The token was revoked. Sign in again.", "You may no longer sign in."}
        assert error["extensions"] == {"code": "UNAUTHENTICATED"}
        await stream.completed()
        assert time.monotonic() - began < PROMISED
        assert (await admin.ask(WHO))["data"]["viewer"]["id"] == world.admin.id
        if end is revoke_session:
            assert (await other.ask(WHO))["data"]["viewer"]["id"] == rep.id
        else:
            assert await other.closed() == (4403, "token revoked")


async def test_an_api_token_that_is_revoked_ends_its_connections(world: World, server: Server) -> None:
    rep = await world.person()
    [token] = [row for row in await world.rows(ApiToken) if row["user_id"] == rep.id]
    async with server.websocket(rep) as client, server.events(CHANGES, by=rep) as stream:
        await stream.next()
        answer = await world.write("revokeApiToken", "apiToken { id }", by=rep, id=token["id"])
        assert answer["userErrors"] == []

        assert await client.closed(within=PROMISED) == (4403, "token revoked")
        while "data" in (told := await stream.next()):
            pass
        assert told["errors"][0]["extensions"] == {"code": "UNAUTHENTICATED"}
        await stream.completed()


@pytest.mark.parametrize("kind", ["access", "api"])
async def test_a_token_that_expires_ends_its_connections(world: World, server: Server, kind: str) -> None:
    rep = await world.person()
    ends_at = int(time.time()) + 2
    if kind == "access":
        session_id, _ = await session_of(world, rep)
        signed_in = access(world, rep, session_id, ends_at - int(time.time()) - 1)
    else:
        [token] = [row for row in await world.rows(ApiToken) if row["user_id"] == rep.id]
        await change(world, ApiToken, token["id"], expires_at=dt.datetime.fromtimestamp(ends_at, dt.UTC))
        signed_in = rep
    async with server.websocket(signed_in) as client, server.events(CHANGES, by=signed_in) as stream:
        await stream.next()

        assert await client.closed() == (4403, "token expired")
        message = "The token has expired. Get a new one, and subscribe again."
        assert await stream.next() == {"errors": [{"message": message, "extensions": {"code": "UNAUTHENTICATED"}}]}
        await stream.completed()
    assert ends_at <= time.time() < ends_at + PROMISED


async def test_an_operation_finds_the_end_of_its_token_at_once(
    world: World, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    rep = await world.person()
    [token] = [row for row in await world.rows(ApiToken) if row["user_id"] == rep.id]
    async with server.websocket(rep) as client:
        await change(world, ApiToken, token["id"], deleted_at=now())
        began = time.monotonic()
        await client.start(WHO)
        assert await client.closed() == (4403, "token revoked")
        assert time.monotonic() - began < sessions.REVOCATION_POLL_SECONDS


# Checking open connections


@dataclass(eq=False)
class FakeConnection:
    """A connection that records the reasons for its end."""

    principal: Principal | None
    ends: list[CloseReason] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def end(self, why: CloseReason) -> None:
        self.ends.append(why)
        self.ended.set()


@pytest.fixture
async def connections(world: World) -> ConnectionRegistry:
    """A registry that checks its connections only when the test calls it."""
    return ConnectionRegistry(world.database, 10)


async def principal(world: World, person: Person) -> Principal:
    async with world.database.read() as session:
        return await auth.authenticate(session, world.application.state.settings, person.token)


async def test_all_connections_are_asked_about_in_one_statement_a_kind(
    world: World, other_world: World, connections: ConnectionRegistry
) -> None:
    people = [world.admin, *[await world.person() for _ in range(3)]]
    sessions_ = [(await session_of(world, each))[0] for each in people]
    holders = [*people, *[access(world, each, id) for each, id in zip(people, sessions_, strict=True)]]
    open_connections = [FakeConnection(await principal(world, each)) for each in holders for _ in range(5)]
    open_connections.append(FakeConnection(await principal(other_world, other_world.admin)))
    open_connections.append(FakeConnection(None))
    revoked = open_connections[35:40]
    await change(world, Session, sessions_[-1], revoked_at=now())
    for each in open_connections:
        connections._open.add(each)

    with world.statements() as statements:
        await connections.end_revoked()

    asked = [each for each in statements if "json_each" in each or "ANY" in each]
    assert len([each for each in asked if "FROM sessions" in each]) == 1
    assert len([each for each in asked if "FROM api_tokens" in each]) == 1
    assert [each for each in open_connections if each.ends] == revoked
    assert [each.ends for each in revoked] == [[CloseReason.REVOKED]] * 5


async def test_one_renewed_while_the_database_is_asked_is_not_ended(
    world: World, connections: ConnectionRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_token = await principal(world, world.admin)
    session_id, _ = await session_of(world, world.admin)
    by_session = await principal(world, access(world, world.admin, session_id))
    connection = FakeConnection(by_token)
    standing = auth.still_valid

    async def meanwhile(*arguments: Any) -> Any:
        connection.principal = by_session
        await standing(*arguments)
        return set()

    monkeypatch.setattr(auth, "still_valid", meanwhile)
    with connections.connected(connection):
        await connections.end_revoked()

    assert connection.ends == []


async def test_an_outage_of_the_database_ends_nobody_but_by_the_clock(
    world: World, connections: ConnectionRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "REVOCATION_POLL_SECONDS", 0.02)
    rep = await world.person()
    [token] = [row for row in await world.rows(ApiToken) if row["user_id"] == rep.id]
    session_id, _ = await session_of(world, rep)
    stands, expired = (
        FakeConnection(await principal(world, rep)),
        FakeConnection(await principal(world, access(world, rep, session_id))),
    )
    expired.principal = Principal(stands.principal.viewer, session_id, None, now())  # type: ignore[union-attr]
    await change(world, ApiToken, token["id"], deleted_at=now())
    asked = asyncio.Semaphore(0)

    class Asked(Out):
        def read(self) -> Any:
            asked.release()
            return super().read()

    connections.database = Asked()  # type: ignore[assignment]
    with connections.connected(stands), connections.connected(expired):
        connections.open()
        async with asyncio.timeout(PROMISED):
            for _ in range(5):
                await asked.acquire()
            assert stands.ends == []
            await expired.ended.wait()
            assert set(expired.ends) == {CloseReason.EXPIRED}

            connections.database = world.database
            await stands.ended.wait()
        assert set(stands.ends) == {CloseReason.REVOKED}
    await connections.close()


async def test_a_database_that_hangs_keeps_nobody_beyond_his_time(
    world: World, connections: ConnectionRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "REVOCATION_POLL_SECONDS", 0.02)

    class Hanging(Database):
        def __init__(self) -> None:
            pass

        def read(self) -> Any:  # type: ignore[override]
            return self

        async def __aenter__(self) -> None:
            await asyncio.Event().wait()

        async def __aexit__(self, *error: object) -> None:
            pass

    who = await principal(world, world.admin)
    connection = FakeConnection(Principal(who.viewer, None, who.token_id, now() + dt.timedelta(seconds=0.1)))
    connections.database = Hanging()
    with connections.connected(connection):
        connections.open()
        async with asyncio.timeout(PROMISED):
            await connection.ended.wait()
    await connections.close()
    assert connection.ends[0] is CloseReason.EXPIRED


# Renewal


@pytest.fixture
async def rep(world: World) -> Person:
    return await world.person()


async def by_refresh(world: World, rep: Person) -> tuple[str, dict[str, Any]]:
    _, refresh_token = await session_of(world, rep)
    return REFRESH, {"token": refresh_token}


async def by_sign_in(world: World, rep: Person) -> tuple[str, dict[str, Any]]:
    email = f"{rep.id}@acme.example"
    await change(world, User, rep.id, email=email, password_hash=HASH)
    return SIGN_IN, {"email": email, "password": PASSWORD}


async def by_another_token(world: World, rep: Person) -> tuple[str, dict[str, Any]]:
    session_id, _ = await session_of(world, rep)
    return RENEW, {"token": access(world, rep, session_id).token}


async def by_api_token(world: World, rep: Person) -> tuple[str, dict[str, Any]]:
    return RENEW, {"token": rep.token}


@pytest.mark.parametrize("renewal", [by_refresh, by_sign_in, by_another_token, by_api_token])
async def test_a_socket_goes_on_by_a_new_token_and_what_runs_runs_on(
    world: World,
    server: Server,
    service: OperationService,
    rep: Person,
    renewal: Callable[[World, Person], Awaitable[tuple[str, dict[str, Any]]]],
) -> None:
    session_id, _ = await session_of(world, rep)
    document, variables = await renewal(world, rep)
    signed_in = access(world, rep, session_id, 2)
    ends_at = jwt.decode(signed_in.token, options={"verify_signature": False})["exp"]
    async with server.websocket(signed_in) as client:
        live = await client.start(CHANGES)
        await client.next(live)
        answer = await client.ask(document, **variables)
        assert "errors" not in answer
        [payload] = answer["data"].values()
        assert payload["user"] == {"id": rep.id}
        assert payload.get("userErrors", []) == []

        # The end of the old token and of its session has no effect now.
        await change(world, Session, session_id, revoked_at=now())
        await service.connections.end_revoked()
        await asyncio.sleep(ends_at - time.time())
        service.connections.end_expired()
        assert (await client.ask(WHO))["data"]["viewer"]["id"] == rep.id
        await world.make("account", name="Acme")
        kinds: list[str] = []
        while "Account" not in kinds:
            kinds += [each["recordType"] for each in (await client.next(live))["data"]["changes"]["changes"]]


async def test_a_socket_stays_its_users(world: World, server: Server, rep: Person) -> None:
    """Signing in as another user on a socket does not change the socket's principal."""
    document, variables = await by_sign_in(world, rep)
    async with server.websocket(world.admin) as client:
        assert (await client.ask(document, **variables))["data"]["signIn"] == {"user": {"id": rep.id}}
        assert (await client.ask(WHO))["data"]["viewer"] == {"id": world.admin.id, "role": "ADMIN"}
        answer = await client.ask(RENEW, token=rep.token)
        assert answer["data"]["renewToken"] == {
            "expiresAt": None,
            "user": None,
            "userErrors": [
                {
                    "code": "FORBIDDEN",
                    "field": "token",
                    "message": "This token belongs to another user. Open another connection for it.",
                }
            ],
        }
        assert (await client.ask(WHO))["data"]["viewer"] == {"id": world.admin.id, "role": "ADMIN"}


@pytest.mark.parametrize("token", ["", "crm_x", "x", "a.b.c", "\ud800", "\0"])
async def test_a_token_that_is_none_renews_nothing(world: World, server: Server, token: str) -> None:
    fault = {
        "code": "INVALID",
        "field": "token",
        "message": "The token is not valid. Sign in again, or use another API token.",
    }
    async with server.websocket(world.admin) as client:
        answer = await client.ask(RENEW, token=token)
        assert answer["data"]["renewToken"] == {"expiresAt": None, "user": None, "userErrors": [fault]}
        assert (await client.ask(WHO))["data"]["viewer"]["id"] == world.admin.id


async def test_over_http_a_renewal_tells_whether_the_token_is_good(world: World, rep: Person) -> None:
    session_id, _ = await session_of(world, rep)
    token = access(world, rep, session_id, 60).token
    ends_at = dt.datetime.fromtimestamp(jwt.decode(token, options={"verify_signature": False})["exp"], dt.UTC)

    answer = await world.data(RENEW, by=rep, token=token)
    assert answer["renewToken"] == {
        "expiresAt": ends_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "user": {"id": rep.id},
        "userErrors": [],
    }
    answer = await world.data(RENEW, by=rep, token=rep.token)
    assert answer["renewToken"] == {"expiresAt": None, "user": {"id": rep.id}, "userErrors": []}
    nobody = await world.send({"query": RENEW, "variables": {"token": token}})
    assert [each["extensions"] for each in nobody["errors"]] == [{"code": "UNAUTHENTICATED"}]


async def test_a_late_answer_does_not_bring_an_old_token_back(
    world: World, server: Server, service: OperationService, rep: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mutation that began before the renewal and ends after it leaves the socket as it is."""
    session_id, _ = await session_of(world, rep)
    document, variables = await by_api_token(world, rep)
    begun, go_on = asyncio.Event(), asyncio.Event()
    answer = service.schema.execute_document

    async def slow(context: Any, written: Any, *rest: Any) -> Any:
        if "logActivity" in written.text:
            begun.set()
            await go_on.wait()
        return await answer(context, written, *rest)

    monkeypatch.setattr(service.schema, "execute_document", slow)
    async with asyncio.timeout(PROMISED), server.websocket(access(world, rep, session_id)) as client:
        late = await client.start('mutation { logActivity(input: {type: NOTE, subject: "x"}) { userErrors { code } } }')
        await begun.wait()
        await client.ask(document, **variables)
        go_on.set()
        await client.next(late)
        await client.completed(late)
        await change(world, Session, session_id, revoked_at=now())
        assert (await client.ask(WHO))["data"]["viewer"] == {"id": rep.id, "role": Role.REP}
