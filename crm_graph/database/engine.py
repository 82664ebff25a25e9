"""Engines and sessions for SQLite and PostgreSQL."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence

import orjson
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.pool import QueuePool

from crm_graph.database.batching import StatementBatcher
from crm_graph.database.internals import interrupt_sqlite
from crm_graph.database.pool import AcquiredConnection, ConnectionPool
from crm_graph.database.sql import SQLITE_FUNCTIONS
from crm_graph.errors import ConfigurationError
from crm_graph.observability import tracing

DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}
BUSY_TIMEOUT = 30_000  # milliseconds
CONNECTION_ERRORS = (sa.exc.DBAPIError, sa.exc.TimeoutError, OSError, TimeoutError)
"""Errors of a read when the database is down, or when no connection is free."""
_POSTGRESQL = {
    "server_settings": {"jit": "off", "timezone": "UTC"},
    "max_cacheable_statement_size": 0,  # asyncpg would prepare statements over 15 KB again each time
}


class StatementTooDeep(Exception):
    """SQLite's parser cannot parse a statement of this depth."""


class Database:
    """Sessions for three uses: `read` for single statements, `snapshot` for several that must agree, and `write`."""

    def __init__(self, url: str, pool_size: int = 10) -> None:
        self.url = database_url(url)
        self.dialect = self.url.get_backend_name()
        self.is_sqlite = self.dialect == "sqlite"
        if self.is_sqlite:
            self.reader = _sqlite_engine(self.url, pool_size, begin=None, read_only=True)
            self.snapshots = _sqlite_engine(self.url, pool_size, begin="BEGIN", read_only=True)
            # One writer at a time in this process: our queue is fairer than SQLite's busy loop.
            self.writer = _sqlite_engine(self.url, 1, begin="BEGIN IMMEDIATE", read_only=False)
            self._monitor = _sqlite_engine(self.url, 1, begin=None, read_only=True)
        else:
            self.writer = _postgresql_engine(self.url, pool_size)
            self._monitor = _postgresql_engine(self.url, 1).execution_options(isolation_level="AUTOCOMMIT")
            self.reader = self.writer.execution_options(isolation_level="AUTOCOMMIT")
            self.snapshots = self.writer.execution_options(isolation_level="REPEATABLE READ")
        self._readers = ConnectionPool(self.reader, pool_size)
        # Writers wait for locks as long as on SQLite.
        lock_timeout = None if self.is_sqlite else f"SET lock_timeout = {BUSY_TIMEOUT}"
        self._writers = ConnectionPool(self.reader, pool_size, lock_timeout)
        self.batcher = StatementBatcher(self)
        self.read = async_sessionmaker(self.reader, autoflush=False, expire_on_commit=False)
        self.snapshot = async_sessionmaker(self.snapshots, autoflush=False, expire_on_commit=False)
        self.monitor = async_sessionmaker(self._monitor, autoflush=False, expire_on_commit=False)
        """Like `read`, on a connection of its own, for checks that run every few seconds even if the pool is busy."""
        self._write = async_sessionmaker(self.writer, autoflush=False, expire_on_commit=False)

    @property
    def in_use(self) -> int:
        """Connections in use."""
        pools = [each.pool for each in self.engines]
        in_sessions = sum(pool.checkedout() for pool in pools if isinstance(pool, QueuePool))
        return self._readers.in_use + self._writers.in_use + in_sessions

    @property
    def engines(self) -> list[AsyncEngine]:
        """The engines that have their own pool: PostgreSQL's reader, snapshots and writer share one."""
        return [self.writer, self._monitor, *([self.reader, self.snapshots] if self.is_sqlite else [])]

    async def fetch_text(self, statement: str, values: Sequence[object]) -> str | None:
        """The text that a statement returns, read by the driver alone.

        Raises StatementTooDeep and the driver's errors; any of them closes the connection. Cancelling the task cancels
        the statement.
        """
        try:
            async with self.read_connection() as connection:
                with tracing.statement(statement):
                    return await connection.fetch_text(statement, values)
        except Exception as error:
            if "parser stack overflow" in str(error):
                raise StatementTooDeep from None
            raise

    async def fetch_texts(self, statement: str, values: Sequence[object]) -> list[str | None]:
        """The texts that a statement returns on PostgreSQL, one in each row. Raises the driver's errors."""
        async with self.read_connection() as connection:
            with tracing.statement(statement):
                rows = await connection.fetch(statement, values)
        return [text for (text,) in rows]

    def read_connection(self) -> AcquiredConnection:
        """A read connection in autocommit, for the `async with` block. An error in the block closes it."""
        return self._readers.acquire()

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        """A session that commits at the end of the block, and rolls back on an error.

        On PostgreSQL the driver begins and ends the transaction, and SQLAlchemy treats the connection as autocommit
        (decision 0012).
        """
        if self.is_sqlite:
            async with self._write() as session:  # closing it keeps the records' values, which a rollback would expire
                yield session
                await session.commit()
            return
        failure = None
        async with self._writers.acquire() as connection:
            await connection.execute("BEGIN")
            session = connection.session = connection.session or self._write(bind=connection.connection)
            try:
                yield session
                if session.new or session.dirty or session.deleted:
                    await session.flush()
                await connection.execute("COMMIT")
            except Exception as error:
                if connection.is_closed:
                    raise
                await connection.rollback()
                failure = error
            finally:
                session.info.clear()
                session.sync_session.close()
        if failure is not None:  # raised outside the block, which would close the connection
            raise failure

    async def analyze(self) -> None:
        """Update SQLite's statistics, which choose its indexes. PostgreSQL updates its own."""
        if self.is_sqlite:
            async with self.writer.connect() as connection:
                await connection.exec_driver_sql("PRAGMA analysis_limit=1000")
                await connection.exec_driver_sql("ANALYZE")
                await connection.commit()

    async def close(self) -> None:
        for pool in (self._readers, self._writers):
            await pool.close()
        for engine in self.engines:
            await engine.dispose()


def database_url(url: str) -> URL:
    """The URL with the async driver. Raises ConfigurationError for any database but SQLite and PostgreSQL."""
    try:
        parsed = make_url(url)
        return parsed.set(drivername=DRIVERS[parsed.get_backend_name()])
    except (sa.exc.ArgumentError, KeyError):
        raise ConfigurationError(
            "CRM_GRAPH_DATABASE_URL is not a SQLite or PostgreSQL URL. Set it to sqlite:///crm.db or "
            "postgresql://user@host/database."
        ) from None


def _postgresql_engine(url: URL, pool_size: int) -> AsyncEngine:
    return create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        hide_parameters=True,  # failed statements are logged, and their values may be secrets
        connect_args=_POSTGRESQL,
        json_serializer=_json_text,
        json_deserializer=orjson.loads,
    )


def _sqlite_engine(url: URL, pool_size: int, *, begin: str | None, read_only: bool) -> AsyncEngine:
    engine = create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=60,
        hide_parameters=True,
        json_serializer=_json_text,
        json_deserializer=orjson.loads,
    )

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: DBAPIConnection, record: object) -> None:
        # The driver would begin transactions late. The listener for "begin" below begins them instead.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT}")
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute(f"PRAGMA query_only={int(read_only)}")
        cursor.close()
        for name, (arguments, function) in SQLITE_FUNCTIONS.items():
            connection.create_function(name, arguments, function, deterministic=True)

    @event.listens_for(engine.sync_engine, "invalidate")
    def interrupt(connection: DBAPIConnection, record: object, exception: BaseException | None) -> None:
        interrupt_sqlite(connection)

    @event.listens_for(engine.sync_engine, "begin")
    def start(connection: sa.Connection) -> None:
        if begin is not None:
            connection.exec_driver_sql(begin)

    return engine


def _json_text(value: object) -> str:
    return orjson.dumps(value).decode()
