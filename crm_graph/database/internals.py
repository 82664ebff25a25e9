"""Everything that relies on private parts of SQLAlchemy and its drivers."""

from __future__ import annotations

import contextlib
import functools
import sqlite3
from collections.abc import Iterable
from typing import Any, NoReturn, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, InstanceState

M = TypeVar("M", bound=DeclarativeBase)


def raise_as_sqlalchemy(
    connection: sa.Connection, error: BaseException, statement: str, parameters: object
) -> NoReturn:
    """Raise a driver's error as SQLAlchemy's own. Invalidates a connection that broke or whose task was cancelled."""
    private: Any = connection
    try:
        private.connection.dbapi_connection._handle_exception(error)
    except BaseException as translated:
        private._handle_dbapi_exception(translated, statement, parameters, None, None)
    raise error


async def begin_transaction(connection: sa.Connection) -> None:
    """Begin asyncpg's transaction unless one is open. SQLAlchemy begins late, and in autocommit not at all."""
    adapted: Any = connection.connection.dbapi_connection
    if adapted._transaction is None:
        await adapted._start_transaction()


def emit_events(
    source: sa.Engine | sa.Connection, connection: sa.Connection | None, text: str, parameters: object, *, many: bool
) -> None:
    """Call the listeners for `before_cursor_execute`, as SQLAlchemy does for its own statements."""
    private: Any = source
    if private._has_events or private.engine._has_events:
        for listener in private.dispatch.before_cursor_execute:
            listener(connection, None, text, parameters, None, many)


def new_record(model: type[M], names: Iterable[str], values: Iterable[object]) -> M:
    """A record that no session tracks: read-only, because a change would go unnoticed. Extra values are ignored."""
    record = model.__new__(model)
    record.__dict__ = dict(zip(names, values, strict=False))
    return record


def plain_record(model: type[M], values: dict[str, object]) -> M:
    """A record whose attributes are the items of `values`, and as fast to set. No session can track it or store it.

    Reading a column that has no value raises AttributeError.
    """
    private: Any = _plain_class(model)
    record: M = private.__new__(private)
    record.__dict__ = values
    return record


class _NoValue:
    def __get__(self, record: object, owner: type[object]) -> NoReturn:
        raise AttributeError("The record was made without this column.")


@functools.cache
def _plain_class(model: type[DeclarativeBase]) -> type[DeclarativeBase]:
    """An unmapped subclass that hides the descriptors of the model's columns."""
    columns = dict.fromkeys(model.__mapper__.column_attrs.keys(), _NoValue())
    return type(f"Plain{model.__name__}", (model,), {"__abstract__": True, **columns})


def attach_to_session(session: AsyncSession, record: M) -> M:
    """The session's record of this identity: the one it has, or this one, as if the session had loaded it."""
    owner, mapper = session.sync_session, record.__mapper__
    mapper.class_manager.setup_instance(record)
    state: InstanceState[DeclarativeBase] = sa.inspect(record)
    key = mapper.identity_key_from_instance(record)
    known: M | None = owner.identity_map.get(key)
    if known is None:
        state.key, state.session_id = key, owner.hash_key
        owner.identity_map.add(state)
    return known or record


def mark_flushed(session: AsyncSession, record: DeclarativeBase) -> None:
    """Mark a record as unchanged after its changes were written without the session."""
    state: InstanceState[DeclarativeBase] = sa.inspect(record)
    state._commit_all(state.dict, session.sync_session.identity_map)


def interrupt_sqlite(connection: DBAPIConnection) -> None:
    """Stop the statement that aiosqlite's thread still runs after its task was cancelled. Closing would wait for it."""
    driver: Any = connection
    with contextlib.suppress(ValueError, sqlite3.ProgrammingError):  # it is closed already
        driver.driver_connection._conn.interrupt()
