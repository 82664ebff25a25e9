"""Connections that are made as SQLAlchemy's pool makes them, but are not of it: to take one from the pool and to give
it back takes as long as a short statement does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any, NoReturn

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession

HANG_UP_SECONDS = 5


class Lane:
    """A connection in autocommit, as SQLAlchemy has it and as its driver has it; and the session of those who write,
    which is closed after each use but takes long to make."""

    session: AsyncSession | None = None

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection
        sync: Any = connection.sync_connection
        self._sync, self.driver = sync, sync.connection.driver_connection
        sync.detach()

    @property
    def is_closed(self) -> bool:
        """Whether PostgreSQL has hung up, as far as anybody noticed."""
        return self.connection.dialect.name == "postgresql" and self.driver.is_closed()

    @contextlib.contextmanager
    def errors(self, text: str) -> Iterator[None]:
        """Raise the errors of a statement to the driver as SQLAlchemy's own."""
        try:
            yield
        except BaseException as error:
            fail(self._sync, error, text, ())

    async def hang_up(self) -> None:
        """Close the connection, which something went wrong on, and which may be busy still."""
        if self.connection.dialect.name == "sqlite":
            await self.driver.interrupt()
            await self.driver.close()
            return
        try:
            # With time to do it in order: PostgreSQL is told to cancel a statement by a connection of its own.
            await self.driver.close(timeout=HANG_UP_SECONDS)
        except Exception:  # whatever it was, the connection is not needed any more
            self.driver.terminate()


class Lanes:
    """As many as may be in use at a time."""

    def __init__(self, engine: AsyncEngine, most: int) -> None:
        self._engine, self._turn, self._idle = engine, asyncio.Semaphore(most), list[Lane]()

    @contextlib.asynccontextmanager
    async def take(self) -> AsyncIterator[Lane]:
        """One that nobody else uses. It is not used again after an error."""
        async with self._turn:
            lane = None
            while self._idle and (lane is None or lane.is_closed):
                lane = self._idle.pop()
            if lane is None or lane.is_closed:
                lane = Lane(await self._engine.connect())
            try:
                yield lane
            except BaseException:
                await asyncio.shield(lane.hang_up())
                raise
            self._idle.append(lane)

    async def close(self) -> None:
        while self._idle:
            await self._idle.pop().driver.close()


def fail(connection: Any, error: BaseException, text: str, arguments: Any) -> NoReturn:
    """Raise what SQLAlchemy raises: errors of the database are its own, and a connection that was broken, or cut off
    while it waited, is not used again."""
    try:
        connection.connection.dbapi_connection._handle_exception(error)
    except BaseException as known:
        connection._handle_dbapi_exception(known, text, arguments, None, None)
    raise error
