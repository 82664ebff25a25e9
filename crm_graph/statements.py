"""Statements that are sent again and again: compiled once, and handed to the driver.

SQLAlchemy takes longer to send a statement, and to make objects of its rows, than PostgreSQL takes to answer it. Here
it compiles statements and keeps connections, transactions and errors; all that is between is left out.
"""

from __future__ import annotations

import functools
import sys
from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import DeclarativeBase, make_transient_to_detached

from crm_graph import tracing
from crm_graph.db import Database

M = TypeVar("M", bound=DeclarativeBase)
Link = AsyncSession | Database
_CONNECTION = "connection"


async def fetch(link: Link, statement: Any, parameters: Mapping[str, Any]) -> list[Any]:
    """The rows of a statement of columns, which have the columns' names. Sent to a database, it is no part of any
    transaction."""
    if isinstance(link, Database):
        return await _fetch_alone(link, statement, parameters)
    connection = await _connection(link)
    ready = _ready(statement, connection.dialect)
    return ready.rows(await _send(connection, ready.text, ready.arguments(parameters), many=False))


async def _fetch_alone(database: Database, statement: Any, parameters: Mapping[str, Any]) -> list[Any]:
    """A session is made only where it cannot be done without: it tries again, and its errors are SQLAlchemy's."""
    engine = database.reader.sync_engine
    ready = _ready(statement, engine.dialect)
    arguments = ready.arguments(parameters)
    _tell(engine, None, ready.text, arguments, many=False)
    try:
        async with database.lane() as driver:
            with tracing.statement(ready.text):
                if database.is_sqlite:
                    return ready.rows(await driver.execute_fetchall(ready.text, arguments))
                return ready.rows(await driver.fetch(ready.text, *arguments))
    except Exception:
        async with database.read() as session:
            return await fetch(session, statement, parameters)


async def fetch_records(
    session: AsyncSession, model: type[M], statement: Any, parameters: Mapping[str, Any]
) -> list[tuple[Any, ...]]:
    """The rows of a statement of a model and perhaps more, the record first. They are for reading: no session writes
    what is changed in them."""
    connection = await _connection(session)
    ready = _ready(statement, connection.dialect)
    names = ready.columns[: len(model.__table__.columns)]
    found = []
    for row in await _send(connection, ready.text, ready.arguments(parameters), many=False):
        values = ready.values(row)
        record: M = model.__mapper__.class_manager.new_instance()
        vars(record).update(zip(names, values, strict=False))
        found.append((record, *values[len(names) :]))
    return found


async def find_records(
    session: AsyncSession, model: type[M], statement: Any, parameters: Mapping[str, Any]
) -> list[tuple[Any, ...]]:
    """As `fetch_records`, with the session's own records: those that it has already are the same objects again."""
    found = await fetch_records(session, model, statement, parameters)
    return [(_own(session, record), *rest) for record, *rest in found]


def _own(session: AsyncSession, record: M) -> M:
    make_transient_to_detached(record)
    key: Any = sa.inspect(record).key
    known: Any = session.sync_session.identity_map.get(key)
    if known is None:
        session.add(record)
        return record
    mine: M = known
    return mine


async def send_many(session: AsyncSession, statement: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """Execute a statement for each of many rows. They are made ready by columns, many of which are one object again
    and again."""
    connection = await _connection(session)
    ready = _ready(statement, connection.dialect)
    columns = [[row[name] for row in rows] for name in ready.names]
    sets = list(zip(*map(_prepared, ready.prepare, columns), strict=True))
    if len(sets) == 1:
        await _send(connection, ready.text, sets[0], many=False)
    else:
        await _send(connection, ready.text, sets, many=True)


async def insert_many(session: AsyncSession, model: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """A bulk insert of whole rows."""
    await send_many(session, _insertion(model.__table__), rows)


@functools.cache
def _insertion(table: sa.Table) -> sa.Insert:
    return sa.insert(table)


class _Ready:
    """A statement as the driver takes it: its text, what makes its parameters, and what reads the values of a row."""

    def __init__(self, statement: Any, dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect)
        columns = statement.exported_columns
        self.text = sys.intern(str(compiled))
        self.names = list(compiled.positiontup or ())
        binds = [compiled.binds[name] for name in self.names]
        self.prepare = [each.type.dialect_impl(dialect).bind_processor(dialect) for each in binds]
        self.columns = tuple(columns.keys())
        # What the statement has of its own, the gate's ids above all, is prepared here, unless a function makes it.
        self._own: list[Any] = []
        self._open = []
        for place, (bind, prepare) in enumerate(zip(binds, self.prepare, strict=True)):
            is_open = bind.required or bind.callable is not None
            self._own.append(None if is_open else bind.value if prepare is None else prepare(bind.value))
            if is_open:
                self._open.append((place, bind.key, bind.callable, prepare))
        readers = [each.type.dialect_impl(dialect).result_processor(dialect, None) for each in columns]
        self._readers = [(place, read) for place, read in enumerate(readers) if read is not None]

    def arguments(self, given: Mapping[str, Any]) -> tuple[Any, ...]:
        arguments = self._own.copy()
        for place, name, make, prepare in self._open:
            value = given[name] if make is None else make()
            arguments[place] = value if prepare is None else prepare(value)
        return tuple(arguments)

    def values(self, row: Any) -> list[Any]:
        values = list(row)
        for place, read in self._readers:
            values[place] = read(values[place])
        return values

    def rows(self, found: Sequence[Any]) -> list[Any]:
        row = _row(self.columns)
        return [row._make(self.values(each)) for each in found]


_ready = functools.lru_cache(maxsize=4096)(_Ready)


@functools.cache
def _row(columns: tuple[str, ...]) -> Any:
    return namedtuple("Row", columns)


def _prepared(prepare: Callable[[Any], Any] | None, values: Sequence[Any]) -> Sequence[Any]:
    if prepare is None:
        return values
    ready = {key: prepare(value) for key, value in {id(value): value for value in values}.items()}
    return [ready[id(value)] for value in values]


async def _connection(session: AsyncSession) -> AsyncConnection:
    info = session.sync_session.info
    known: AsyncConnection | None = info.get(_CONNECTION)
    if known is None or known.closed:
        known = info[_CONNECTION] = await session.connection()
    return known


async def _send(connection: AsyncConnection, text: str, arguments: Any, *, many: bool) -> Sequence[Any]:
    sync: Any = connection.sync_connection
    if connection.dialect.name == "sqlite":  # whose driver waits for a thread, which takes longer than all else
        result = await connection.exec_driver_sql(text, arguments)
        return result.all() if result.returns_rows else []
    _tell(sync, sync, text, arguments, many=many)
    adapted = sync.connection.dbapi_connection
    try:
        if adapted._transaction is None:
            await adapted._start_transaction()  # SQLAlchemy begins late, and not at all in autocommit
        driver = adapted.driver_connection
        with tracing.statement(text):
            return await (driver.executemany(text, arguments) if many else driver.fetch(text, *arguments)) or []
    except BaseException as error:
        _fail(sync, error, text, arguments)


def _tell(source: Any, connection: sa.Connection | None, text: str, arguments: Any, *, many: bool) -> None:
    """Let those who listen hear of a statement."""
    for listener in source.dispatch.before_cursor_execute:
        listener(connection, None, text, arguments, None, many)


def _fail(connection: Any, error: BaseException, text: str, arguments: Any) -> NoReturn:
    """Raise what SQLAlchemy raises: errors of the database are its own, and a connection that was broken, or cut off
    while it waited, leaves the pool."""
    try:
        connection.connection.dbapi_connection._handle_exception(error)
    except BaseException as known:
        connection._handle_dbapi_exception(known, text, arguments, None, None)
    raise error
