"""Secrets stay out of the log, suggestions do not reveal the schema, and uploads and pages in frames are refused."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from click import Command, Group
from starlette.applications import Starlette
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from crm_graph import app, cli
from crm_graph.database import Database
from crm_graph.settings import Settings
from tests.schema.transports.test_http import WHO, signed_in
from tests.support.live import PROTOCOL, Server, WebSocketClient, serving
from tests.support.npm import EMAIL, PASSWORD, crm_graph
from tests.support.servers import SECRET, ServerProcess, environment, running_server
from tests.support.world import World, build_world

SAFE = {"x-content-type-options": "nosniff", "x-frame-options": "DENY", "referrer-policy": "no-referrer"}


@pytest.fixture
async def closed(database_url: str) -> AsyncIterator[Starlette]:
    """An application in the settings of production."""
    application = app.build(Settings(database_url=database_url, secret_key=SECRET))
    application.state.visibility_hook = None
    async with application.router.lifespan_context(application):
        yield application


def test_what_opens_a_server_is_off_unless_it_is_turned_on() -> None:
    settings = Settings.from_environment({})
    open_ = ("graphiql", "introspection", "get_queries", "get_without_header", "explain", "batch_operations", "origins")
    assert {name: getattr(settings, name) for name in open_ if getattr(settings, name)} == {}


@pytest.mark.parametrize(
    ("query", "variables", "message"),
    [
        ("{ viewer { nam } }", {}, "Cannot query field 'nam' on type 'User'."),
        ("{ accounts(fist: 1) { totalCount } }", {}, "Unknown argument 'fist' on field 'Query.accounts'."),
        ("{ node(id: 1) { ... on Acount { id } } }", {}, "Unknown type 'Acount'."),
        (
            "query ($filter: AccountFilter) { accounts(filter: $filter) { totalCount } }",
            {"filter": {"nam": {"eq": "x"}}},
            "Variable '$filter' has invalid value",
        ),
        (
            "mutation ($input: CreateUserInput!) { createUser(input: $input) { revision } }",
            {"input": {"name": "x", "role": "ADMI"}},
            "Variable '$input' has invalid value",
        ),
    ],
)
async def test_a_closed_schema_is_not_told_by_suggestions(
    closed: Starlette, query: str, variables: dict[str, Any], message: str
) -> None:
    world = await build_world(closed)
    answer = await world.ask(query, **variables)
    await world.close()

    [error] = answer["errors"]
    assert error["message"].startswith(message)
    assert "Did you mean" not in error["message"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"


async def test_nor_to_subscribers(closed: Starlette) -> None:
    world = await build_world(closed)
    query = "subscription ($types: [RecordType!]) { changes(types: $types) { revision } }"
    async with serving(closed) as server, server.websocket(world.admin) as client:
        [error] = await client.error(await client.start(query, types=["Acount"]))
    await world.close()

    assert error["message"].startswith("Variable '$types' has invalid value")
    assert "Did you mean" not in error["message"]


async def test_every_answer_is_to_be_taken_for_what_it_is(world: World, server: Server) -> None:
    client = world.client
    body = {"query": WHO}
    answers = [
        await client.post("/graphql", json=body, headers=signed_in(world)),
        await client.post("/graphql", content=b"{"),
        await client.put("/graphql"),
        await client.get("/graphql", headers={"Accept": "text/html"}),
        await client.get("/"),
        await client.get("/healthz"),
        await client.get("/readyz"),
        await client.get("/nowhere"),
        await client.get("/static/none.js"),
        await server.client.post(server.url, json=body, headers=signed_in(world, Accept="text/event-stream")),
    ]
    for response in answers:
        assert {name: response.headers.get(name) for name in SAFE} == SAFE, response.url


async def test_the_page_may_load_nothing_from_elsewhere(world: World) -> None:
    response = await world.client.get("/graphql", headers={"Accept": "text/html"})

    rules = dict(rule.split(" ", 1) for rule in response.headers["content-security-policy"].split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["connect-src"] == rules["worker-src"] == "'self'"
    assert rules["frame-ancestors"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert "http" not in response.headers["content-security-policy"]
    assert response.headers["cache-control"] == "no-store"
    scripts = re.findall(r"<script([^>]*)>", response.text)
    assert [each for each in scripts if "src=" not in each] == [' id="config" type="application/json"']
    assert "style=" not in response.text


async def test_uploads_are_refused(world: World) -> None:
    operations = {"operations": '{"query": "{ viewer { id } }"}', "map": "{}"}
    file = {"0": ("a.txt", b"x", "text/plain")}
    for headers in (signed_in(world), signed_in(world, **{"Apollo-Require-Preflight": "1"})):
        response = await world.client.post("/graphql", data=operations, files=file, headers=headers)
        assert response.status_code == 415
        assert response.json()["errors"][0]["message"] == "Send operations as application/json."


async def test_a_statement_that_failed_is_shown_without_its_values(database_url: str) -> None:
    database = Database(database_url)
    for sessions in (database.read, database.write):
        async with sessions() as session:
            with pytest.raises(sa.exc.DBAPIError) as failed:
                await session.execute(sa.text("SELECT :value FROM nowhere"), {"value": "a secret"})
        assert "SELECT" in str(failed.value)
        assert "a secret" not in str(failed.value)
    await database.close()


def test_no_command_takes_a_secret_as_an_option() -> None:
    """A command line is stored in the shell's history, and visible in the list of processes."""
    flags = {"--password-stdin"}
    options = {name for command in commands(cli.app) for name in names(command)}

    assert {"--workspace", "--port"} < options
    assert {each for each in options if re.search("secret|passw|key|token|url", each)} == flags


def commands(command: Any) -> list[Command]:
    if isinstance(command, Group) or hasattr(command, "commands"):
        return [inner for each in command.commands.values() for inner in commands(each)]
    return [command]


def names(command: Command) -> list[str]:
    return [name for parameter in command.params for name in parameter.opts if name.startswith("--")]


async def test_no_secret_is_in_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server receives each kind of secret, right and wrong, and fails while it has them."""
    variables = environment(f"sqlite:///{tmp_path}/crm.db", password=PASSWORD)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    log = tmp_path / "server.log"
    await asyncio.to_thread(crm_graph, "migrate")
    admin = ["--name", "Acme", "--email", EMAIL, "--user-name", "Ada Admin"]
    await asyncio.to_thread(crm_graph, "workspace", "create", *admin)
    async with running_server(variables, log) as server:
        secrets = await go_in(server)
        await fail(server, tmp_path, secrets)

    said = log.read_text()
    assert "INFO" in said
    assert "Traceback" in said
    assert [each for each in (*secrets, SECRET, PASSWORD, "$argon2") if each in said] == []


SIGN_IN = (
    "mutation ($p: String!, $e: String!) { signIn(input: {email: $e, password: $p}) { accessToken refreshToken } }"
)
RENEW = "mutation ($t: String!) { refreshToken(input: {refreshToken: $t}) { revision } }"
CREATE = 'mutation { createApiToken(input: {name: "x"}) { token } }'


async def ask(server: ServerProcess, query: str, token: str | None = None, **variables: Any) -> Any:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with httpx.AsyncClient() as client:
        response = await client.post(server.url, json={"query": query, "variables": variables}, headers=headers)
    return response.json()


async def go_in(server: ServerProcess) -> list[str]:
    """Sign in, rightly and wrongly, make a token, open sockets; the secrets, good ones first."""
    wrong = ["a wrong password", PASSWORD[:-1], "a-wrong.access.token", "crm_wrongtoken", "ses_x.wrongrefresh"]
    signed_in = (await ask(server, SIGN_IN, e=EMAIL, p=PASSWORD))["data"]["signIn"]
    access, refresh = signed_in["accessToken"], signed_in["refreshToken"]
    made = (await ask(server, CREATE, access))["data"]["createApiToken"]["token"]
    for password in wrong[:2]:
        assert "errors" in await ask(server, SIGN_IN, e=EMAIL, p=password)
    for token in wrong[2:4]:
        assert "errors" in await ask(server, "{ accounts { totalCount } }", token)
    assert "errors" in await ask(server, RENEW, t=wrong[4])
    for token in (made, access, *wrong[2:4]):
        url, protocols = server.url.replace("http", "ws"), [Subprotocol(PROTOCOL)]
        async with connect(url, subprotocols=protocols, proxy=None) as connection:
            client = WebSocketClient(connection)
            if token in wrong:
                await client.send({"type": "connection_init", "payload": {"authorization": f"Bearer {token}"}})
                assert (await client.closed())[0] == 4403
            else:
                await client.init(token)
    return [access, refresh, refresh.partition(".")[2], made, *wrong]


async def fail(server: ServerProcess, folder: Path, secrets: list[str]) -> None:
    """Ask with good secrets, for what the database then cannot do."""
    database = Database(f"sqlite:///{folder}/crm.db")
    async with database.write() as session:
        await session.execute(sa.text("DROP TABLE sessions"))
    await database.close()
    access, refresh, *_ = secrets
    for answer in (
        await ask(server, SIGN_IN, e=EMAIL, p=PASSWORD),
        await ask(server, RENEW, t=refresh),
        await ask(server, "{ viewer { id } }", access),
    ):
        assert answer["errors"][0]["extensions"]["code"] == "INTERNAL"
