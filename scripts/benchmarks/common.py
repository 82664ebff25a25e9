"""Shared code of the benches: a temporary database and server, a client, and the printing of results."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import json
import math
import os
import resource
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).resolve().parents[2]
CRM_GRAPH = str(Path(sys.executable).parent / "crm-graph")
T = TypeVar("T")
EMAIL = "ada@bench.example"
IDLE_SECONDS = 2
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))  # for tests.support

from tests.support.ports import free_port  # noqa: E402


def options(doc: str | None, *, quick: str, database: bool = True) -> argparse.ArgumentParser:
    """A parser with the options of all benches. `quick` is the help of --quick."""
    parser = argparse.ArgumentParser(
        prog=f"scripts/bench {Path(sys.argv[0]).stem}",
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")
    if database:
        parser.add_argument(
            "--database",
            metavar="URL",
            help="a PostgreSQL server, on which the bench makes a database of its own; otherwise it uses SQLite",
        )
    return parser


def say(text: str) -> None:
    print(text, flush=True)


def finish(kept: bool, summary: str, figures: Mapping[str, Any], file: Path | None) -> None:
    """Write the figures, print the summary, and exit: with 1 if a limit does not hold."""
    if file is not None:
        file.write_text(json.dumps({**figures, "summary": summary, "kept": kept}, indent=2) + "\n")
    say(summary)
    sys.exit(not kept)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` percent of the values do not exceed."""
    return sorted(values)[max(0, math.ceil(len(values) * share / 100) - 1)]


def resident(pid: int) -> int:
    """Resident memory of a process, in bytes."""
    status = Path(f"/proc/{pid}/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) * 1024
    return int(subprocess.check_output(["ps", "-o", "rss=", "-p", str(pid)])) * 1024


def raise_file_limit() -> None:
    """Let this process and its children open as many sockets as the system allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@contextlib.contextmanager
def database(server: str | None = None) -> Iterator[str]:
    """The URL of an empty database: a SQLite file, or one of its own on a PostgreSQL server."""
    if server is None:
        with tempfile.TemporaryDirectory(prefix="crm-graph-bench-") as folder:
            yield f"sqlite:///{folder}/crm.db"
        return
    from tests.support.databases import create_database, drop_database

    name = f"crm_graph_bench_{secrets.token_hex(4)}"
    url = asyncio.run(create_database(server, name, synchronous_commit=True))
    try:
        yield url
    finally:
        asyncio.run(drop_database(server, name))


def environment(url: str, **settings: object) -> dict[str, str]:
    """The variables of crm-graph on a database; settings are named as in crm_graph/settings.py."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CRM_GRAPH_")}
    given = {
        "database_url": url,
        "broadcast_url": "memory://",
        "secret_key": secrets.token_urlsafe(48),
        "cost_available": 1_000_000_000,  # one user sends more here than many do in production
        **settings,
    }
    return {**inherited, **{f"CRM_GRAPH_{name.upper()}": str(value) for name, value in given.items()}}


def prepare(env: Mapping[str, str]) -> str:
    """Migrate the database, create a workspace, and return a token of its admin."""
    from crm_graph import migrations
    from crm_graph.cli.database_session import database_session
    from crm_graph.database import Database
    from crm_graph.services.platform import setup
    from crm_graph.settings import Settings

    settings = Settings.from_environment(env)
    admin = {"user_name": "Ada Admin", "email": EMAIL, "password": secrets.token_urlsafe(16)}

    async def make() -> None:
        database = Database(settings.database_url, pool_size=1)
        await migrations.upgrade(database.writer)
        await database.close()
        async with database_session(settings) as changelog:
            await setup.create_workspace(changelog, name="Bench", currency="USD", **admin)

    asyncio.run(make())
    return tokens(env, [EMAIL])[0]


def tokens(env: Mapping[str, str], emails: Sequence[str]) -> list[str]:
    """An API token for each of these users, as `crm-graph token` makes them."""
    from crm_graph import auth
    from crm_graph.cli.database_session import database_session
    from crm_graph.services.platform import setup
    from crm_graph.settings import Settings

    async def make() -> list[str]:
        made = []
        async with database_session(Settings.from_environment(env)) as changelog:
            for email in emails:
                async with changelog.database.read() as session:
                    viewer = await setup.find_user(session, await setup.find_workspace(session, None), email)
                async with changelog.transaction(viewer, "createApiToken") as session:
                    made.append((await auth.create_api_token(session, viewer, name="bench"))["token"])
        return made

    return asyncio.run(make())


@dataclass
class Server:
    """A server process that answers."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def memory(self) -> int:
        return resident(self.pid)


@contextlib.contextmanager
def running(command: Sequence[str], env: Mapping[str, str], *, end: int = signal.SIGTERM) -> Iterator[Server]:
    """A server process that takes --port, once it answers. Raises RuntimeError with its output if it ends before
    that."""
    port = free_port()
    with tempfile.TemporaryFile() as printed:
        process = subprocess.Popen([*command, "--port", str(port)], env=env, stdout=printed, stderr=printed)
        try:
            while not _listens(port):
                if process.poll() is not None:
                    printed.seek(0)
                    raise RuntimeError(f"{command[0]} ended: {printed.read().decode(errors='replace')}")
                time.sleep(0.005)
            yield Server(port, process)
        finally:
            process.send_signal(end)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _listens(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


@contextlib.contextmanager
def at_once(contexts: Sequence[contextlib.AbstractContextManager[T]]) -> Iterator[list[T]]:
    """Several contexts, entered in parallel."""
    with contextlib.ExitStack() as stack:
        with ThreadPoolExecutor() as pool:
            entered = list(pool.map(stack.enter_context, contexts))
        yield entered


def serving(env: Mapping[str, str]) -> contextlib.AbstractContextManager[Server]:
    """One `crm-graph serve` process."""
    return running([CRM_GRAPH, "serve"], env)


class Client:
    """Posts JSON to a server over persistent connections, one per thread."""

    def __init__(self, port: int, token: str | None = None) -> None:
        self.port = port
        self.headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if token is not None:
            self.headers["Authorization"] = f"Bearer {token}"
        self._local = threading.local()

    def post(self, path: str, body: object, token: str | None = None) -> Any:
        """The answer to a body; `token` replaces the client's own."""
        headers = self.headers if token is None else {**self.headers, "Authorization": f"Bearer {token}"}
        connection = self._connection()
        connection.request("POST", path, json.dumps(body).encode(), headers)
        answer = json.loads(connection.getresponse().read())
        self._local.used_at = time.monotonic()
        return answer

    def _connection(self) -> http.client.HTTPConnection:
        """The thread's connection, or a new one if the server may have closed it for being idle."""
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        elif time.monotonic() - self._local.used_at > IDLE_SECONDS:
            connection.close()  # it opens again by itself
        return connection

    def ask(self, query: str, token: str | None = None, **variables: object) -> Any:
        """The data of an operation. Raises AssertionError for errors and for a mutation's user errors."""
        answer = self.post("/graphql", {"query": query, "variables": variables}, token)
        data = answer.get("data")
        refused = [each for each in (data or {}).values() if isinstance(each, dict) and each.get("userErrors")]
        if answer.get("errors") or refused:
            raise RuntimeError(f"The server refused: {answer}")
        return data
