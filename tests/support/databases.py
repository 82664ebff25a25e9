"""Databases that tests create and drop."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

POOL_SIZE = 5
"""Connections of an application under test. PostgreSQL accepts 100 for all test processes and their servers."""


async def create_database(server: str, name: str, *, synchronous_commit: bool = False) -> str:
    """Create an empty database on a PostgreSQL server and return its URL.

    Unless `synchronous_commit` is set, its commits do not wait for the disk: no test stops PostgreSQL."""
    await _execute(
        server,
        f'CREATE DATABASE "{name}"',
        f'ALTER DATABASE "{name}" SET synchronous_commit = {"on" if synchronous_commit else "off"}',
    )
    return make_url(server).set(database=name).render_as_string(hide_password=False)


async def drop_database(server: str, name: str) -> None:
    await _execute(server, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


async def _execute(server: str, *statements: str) -> None:
    engine = create_async_engine(make_url(server).set(drivername="postgresql+asyncpg"), isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        for statement in statements:
            await connection.execute(sa.text(statement))
    await engine.dispose()


def without_sync(engine: AsyncEngine) -> AsyncEngine:
    """Let commits of an SQLite database not wait for the disk. Call it before the engine's first connection."""
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine.sync_engine, "connect")
        def set_synchronous(connection: sa.engine.interfaces.DBAPIConnection, _: object) -> None:
            cursor = connection.cursor()
            cursor.execute("PRAGMA synchronous=OFF")
            cursor.close()

    return engine
