"""Servers in processes of their own, as `crm-graph serve` starts them, which tests stop, kill and start again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.support.ports import free_port

COMMAND = [sys.executable, "-c", "from crm_graph.cli import main; main()"]
SECRET = "0123456789abcdefghijklmnopqrstuvwxyz"
START_SECONDS = 60.0
STOP_SECONDS = 30.0


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def until_listening(process: Process, port: int, seconds: float, why: Callable[[], str]) -> None:
    """Wait until a program listens. Raises AssertionError with `why` if it ends before that, and TimeoutError."""
    async with asyncio.timeout(seconds):
        while not await _listens(port):
            assert process.returncode is None, why()
            await asyncio.sleep(0.02)


def environment(database_url: str, **settings: object) -> dict[str, str]:
    """The environment variables of a server process: `environment(url, broadcast_url="redis://…")`. No setting is
    inherited."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CRM_GRAPH_")}
    values = {"secret_key": SECRET, "database_url": database_url, **settings}
    return {**inherited, **{f"CRM_GRAPH_{name.upper()}": str(value) for name, value in values.items()}}


@dataclass
class ServerProcess:
    """A server, always on the same port, so that clients find it again after a restart. `log` is the file with its
    output."""

    variables: Mapping[str, str] = field(repr=False)
    log: Path
    port: int = field(default_factory=free_port)
    process: Process | None = None
    command: tuple[str, ...] = ("serve",)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.address}/graphql"

    async def start(self) -> None:
        """Start it, and wait until it is ready."""
        assert self.process is None
        with self.log.open("ab") as log:
            arguments = [*COMMAND, *self.command, "--port", str(self.port)]
            self.process = await asyncio.create_subprocess_exec(*arguments, env=self.variables, stdout=log, stderr=log)
        try:
            await self._ready(self.process)
        except BaseException:
            await self.kill()
            raise

    async def _ready(self, process: Process) -> None:
        async with asyncio.timeout(START_SECONDS), httpx.AsyncClient() as client:
            while process.returncode is None:
                with contextlib.suppress(httpx.TransportError):
                    if (await client.get(f"http://{self.address}/readyz")).status_code == 200:
                        return
                await asyncio.sleep(0.05)
        raise AssertionError(f"The server does not start.\n{self.log.read_text()}")

    async def stop(self) -> None:
        """Stop it with SIGTERM, which must be quick. Does nothing if it is not running."""
        process = self.process
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            await self.kill()
            raise AssertionError(f"The server does not stop.\n{self.log.read_text()}") from None
        self.process = None

    async def kill(self) -> None:
        """Kill it. Does nothing if it is not running."""
        process, self.process = self.process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


@contextlib.asynccontextmanager
async def running_server(
    variables: Mapping[str, str], log: Path, command: tuple[str, ...] = ("serve",)
) -> AsyncIterator[ServerProcess]:
    """Inside the block, a server, by `serve` or another command."""
    server = ServerProcess(variables, log, command=command)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
