"""Engines and sessions for SQLite and PostgreSQL, and the few SQL expressions that differ between the two."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

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

from crm_graph.errors import RefusedToStart

DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}
BUSY_TIMEOUT = 30_000
# What reading raises when the database is out, or has no connection left.
OUTAGES = (sa.exc.DBAPIError, sa.exc.TimeoutError, OSError, TimeoutError)
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


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
        else:
            self.writer = create_async_engine(
                self.url,
                pool_size=pool_size,
                max_overflow=0,
                connect_args={"server_settings": {"jit": "off", "timezone": "UTC"}},
                json_serializer=_json_text,
                json_deserializer=orjson.loads,
            )
            self.reader = self.writer.execution_options(isolation_level="AUTOCOMMIT")
            self.snapshots = self.writer.execution_options(isolation_level="REPEATABLE READ")
        self.read = async_sessionmaker(self.reader, autoflush=False, expire_on_commit=False)
        self.snapshot = async_sessionmaker(self.snapshots, autoflush=False, expire_on_commit=False)
        self.write = async_sessionmaker(self.writer, autoflush=False, expire_on_commit=False)

    @property
    def engines(self) -> list[AsyncEngine]:
        """Those with connections of their own: PostgreSQL's three ways in share one pool."""
        return [self.writer, self.reader, self.snapshots] if self.is_sqlite else [self.writer]

    async def close(self) -> None:
        for engine in self.engines:
            await engine.dispose()


def database_url(url: str) -> URL:
    """The URL with the driver that this software uses. Raises RefusedToStart on another database."""
    try:
        parsed = make_url(url)
        return parsed.set(drivername=DRIVERS[parsed.get_backend_name()])
    except (sa.exc.ArgumentError, KeyError):
        raise RefusedToStart(
            "CRM_GRAPH_DATABASE_URL names no database this software knows. Set it to sqlite:///crm.db or "
            "postgresql://user@host/database."
        ) from None


def _sqlite_engine(url: URL, pool_size: int, *, begin: str | None, read_only: bool) -> AsyncEngine:
    engine = create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=60,
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
        connection.create_function("fold", 1, fold_text, deterministic=True)

    @event.listens_for(engine.sync_engine, "begin")
    def start(connection: sa.Connection) -> None:
        if begin is not None:
            connection.exec_driver_sql(begin)

    return engine


async def insert_many(session: AsyncSession, model: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """A bulk insert of whole rows. SQLAlchemy's own looks at each value of each row, which takes it longer than it
    takes the database to store them; this one goes by columns, many of which are one object again and again."""
    connection = await session.connection()
    statement, preparations = _insertion(model.__table__, connection.dialect)
    columns = []
    for name, prepare in preparations:
        values = [row[name] for row in rows]
        columns.append(values if prepare is None else _prepared(prepare, values))
    await connection.exec_driver_sql(statement, list(zip(*columns, strict=True)))


@functools.lru_cache(maxsize=128)
def _insertion(table: sa.Table, dialect: Dialect) -> tuple[str, list[tuple[str, Any]]]:
    """The statement that inserts a whole row; and for each of its parameters, the column and what prepares a value."""
    compiled = sa.insert(table).compile(dialect=dialect)
    names = compiled.positiontup or ()
    return str(compiled), [(name, table.columns[name].type.bind_processor(dialect)) for name in names]


def _prepared(prepare: Callable[[Any], Any], values: Sequence[Any]) -> list[Any]:
    ready = {key: prepare(value) for key, value in {id(value): value for value in values}.items()}
    return [ready[id(value)] for value in values]


def _json_text(value: Any) -> str:
    return orjson.dumps(value).decode()


def storable(text: str) -> bool:
    """Whether both databases take the text: PostgreSQL refuses NUL, and UTF-8 has no unpaired surrogates."""
    return _UNSTORABLE.search(text) is None


def fold_text(text: str | None) -> str | None:
    """Text as it is compared: without regard to case, in every alphabet. Sigma has two small forms."""
    return None if text is None else text.lower().replace("ς", "σ")


class fold(FunctionElement[str]):
    """SQL of `fold_text`."""

    type = sa.String()
    inherit_cache = True
    name = "fold"


@compiles(fold, "sqlite")
def _fold_sqlite(element: fold, compiler: SQLCompiler, **kwargs: Any) -> str:
    return f"fold({compiler.process(element.clauses, **kwargs)})"


@compiles(fold, "postgresql")
def _fold_postgresql(element: fold, compiler: SQLCompiler, **kwargs: Any) -> str:
    # ICU's rules are the same on every machine; "C" sorts by code point, as SQLite does.
    lowered = f'lower({compiler.process(element.clauses, **kwargs)} COLLATE "und-x-icu")'
    return f"replace({lowered}, 'ς', 'σ') COLLATE \"C\""


class _TextArray(TypeDecorator[Sequence[str]]):
    """A list of texts as one bind parameter: an array on PostgreSQL, JSON on SQLite."""

    impl = sa.JSON
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(ARRAY(sa.String()) if dialect.name == "postgresql" else sa.JSON())

    def process_bind_param(self, value: Sequence[str] | None, dialect: Dialect) -> list[str]:
        return [each for each in value or () if storable(each)]


class Condition(FunctionElement[bool]):
    """A condition with SQL of its own. SQLAlchemy would write `… = 1` behind it on SQLite, which no index serves."""

    type = sa.Boolean()
    inherit_cache = True

    def self_group(self, against: Any = None) -> Any:
        return self


class among(Condition):
    """`column IN (ids)` with the ids as one parameter, so that any number of them is one statement in the caches. They
    may also come when the statement is executed: as the parameter of that name.

    Looking for what no id can be finds nothing.
    """

    inherit_cache = True
    name = "among"

    def __init__(self, column: Any, ids: Sequence[str] | sa.BindParameter[Any]) -> None:
        if isinstance(ids, sa.BindParameter):
            given = sa.bindparam(ids.key, type_=_TextArray())
        else:
            given = sa.bindparam(None, list(ids), type_=_TextArray(), unique=True)
        super().__init__(column, given)


@compiles(among, "sqlite")
def _among_sqlite(element: among, compiler: SQLCompiler, **kwargs: Any) -> str:
    column, ids = (compiler.process(clause, **kwargs) for clause in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({ids}))"


@compiles(among, "postgresql")
def _among_postgresql(element: among, compiler: SQLCompiler, **kwargs: Any) -> str:
    column, ids = (compiler.process(clause, **kwargs) for clause in element.clauses)
    return f"{column} = ANY({ids})"
