"""Connections that bypass SQLAlchemy's pool, for statements that go straight to the driver (decision 0012)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Iterator, Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

from crm_graph.database.internals import raise_as_sqlalchemy

CLOSE_TIMEOUT_SECONDS = 5


class PooledConnection:
    """A connection in autocommit, as SQLAlchemy's object and as its driver's.

    `session` is kept for writers: it is closed after each use and reused.
    """

    session: AsyncSession | None = None

    def __init__(self, connection: AsyncConnection) -> None:
        assert connection.sync_connection is not None
        self.connection, self._sync = connection, connection.sync_connection
        self._driver: Any = self._sync.connection.driver_connection
        self._is_sqlite = connection.dialect.name == "sqlite"
        self._sync.detach()

    @property
    def is_closed(self) -> bool:
        """True once PostgreSQL is known to have closed the connection."""
        return not self._is_sqlite and self._driver.is_closed()

    def fetch(self, statement: str, values: Sequence[object]) -> Awaitable[Sequence[Sequence[Any]]]:
        """The rows of a statement."""
        fetched: Awaitable[Sequence[Sequence[object]]]
        if self._is_sqlite:
            fetched = self._driver.execute_fetchall(statement, values)
        else:
            fetched = self._driver.fetch(statement, *values)
        return fetched

    async def fetch_text(self, statement: str, values: Sequence[object]) -> str | None:
        """The only column of a statement's only row."""
        text: str | None
        if self._is_sqlite:
            [[text]] = await self._driver.execute_fetchall(statement, values)
        else:
            text = await self._driver.fetchval(statement, *values)
        return text

    async def execute(self, statement: str) -> None:
        """Execute a statement without parameters. Raises SQLAlchemy's errors, not the driver's."""
        with self._sqlalchemy_errors(statement):
            await self._driver.execute(statement)

    async def rollback(self) -> None:
        """Raises the driver's errors."""
        await self._driver.execute("ROLLBACK")

    @contextlib.contextmanager
    def _sqlalchemy_errors(self, statement: str) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            raise_as_sqlalchemy(self._sync, error, statement, ())

    async def close(self) -> None:
        await self._driver.close()

    async def terminate(self) -> None:
        """Close the connection after an error, even if it is busy."""
        if self._is_sqlite:
            await self._driver.interrupt()
            await self._driver.close()
            return
        try:
            # A graceful close needs time: asyncpg cancels the statement through a second connection.
            await self._driver.close(timeout=CLOSE_TIMEOUT_SECONDS)
        except Exception:  # the connection is dropped in any case
            self._driver.terminate()


class ConnectionPool:
    """Up to `size` connections. Each new one executes the statement `setup`, if there is one."""

    def __init__(self, engine: AsyncEngine, size: int, setup: str | None = None) -> None:
        self._engine, self._free, self._idle, self._setup = (
            engine,
            asyncio.Semaphore(size),
            list[PooledConnection](),
            setup,
        )
        self.in_use = 0

    def acquire(self) -> AcquiredConnection:
        """A connection for the `async with` block. An error in the block closes it."""
        return AcquiredConnection(self)

    async def take(self) -> PooledConnection:
        await self._free.acquire()
        self.in_use += 1
        try:
            while self._idle:
                connection = self._idle.pop()
                if not connection.is_closed:
                    return connection
            return await self._open()
        except BaseException:
            self.release(None)
            raise

    async def _open(self) -> PooledConnection:
        connection = PooledConnection(await self._engine.connect())
        if self._setup is not None:
            try:
                await connection.execute(self._setup)
            except BaseException:
                await asyncio.shield(connection.terminate())
                raise
        return connection

    def release(self, connection: PooledConnection | None) -> None:
        """Return a connection to the pool, or None in place of one that was closed."""
        if connection is not None:
            self._idle.append(connection)
        self.in_use -= 1
        self._free.release()

    async def close(self) -> None:
        while self._idle:
            await self._idle.pop().close()


class AcquiredConnection:
    """The context manager of `ConnectionPool.acquire`."""

    __slots__ = ("_connection", "_pool")

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool

    async def __aenter__(self) -> PooledConnection:
        self._connection = await self._pool.take()
        return self._connection

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        reusable = None
        try:
            if error is None:
                reusable = self._connection
            else:
                await asyncio.shield(self._connection.terminate())
        finally:
            self._pool.release(reusable)
