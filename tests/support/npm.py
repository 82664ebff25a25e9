"""Programs from npm, and a server for them in its own process."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import io
import os
import re
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from crm_graph.cli import main
from tests.conftest import skip
from tests.support.databases import POOL_SIZE
from tests.support.servers import environment, running_server

CLIENTS = Path(__file__).parents[1] / "clients"
EMAIL, PASSWORD = "ada@acme.example", "correct horse battery"
USER_OPERATIONS = 120
INSTALL_SECONDS = 300.0
NODE_SECONDS = 180.0
NODE = 20


def node_with(folder: Path) -> str:
    """The path of node, with the packages of the folder's lock file installed."""
    program, npm = shutil.which("node"), shutil.which("npm")
    if program is None or npm is None:
        skip("node and npm are not here: nothing from npm was tested.")
    assert program is not None
    assert npm is not None
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.removeprefix("v").partition(".")[0]) < NODE:
        skip(f"node is {version.strip()}, and {NODE} is needed: nothing from npm was tested.")
    _install(npm, folder)
    return program


def _install(npm: str, folder: Path) -> None:
    """Install the packages of the lock file, unless they are there. Test processes do it one after the other."""
    lock, done = folder / "package-lock.json", folder / "node_modules" / "installed.json"
    with lock.open() as locked:
        fcntl.flock(locked, fcntl.LOCK_EX)
        wanted = locked.read()
        if done.exists() and done.read_text() == wanted:
            return
        options = ["--no-audit", "--no-fund", "--loglevel=error"]
        installing = subprocess.run(
            [npm, "ci", *options], cwd=folder, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
        )
        assert installing.returncode == 0, installing.stdout + installing.stderr
        done.write_text(wanted)


def crm_graph(*arguments: str) -> str:
    """The output of a command. It runs in this process, because a new one would need a second for its imports."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), pytest.raises(SystemExit) as ended:
        main(list(arguments))
    assert ended.value.code == 0, said.getvalue()
    return said.getvalue().strip()


@contextlib.asynccontextmanager
async def serving(database_url: str, folder: Path, **settings: object) -> AsyncIterator[dict[str, str]]:
    """A server of an empty database. Yields the environment variables of the clients' tests."""
    usual = {"password": PASSWORD, "user_operations": USER_OPERATIONS, "pool_size": POOL_SIZE}
    variables = environment(database_url, **{**usual, **settings})
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        admin = ["--name", "Acme", "--email", EMAIL, "--user-name", "Ada Admin"]
        await asyncio.to_thread(crm_graph, "migrate")
        await asyncio.to_thread(crm_graph, "workspace", "create", *admin)
        token = await asyncio.to_thread(crm_graph, "token", "--email", EMAIL)
        await asyncio.to_thread(crm_graph, "trust", str(CLIENTS / "trusted.json"))
    async with running_server(variables, folder / "server.log") as server:
        told = {"URL": server.url, "TOKEN": token, "EMAIL": EMAIL, "PASSWORD": PASSWORD}
        told["USER_OPERATIONS"] = str(USER_OPERATIONS)
        yield {f"CRM_GRAPH_TEST_{name}": value for name, value in told.items()}


def run_tests(folder: Path, node: str, name: str, told: dict[str, str]) -> None:
    """Run the tests of one file, which must all pass."""
    running = subprocess.Popen(
        [node, "--test", "--test-reporter=spec", f"{name}.test.mjs"],
        cwd=folder,
        env={**os.environ, **told},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        start_new_session=True,
    )
    try:
        said, _ = running.communicate(timeout=NODE_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(running.pid, signal.SIGKILL)  # node runs the tests in a process of its own
        pytest.fail(f"The tests do not end.\n{running.communicate()[0]}")

    assert running.returncode == 0, said
    assert re.search(r" pass [1-9]", said), said
