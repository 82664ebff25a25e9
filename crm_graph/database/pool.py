"""Connections that are made as SQLAlchemy's pool makes them, but are not of it: to take one from the pool and to give
it back takes as long as a short statement does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any, NoReturn

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

HANG_UP_SECONDS = 5


class PooledConnection:
    """A connection in autocommit, as SQLAlchemy has it and as its driver has it; and the session of those who write,
    which is closed after each use but takes long to make."""

    session: AsyncSession | None = None

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection
        sync: Any = connection.sync_connection
        self._sync, self.driver = sync, sync.connection.driver_connection
        self._is_sqlite = connection.dialect.name == "sqlite"
        sync.detach()

    @property
    def is_closed(self) -> bool:
        """Whether PostgreSQL has hung up, as far as anybody noticed."""
        return not self._is_sqlite and self.driver.is_closed()

    @contextlib.contextmanager
    def errors(self, text: str) -> Iterator[None]:
        """Raise the errors of a statement to the driver as SQLAlchemy's own."""
        try:
            yield
        except BaseException as error:
            fail(self._sync, error, text, ())

    async def hang_up(self) -> None:
        """Close the connection, which something went wrong on, and which may be busy still."""
        if self._is_sqlite:
            await self.driver.interrupt()
            await self.driver.close()
            return
        try:
            # With time to do it in order: PostgreSQL is told to cancel a statement by a connection of its own.
            await self.driver.close(timeout=HANG_UP_SECONDS)
        except Exception:  # whatever it was, the connection is not needed any more
            self.driver.terminate()


class ConnectionPool:
    """As many as may be in use at a time. Each begins with the statement `first`, if there is one."""

    def __init__(self, engine: AsyncEngine, most: int, first: str | None = None) -> None:
        self._engine, self._turn, self._idle, self._first = (
            engine,
            asyncio.Semaphore(most),
            list[PooledConnection](),
            first,
        )
        self.in_use = 0

    def take(self) -> AcquiredConnection:
        """One that nobody else uses, inside the block. It is not used again after an error."""
        return AcquiredConnection(self)

    async def get(self) -> PooledConnection:
        await self._turn.acquire()
        self.in_use += 1
        try:
            while self._idle:
                lane = self._idle.pop()
                if not lane.is_closed:
                    return lane
            return await self._open()
        except BaseException:
            self.put(None)
            raise

    async def _open(self) -> PooledConnection:
        lane = PooledConnection(await self._engine.connect())
        if self._first is not None:
            try:
                with lane.errors(self._first):
                    await lane.driver.execute(self._first)
            except BaseException:
                await asyncio.shield(lane.hang_up())
                raise
        return lane

    def put(self, lane: PooledConnection | None) -> None:
        """Give one back, or none for one that was closed."""
        if lane is not None:
            self._idle.append(lane)
        self.in_use -= 1
        self._turn.release()

    async def close(self) -> None:
        while self._idle:
            await self._idle.pop().driver.close()


class AcquiredConnection:
    """A lane in use."""

    __slots__ = ("_lane", "_lanes")

    def __init__(self, lanes: ConnectionPool) -> None:
        self._lanes = lanes

    async def __aenter__(self) -> PooledConnection:
        self._lane = await self._lanes.get()
        return self._lane

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        lane = None
        try:
            if error is None:
                lane = self._lane
            else:
                await asyncio.shield(self._lane.hang_up())
        finally:
            self._lanes.put(lane)


def fail(connection: Any, error: BaseException, text: str, arguments: Any) -> NoReturn:
    """Raise what SQLAlchemy raises: errors of the database are its own, and a connection that was broken, or cut off
    while it waited, is not used again."""
    try:
        connection.connection.dbapi_connection._handle_exception(error)
    except BaseException as known:
        connection._handle_dbapi_exception(known, text, arguments, None, None)
    raise error
