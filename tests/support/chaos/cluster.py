"""Several servers of one PostgreSQL database, with a Redis of their own or the database as the broadcast."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
import socket
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random, SystemRandom
from typing import Any

import httpx
import sqlalchemy as sa
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from crm_graph import migrations
from crm_graph.database import Database
from tests.support.databases import POOL_SIZE, create_database, drop_database
from tests.support.servers import ServerProcess, environment, until_listening

START_SECONDS = 30.0


def lasting_port() -> int:
    """A port that stays free when nothing listens on it: systems do not assign these to outgoing connections."""
    while True:
        port = SystemRandom().randrange(15_000, 30_000)
        with socket.socket() as trying, contextlib.suppress(OSError):
            trying.bind(("127.0.0.1", port))
            return port


def has_redis() -> bool:
    """True if Redis is installed."""
    return shutil.which("redis-server") is not None


@dataclass
class Redis:
    """A Redis without persistence, always on the same port."""

    port: int = field(default_factory=lasting_port)
    process: Process | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start it, and wait until it answers."""
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self.process = await asyncio.create_subprocess_exec(*command, stdout=DEVNULL, stderr=DEVNULL)
        await until_listening(self.process, self.port, START_SECONDS, lambda: "Redis does not start.")

    async def kill(self) -> None:
        """Kill it, if it is running."""
        process, self.process = self.process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


@dataclass
class Cluster:
    """`up` are the running servers; `redis` is None for another broadcast."""

    database_url: str
    servers: list[ServerProcess]
    redis: Redis | None
    up: list[ServerProcess] = field(default_factory=list)

    @property
    def addresses(self) -> list[str]:
        return [server.address for server in self.servers]

    def somewhere(self, chance: Random) -> str:
        """The address of a running server, or of any server if none is known to run."""
        return chance.choice(self.up or self.servers).address

    async def start(self, server: ServerProcess) -> None:
        """Start a server like a supervisor: again and again until it runs, since it needs its broadcast to start."""
        async with asyncio.timeout(4 * START_SECONDS):
            while server.process is None:
                try:
                    await server.start()
                except AssertionError:
                    await asyncio.sleep(0.1)
        self.up.append(server)

    async def kill(self, server: ServerProcess) -> None:
        """Kill a server."""
        self.up.remove(server)
        await server.kill()

    async def stop(self, server: ServerProcess) -> None:
        """Stop a server with SIGTERM."""
        self.up.remove(server)
        await server.stop()

    async def ready(self, server: ServerProcess) -> dict[str, Any]:
        """The status in the answer of /readyz; empty without an answer."""
        async with httpx.AsyncClient(timeout=10) as client:
            try:
                answer: dict[str, Any] = (await client.get(f"http://{server.address}/readyz")).json()
            except httpx.TransportError:
                return {}
        return answer

    async def until(self, status: str) -> None:
        """Wait until all servers report "ok", or "degraded"."""
        async with asyncio.timeout(START_SECONDS):
            while True:
                if {(await self.ready(server)).get("status") for server in self.servers} == {status}:
                    return
                await asyncio.sleep(0.05)

    async def cut(self, *, share: float = 1.0, listening: bool = False) -> int:
        """End some connections to a PostgreSQL database, like an outage. With `listening`, only those that receive
        notifications. Returns their number."""
        engine = create_async_engine(self.database_url, isolation_level="AUTOCOMMIT")
        statement = sa.text(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid() AND random() < :share "
            "AND (query LIKE '%pg_notify%' OR query LIKE 'LISTEN%' OR NOT :listening)"
        )
        async with engine.connect() as connection:
            ended = (await connection.execute(statement, {"share": share, "listening": listening})).all()
        await engine.dispose()
        return len(ended)


@contextlib.asynccontextmanager
async def database(server_url: str | None, folder: Path) -> AsyncIterator[str]:
    """Inside the block, the URL of a new, migrated database on PostgreSQL or SQLite."""
    if server_url is None:
        url = f"sqlite:///{folder}/crm.db"
    else:
        name = f"crm_graph_chaos_{secrets.token_hex(4)}"
        url = await create_database(server_url, name)
    try:
        opened = Database(url)
        await migrations.upgrade(opened.writer)
        await opened.close()
        yield url
    finally:
        if server_url is not None:
            await drop_database(server_url, name)


@contextlib.asynccontextmanager
async def cluster(
    database_url: str, folder: Path, *, servers: int, broadcast: str, **settings: object
) -> AsyncIterator[Cluster]:
    """Inside the block, servers of a database. The broadcast is "redis", "postgres" or "memory"."""
    redis = Redis() if broadcast == "redis" else None
    notifying = make_url(database_url).set(drivername="postgres").render_as_string(hide_password=False)
    wakes = redis.url if redis is not None else notifying if broadcast == "postgres" else "memory://"
    settings = {"pool_size": POOL_SIZE, "cost_available": 0, **settings}
    variables = environment(database_url, broadcast_url=wakes, **settings)
    processes = [ServerProcess(variables, folder / f"server-{n}.log", lasting_port()) for n in range(servers)]
    made = Cluster(database_url, processes, redis)
    try:
        if redis is not None:
            await redis.start()
        await asyncio.gather(*(made.start(each) for each in processes))
        yield made
    finally:
        await asyncio.gather(*(each.kill() for each in processes))
        if redis is not None:
            await redis.kill()
