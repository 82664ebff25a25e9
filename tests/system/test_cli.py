"""The command line: what it refuses, and that what it starts answers."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from graphql import build_ast_schema, build_client_schema, lexicographic_sort_schema, parse, print_schema

from crm_graph import app, migrations
from crm_graph.cli import main
from crm_graph.database import Database
from crm_graph.errors import ConfigurationError
from crm_graph.settings import Settings, warn_about_old_names
from schema import build_schema
from schema.core.federation import print_subgraph
from tests.support.ports import free_port

SECRET = "0123456789abcdefghijklmnopqrstuvwxyz"
PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing set but a good secret and a database that is not there yet, in a folder of the test's own."""
    for name in list(os.environ):
        if name.startswith("CRM_GRAPH_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("CRM_GRAPH_SECRET_KEY", SECRET)
    monkeypatch.setenv("CRM_GRAPH_DATABASE_URL", f"sqlite:///{tmp_path}/crm.db")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def migrated(tmp_path: Path) -> Path:
    main_ok("migrate")
    return tmp_path / "crm.db"


@pytest.fixture
def workspace(migrated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_GRAPH_PASSWORD", PASSWORD)
    create("Acme", "ada@acme.example")


def main_ok(*arguments: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    assert ended.value.code == 0


def create(name: str, email: str) -> None:
    main_ok("workspace", "create", "--name", name, "--email", email, "--user-name", "Ada Admin")


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[Any, str]:
    """The exit code and stderr, which is one line."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("crm-graph: ")
    assert captured.err.count("\n") == 1
    return ended.value.code, captured.err.removeprefix("crm-graph: ").strip()


@contextmanager
def running(*arguments: str) -> Iterator[tuple[httpx.Client, subprocess.Popen[str]]]:
    """A server in a process of its own, and a client of it; ended at the end."""
    port = free_port()
    command = [sys.executable, "-c", "from crm_graph.cli import main; main()", *arguments, "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        try:
            wait_for(client, server)
            yield client, server
        finally:
            server.terminate()
            server.communicate(timeout=30)


def wait_for(client: httpx.Client, server: subprocess.Popen[str]) -> None:
    for _ in range(1200):
        if server.poll() is not None:
            raise AssertionError(server.communicate()[0])
        try:
            if client.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError("The server did not answer.")


def ask(client: httpx.Client, document: str, token: str, **variables: Any) -> Any:
    headers = {"Authorization": f"Bearer {token}"}
    answer = client.post("/graphql", json={"query": document, "variables": variables}, headers=headers).json()
    assert "errors" not in answer, answer
    return answer["data"]


# Errors


@pytest.mark.parametrize(
    ("secret", "state"),
    [
        ("", "is not set"),
        ("changeme", "is too weak"),
        ("a" * 64, "is too weak"),
        ("short but random 8s", "is too weak"),
    ],
)
def test_a_missing_or_weak_secret(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, secret: str, state: str
) -> None:
    monkeypatch.setenv("CRM_GRAPH_SECRET_KEY", secret)

    code, message = refusal(capsys, "serve")

    assert code == 2
    assert message.startswith(f"CRM_GRAPH_SECRET_KEY {state}. Set it to at least 32 random characters, for example: ")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("POOL_SIZE", "many", "CRM_GRAPH_POOL_SIZE is 'many'. Set it to a whole number of at least 1."),
        ("BATCH_OPERATIONS", "-1", "CRM_GRAPH_BATCH_OPERATIONS is '-1'. Set it to a whole number of at least 0."),
        ("OPERATION_COST", "-1", "CRM_GRAPH_OPERATION_COST is '-1'. Set it to a whole number of at least 0."),
        (
            "COST_REFILL_PER_SECOND",
            "0",
            "CRM_GRAPH_COST_REFILL_PER_SECOND is '0'. Set it to a whole number of at least 1.",
        ),
        ("GRAPHIQL", "perhaps", "CRM_GRAPH_GRAPHIQL is 'perhaps'. Set it to 1 or 0."),
        ("PERSISTED_QUERIES", "some", "CRM_GRAPH_PERSISTED_QUERIES is 'some'. Set it to one of off, on, only."),
        (
            "ORIGINS",
            "https://crm.example, crm.example",
            "CRM_GRAPH_ORIGINS has 'crm.example'. Write origins such as https://crm.example, with commas between.",
        ),
    ],
)
def test_a_setting_that_cannot_be(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    monkeypatch.setenv(f"CRM_GRAPH_{name}", value)

    assert refusal(capsys, "serve") == (2, message)


@pytest.mark.parametrize(
    ("old_name", "name", "field"),
    [
        ("CRM_GRAPH_SIGN_IN_TRIES", "CRM_GRAPH_SIGN_IN_ATTEMPTS", "sign_in_attempts"),
        ("CRM_GRAPH_SOCKET_OPERATIONS", "CRM_GRAPH_OPERATIONS_PER_SOCKET", "operations_per_socket"),
        ("CRM_GRAPH_COST_RESTORED", "CRM_GRAPH_COST_REFILL_PER_SECOND", "cost_refill_per_second"),
    ],
)
def test_a_renamed_setting(caplog: pytest.LogCaptureFixture, old_name: str, name: str, field: str) -> None:
    environment = {old_name: "7"}

    assert getattr(Settings.from_environment(environment), field) == 7
    warn_about_old_names(environment)
    assert caplog.messages == [f"{old_name} is now {name}. The next release ignores the old name."]

    caplog.clear()
    assert getattr(Settings.from_environment({name: "8"}), field) == 8
    warn_about_old_names({name: "8"})
    assert caplog.messages == []

    with pytest.raises(ConfigurationError) as refused:
        Settings.from_environment({old_name: "7", name: "8"})
    assert str(refused.value) == f"{old_name} is the old name of {name}, and both are set. Unset {old_name}."


async def test_a_server_warns_about_a_renamed_setting(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, migrated: Path
) -> None:
    monkeypatch.setenv("CRM_GRAPH_SIGN_IN_TRIES", "7")
    application = app.from_environment()

    async with application.router.lifespan_context(application):
        assert application.state.settings.sign_in_attempts == 7

    expected = "CRM_GRAPH_SIGN_IN_TRIES is now CRM_GRAPH_SIGN_IN_ATTEMPTS. The next release ignores the old name."
    assert [each.message for each in caplog.records if each.name == "crm_graph.settings"] == [expected]


def test_several_workers_with_a_broadcast_in_memory(capsys: pytest.CaptureFixture[str]) -> None:
    assert refusal(capsys, "serve", "--workers", "2") == (
        2,
        "2 workers cannot share a broadcast in memory. Set CRM_GRAPH_BROADCAST_URL to redis://127.0.0.1:6379, "
        "or start one worker.",
    )


def test_a_port_in_use(capsys: pytest.CaptureFixture[str], migrated: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        message = f"Port {port} is in use. Stop the program that uses it, or choose another with --port."
        assert refusal(capsys, "serve", "--port", str(port)) == (2, message)
        assert refusal(capsys, "demo", "--port", str(port)) == (2, message)
    assert not Path(".crm-graph").exists()


def test_an_address_that_is_not_ours(capsys: pytest.CaptureFixture[str]) -> None:
    code, message = refusal(capsys, "serve", "--host", "192.0.2.1")

    assert code == 2
    assert message.endswith("Choose another address with --host and --port.")


@pytest.mark.parametrize("command", [("serve",), ("token", "--email", "ada@acme.example")])
def test_a_database_that_is_not_there(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, command: tuple[str, ...]
) -> None:
    port = ("--port", str(free_port())) if command == ("serve",) else ()

    assert refusal(capsys, *command, *port) == (
        2,
        f"The database does not exist yet; revision {migrations.newest()} is needed. Run: crm-graph migrate",
    )
    assert list(tmp_path.iterdir()) == []


def test_a_database_without_tables(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "crm.db").touch()

    assert refusal(capsys, "serve", "--port", str(free_port())) == (
        2,
        f"The database has no tables; revision {migrations.newest()} is needed. Run: crm-graph migrate",
    )


def test_a_database_of_a_later_version(capsys: pytest.CaptureFixture[str], migrated: Path) -> None:
    import sqlite3

    with sqlite3.connect(migrated) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    message = (
        f"The database is at revision 9999, and this version of CRM Graph supports {migrations.newest()} at most. "
        "Install the version that migrated it."
    )

    assert refusal(capsys, "serve", "--port", str(free_port())) == (2, message)


def test_a_server_that_does_not_answer(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_GRAPH_DATABASE_URL", f"postgresql://crm@127.0.0.1:{free_port()}/crm")

    for command in ("serve", "migrate"):
        port = ("--port", str(free_port())) if command == "serve" else ()
        code, message = refusal(capsys, command, *port)
        assert code == 2
        assert message.startswith("The database cannot be reached: ")
        assert message.endswith("Start it, or correct CRM_GRAPH_DATABASE_URL.")


@pytest.mark.parametrize("url", ["mysql://localhost/crm", "nonsense"])
def test_another_kind_of_database(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("CRM_GRAPH_DATABASE_URL", url)

    assert refusal(capsys, "serve", "--port", str(free_port())) == (
        2,
        "CRM_GRAPH_DATABASE_URL is not a SQLite or PostgreSQL URL. Set it to sqlite:///crm.db or "
        "postgresql://user@host/database.",
    )


def test_a_broadcast_that_cannot_be_used(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, migrated: Path
) -> None:
    monkeypatch.setenv("CRM_GRAPH_BROADCAST_URL", "carrier-pigeon://loft")

    code, message = refusal(capsys, "serve", "--port", str(free_port()))

    assert code == 2
    assert message.startswith("CRM_GRAPH_BROADCAST_URL cannot be used: ")


# Looking after the database


def test_migrating_twice(capsys: pytest.CaptureFixture[str]) -> None:
    main_ok("migrate")
    assert "0001  first tables" in capsys.readouterr().out

    main_ok("migrate")
    assert capsys.readouterr().out == "The database is at the newest revision already.\n"


def test_the_newest_revision_is_what_alembic_takes_for_it() -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(migrations.HERE))

    assert ScriptDirectory.from_config(config).get_heads() == [migrations.newest()]


async def test_the_models_are_what_the_migrations_make(database_url: str) -> None:
    database = Database(database_url)
    try:
        await migrations.check(database.writer)
        assert await migrations.current(database.reader) == migrations.newest()
    finally:
        await database.close()


def test_a_token_lets_a_program_in(capsys: pytest.CaptureFixture[str], workspace: None) -> None:
    capsys.readouterr()
    main_ok("token", "--email", "ada@acme.example", "--name", "Nightly export")
    token = capsys.readouterr().out.strip()

    assert re.fullmatch(r"crm_[\w-]{43}", token)
    with running("serve") as (client, _):
        assert ask(client, "{ viewer { name email role } }", token) == {
            "viewer": {"name": "Ada Admin", "email": "ada@acme.example", "role": "ADMIN"}
        }
        assert client.get("/healthz").json() == {"status": "ok"}
        assert client.get("/graphql", headers={"Accept": "text/html"}).status_code != 200


def test_a_password_from_stdin(workspace: None) -> None:
    command = [sys.executable, "-c", "from crm_graph.cli import main; main()", "workspace", "create"]
    options = ["--name", "Other", "--email", "bo@other.example", "--user-name", "Bo", "--password-stdin"]
    done = subprocess.run([*command, *options], input="short\n", capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr == "crm-graph: password: A password has 8 to 200 characters, not 5.\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--email", "bo@acme.example"], "email: There is no active user with the email bo@acme.example in Acme."),
        (["--email", "ada"], "email: Not an email address: "),
        (["--email", "ada@acme.example", "--workspace", "Nowhere"], "workspace: There is no workspace 'Nowhere'."),
    ],
)
def test_a_token_for_nobody(
    capsys: pytest.CaptureFixture[str], workspace: None, options: list[str], message: str
) -> None:
    code, said = refusal(capsys, "token", *options)

    assert code == 1
    assert said.startswith(message)


def test_a_choice_of_workspaces(capsys: pytest.CaptureFixture[str], workspace: None) -> None:
    create("Other", "bo@other.example")

    code, message = refusal(capsys, "token", "--email", "bo@other.example")
    assert code == 1
    assert re.fullmatch(
        r"workspace: There are several workspaces. Give the id of one: ws_\w+ \(Acme\), ws_\w+ \(Other\)\.", message
    )

    main_ok("token", "--email", "bo@other.example", "--workspace", "Other")
    assert capsys.readouterr().out.startswith("crm_")


def test_no_workspace_yet(capsys: pytest.CaptureFixture[str], migrated: Path) -> None:
    assert refusal(capsys, "token", "--email", "ada@acme.example") == (
        1,
        "workspace: There is no workspace yet. Make one: crm-graph workspace create",
    )


def test_documents_are_trusted(capsys: pytest.CaptureFixture[str], migrated: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps({"a": "{ viewer { id } }", "b": "{ viewer { name } }"}))
    main_ok("trust", str(manifest))
    manifest.write_text(json.dumps({"b": "{ viewer { name } }"}))
    main_ok("trust", str(manifest), "--alone")

    assert capsys.readouterr().out.splitlines()[-2:] == [
        "2 documents newly trusted, 0 no longer trusted.",
        "0 documents newly trusted, 1 no longer trusted.",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"{", "The manifest is not JSON."),
        (b"\xff", "The manifest is not UTF-8 text."),
        (b'{"a": "{ viewer { name } }", "b": "{ nothing }"}', "b: The document is not valid on this server: "),
    ],
)
def test_a_wrong_manifest_is_refused_as_a_whole(
    capsys: pytest.CaptureFixture[str], migrated: Path, tmp_path: Path, text: bytes, message: str
) -> None:
    manifest = tmp_path / "manifest.json"
    manifest.write_bytes(text)

    code, said = refusal(capsys, "trust", str(manifest))

    assert code == 1
    assert said.startswith(message)
    with sqlite3.connect(migrated) as connection:
        assert connection.execute("SELECT count(*) FROM stored_documents").fetchall() == [(0,)]


def test_the_schema_is_printed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    main_ok("schema")
    assert capsys.readouterr().out == build_schema().as_str() + "\n"

    main_ok("schema", "--output", str(tmp_path / "schema.graphql"))
    assert (tmp_path / "schema.graphql").read_text() == build_schema().as_str() + "\n"


def test_the_schema_is_printed_for_gateways_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    main_ok("schema", "--federation")
    assert capsys.readouterr().out == print_subgraph(build_schema(federation=True)) + "\n"

    main_ok("schema", "--introspection")
    told = build_client_schema(json.loads(capsys.readouterr().out))
    assert print_schema(lexicographic_sort_schema(told)) == print_schema(
        lexicographic_sort_schema(build_ast_schema(parse(build_schema().as_str())))
    )


# Import

MAPPING = """
[[step]]
file = "companies.csv"
[[step.record]]
entity = "account"
fields.external_id = "shop:{id}"
fields.name = "{name}"
fields.employees = "{staff}"
"""


@pytest.fixture
def companies(tmp_path: Path) -> tuple[str, str]:
    """The arguments for a mapping and a folder with one good row and one bad one."""
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "companies.csv").write_text("id,name,staff\n1,Acme,12\n2,Bolt,lots\n")
    (tmp_path / "mapping.toml").write_text(MAPPING)
    return str(tmp_path / "mapping.toml"), str(folder)


def accounts(path: Path) -> list[str]:
    import sqlite3

    connection = sqlite3.connect(path)
    names = [row[0] for row in connection.execute("SELECT name FROM accounts ORDER BY name")]
    connection.close()
    return names


def test_a_bad_row_stops_an_import(
    capsys: pytest.CaptureFixture[str], workspace: None, companies: tuple[str, str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["import", *companies, "--report", str(tmp_path / "rejected.csv")])

    captured = capsys.readouterr()
    assert ended.value.code == 1
    assert captured.err == "Nothing was imported. Fix these rows, or skip them with --skip-bad-rows.\n"
    assert "1 rejected rows" in captured.out
    assert accounts(tmp_path / "crm.db") == []
    assert (tmp_path / "rejected.csv").read_text().splitlines() == [
        "file,line,column,reason",
        "companies.csv,3,staff,A number such as 1250.50 is expected. It is 'lots'.",
    ]


def test_bad_rows_are_left_out_on_demand(
    capsys: pytest.CaptureFixture[str], workspace: None, companies: tuple[str, str], tmp_path: Path
) -> None:
    main_ok("import", *companies, "--skip-bad-rows", "--dry-run")
    assert accounts(tmp_path / "crm.db") == []

    main_ok("import", *companies, "--skip-bad-rows")
    assert accounts(tmp_path / "crm.db") == ["Acme"]
    assert re.search(r"account\W+1\W+0\W+0", capsys.readouterr().out)


# The demo


def test_the_demo_answers_and_goes_on_with_its_data(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with running("demo", "--folder", str(folder), "--accounts", "12") as (client, _):
        page = client.get("/graphql", headers={"Accept": "text/html"}).text
        configuration = re.search(r'<script id="config" type="application/json">(.*?)</script>', page, re.S)
        assert configuration is not None
        token = json.loads(configuration[1])["token"]
        count = ask(client, "{ accounts { totalCount } __schema { queryType { name } } }", token)
        assert 8 <= count["accounts"]["totalCount"] <= 12
        made = ask(
            client,
            'mutation { createAccount(input: {name: "Kept"}) { account { id } userErrors { message } } }',
            token,
        )
        account_id = made["createAccount"]["account"]["id"]
    assert stat.S_IMODE((folder / "secret").stat().st_mode) == 0o600
    secret = (folder / "secret").read_text()

    with running("demo", "--folder", str(folder)) as (client, _):
        assert ask(client, "query ($id: ID!) { account(id: $id) { name } }", token, id=account_id) == {
            "account": {"name": "Kept"}
        }
    assert (folder / "secret").read_text() == secret


def test_what_the_demo_prints_lets_one_in(tmp_path: Path) -> None:
    from crm_graph.services.demo.workspace_dir import WorkspaceDir

    home = WorkspaceDir.at(tmp_path / "demo")
    assert asyncio.run(home.prepare(accounts=3)) is False
    with running("demo", "--folder", str(tmp_path / "demo")) as (client, _):
        document = "mutation ($input: SignInInput!) { signIn(input: $input) { accessToken userErrors { message } } }"
        values = {"email": home.email, "password": home.password}
        answer = client.post("/graphql", json={"query": document, "variables": {"input": values}}).json()
        token = answer["data"]["signIn"]["accessToken"]
        assert ask(client, "{ viewer { email } }", token) == {"viewer": {"email": home.email}}
        assert ask(client, "{ viewer { email } }", home.token) == {"viewer": {"email": home.email}}


def test_a_fresh_demo_begins_anew(tmp_path: Path) -> None:
    from crm_graph.services.demo.workspace_dir import WorkspaceDir

    folder = tmp_path / "demo"
    home = WorkspaceDir.at(folder)
    assert asyncio.run(home.prepare(accounts=3)) is False
    assert asyncio.run(home.prepare(accounts=3)) is True
    assert WorkspaceDir.at(folder).token == home.token

    again = WorkspaceDir.at(folder, fresh=True)
    assert again.token != home.token
    assert not again.database.exists()


def test_a_demo_whose_secret_is_gone(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "crm.db").touch()

    assert refusal(capsys, "demo", "--folder", str(tmp_path), "--port", str(free_port())) == (
        2,
        f"{tmp_path} has data, but its secret is missing. Start over with --fresh.",
    )
