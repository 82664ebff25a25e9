"""The servers of the bench, each one process on the same database with a pool of the same size."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import random
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from common import ROOT, Client, Server, at_once, running, say, serving
from dataset import key
from operations import (
    LIST,
    MOVE,
    POSTGRAPHILE_MOVE,
    VARIETY,
    Deal,
    Operation,
    Variables,
    compared,
    cursor_like,
    from_postgraphile,
    title_of,
)
from prometheus_client.parser import text_string_to_metric_families

PEERS = ROOT / "scripts" / "benchmarks" / "read_peers"
POOL = 10
COUNTED = "crm_graph_operation_seconds_count"


@dataclass(frozen=True)
class Site:
    """A database with a company in it."""

    url: str
    deals: int
    workspace_id: str
    env: Mapping[str, str]
    token: str

    @property
    def peers_env(self) -> dict[str, str]:
        given = {"DATABASE_URL": self.url, "POOL_SIZE": str(POOL), "WORKSPACE_ID": self.workspace_id}
        return {**os.environ, **given, "NODE_ENV": "production", "GRAPHILE_ENV": "production"}


class ComparedServer:
    """A server that takes this server's documents."""

    def __init__(self, name: str, server: Server, site: Site, token: str | None = None) -> None:
        self.name, self.server, self.site = name, server, site
        self.client = Client(server.port, token)
        self.headers = self.client.headers

    def ask(self, operation: Operation, variables: Variables) -> Any:
        """The answer, normalized for comparison."""
        return self._compared(self._answer(self.body(operation, variables)))

    def execution(self, operation: Operation) -> str:
        """The execution of an operation by the server's metrics: "compiled", "executed" or both."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.server.port}/metrics") as answer:
            metrics = text_string_to_metric_families(answer.read().decode())
        counted = [each.labels for family in metrics for each in family.samples if each.name == COUNTED]
        title = title_of(operation.document)
        return ", ".join(sorted(each["execution"] for each in counted if each["operation"] == title))

    def move(self, deal: Deal) -> Any:
        """The answer to a move, normalized for comparison."""
        return self._compared(self._answer(self.move_body(deal)))

    def bodies(self, operation: Operation, count: int = VARIETY) -> list[bytes]:
        """Requests; no two in a row are equal."""
        chance = random.Random(operation.name)
        return [self.body(operation, operation.variables(self.site.deals, chance)) for _ in range(count)]

    def body(self, operation: Operation, variables: Variables) -> bytes:
        if variables.get("after") is not None:
            variables = {**variables, "after": cursor_like(self._cursor, key("acc", 50), variables["after"])}
        return self._body(self._document(operation), self._given(variables))

    def move_body(self, deal: Deal) -> bytes:
        place = {"opportunityId": deal.id, "stageId": deal.stage_id, "expectedVersion": deal.version}
        return self._body(MOVE, {"input": place})

    def _body(self, document: str, variables: Variables) -> bytes:
        return json.dumps({"query": document, "operationName": title_of(document), "variables": variables}).encode()

    def _answer(self, body: bytes) -> Any:
        answer = self.client.post("/graphql", json.loads(body))
        assert "errors" not in answer, f"{self.name}: {answer['errors']}"
        return answer["data"]

    @functools.cached_property
    def _cursor(self) -> str:
        """The server's cursor of the 50th account."""
        cursor: str = self._answer(self.body(LIST, {}))["accounts"]["pageInfo"]["endCursor"]
        return cursor

    def _document(self, operation: Operation) -> str:
        return operation.document

    def _given(self, variables: Variables) -> Variables:
        return variables

    def _compared(self, data: Any) -> Any:
        return compared(data)


class PostGraphile(ComparedServer):
    """A schema generated from the tables: keys include the workspace, and an update names the columns to set."""

    def move_body(self, deal: Deal) -> bytes:
        patch = {"stageId": deal.stage_id, "version": deal.version + 1}
        row = {"workspaceId": self.site.workspace_id, "rowId": deal.id, "opportunityPatch": patch}
        return self._body(POSTGRAPHILE_MOVE, {"input": row})

    def _document(self, operation: Operation) -> str:
        return operation.postgraphile

    def _given(self, variables: Variables) -> Variables:
        return {"workspaceId": self.site.workspace_id, **variables} if "id" in variables else variables

    def _compared(self, data: Any) -> Any:
        return compared(from_postgraphile(data))


@contextlib.contextmanager
def ours(site: Site, name: str = "crm-graph", *, compiled: bool = True) -> Iterator[ComparedServer]:
    settings = {"CRM_GRAPH_COMPILED": str(compiled).lower(), "CRM_GRAPH_EXPLAIN": "false", "CRM_GRAPH_METRICS": "true"}
    with serving({**site.env, **settings}) as server:
        yield ComparedServer(name, server, site, site.token)


@contextlib.contextmanager
def both_ours(site: Site) -> Iterator[list[ComparedServer]]:
    """This server, with and without compilation."""
    with at_once([ours(site), ours(site, "crm-graph, not compiled", compiled=False)]) as contenders:
        yield contenders


@contextlib.contextmanager
def peers(site: Site, node: str) -> Iterator[list[ComparedServer]]:
    """PostGraphile, stock Strawberry, and the handwritten statements."""
    commands: dict[str, tuple[type[ComparedServer], Sequence[str]]] = {
        "PostGraphile": (PostGraphile, [node, str(PEERS / "postgraphile.mjs")]),
        "Strawberry": (ComparedServer, [sys.executable, str(PEERS / "plain_strawberry.py")]),
        "by hand": (ComparedServer, [sys.executable, str(PEERS / "handwritten_sql.py")]),
    }
    with at_once([running(command, site.peers_env) for _, command in commands.values()]) as servers:
        yield [kind(name, server, site) for (name, (kind, _)), server in zip(commands.items(), servers, strict=True)]


def install() -> str:
    """Install PostGraphile and its Node if necessary, and return the path of that Node."""
    if not (PEERS / "node_modules").is_dir():
        if shutil.which("npm") is None:
            raise SystemExit("reads: PostGraphile is installed with npm. Install Node with npm and run this again.")
        say("Installing PostGraphile")
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--silent"], cwd=PEERS, check=True)
    found = [str(each) for each in PEERS.glob("node_modules/node-*/bin/node")] + [shutil.which("node") or ""]
    if not found[0]:
        raise SystemExit("reads: PostGraphile needs Node 22 or newer. Install it and run this again.")
    return found[0]
