"""Signing in and out, tokens and passwords, through GraphQL."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import uuid
from typing import Any

import httpx
import jwt
import pytest
import sqlalchemy as sa

from crm_graph import auth
from crm_graph.auth import passwords, throttle, tokens
from crm_graph.models import ApiToken, Role, Session, SignInAttempt, User, now
from tests.support.world import Person, World

PASSWORD = "correct horse battery"
# The same, hashed as cheaply as can be.
HASH = "$argon2id$v=19$m=8,t=1,p=1$VWEYOF2qEVpU3k+ikdfdoA$PbG4wUtDhP/Jzgv9FxE8rautiDzkRLdB4HTZOkWFbr0"
SIGN_IN = """
    mutation ($email: String!, $password: String!) {
      signIn(input: {email: $email, password: $password}) {
        accessToken refreshToken expiresAt revision user { id } userErrors { code }
      }
    }
"""
REFRESH = "mutation ($token: String!) { refreshToken(input: {refreshToken: $token}) { accessToken refreshToken } }"
WHO = "{ viewer { id } }"
WRONG = {
    "data": None,
    "errors": [
        {
            "message": "The email or the password is wrong.",
            "locations": [{"line": 3, "column": 7}],
            "path": ["signIn"],
            "extensions": {"code": "UNAUTHENTICATED"},
        }
    ],
}


@pytest.fixture
async def world(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """The same world with a new client address, without failed sign-ins, and with a cheap dummy hash."""
    monkeypatch.setattr(passwords, "_DUMMY_HASH", HASH)
    await world.client.aclose()
    transport = httpx.ASGITransport(app=world.application, client=(str(uuid.uuid4()), 1))
    world.client = httpx.AsyncClient(transport=transport, base_url="http://crm.test")
    return world


async def know(world: World, person: Person, **values: Any) -> str:
    """Give a person an email, which is returned, and the password."""
    row = {"email": f"{person.id}@acme.example", "password_hash": HASH, **values}
    async with world.raw() as connection:
        await connection.execute(sa.update(User).where(User.id == person.id).values(**row))
    email: str = row["email"]
    return email


async def sign_in(world: World, person: Person) -> dict[str, Any]:
    """The payload of a sign-in of a person who has the password now."""
    answer = await world.ask(SIGN_IN, email=await know(world, person), password=PASSWORD)
    assert "errors" not in answer, answer
    payload: dict[str, Any] = answer["data"]["signIn"]
    return payload


async def who(world: World, token: str) -> str:
    """The id of the user whom the server finds for a token, or the code of its error."""
    answer = await world.send({"query": WHO}, token=token)
    return str(answer["errors"][0]["extensions"]["code"] if "errors" in answer else answer["data"]["viewer"]["id"])


async def post(world: World, document: str, *, by: str = "", **variables: Any) -> dict[str, Any]:
    """The complete answer to an operation, sent with a token as escaped JSON, which can hold texts that UTF-8
    cannot."""
    body = json.dumps({"query": document, "variables": variables})
    headers = {"Authorization": f"Bearer {by}", "Content-Type": "application/json"}
    answer: dict[str, Any] = (await world.client.post("/graphql", content=body, headers=headers)).json()
    return answer


async def code(world: World, document: str, *, by: str = "", **variables: Any) -> str:
    """The code of the only error of an operation, sent with a token."""
    [error] = (await post(world, document, by=by, **variables))["errors"]
    return str(error["extensions"]["code"])


# Signing in


async def test_sign_in_opens_a_session_that_the_log_has(world: World) -> None:
    rep = await world.person()

    payload = await sign_in(world, rep)

    assert payload["user"] == {"id": rep.id}
    assert payload["userErrors"] == []
    assert await who(world, payload["accessToken"]) == rep.id
    [change] = await world.changes()
    assert (change["entity"], change["record_id"], change["action"]) == ("User", rep.id, "SIGNED_IN")
    assert (change["actor"], change["user_id"], change["fields"]) == (
        f"user:{rep.id}",
        rep.id,
        {"client": [None, world.client._transport.client[0]]},  # type: ignore[attr-defined]
    )
    assert payload["revision"].endswith(".1")
    [session] = await world.rows(Session)
    session_id, _, secret = payload["refreshToken"].partition(".")
    assert (session["id"], session["user_id"], session["refresh_hash"]) == (session_id, rep.id, auth.digest(secret))
    claims = jwt.decode(payload["accessToken"], options={"verify_signature": False})
    assert claims == {
        "sub": rep.id,
        "wid": world.workspace_id,
        "sid": session_id,
        "iat": claims["exp"] - 15 * 60,
        "exp": int(dt.datetime.fromisoformat(payload["expiresAt"]).timestamp()),
        "iss": "crm-graph",
        "aud": "crm-graph-api",
    }
    assert session_id not in json.dumps(await world.changes(), default=str)


async def test_whatever_was_wrong_the_answer_and_the_work_are_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified: list[str] = []
    verify = passwords._verify

    def watched(known: str, given: bytes) -> bool:
        verified.append(known)
        return verify(known, given)

    monkeypatch.setattr(passwords, "_verify", watched)
    rep = await world.person()
    email = await know(world, rep)
    nobody = f"{uuid.uuid4()}@acme.example"
    inactive = await know(world, await world.person(), active=False)
    deleted = await know(world, await world.person(), deleted_at=now())
    without = await know(world, await world.person(), password_hash=None)
    before = await world.everything()
    tries = [
        (email, "wrong horse battery"),
        (email, ""),
        (email, "\ud800" * 10),
        (email, "x" * 1_000_000),
        (nobody, PASSWORD),
        (inactive, PASSWORD),
        (deleted, PASSWORD),
        (without, PASSWORD),
        ("", PASSWORD),
        ("not an email", PASSWORD),
        ("\0@acme.example", PASSWORD),
        ("\ud800", PASSWORD),
    ]
    for given, password in tries:
        verified.clear()
        assert await post(world, SIGN_IN, email=given, password=password) == WRONG
        assert len(verified) == auth.MAX_CANDIDATES
    await world.changelog.drain()
    after = await world.everything()
    failed = [(each["record_id"], each["action"], each["actor"], each["user_id"]) for each in after.pop("changes")]
    about = [rep.id] * 4 + [inactive.partition("@")[0]]
    assert failed == [(each, "SIGN_IN_FAILED", "nobody", None) for each in about]
    assert [each.pop("revision") for each in (*before["workspaces"], *after["workspaces"])] == [0, 5]
    assert after == {name: rows for name, rows in before.items() if name != "changes"}
    assert await world.rows(Session) == []


async def test_an_email_is_known_however_it_is_spelt(world: World) -> None:
    rep = await world.person()
    email = await know(world, rep)

    data = await world.data(SIGN_IN, email=f" {email.upper()} ", password=PASSWORD)

    assert data["signIn"]["user"] == {"id": rep.id}


async def test_an_email_of_two_workspaces_signs_in_where_the_password_is_right(
    world: World, other_world: World
) -> None:
    here, there = await world.person(), await other_world.person()
    email = await know(world, here)
    await know(other_world, there, email=email, password_hash=await passwords.hashed("another password"))

    data = await world.data(SIGN_IN, email=email, password="another password")
    assert await who(world, data["signIn"]["accessToken"]) == there.id
    data = await world.data(SIGN_IN, email=email, password=PASSWORD)
    assert await who(world, data["signIn"]["accessToken"]) == here.id
    assert await world.ask(SIGN_IN, email=email, password="neither of both") == WRONG


async def test_one_who_signs_in_is_who_asks_on(world: World) -> None:
    rep = await world.person()
    email = await know(world, rep)
    document = """
        mutation ($email: String!, $password: String!, $name: String!) {
          signIn(input: {email: $email, password: $password}) { user { id } }
          createAccount(input: {name: $name}) { account { owner { id } } }
        }
    """
    data = await world.data(document, email=email, password=PASSWORD, name="Acme")

    assert data["createAccount"]["account"]["owner"] == {"id": rep.id}


# The throttle


async def test_too_many_tries_of_an_email_must_wait_even_with_the_right_password(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    email, other = await know(world, await world.person()), await know(world, await world.person())
    for _ in range(10):
        assert await world.ask(SIGN_IN, email=email, password="wrong") == WRONG

    answer = await world.ask(SIGN_IN, email=email.upper(), password=PASSWORD)

    [error] = answer["errors"]
    assert error["extensions"].keys() == {"code", "retryAfter"}
    assert error["extensions"]["code"] == "THROTTLED"
    assert 890 < error["extensions"]["retryAfter"] <= 900
    assert await world.rows(Session) == []
    assert "errors" not in await world.ask(SIGN_IN, email=other, password=PASSWORD)

    monkeypatch.setattr(throttle, "now", lambda: now() + throttle.WINDOW)
    assert "errors" not in await world.ask(SIGN_IN, email=email, password=PASSWORD)


async def test_a_sign_in_forgets_the_tries_before_it(world: World) -> None:
    email = await know(world, await world.person())
    for _ in range(2):
        for _ in range(6):
            assert await world.ask(SIGN_IN, email=email, password="wrong") == WRONG
        assert "errors" not in await world.ask(SIGN_IN, email=email, password=PASSWORD)


async def test_tries_of_many_emails_from_one_address_must_wait_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttle, "CLIENT_SHARE", 1)
    email = await know(world, await world.person())
    for _ in range(9):
        assert await world.ask(SIGN_IN, email=f"{uuid.uuid4()}@acme.example", password=PASSWORD) == WRONG
    for _ in range(3):  # a good one takes nothing from the address
        assert "errors" not in await world.ask(SIGN_IN, email=email, password=PASSWORD)
    assert await world.ask(SIGN_IN, email=f"{uuid.uuid4()}@acme.example", password=PASSWORD) == WRONG

    answer = await world.ask(SIGN_IN, email=email, password=PASSWORD)

    assert answer["errors"][0]["extensions"]["code"] == "THROTTLED"


async def test_tries_at_once_are_all_counted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_verify", lambda known, given: False)
    email = await know(world, await world.person())

    answers = await asyncio.gather(*(world.ask(SIGN_IN, email=email, password="wrong") for _ in range(15)))

    codes = [answer["errors"][0]["extensions"]["code"] for answer in answers]
    assert (codes.count("UNAUTHENTICATED"), codes.count("THROTTLED")) == (10, 5)


async def test_tries_whose_time_is_over_are_swept_away(world: World) -> None:
    over = {"key": str(uuid.uuid4()), "tries": 3, "window_ends_at": now() - dt.timedelta(seconds=1)}
    async with world.raw() as connection:
        await connection.execute(sa.insert(SignInAttempt), [over])

    assert await world.ask(SIGN_IN, email=f"{uuid.uuid4()}@acme.example", password=PASSWORD) == WRONG

    async with world.raw() as connection:
        found = await connection.execute(sa.select(SignInAttempt.tries).where(SignInAttempt.key == over["key"]))
        assert found.all() == []


# Refreshing


async def test_refreshing_gives_new_tokens(world: World) -> None:
    rep = await world.person()
    first = await sign_in(world, rep)

    second = (await world.data(REFRESH, token=first["refreshToken"]))["refreshToken"]
    third = (await world.data(REFRESH, token=second["refreshToken"]))["refreshToken"]

    tokens = {first["refreshToken"], second["refreshToken"], third["refreshToken"]}
    assert len(tokens) == 3
    assert {token.partition(".")[0] for token in tokens} == {(await world.rows(Session))[0]["id"]}
    assert await who(world, third["accessToken"]) == rep.id


async def test_using_an_old_refresh_token_ends_the_session(world: World) -> None:
    rep = await world.person()
    other = await sign_in(world, rep)
    first = await sign_in(world, rep)
    second = (await world.data(REFRESH, token=first["refreshToken"]))["refreshToken"]

    assert await code(world, REFRESH, token=first["refreshToken"]) == "UNAUTHENTICATED"

    assert await code(world, REFRESH, token=second["refreshToken"]) == "UNAUTHENTICATED"
    assert await who(world, first["accessToken"]) == "UNAUTHENTICATED"
    assert await who(world, second["accessToken"]) == "UNAUTHENTICATED"
    assert await who(world, other["accessToken"]) == rep.id
    changes = await world.changes()
    assert [(each["action"], each["cause"]) for each in changes] == [
        ("SIGNED_IN", "signIn"),
        ("SIGNED_IN", "signIn"),
        ("SIGNED_OUT", "refreshTokenReused"),
    ]
    assert changes[-1]["record_id"] == rep.id


async def test_of_two_uses_of_one_refresh_token_one_succeeds(world: World) -> None:
    first = await sign_in(world, await world.person())

    answers = await asyncio.gather(*(world.ask(REFRESH, token=first["refreshToken"]) for _ in range(2)))

    good = [answer for answer in answers if "errors" not in answer]
    assert len(good) == 1
    # The other use was one of an old token by then.
    assert await who(world, good[0]["data"]["refreshToken"]["accessToken"]) == "UNAUTHENTICATED"


@pytest.mark.parametrize(
    "token", ["", ".", "ses_", "ses_01h455vb4pex5vsknk084sn02q.x", "\0.\0", "\ud800.x", "ö.ö", "x" * 99_999]
)
async def test_what_is_no_refresh_token_is_refused(world: World, token: str) -> None:
    before = await world.everything()
    assert await code(world, REFRESH, token=token) == "UNAUTHENTICATED"
    assert await world.everything() == before


async def test_an_expired_session_is_over(world: World) -> None:
    payload = await sign_in(world, await world.person())
    async with world.raw() as connection:
        mine = sa.update(Session).where(Session.workspace_id == world.workspace_id)
        await connection.execute(mine.values(expires_at=now() - dt.timedelta(seconds=1)))

    assert await who(world, payload["accessToken"]) == "UNAUTHENTICATED"
    assert await code(world, REFRESH, token=payload["refreshToken"]) == "UNAUTHENTICATED"


# Access tokens


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
async def test_only_our_own_access_tokens_are_good(world: World, other_world: World) -> None:
    rep = await world.person()
    payload = await sign_in(world, rep)
    key = world.application.state.settings.secret_key
    claims = jwt.decode(payload["accessToken"], options={"verify_signature": False})
    head, body, signature = payload["accessToken"].split(".")

    def made(key: str | None = key, algorithm: str = "HS256", **changed: Any) -> str:
        kept = {name: value for name, value in {**claims, **changed}.items() if value is not None}
        return jwt.encode(kept, key or "", algorithm)

    assert await who(world, made()) == rep.id
    for token in [
        made(key=None, algorithm="none"),
        f"{head}.{body}.",
        f"{head}.{body}",
        f"{head}.{body}.{signature[:-4]}AAAA",
        made(key="another key that is just as long as ours"),
        made(algorithm="HS512"),
        made(exp=claims["iat"] - 1),
        made(exp=None),
        made(aud="another-api"),
        made(aud=None),
        made(iss="somebody"),
        made(sid=None),
        made(sid=Session.new_id()),
        made(sub=world.admin.id),
        made(wid=other_world.workspace_id),
        "crm_",
        "crm_nonsense",
        "é",
        "a.b.c",
    ]:
        answer = await world.client.post(
            "/graphql", json={"query": WHO}, headers={b"Authorization": f"Bearer {token}".encode()}
        )
        assert answer.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED", token


async def test_one_statement_tells_who_asks(world: World) -> None:
    payload = await sign_in(world, await world.person())
    for token in (payload["accessToken"], world.admin.token):
        async with world.database.read() as session:
            with world.statements() as seen:
                await auth.authenticate(session, world.application.state.settings, token)
        assert len(seen) == 1


@pytest.mark.parametrize("deleted", [False, True])
async def test_a_user_who_may_not_sign_in_any_more_is_out_at_once(world: World, deleted: bool) -> None:
    rep = await world.person()
    payload = await sign_in(world, rep)
    assert await who(world, rep.token) == rep.id

    if deleted:
        answer = await world.write("deleteUser", "user { id }", id=rep.id)
    else:
        answer = await world.write("updateUser", "user { id }", id=rep.id, active=False)

    assert answer["userErrors"] == []
    assert await who(world, payload["accessToken"]) == "UNAUTHENTICATED"
    assert await who(world, rep.token) == "UNAUTHENTICATED"
    assert await code(world, REFRESH, token=payload["refreshToken"]) == "UNAUTHENTICATED"
    if deleted:
        await world.write("restoreUser", "user { id }", id=rep.id)
    else:
        await world.write("updateUser", "user { id }", id=rep.id, active=True)
    assert await who(world, rep.token) == ("UNAUTHENTICATED" if deleted else rep.id)
    assert await who(world, payload["accessToken"]) == "UNAUTHENTICATED"


async def test_a_new_role_counts_at_once(world: World) -> None:
    rep = await world.person()
    payload = await sign_in(world, rep)
    await world.write("updateUser", "user { id }", id=rep.id, role="READ_ONLY")

    document = 'mutation { createAccount(input: {name: "Acme"}) { userErrors { code } } }'
    answer = await world.send({"query": document}, token=payload["accessToken"])

    assert answer["data"]["createAccount"]["userErrors"] == [{"code": "FORBIDDEN"}]


# Signing out


async def test_signing_out_ends_this_session_only(world: World) -> None:
    rep = await world.person()
    first, second = await sign_in(world, rep), await sign_in(world, rep)

    answer = await world.send(
        {"query": "mutation { signOut { user { id } userErrors { code } revision } }"}, token=first["accessToken"]
    )

    assert answer["data"]["signOut"]["user"] == {"id": rep.id}
    assert answer["data"]["signOut"]["userErrors"] == []
    assert answer["data"]["signOut"]["revision"].endswith(".3")
    assert await who(world, first["accessToken"]) == "UNAUTHENTICATED"
    assert await code(world, REFRESH, token=first["refreshToken"]) == "UNAUTHENTICATED"
    assert await who(world, second["accessToken"]) == rep.id
    assert [each["action"] for each in await world.changes()] == ["SIGNED_IN", "SIGNED_IN", "SIGNED_OUT"]


async def test_a_token_has_nothing_to_sign_out_of(world: World) -> None:
    before = await world.everything()
    data = await world.data("mutation { signOut { revision user { id } userErrors { code field } } }")
    assert data["signOut"] == {"revision": None, "user": None, "userErrors": [{"code": "INVALID", "field": None}]}
    assert await world.everything() == before


@pytest.mark.parametrize("tokens", [False, True])
async def test_signing_out_everywhere(world: World, tokens: bool) -> None:
    rep, other = await world.person(), await world.person()
    sessions = [await sign_in(world, rep) for _ in range(3)]
    others = await sign_in(world, other)

    answer = await world.write("signOutEverywhere", "user { id }", by=rep, includeApiTokens=tokens)

    assert answer["userErrors"] == []
    for session in sessions:
        assert await who(world, session["accessToken"]) == "UNAUTHENTICATED"
        assert await code(world, REFRESH, token=session["refreshToken"]) == "UNAUTHENTICATED"
    assert await who(world, rep.token) == ("UNAUTHENTICATED" if tokens else rep.id)
    assert await who(world, others["accessToken"]) == other.id
    assert await who(world, other.token) == other.id
    logged = [(each["entity"], each["action"]) for each in (await world.changes())[4:]]
    assert logged == [("User", "SIGNED_OUT"), *([("ApiToken", "DELETED")] if tokens else [])]


# API tokens


async def create_token(world: World, by: str, **values: Any) -> dict[str, Any]:
    document = """
        mutation ($input: CreateApiTokenInput!) {
          createApiToken(input: $input) {
            token apiToken { id name expiresAt user { id } } userErrors { code field }
          }
        }
    """
    answer = await post(world, document, by=by, input=values)
    payload: dict[str, Any] = answer["data"]["createApiToken"]
    return payload


async def test_an_api_token_is_shown_once_and_works_until_it_is_revoked(world: World) -> None:
    reader = await world.person(Role.READ_ONLY)
    token = (await sign_in(world, reader))["accessToken"]

    made = await create_token(world, token, name=" Nightly sync ", expiresAt="2999-01-01T00:00:00Z")

    assert made["userErrors"] == []
    assert made["apiToken"]["name"] == "Nightly sync"
    assert made["apiToken"]["expiresAt"] == "2999-01-01T00:00:00.000000Z"
    assert made["apiToken"]["user"] == {"id": reader.id}
    assert made["token"].startswith("crm_")
    assert await who(world, made["token"]) == reader.id
    everything = json.dumps(await world.everything(), default=str)
    assert made["token"] not in everything
    log = json.dumps(await world.changes(), default=str)
    assert auth.digest(made["token"]) not in log
    document = '{ viewer { apiTokens(filter: {name: {contains: "sync"}}) { nodes { id name } } } }'
    answer = await world.send({"query": document}, token=token)
    known = {"id": made["apiToken"]["id"], "name": "Nightly sync"}
    assert answer["data"]["viewer"]["apiTokens"]["nodes"] == [known]

    revoked = await world.write("revokeApiToken", "apiToken { id }", by=reader, id=made["apiToken"]["id"])

    assert (revoked["userErrors"], revoked["apiToken"]) == ([], None)
    assert await who(world, made["token"]) == "UNAUTHENTICATED"
    assert [each["action"] for each in await world.changes()] == ["SIGNED_IN", "CREATED", "DELETED"]


async def test_one_user_has_so_many_api_tokens(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MAX_TOKENS", 2)
    user = await world.person(Role.REP)  # who has one
    session = (await sign_in(world, user))["accessToken"]
    made = await create_token(world, session, name="Sync")
    before = await world.rows(ApiToken)

    refused = await create_token(world, session, name="Another")
    assert (refused["token"], refused["userErrors"]) == (None, [{"code": "INVALID", "field": None}])
    assert await world.rows(ApiToken) == before

    await world.write("revokeApiToken", "revision", by=user, id=made["apiToken"]["id"])
    assert (await create_token(world, session, name="Another"))["userErrors"] == []


async def test_an_api_token_is_over_when_it_expires(world: World) -> None:
    rep = await world.person()
    token = (await sign_in(world, rep))["accessToken"]
    made = await create_token(world, token, name="Short", expiresAt="2999-01-01T00:00:00Z")
    async with world.raw() as connection:
        mine = sa.update(ApiToken).where(ApiToken.id == made["apiToken"]["id"])
        await connection.execute(mine.values(expires_at=now()))

    assert await who(world, made["token"]) == "UNAUTHENTICATED"


async def test_tokens_that_cannot_be_are_not_made(world: World) -> None:
    rep = await world.person()
    token = (await sign_in(world, rep))["accessToken"]
    before = await world.everything()

    for by, values, error in [
        (token, {"name": "x", "expiresAt": "2001-01-01T00:00:00Z"}, {"code": "INVALID", "field": "expiresAt"}),
        (token, {"name": " "}, {"code": "REQUIRED", "field": "name"}),
        (token, {"name": "x\0"}, {"code": "INVALID", "field": "name"}),
        (rep.token, {"name": "x"}, {"code": "FORBIDDEN", "field": None}),
    ]:
        made = await create_token(world, by, **values)
        assert made == {"token": None, "apiToken": None, "userErrors": [error]}
    assert await world.everything() == before


@pytest.mark.parametrize("role", [Role.MANAGER, Role.REP, Role.READ_ONLY])
async def test_the_tokens_of_others_are_not_there(world: World, other_world: World, role: Role) -> None:
    rep, other = await world.person(), await world.person(role)
    [token_id] = [each["id"] for each in await world.rows(ApiToken) if each["user_id"] == rep.id]
    document = "query ($id: ID!) { user(id: $id) { apiTokens { totalCount nodes { id } } } }"

    hidden = await world.data(document, by=other, id=rep.id)
    assert hidden["user"]["apiTokens"] == {"totalCount": 0, "nodes": []}
    before = await world.everything()
    unknown = await world.write("revokeApiToken", "apiToken { id }", by=other, id=ApiToken.new_id())
    assert unknown["userErrors"][0]["code"] == "NOT_FOUND"
    assert await world.write("revokeApiToken", "apiToken { id }", by=other, id=token_id) == unknown
    assert await world.write("revokeApiToken", "apiToken { id }", by=other_world.admin, id=token_id) == unknown
    assert await world.everything() == before

    seen = await world.data(document, id=rep.id)
    assert seen["user"]["apiTokens"] == {"totalCount": 1, "nodes": [{"id": token_id}]}
    revoked = await world.write("revokeApiToken", "apiToken { id }", id=token_id)
    assert revoked["userErrors"] == []
    assert await who(world, rep.token) == "UNAUTHENTICATED"


# Passwords

CHANGE = """
    mutation ($current: String!, $new: String!) {
      changePassword(input: {currentPassword: $current, newPassword: $new}) { user { id } userErrors { code field } }
    }
"""


async def change(world: World, token: str, current: str, new: str) -> dict[str, Any]:
    answer = await post(world, CHANGE, by=token, current=current, new=new)
    payload: dict[str, Any] = answer["data"]["changePassword"]
    return payload


async def test_a_new_password_ends_the_other_sessions(world: World) -> None:
    rep = await world.person()
    here, there = await sign_in(world, rep), await sign_in(world, rep)

    payload = await change(world, here["accessToken"], PASSWORD, "naïve café 12")

    assert payload == {"user": {"id": rep.id}, "userErrors": []}
    assert await who(world, here["accessToken"]) == rep.id
    assert await who(world, there["accessToken"]) == "UNAUTHENTICATED"
    email = f"{rep.id}@acme.example"
    assert await world.ask(SIGN_IN, email=email, password=PASSWORD) == WRONG
    # The same letters, as another keyboard composes them.
    assert "errors" not in await world.ask(SIGN_IN, email=email, password="nai\u0308ve cafe\u0301 12")
    assert (await world.changes())[2]["fields"] == {"password_hash": ["…", "…"]}


async def test_a_password_is_changed_only_by_one_who_knows_it_and_to_a_good_one(world: World) -> None:
    rep = await world.person()
    token = (await sign_in(world, rep))["accessToken"]
    before = await world.everything()
    for current, new, error in [
        ("wrong horse battery", "long enough", {"code": "INVALID", "field": "currentPassword"}),
        ("", "long enough", {"code": "INVALID", "field": "currentPassword"}),
        (PASSWORD, "", {"code": "REQUIRED", "field": "newPassword"}),
        (PASSWORD, "1234567", {"code": "INVALID", "field": "newPassword"}),
        (PASSWORD, "x" * 201, {"code": "INVALID", "field": "newPassword"}),
        (PASSWORD, "\ud800" * 9, {"code": "INVALID", "field": "newPassword"}),
    ]:
        assert await change(world, token, current, new) == {"user": None, "userErrors": [error]}
    after = await world.everything()
    told = [(each["action"], each["cause"], each["user_id"]) for each in after["changes"][len(before["changes"]) :]]
    assert told == [("SIGN_IN_FAILED", "changePassword", rep.id)] * 2
    assert [each.pop("revision") for each in (*before["workspaces"], *after["workspaces"])] == [1, 3]
    assert after | {"changes": before["changes"]} == before


async def test_guesses_of_the_current_password_are_throttled(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    token = (await sign_in(world, await world.person()))["accessToken"]
    monkeypatch.setattr(passwords, "_verify", lambda known, given: False)
    for _ in range(10):
        payload = await change(world, token, "wrong", "long enough")
        assert payload["userErrors"] == [{"code": "INVALID", "field": "currentPassword"}]

    assert await code(world, CHANGE, by=token, current=PASSWORD, new="long enough") == "THROTTLED"


async def test_a_password_that_changes_during_a_sign_in_is_not_good_any_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    rep = await world.person()
    email = await know(world, rep)
    matches = passwords.matches

    async def slow(known: str | None, given: str) -> bool:
        answer = await matches(known, given)
        await know(world, rep, password_hash="$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$AAAA")
        return answer

    monkeypatch.setattr(passwords, "matches", slow)
    assert await world.ask(SIGN_IN, email=email, password=PASSWORD) == WRONG
    assert await world.rows(Session) == []


async def set_password(world: World, by: Person, user_id: str, password: str = "a new password") -> dict[str, Any]:
    return await world.write("setPassword", "user { id }", by=by, userId=user_id, password=password)


async def test_managers_and_admins_give_others_a_password(world: World) -> None:
    for role in (Role.ADMIN, Role.MANAGER):
        boss, rep = await world.person(role), await world.person()
        session = await sign_in(world, rep)

        answer = await set_password(world, boss, rep.id)

        assert (answer["userErrors"], answer["user"]) == ([], {"id": rep.id})
        assert await who(world, session["accessToken"]) == "UNAUTHENTICATED"
        email = f"{rep.id}@acme.example"
        assert await world.ask(SIGN_IN, email=email, password=PASSWORD) == WRONG
        assert "errors" not in await world.ask(SIGN_IN, email=email, password="a new password")


async def test_a_password_is_not_given_by_or_to_anybody(world: World, other_world: World) -> None:
    manager, rep, reader = [await world.person(each) for each in (Role.MANAGER, Role.REP, Role.READ_ONLY)]
    before = await world.everything()
    for by, user_id, password, error in [
        (rep, reader.id, "a new password", ("FORBIDDEN", None)),
        (reader, rep.id, "a new password", ("FORBIDDEN", None)),
        (manager, world.admin.id, "a new password", ("FORBIDDEN", None)),
        (manager, manager.id, "a new password", ("FORBIDDEN", "userId")),
        (manager, User.new_id(), "a new password", ("NOT_FOUND", "userId")),
        (manager, other_world.admin.id, "a new password", ("NOT_FOUND", "userId")),
        (manager, "\0", "a new password", ("NOT_FOUND", "userId")),
        (manager, rep.id, "short", ("INVALID", "password")),
    ]:
        answer = await set_password(world, by, user_id, password)
        assert [(each["code"], each["field"]) for each in answer["userErrors"]] == [error]
        assert answer["user"] is None
    assert await world.everything() == before


# Without a token


@pytest.mark.parametrize(
    "document",
    [
        "{ viewer { id } }",
        "{ workspace { id } }",
        "{ revision }",
        "mutation { signOut { revision } }",
        "mutation { signOutEverywhere(input: {}) { revision } }",
        'mutation { createApiToken(input: {name: "x"}) { token } }',
        'mutation { revokeApiToken(input: {id: "x"}) { revision } }',
        'mutation { changePassword(input: {currentPassword: "x", newPassword: "y"}) { revision } }',
        'mutation { setPassword(input: {userId: "x", password: "y"}) { revision } }',
    ],
)
async def test_nobody_does_anything_without_a_token(world: World, document: str) -> None:
    before = await world.everything()
    assert await code(world, document) == "UNAUTHENTICATED"
    assert await world.everything() == before
