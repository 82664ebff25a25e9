"""Writing changed records with a prepared UPDATE each. SQLAlchemy's unit of work writes new and deleted ones."""

from __future__ import annotations

import functools
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm.attributes import get_history
from sqlalchemy.orm.exc import StaleDataError

from crm_graph.changelog.journal import journal_of
from crm_graph.database.internals import mark_flushed
from crm_graph.database.prepared import fetch
from crm_graph.models import Entity

_KNOWN = ("workspace_id", "id", "version")


async def flush(session: AsyncSession) -> None:
    """Write the session's changes. Raises StaleDataError for a record that has another version by now."""
    own = session.sync_session
    changed = list(own.dirty)
    if own.new or own.deleted or not all(isinstance(record, Entity) for record in changed):
        await session.flush()
        return
    journal_of(session).collect(own)
    for record in sorted(changed, key=lambda record: (record.__tablename__, record.id)):
        await _update(session, record)


async def _update(session: AsyncSession, record: Entity) -> None:
    state = sa.inspect(record)
    names = tuple(sorted(name for name in state.committed_state if get_history(record, name).has_changes()))
    if names:
        known = {f"known_{name}": getattr(record, name) for name in _KNOWN}
        record.version += 1
        new = {f"new_{name}": getattr(record, name) for name in (*names, "version")}
        if not await fetch(session, _statement(type(record).__table__, names), {**known, **new}):
            raise StaleDataError(f"{record.id} is no longer at version {known['known_version']}")
    mark_flushed(session, record)


@functools.lru_cache(maxsize=1024)
def _statement(table: Any, names: tuple[str, ...]) -> sa.Update:
    columns = table.c
    here = [columns[name] == sa.bindparam(f"known_{name}") for name in _KNOWN]
    new = {name: sa.bindparam(f"new_{name}", type_=columns[name].type) for name in (*names, "version")}
    statement: sa.Update = sa.update(table).where(*here).values(new).returning(columns.version)
    return statement
