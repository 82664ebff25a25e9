"""Engines and sessions for SQLite and PostgreSQL, and the few SQL expressions that differ between the two."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, TypeVar

import orjson
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine import URL, Dialect, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

from crm_graph.database.batching import StatementBatcher
from crm_graph.database.pool import AcquiredConnection, ConnectionPool
from crm_graph.errors import ConfigurationError
from crm_graph.observability import tracing

DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}
BUSY_TIMEOUT = 30_000  # milliseconds
# What reading raises when the database is out, or has no connection left.
CONNECTION_ERRORS = (sa.exc.DBAPIError, sa.exc.TimeoutError, OSError, TimeoutError)
F = TypeVar("F", bound=Callable[..., Any])
_functions: dict[str, tuple[int, Callable[..., Any]]] = {}
# The driver would prepare anew, each time, statements of more than 15 KB: to plan them takes longer than to run them.
_POSTGRESQL = {"server_settings": {"jit": "off", "timezone": "UTC"}, "max_cacheable_statement_size": 0}
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


class StatementTooDeep(Exception):
    """SQLite's parser cannot take a statement that is nested like this."""


class Database:
    """Three ways in: `read` for one statement at a time, `snapshot` for several that must agree, `write`."""

    def __init__(self, url: str, pool_size: int = 10) -> None:
        self.url = database_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.is_sqlite:
            self.reader = _sqlite_engine(self.url, pool_size, begin=None, read_only=True)
            self.snapshots = _sqlite_engine(self.url, pool_size, begin="BEGIN", read_only=True)
            # One writer at a time in this process: waiting in our queue is fairer than SQLite's busy loop.
            self.writer = _sqlite_engine(self.url, 1, begin="BEGIN IMMEDIATE", read_only=False)
            self._watcher = _sqlite_engine(self.url, 1, begin=None, read_only=True)
        else:
            self.writer = _postgresql_engine(self.url, pool_size)
            self._watcher = _postgresql_engine(self.url, 1).execution_options(isolation_level="AUTOCOMMIT")
            self.reader = self.writer.execution_options(isolation_level="AUTOCOMMIT")
            self.snapshots = self.writer.execution_options(isolation_level="REPEATABLE READ")
        self._reading = ConnectionPool(self.reader, pool_size)
        # Who writes waits for whoever else does as long as on SQLite.
        patience = None if self.is_sqlite else f"SET lock_timeout = {BUSY_TIMEOUT}"
        self._writing = ConnectionPool(self.reader, pool_size, patience)
        self.batcher = StatementBatcher(self)
        self.read = async_sessionmaker(self.reader, autoflush=False, expire_on_commit=False)
        self.snapshot = async_sessionmaker(self.snapshots, autoflush=False, expire_on_commit=False)
        self.monitor = async_sessionmaker(self._watcher, autoflush=False, expire_on_commit=False)
        """As `read`, for what must be known every few seconds, however many wait for a connection."""
        self._write = async_sessionmaker(self.writer, autoflush=False, expire_on_commit=False)

    @property
    def in_use(self) -> int:
        """The connections that are at work."""
        pools: list[Any] = [each.pool for each in self.engines]
        return self._reading.in_use + self._writing.in_use + sum(int(pool.checkedout()) for pool in pools)

    @property
    def engines(self) -> list[AsyncEngine]:
        """Those with connections of their own: PostgreSQL's three ways in share one pool."""
        return [self.writer, self._watcher, *([self.reader, self.snapshots] if self.is_sqlite else [])]

    async def fetch_text(self, statement: str, values: Sequence[Any]) -> str | None:
        """The one text that a statement answers: by the driver alone, for what has no time to lose.

        Raises StatementTooDeep, and the driver's own errors; the connection is not used again after any of these.
        Cancelling the task ends the statement.
        """
        try:
            async with self.lane() as lane:
                with tracing.statement(statement):
                    if self.is_sqlite:
                        [[text]] = await lane.driver.execute_fetchall(statement, values)
                    else:
                        text = await lane.driver.fetchval(statement, *values)
        except Exception as error:
            if "parser stack overflow" in str(error):
                raise StatementTooDeep from None
            raise
        return text  # type: ignore[no-any-return]

    async def fetch_texts(self, statement: str, values: Sequence[Any]) -> list[str | None]:
        """The texts that a statement answers on PostgreSQL, one a row; otherwise as `fetch_text`."""
        async with self.lane() as lane:
            with tracing.statement(statement):
                rows = await lane.driver.fetch(statement, *values)
        return [text for (text,) in rows]

    def lane(self) -> AcquiredConnection:
        """A connection in autocommit to read with, for as long as one is in the block. It is not used again after an
        error."""
        return self._reading.take()

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        """A session whose changes are committed together at the end, or rolled back by an error.

        PostgreSQL's transaction is begun and ended by the driver, and SQLAlchemy knows nothing of it: what a session
        does about one takes longer than the shortest of them.
        """
        if self.is_sqlite:
            async with self._write() as session:  # which leaves records as they are, where a rollback would not
                yield session
                await session.commit()
            return
        refused = None
        async with self._writing.take() as lane:
            with lane.errors("BEGIN"):
                await lane.driver.execute("BEGIN")
            session = lane.session = lane.session or self._write(bind=lane.connection)
            try:
                yield session
                if session.new or session.dirty or session.deleted:
                    await session.flush()
                with lane.errors("COMMIT"):
                    await lane.driver.execute("COMMIT")
            except Exception as error:
                if lane.is_closed:
                    raise
                await lane.driver.execute("ROLLBACK")
                refused = error
            finally:
                session.info.clear()
                session.sync_session.close()
        if refused is not None:
            raise refused

    async def analyze(self) -> None:
        """Let the database see what is in its tables, by which it chooses how to read them. PostgreSQL does so by
        itself, SQLite never."""
        if self.is_sqlite:
            async with self.writer.connect() as connection:
                await connection.exec_driver_sql("PRAGMA analysis_limit=1000")
                await connection.exec_driver_sql("ANALYZE")
                await connection.commit()

    async def close(self) -> None:
        for lanes in (self._reading, self._writing):
            await lanes.close()
        for engine in self.engines:
            await engine.dispose()


def database_url(url: str) -> URL:
    """The URL with the driver that this software uses. Raises ConfigurationError on another database."""
    try:
        parsed = make_url(url)
        return parsed.set(drivername=DRIVERS[parsed.get_backend_name()])
    except (sa.exc.ArgumentError, KeyError):
        raise ConfigurationError(
            "CRM_GRAPH_DATABASE_URL names no database this software knows. Set it to sqlite:///crm.db or "
            "postgresql://user@host/database."
        ) from None


def _postgresql_engine(url: URL, pool_size: int) -> AsyncEngine:
    return create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        hide_parameters=True,  # the log shows statements that failed, and values may be secrets
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
        # The driver would begin transactions by itself, and late; SQLAlchemy's "begin" below does it instead.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT}")
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute(f"PRAGMA query_only={int(read_only)}")
        cursor.close()
        for name, (arguments, function) in _functions.items():
            connection.create_function(name, arguments, function, deterministic=True)

    @event.listens_for(engine.sync_engine, "invalidate")
    def interrupt(connection: DBAPIConnection, record: object, exception: BaseException | None) -> None:
        # A statement whose task was cancelled goes on in the driver's thread, for which closing would wait.
        driver: Any = connection
        with contextlib.suppress(ValueError, sqlite3.ProgrammingError):  # it is closed already
            driver.driver_connection._conn.interrupt()

    @event.listens_for(engine.sync_engine, "begin")
    def start(connection: sa.Connection) -> None:
        if begin is not None:
            connection.exec_driver_sql(begin)

    return engine


def _json_text(value: Any) -> str:
    return orjson.dumps(value).decode()


def sqlite_function(name: str, arguments: int) -> Callable[[F], F]:
    """Make a function known to SQLite's connections, where PostgreSQL has one of its own."""

    def register(function: F) -> F:
        _functions[name] = arguments, function
        return function

    return register


def is_storable(text: str) -> bool:
    """Whether both databases take the text: PostgreSQL refuses NUL, and UTF-8 has no unpaired surrogates."""
    return _UNSTORABLE.search(text) is None


@sqlite_function("fold", 1)
def casefold_text(text: str | None) -> str | None:
    """Text as it is compared: without regard to case, in every alphabet. Sigma has two small forms."""
    return None if text is None else text.lower().replace("ς", "σ")


class casefolded(FunctionElement[str]):
    """SQL of `casefold_text`."""

    type = sa.String()
    inherit_cache = True
    name = "fold"


@compiles(casefolded, "sqlite")
def _fold_sqlite(element: casefolded, compiler: SQLCompiler, **kwargs: Any) -> str:
    return f"fold({compiler.process(element.clauses, **kwargs)})"


@compiles(casefolded, "postgresql")
def _fold_postgresql(element: casefolded, compiler: SQLCompiler, **kwargs: Any) -> str:
    # ICU's rules are the same on every machine; "C" sorts by code point, as SQLite does.
    lowered = f'lower({compiler.process(element.clauses, **kwargs)} COLLATE "und-x-icu")'
    return f"replace({lowered}, 'ς', 'σ') COLLATE \"C\""


class TextArray(TypeDecorator[Sequence[str]]):
    """A list of texts as one bind parameter: an array on PostgreSQL, JSON on SQLite."""

    impl = sa.JSON
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(ARRAY(sa.String()) if dialect.name == "postgresql" else sa.JSON())

    def process_bind_param(self, value: Sequence[str] | None, dialect: Dialect) -> list[str]:
        return [each for each in value or () if is_storable(each)]


class Condition(FunctionElement[bool]):
    """A condition with SQL of its own. SQLAlchemy would write `… = 1` behind it on SQLite, which no index serves."""

    type = sa.Boolean()
    inherit_cache = True

    def self_group(self, against: Any = None) -> Any:
        return self


class in_array(Condition):
    """`column IN (ids)` with the ids as one parameter, so that any number of them is one statement in the caches. They
    may also come when the statement is executed: as the parameter of that name.

    Looking for what no id can be finds nothing.
    """

    inherit_cache = True
    name = "among"

    def __init__(self, column: Any, ids: Sequence[str] | sa.BindParameter[Any]) -> None:
        if isinstance(ids, sa.BindParameter):
            given = sa.bindparam(ids.key, type_=TextArray())
        else:
            given = sa.bindparam(None, list(ids), type_=TextArray(), unique=True)
        super().__init__(column, given)


@compiles(in_array, "sqlite")
def _among_sqlite(element: in_array, compiler: SQLCompiler, **kwargs: Any) -> str:
    column, ids = (compiler.process(clause, **kwargs) for clause in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({ids}))"


@compiles(in_array, "postgresql")
def _among_postgresql(element: in_array, compiler: SQLCompiler, **kwargs: Any) -> str:
    column, ids = (compiler.process(clause, **kwargs) for clause in element.clauses)
    return f"{column} = ANY({ids})"
