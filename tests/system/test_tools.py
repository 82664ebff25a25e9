"""Tools that read the schema, and the clients that they make: docs/clients/typed-clients.md shows them."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from graphql import GraphQLSchema, build_schema

import schema
from tests.support.flaky_relay import flaky_relay
from tests.support.npm import CLIENTS, EMAIL, PASSWORD, node_with, serving

ROOT = Path(__file__).parents[2]
SCHEMA, RELEASED = ROOT / "docs" / "schema.graphql", ROOT / "docs" / "schema.released.graphql"
DOCS = ROOT / "docs" / "clients" / "typed-clients.md"
OPERATIONS = CLIENTS / "operations.graphql"
TOOLS, PYTHON = CLIENTS / "tools", CLIENTS / "python"
TOOL_SECONDS = 120.0
DATE = re.compile(r"\b20\d\d-[01]\d-[0-3]\d\b")


class Workshop:
    """A copy of the tools' files, with the schema and the operations."""

    def __init__(self, folder: Path, node: str) -> None:
        self.folder, self.node = folder, node
        shutil.copytree(TOOLS, folder, ignore=shutil.ignore_patterns("node_modules"), dirs_exist_ok=True)
        (folder / "node_modules").symlink_to(TOOLS / "node_modules")
        shutil.copy(OPERATIONS, folder)
        shutil.copy(SCHEMA, folder / "schema.graphql")

    def change(self, before: str, after: str, name: str = "schema.graphql") -> None:
        """Change a file, in one place."""
        path = self.folder / name
        assert path.read_text().count(before) == 1
        path.write_text(path.read_text().replace(before, after))

    def run(self, tool: str, *arguments: str, code: int = 0) -> str:
        """The output of a tool, which must end with a code."""
        return run(self.folder, self.node, f"node_modules/.bin/{tool}", *arguments, code=code)


def run(folder: Path, *command: str | Path, code: int = 0, variables: Mapping[str, str] | None = None) -> str:
    ended = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **(variables or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=TOOL_SECONDS,
        check=False,
    )
    assert ended.returncode == code, ended.stdout
    return ended.stdout


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path / "workshop", node_with(TOOLS))


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, str]]:
    """The environment variables with a server's address and token."""
    folder = tmp_path_factory.mktemp("tools")
    async with serving(f"sqlite:///{folder}/crm.db", folder) as told:
        yield {f"CRM_GRAPH_{name}": told[f"CRM_GRAPH_TEST_{name}"] for name in ("URL", "TOKEN")}


@pytest.fixture
def board(server: dict[str, str]) -> dict[str, str]:
    """The same, and of a pipeline with one stage and no deals."""
    pipeline = make(server, "pipeline", name="Sales")
    stage = make(server, "stage", pipelineId=pipeline, name="New", probability=20, position=0)
    return {**server, "PIPELINE": pipeline, "STAGE": stage}


def make_deal(board: dict[str, str], name: str) -> None:
    make(board, "opportunity", name=name, stageId=board["STAGE"], amount={"amount": "5", "currency": "USD"})


def make(server: dict[str, str], entity: str, **values: Any) -> str:
    """The id of a new record."""
    record_id: str = write(server, f"create{entity.capitalize()}", f"{entity} {{ id }}", **values)[entity]["id"]
    return record_id


def write(server: dict[str, str], mutation: str, selection: str, **values: Any) -> Any:
    """The payload of a mutation, which must be done."""
    kind, selected = f"{mutation[0].upper()}{mutation[1:]}Input", f"userErrors {{ message }} {selection}"
    document = f"mutation ($input: {kind}!) {{ done: {mutation}(input: $input) {{ {selected} }} }}"
    headers = {"Authorization": f"Bearer {server['CRM_GRAPH_TOKEN']}"}
    body = {"query": document, "variables": {"input": values}}
    done = httpx.post(server["CRM_GRAPH_URL"], json=body, headers=headers).json()["data"]["done"]
    assert done["userErrors"] == []
    return done


def test_relay_compiler(workshop: Workshop) -> None:
    workshop.run("relay-compiler")

    made = {path.name.removesuffix(".graphql.ts") for path in (workshop.folder / "relay" / "__generated__").iterdir()}
    assert made == {
        *("accountsQuery", "accountsContactsQuery", "accountsAddContactMutation"),
        *("accounts_contacts", "accounts_timeline", "boardQuery", "boardFollowSubscription"),
    }


def test_graphql_eslint_with_relays_rules(workshop: Workshop) -> None:
    workshop.run("eslint", "schema.graphql")

    workshop.change("  hasNextPage: Boolean!\n", "  hasNextPage: Boolean\n")
    assert "@graphql-eslint/relay-page-info" in workshop.run("eslint", "schema.graphql", code=1)


async def test_graphql_codegen_makes_a_typed_client_whose_board_stays_live(
    workshop: Workshop, board: dict[str, str]
) -> None:
    workshop.change("keepAlive: 15_000", "keepAlive: 500", "socket.ts")
    workshop.change("client.terminate(), 5_000", "client.terminate(), 1_000", "socket.ts")
    await asyncio.to_thread(workshop.run, "graphql-codegen", "--config", "codegen.json")
    await asyncio.to_thread(workshop.run, "tsc")
    url = httpx.URL(board["CRM_GRAPH_URL"])
    token = write(board, "signIn", "accessToken", email=EMAIL, password=PASSWORD)["accessToken"]
    async with flaky_relay(url.netloc.decode()) as (relay, address):
        of_client = {**board, "CRM_GRAPH_URL": f"http://{address}/graphql", "CRM_GRAPH_TOKEN": token}
        client = await asyncio.create_subprocess_exec(
            *(workshop.node, "built/client.js", "Typed"),
            cwd=workshop.folder,
            env={**os.environ, **of_client},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(TOOL_SECONDS):
                assert await told(client, "ENTERED") == "ENTERED Typed: 1250.5 USD, New"
                relay.cut()
                make_deal(board, "After a cut")
                assert await told(client, "ENTERED") == "ENTERED After a cut: 5 USD, New"
                relay.silence()
                make_deal(board, "After a silence")
                assert await told(client, "ENTERED") == "ENTERED After a silence: 5 USD, New"
                write({**board, "CRM_GRAPH_TOKEN": token}, "signOutEverywhere", "revision")
                assert await told(client, "4403") == "4403 token revoked"
                assert await client.wait() == 1
        finally:
            if client.returncode is None:
                client.kill()
                await client.wait()


async def told(client: asyncio.subprocess.Process, beginning: str) -> str:
    """The next line of a client that begins so."""
    assert client.stdout is not None
    while line := (await client.stdout.readline()).decode():
        if line.startswith(beginning):
            return line.rstrip()
    raise AssertionError(f"No line begins with {beginning!r}.")


def test_ariadne_codegen_makes_a_python_client(tmp_path: Path, board: dict[str, str]) -> None:
    run(PYTHON, "./setup", sys.executable)
    programs = PYTHON / ".venv" / "bin"
    for path in (PYTHON / "pyproject.toml", PYTHON / "client.py", OPERATIONS, SCHEMA):
        shutil.copy(path, tmp_path)
    run(tmp_path, programs / "ariadne-codegen")

    assert run(tmp_path, programs / "python", "client.py", variables=board) == "Typed: 1250.5 USD\n"


def test_nothing_that_was_released_is_broken(workshop: Workshop) -> None:
    workshop.run("graphql-inspector", "diff", str(RELEASED), "schema.graphql")

    workshop.change("  hasNextPage: Boolean!\n", "  hasNextPage: Boolean\n")
    said = workshop.run("graphql-inspector", "diff", str(RELEASED), "schema.graphql", code=1)
    assert "Field PageInfo.hasNextPage changed type from Boolean! to Boolean" in said


def test_every_deprecation_says_why_and_until_when() -> None:
    assert undated(schema.build_schema()._schema) == []


def test_a_deprecation_without_a_date_is_found() -> None:
    told = build_schema(
        """
        type Query {
          old: Int @deprecated(reason: "Use `new`. It goes on 2027-06-01.")
          older: Int @deprecated(reason: "Use `new`.")
          new(size: Int @deprecated): Color
        }
        enum Color { RED @deprecated(reason: "Use BLUE.") BLUE }
        input Paint { color: Color @deprecated(reason: "") }
        """
    )

    assert undated(told) == ["Query.older", "Query.new(size:)", "Color.RED", "Paint.color"]


def undated(told: GraphQLSchema) -> list[str]:
    """The deprecations whose reason has no date."""
    reasons: dict[str, str | None] = {}
    for name, kind in told.type_map.items():
        fields = getattr(kind, "fields", {})
        reasons |= {f"{name}.{each}": field.deprecation_reason for each, field in fields.items()}
        for each, field in fields.items():
            arguments = getattr(field, "args", {}).items()
            reasons |= {f"{name}.{each}({key}:)": argument.deprecation_reason for key, argument in arguments}
        reasons |= {f"{name}.{each}": value.deprecation_reason for each, value in getattr(kind, "values", {}).items()}
    return [place for place, reason in reasons.items() if reason is not None and not DATE.search(reason)]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("operations.graphql", "graphql"),
        ("tools/codegen.json", "json"),
        ("tools/socket.ts", "ts"),
        ("tools/client.ts", "ts"),
        ("tools/tsconfig.json", "json"),
        ("python/pyproject.toml", "toml"),
        ("python/client.py", "python"),
    ],
)
def test_what_the_documents_show_is_what_is_tested(path: str, kind: str) -> None:
    assert f"```{kind}\n{(CLIENTS / path).read_text()}```\n" in DOCS.read_text()
