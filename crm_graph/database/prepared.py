"""Statements that are sent again and again: compiled once, then handed to the driver (decision 0012).

SQLAlchemy still compiles the statements and keeps the connections, the transactions and the errors. The layers between
them are skipped.
"""

from __future__ import annotations

import functools
import sys
from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.sql.selectable import ReturnsRows

from crm_graph.database.engine import Database
from crm_graph.database.internals import (
    attach_to_session,
    begin_transaction,
    emit_events,
    new_record,
    raise_as_sqlalchemy,
)
from crm_graph.observability import tracing

M = TypeVar("M", bound=DeclarativeBase)
Connectable = AsyncSession | Database
Parameters = Mapping[str, object]
_CONNECTION = "connection"


async def fetch(source: Connectable, statement: ReturnsRows, parameters: Parameters) -> list[Any]:
    """The rows of a statement, as named tuples of its columns.

    A session sends it in its transaction. A database sends it on a connection in autocommit.
    """
    prepared, rows = await _fetch(source, statement, parameters)
    row_type = _row_type(prepared.columns)
    return [row_type._make(prepared.read(row)) for row in rows]


async def _fetch(
    source: Connectable, statement: ReturnsRows, parameters: Parameters
) -> tuple[PreparedStatement, Sequence[Sequence[object]]]:
    if not isinstance(source, Database):
        connection = await _connection(source)
        prepared = _prepare(statement, connection.dialect)
        return prepared, await _send(connection, prepared.text, prepared.arguments(parameters), many=False)
    engine = source.reader.sync_engine
    prepared = _prepare(statement, engine.dialect)
    arguments = prepared.arguments(parameters)
    emit_events(engine, None, prepared.text, arguments, many=False)
    try:
        async with source.read_connection() as pooled:
            with tracing.statement(prepared.text):
                return prepared, await pooled.fetch(prepared.text, arguments)
    except Exception:  # a session tries again on another connection, and raises SQLAlchemy's errors
        async with source.read() as session:
            return await _fetch(session, statement, parameters)


async def fetch_records(
    source: Connectable, model: type[M], statement: ReturnsRows, parameters: Parameters
) -> list[tuple[Any, ...]]:
    """The rows of a statement whose first columns are a model's: the record, then the other columns.

    The records are read-only: no session writes changes to them.
    """
    prepared, rows = await _fetch(source, statement, parameters)
    width = len(model.__table__.columns)
    names, found = prepared.columns[:width], []
    for row in rows:
        values = prepared.read(row)
        found.append((new_record(model, names, values), *values[width:]))
    return found


async def find_records(
    session: AsyncSession, model: type[M], statement: ReturnsRows, parameters: Parameters
) -> list[tuple[Any, ...]]:
    """Like `fetch_records`, but the records belong to the session and can be changed."""
    found = await fetch_records(session, model, statement, parameters)
    return [(attach_to_session(session, record), *others) for record, *others in found]


async def send_many(session: AsyncSession, statement: sa.Insert | sa.Update, rows: Sequence[Parameters]) -> None:
    """Execute a statement once for each row of parameters."""
    connection = await _connection(session)
    prepared = _prepare(statement, connection.dialect)
    if len(rows) == 1:
        await _send(connection, prepared.text, prepared.arguments(rows[0]), many=False)
        return
    columns = [[row[name] for row in rows] for name in prepared.names]
    converted = map(_convert, prepared.converters, columns)
    await _send(connection, prepared.text, list(zip(*converted, strict=True)), many=True)


async def insert_many(session: AsyncSession, model: type[DeclarativeBase], rows: Sequence[Parameters]) -> None:
    """Insert whole rows."""
    await send_many(session, _insert(model.__table__), rows)


@functools.cache
def _insert(table: sa.FromClause) -> sa.Insert:
    assert isinstance(table, sa.Table)
    return sa.insert(table)


class PreparedStatement:
    """A compiled statement: its text, the converters of its parameters, and those of its rows."""

    def __init__(self, statement: ReturnsRows, dialect: Dialect) -> None:
        compiled: Any = statement.compile(dialect=dialect)
        columns = statement.exported_columns
        self.text = sys.intern(str(compiled))
        self.names: list[str] = list(compiled.positiontup or ())
        binds = [compiled.binds[name] for name in self.names]
        self.converters = [each.type.dialect_impl(dialect).bind_processor(dialect) for each in binds]
        self.columns = tuple(columns.keys())
        # Values that the statement has itself, such as the ids of the visibility filter, are converted once, here.
        self._fixed: list[object] = []
        self._open = []
        for place, (bind, convert) in enumerate(zip(binds, self.converters, strict=True)):
            is_open = bind.required or bind.callable is not None
            self._fixed.append(None if is_open else bind.value if convert is None else convert(bind.value))
            if is_open:
                self._open.append((place, bind.key, bind.callable, convert))
        readers = [each.type.dialect_impl(dialect).result_processor(dialect, None) for each in columns]
        self._readers = [(place, reader) for place, reader in enumerate(readers) if reader is not None]

    def arguments(self, parameters: Parameters) -> tuple[object, ...]:
        """The driver's arguments."""
        arguments = self._fixed.copy()
        for place, name, make, convert in self._open:
            value = parameters[name] if make is None else make()
            arguments[place] = value if convert is None else convert(value)
        return tuple(arguments)

    def read(self, row: Sequence[object]) -> list[object]:
        """The Python values of a driver's row."""
        values = list(row)
        for place, reader in self._readers:
            values[place] = reader(values[place])
        return values


_prepare = functools.lru_cache(maxsize=4096)(PreparedStatement)


@functools.cache
def _row_type(columns: tuple[str, ...]) -> Any:
    return namedtuple("Row", columns)


def _convert(convert: Callable[[object], object] | None, values: Sequence[object]) -> Sequence[object]:
    """A column of parameters, converted. Bulk rows repeat the same objects, so each object is converted once."""
    if convert is None:
        return values
    converted = {key: convert(value) for key, value in {id(value): value for value in values}.items()}
    return [converted[id(value)] for value in values]


async def _connection(session: AsyncSession) -> AsyncConnection:
    if isinstance(session.bind, AsyncConnection):
        return session.bind
    info = session.sync_session.info
    known: AsyncConnection | None = info.get(_CONNECTION)
    if known is None or known.closed:
        known = info[_CONNECTION] = await session.connection()
    return known


async def _send(
    connection: AsyncConnection, text: str, arguments: Sequence[object], *, many: bool
) -> Sequence[Sequence[object]]:
    if connection.dialect.name == "sqlite":
        result = await connection.exec_driver_sql(text, arguments)
        return result.all() if result.returns_rows else []
    sync: Any = connection.sync_connection
    emit_events(sync, sync, text, arguments, many=many)
    try:
        await begin_transaction(sync)
        driver = sync.connection.dbapi_connection.driver_connection
        with tracing.statement(text):
            return await (driver.executemany(text, arguments) if many else driver.fetch(text, *arguments)) or []
    except BaseException as error:
        raise_as_sqlalchemy(sync, error, text, arguments)
