"""The audit: its events, page by page, and that only admins read them."""

from __future__ import annotations

import datetime as dt
from typing import Any

import jwt
import pytest
import sqlalchemy as sa

from crm_graph.models import Change, IdempotencyKey, Role, Session, now
from crm_graph.records import idempotency
from tests.schema.platform.test_auth import PASSWORD, REFRESH, SIGN_IN, code, know, sign_in
from tests.schema.platform.test_auth import world as world  # at an address of its own
from tests.support.world import Person, World

AUDIT = """
    query ($first: Int, $after: String, $last: Int, $before: String, $actions: [AuditAction!], $about: ID) {
      audit(first: $first, after: $after, last: $last, before: $before, actions: $actions, about: $about) {
        totalCount
        pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
        nodes { action cause via client recordType recordId actor { id } fields { name old new } }
      }
    }
"""


async def audit(world: World, **variables: Any) -> dict[str, Any]:
    page: dict[str, Any] = (await world.data(AUDIT, **variables))["audit"]
    return page


async def events(world: World, **variables: Any) -> list[tuple[str, str, str]]:
    """Of the events: action, cause, and what was changed."""
    nodes = (await audit(world, **variables))["nodes"]
    return [
        (each["action"], each["cause"], " ".join(f"{f['name']}={f['old']}>{f['new']}" for f in each["fields"]))
        for each in nodes
    ]


def as_(world: World, token: str) -> Person:
    """The admin with another token."""
    return Person(world.admin.id, token, Role.ADMIN)


async def test_sign_ins_and_failures_are_told_with_where_they_came_from(world: World) -> None:
    rep = await world.person()
    email = await know(world, rep)
    address = world.client._transport.client[0]  # type: ignore[attr-defined]
    await world.ask(SIGN_IN, email=email, password="wrong")
    await world.ask(SIGN_IN, email="nobody@nowhere.example", password=PASSWORD)
    await world.changelog.drain()
    signed_in = await sign_in(world, rep)
    await world.send({"query": "mutation { signOut { revision } }"}, token=signed_in["accessToken"])

    page = await audit(world)

    shared = {"client": address, "recordType": "User", "recordId": rep.id, "fields": []}
    himself = {"via": f"user:{rep.id}", "actor": {"id": rep.id}}
    assert page["nodes"] == [
        {**shared, **himself, "action": "SIGNED_OUT", "cause": "signOut", "client": None},
        {**shared, **himself, "action": "SIGNED_IN", "cause": "signIn"},
        {**shared, "action": "SIGN_IN_FAILED", "cause": "signIn", "via": "nobody", "actor": None},
    ]
    assert page["totalCount"] == 3


async def test_a_failure_that_cannot_be_written_is_told_to_the_log(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    email = await know(world, await world.person())
    monkeypatch.setattr(world.changelog, "transaction", None)

    assert await code(world, SIGN_IN, email=email, password="wrong") == "UNAUTHENTICATED"
    await world.changelog.drain()

    assert [each.getMessage() for each in caplog.records] == ["A write in the background failed"]
    assert await world.changes() == []


async def test_tokens_and_whatever_decides_rights_are_told_without_secrets(world: World) -> None:
    boss, rep = await world.person(Role.MANAGER), await world.person()
    team = await world.make("team", name="North")
    token = as_(world, (await sign_in(world, world.admin))["accessToken"])
    made = await world.write("createApiToken", "token apiToken { id }", by=token, name="Robot")
    await world.write("revokeApiToken", "revision", id=made["apiToken"]["id"])
    await world.write("updateUser", "user { id }", id=rep.id, role="MANAGER", managerId=boss.id, teamId=team)
    await world.write("updateUser", "user { id }", id=rep.id, active=False)
    await world.write("setPassword", "user { id }", userId=rep.id, password="another horse")
    await world.write("updateWorkspace", "revision", accountVisibility="PRIVATE")
    await world.make("account", name="Not in the audit")

    told = await events(world)

    assert told[0] == ("UPDATED", "updateWorkspace", 'accountVisibility="PUBLIC">"PRIVATE"')
    assert told[1] == ("UPDATED", "setPassword", 'passwordHash="…">"…"')
    assert told[2] == ("UPDATED", "updateUser", "active=true>false")
    joining = {action: set(fields.split()) for action, cause, fields in told[3:5] if cause == "updateUser"}
    assert joining == {
        "UPDATED": {'role="REP">"MANAGER"', f'managerId=None>"{boss.id}"', f'teamId=None>"{team}"'},
        "CREATED": {f'teamId=None>"{team}"', f'userId=None>"{rep.id}"'},
    }
    assert told[5][:2] == ("DELETED", "revokeApiToken")
    assert told[6] == ("CREATED", "createApiToken", f'name=None>"Robot" userId=None>"{world.admin.id}"')
    assert [action for action, _, _ in told[7:]] == ["SIGNED_IN", "CREATED"]
    assert made["token"] not in str(told)


async def test_pages_in_both_directions_and_choices(world: World) -> None:
    people = [await world.make("user", name=f"User {number}") for number in range(5)]
    everything = (await audit(world, first=100))["nodes"]
    assert [each["recordId"] for each in everything] == people[::-1]

    first = await audit(world, first=2)
    second = await audit(world, first=2, after=first["pageInfo"]["endCursor"])
    last = await audit(world, last=2, before=second["pageInfo"]["endCursor"])

    assert first["nodes"] == everything[:2]
    assert second["nodes"] == everything[2:4]
    assert last["nodes"] == everything[1:3]
    assert [first["pageInfo"][name] for name in ("hasNextPage", "hasPreviousPage")] == [True, False]
    assert [second["pageInfo"][name] for name in ("hasNextPage", "hasPreviousPage")] == [True, True]
    assert [each["recordId"] for each in (await audit(world, about=people[3]))["nodes"]] == [people[3]]
    assert (await audit(world, about=world.admin.id))["totalCount"] == 5
    assert (await audit(world, actions=["DELETED", "SIGNED_IN"]))["totalCount"] == 0
    [error] = (await world.ask(AUDIT, after="nonsense"))["errors"]
    assert error["extensions"] == {"code": "BAD_USER_INPUT", "field": "after"}


async def test_it_is_for_admins_and_of_their_workspace(world: World, other_world: World) -> None:
    await other_world.make("user", name="Somebody")
    for role in (Role.MANAGER, Role.REP, Role.READ_ONLY):
        answer = await world.ask(AUDIT, by=await world.person(role))
        assert answer["data"] is None
        assert [each["extensions"]["code"] for each in answer["errors"]] == ["FORBIDDEN"]

    assert (await audit(world))["totalCount"] == 0


async def test_the_database_uses_the_index_of_the_audit(world: World) -> None:
    with world.statements() as statements:
        await audit(world)
    [statement] = [each for each in statements if "changes.fields" in each]
    assert "entity IN ('ApiToken', 'Membership', 'Team', 'User', 'Workspace')" in statement
    if world.database.is_sqlite:
        async with world.raw() as connection:
            plan = (await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", ("ws", 26, 0))).all()
        assert "ix_changes_audited" in str(plan)


async def test_a_session_ends_for_good(world: World) -> None:
    tokens = await sign_in(world, await world.person())
    [opened] = await world.rows(Session)
    assert opened["expires_at"] - opened["created_at"] == pytest.approx(dt.timedelta(days=30), abs=dt.timedelta(0, 5))

    await _age(world, 80)
    renewed = (await world.data(REFRESH, token=tokens["refreshToken"]))["refreshToken"]
    [session] = await world.rows(Session)
    assert session["expires_at"] - session["created_at"] == dt.timedelta(days=90)

    await _age(world, 10 - 0.005)
    renewed = (await world.data(REFRESH, token=renewed["refreshToken"]))["refreshToken"]
    [session] = await world.rows(Session)
    ends_at = session["created_at"] + dt.timedelta(days=90)
    assert session["expires_at"] == ends_at
    claims = jwt.decode(renewed["accessToken"], options={"verify_signature": False})
    assert claims["exp"] == int(ends_at.timestamp())

    await _age(world, 1)
    assert await code(world, REFRESH, token=renewed["refreshToken"]) == "UNAUTHENTICATED"


async def _age(world: World, days: float) -> None:
    """Let days go by for the session: what ends later than it could is left as it is."""
    async with world.raw() as connection:
        rows = await connection.execute(sa.select(Session.id, Session.created_at, Session.expires_at))
        for id_, created_at, expires_at in rows.all():
            past = dt.timedelta(days=days)
            ends_at = expires_at - past if expires_at - created_at == dt.timedelta(days=90) else expires_at
            values = {"created_at": created_at - past, "expires_at": ends_at}
            await connection.execute(sa.update(Session).where(Session.id == id_).values(**values))


async def test_keys_that_nobody_will_send_again_are_forgotten(
    world: World, other_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "SWEEP_BATCH", 2)
    for place in (world, other_world):
        for number in range(4):
            await place.write("createAccount", "revision", name="Acme", idempotencyKey=f"k{number}")
    async with world.raw() as connection:
        old = sa.update(IdempotencyKey).where(IdempotencyKey.key != "k3")
        await connection.execute(old.values(created_at=now() - dt.timedelta(days=31)))

    tokens = await sign_in(world, await world.person())
    assert len(await world.rows(IdempotencyKey)) == 2
    await world.data(REFRESH, token=tokens["refreshToken"])

    assert [row["key"] for row in await world.rows(IdempotencyKey)] == ["k3"]
    assert len(await other_world.rows(IdempotencyKey)) == 4
    assert len([row for row in await world.rows(Change) if row["entity"] == "Account"]) == 4
