"""Statements that are sent again and again: compiled once, and handed to the driver.

SQLAlchemy takes longer to send a statement, and to make objects of its rows, than PostgreSQL takes to answer it. Here
it compiles statements and keeps connections, transactions and errors; all that is between is left out.
"""

from __future__ import annotations

import functools
import sys
from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import DeclarativeBase

from crm_graph.database import Database
from crm_graph.database.pool import fail
from crm_graph.observability import tracing

M = TypeVar("M", bound=DeclarativeBase)
Connectable = AsyncSession | Database
_CONNECTION = "connection"


async def fetch(link: Connectable, statement: Any, parameters: Mapping[str, Any]) -> list[Any]:
    """The rows of a statement of columns, which have the columns' names. Sent to a database, it is no part of any
    transaction."""
    ready, found = await _fetch(link, statement, parameters)
    row = _row(ready.columns)
    return [row._make(ready.values(each)) for each in found]


async def _fetch(
    link: Connectable, statement: Any, parameters: Mapping[str, Any]
) -> tuple[PreparedStatement, Sequence[Any]]:
    """A database has no session made for it but where it cannot be done without: it tries again, and its errors are
    SQLAlchemy's."""
    if not isinstance(link, Database):
        connection = await _connection(link)
        ready = _ready(statement, connection.dialect)
        return ready, await _send(connection, ready.text, ready.arguments(parameters), many=False)
    engine = link.reader.sync_engine
    ready = _ready(statement, engine.dialect)
    arguments = ready.arguments(parameters)
    emit_events(engine, None, ready.text, arguments, many=False)
    try:
        async with link.lane() as lane:
            with tracing.statement(ready.text):
                if link.is_sqlite:
                    return ready, await lane.driver.execute_fetchall(ready.text, arguments)
                return ready, await lane.driver.fetch(ready.text, *arguments)
    except Exception:
        async with link.read() as session:
            return await _fetch(session, statement, parameters)


async def fetch_records(
    link: Connectable, model: type[M], statement: Any, parameters: Mapping[str, Any]
) -> list[tuple[Any, ...]]:
    """The rows of a statement of a model and perhaps more, the record first. They are for reading: no session writes
    what is changed in them."""
    ready, rows = await _fetch(link, statement, parameters)
    width = len(model.__table__.columns)
    names, found = ready.columns[:width], []
    for row in rows:
        values = ready.values(row)
        found.append((record_of(model, names, values), *values[width:]))
    return found


def record_of(model: type[M], names: Sequence[str], values: Iterable[Any]) -> M:
    """The record with these values. It is to be looked at only: nothing would notice a change."""
    record = model.__new__(model)
    record.__dict__ = dict(zip(names, values, strict=False))  # what more there is in a row is not the record's
    return record


async def find_records(
    session: AsyncSession, model: type[M], statement: Any, parameters: Mapping[str, Any]
) -> list[tuple[Any, ...]]:
    """As `fetch_records`, with the session's own records: those that it has already are the same objects again."""
    found = await fetch_records(session, model, statement, parameters)
    return [(attach_to_session(session, record), *rest) for record, *rest in found]


def attach_to_session(session: AsyncSession, record: M) -> M:
    """The session's record: this one, which it gets as if it had loaded it, or the one that it has."""
    own, mapper = session.sync_session, record.__mapper__
    mapper.class_manager.setup_instance(record)
    state, key = sa.inspect(record), mapper.identity_key_from_instance(record)
    known: M | None = own.identity_map.get(key)
    if known is None:
        state.key, state.session_id = key, own.hash_key
        own.identity_map.add(state)
    return known or record


async def send_many(session: AsyncSession, statement: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """Execute a statement for each of many rows. They are made ready by columns, many of which are one object again
    and again."""
    connection = await _connection(session)
    ready = _ready(statement, connection.dialect)
    if len(rows) == 1:
        await _send(connection, ready.text, ready.arguments(rows[0]), many=False)
        return
    columns = [[row[name] for row in rows] for name in ready.names]
    await _send(connection, ready.text, list(zip(*map(_prepared, ready.prepare, columns), strict=True)), many=True)


async def insert_many(session: AsyncSession, model: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """A bulk insert of whole rows."""
    await send_many(session, _insertion(model.__table__), rows)


@functools.cache
def _insertion(table: sa.Table) -> sa.Insert:
    return sa.insert(table)


class PreparedStatement:
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
        self.attach_to_session: list[Any] = []
        self._open = []
        for place, (bind, prepare) in enumerate(zip(binds, self.prepare, strict=True)):
            is_open = bind.required or bind.callable is not None
            self.attach_to_session.append(None if is_open else bind.value if prepare is None else prepare(bind.value))
            if is_open:
                self._open.append((place, bind.key, bind.callable, prepare))
        readers = [each.type.dialect_impl(dialect).result_processor(dialect, None) for each in columns]
        self._readers = [(place, read) for place, read in enumerate(readers) if read is not None]

    def arguments(self, given: Mapping[str, Any]) -> tuple[Any, ...]:
        arguments = self.attach_to_session.copy()
        for place, name, make, prepare in self._open:
            value = given[name] if make is None else make()
            arguments[place] = value if prepare is None else prepare(value)
        return tuple(arguments)

    def values(self, row: Any) -> list[Any]:
        values = list(row)
        for place, read in self._readers:
            values[place] = read(values[place])
        return values


_ready = functools.lru_cache(maxsize=4096)(PreparedStatement)


@functools.cache
def _row(columns: tuple[str, ...]) -> Any:
    return namedtuple("Row", columns)


def _prepared(prepare: Callable[[Any], Any] | None, values: Sequence[Any]) -> Sequence[Any]:
    if prepare is None:
        return values
    ready = {key: prepare(value) for key, value in {id(value): value for value in values}.items()}
    return [ready[id(value)] for value in values]


async def _connection(session: AsyncSession) -> AsyncConnection:
    if isinstance(session.bind, AsyncConnection):
        return session.bind
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
    emit_events(sync, sync, text, arguments, many=many)
    adapted = sync.connection.dbapi_connection
    try:
        if adapted._transaction is None:
            await adapted._start_transaction()  # SQLAlchemy begins late, and not at all in autocommit
        driver = adapted.driver_connection
        with tracing.statement(text):
            return await (driver.executemany(text, arguments) if many else driver.fetch(text, *arguments)) or []
    except BaseException as error:
        fail(sync, error, text, arguments)


def emit_events(source: Any, connection: sa.Connection | None, text: str, arguments: Any, *, many: bool) -> None:
    """Let those who listen hear of a statement."""
    if not (source._has_events or source.engine._has_events):
        return
    for listener in source.dispatch.before_cursor_execute:
        listener(connection, None, text, arguments, None, many)
