"""The changes of a transaction: collected when the session flushes, and written to the log before the commit."""

from __future__ import annotations

import datetime as dt
import functools
import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapper, Session
from sqlalchemy.orm.attributes import History, get_history

from crm_graph.access import Viewer
from crm_graph.changelog.entries import Entry
from crm_graph.changelog.rollups import Deltas
from crm_graph.database.prepared import fetch, insert_many
from crm_graph.models import Action, Base, Change, Entity, Workspace, now
from crm_graph.models.types import wire

BOOKKEEPING = {"version", "updated_at"}
SNAPSHOT_COLUMNS = {"amount", "currency", "probability", "quantity", "price", "role", "active", "deleted_at"}
BATCH = 1000
_WORKSPACES = Base.metadata.tables[Workspace.__tablename__]
_CURRENT = sa.select(_WORKSPACES.c.revision).where(_WORKSPACES.c.id == sa.bindparam("current"))
_ADVANCE = (
    sa.update(_WORKSPACES)
    .where(_WORKSPACES.c.id == sa.bindparam("current"))
    .values(revision=_WORKSPACES.c.revision + sa.bindparam("count", type_=sa.BigInteger))
    .returning(_WORKSPACES.c.revision)
)


def journal_of(session: AsyncSession) -> Journal:
    """The journal of the session's transaction. Bulk inserts and links, which flushes do not show, are added to it."""
    journal: Journal = session.info["journal"]
    return journal


@dataclass
class Journal:
    """The changes of one transaction: one entry for each record, in the order of their first changes.

    `cause` is the name of the mutation in snake case, such as "update_account", or of the command, such as "import".
    """

    viewer: Viewer
    cause: str
    entries: dict[tuple[str, str], Entry] = field(default_factory=dict)
    revision: int = 0
    written: bool = False
    packed: list[bytes] = field(default_factory=list)
    pending_count: int = 0
    happened_at: dt.datetime = field(default_factory=now)

    def collect(self, session: Session) -> None:
        """Add what a flush is about to write, and set `updated_at` of changed entities."""
        for record in session.new:
            if isinstance(record, Entity):
                self.note(record, {name: [None, value] for name, value in _filled(record).items()}, Action.CREATED)
        for record in session.dirty:
            if isinstance(record, Entity) and (changed := _changed(record)):
                record.updated_at = self.happened_at
                self.note(record, changed)

    def note(self, record: Any, fields: dict[str, list[object]], action: Action | None = None) -> None:
        """Add changes to the record's entry: {name: [old, new]}, in wire values."""
        weighty = _weighty(type(record).__mapper__)
        after = {name: wire(getattr(record, name)) for name in weighty}
        entry = self.entries.get((type(record).__name__, record.id))
        if entry is None:
            created = action is Action.CREATED
            before = {name: None if created else fields[name][0] if name in fields else after[name] for name in weighty}
            entry = Entry(type(record).__name__, record.id, action or Action.UPDATED, {}, before, after)
            self.entries[entry.entity, entry.record_id] = entry
        for name, (old, new) in fields.items():
            entry.fields[name] = [entry.fields[name][0] if name in entry.fields else old, new]
        entry.after = after
        if entry.action is not Action.CREATED:
            entry.action = action or _action(record, entry.fields)

    def inserted(self, model: type[Entity], rows: Sequence[Mapping[str, object]]) -> None:
        """Add rows that a bulk insert created, each with the values of all columns."""
        self.entries.update({(each.entity, each.record_id): each for each in _created(model, rows)})

    def add_packed(self, model: type[Entity], rows: Sequence[Mapping[str, object]]) -> None:
        """As `inserted`, for the many rows of an import: pickled, they take a tenth of the memory.

        They come first in the log. A later change of one of them is a change of its own.
        """
        self.packed.append(pickle.dumps((model, rows), pickle.HIGHEST_PROTOCOL))
        self.pending_count += len(rows)

    async def write(self, session: AsyncSession) -> None:
        """Number the new entries, add them to the log, and update the rollups. Locks the workspace's counter until the
        commit."""
        count = self.pending_count + len(self.entries)
        here = {"current": self.viewer.workspace_id}
        if not count:
            if not self.revision:
                [[self.revision]] = await fetch(session, _CURRENT, here)
            return
        [[self.revision]] = await fetch(session, _ADVANCE, {**here, "count": count})
        shared = {
            "workspace_id": self.viewer.workspace_id,
            "actor": self.viewer.actor,
            "user_id": self.viewer.user_id,
            "cause": self.cause,
            "happened_at": self.happened_at,
            "recorded_at": now(),
        }
        number, totals = self.revision - count, Deltas()
        for batch in self._batches():
            rows = [{**shared, "revision": place, **vars(entry)} for place, entry in enumerate(batch, number + 1)]
            await insert_many(session, Change, rows)
            totals.note(batch)
            number += len(rows)
        await totals.write(session, self.viewer.workspace_id)
        self.packed.clear()
        self.pending_count = 0
        self.entries.clear()  # what changes after this is a change of its own
        self.written = True

    def _batches(self) -> Iterator[list[Entry]]:
        for packed in self.packed:
            yield list(_created(*pickle.loads(packed)))
        entries = list(self.entries.values())
        for start in range(0, len(entries), BATCH):
            yield entries[start : start + BATCH]


def _created(model: type[Entity], rows: Sequence[Mapping[str, Any]]) -> Iterator[Entry]:
    """The entries of new rows."""
    name = model.__name__
    weighty = _weighty(model.__mapper__)
    nothing = dict.fromkeys(weighty)
    hidden = _left_out(model.__mapper__)
    for row in rows:
        values = {key: wire(value) for key, value in row.items() if value is not None and key not in hidden}
        # Tuples: the garbage collector would look through tens of thousands of lists again and again.
        fields: dict[str, Sequence[object]] = {key: (None, value) for key, value in values.items()}
        after = {key: values.get(key) for key in weighty}
        yield Entry(name, row["id"], Action.CREATED, fields, nothing, after)


def _changed(record: Entity) -> dict[str, list[object]]:
    changed = {}
    mapper, modified = type(record).__mapper__, sa.inspect(record).committed_state
    columns, secrets = _columns(mapper), _secrets(mapper)
    for name in sorted(modified.keys() & columns.keys(), key=columns.__getitem__):
        history: History = get_history(record, name)
        old, new = history.deleted[0] if history.deleted else None, history.added[0] if history.added else None
        if old != new:
            changed[name] = ["…", "…"] if name in secrets else [wire(old), wire(new)]
    return changed


def _filled(record: Entity) -> dict[str, object]:
    """The values of a record about to be inserted, its id set first: defaults come only with the insert itself."""
    mapper = type(record).__mapper__
    for attribute in mapper.column_attrs:
        default = attribute.columns[0].default
        if default is not None and getattr(record, attribute.key) is None:
            value = default.arg(None) if default.is_callable else default.arg
            setattr(record, attribute.key, value)
    hidden = _left_out(mapper)
    values = {each.key: getattr(record, each.key) for each in mapper.column_attrs if each.key not in hidden}
    return {name: wire(value) for name, value in values.items() if value is not None and value != []}


def _action(record: Entity, fields: Mapping[str, Sequence[object]]) -> Action:
    if "deleted_at" in fields:
        return Action.RESTORED if fields["deleted_at"][1] is None else Action.DELETED
    return next((Action(event) for name, event in record.EVENTS.items() if name in fields), Action.UPDATED)


@functools.cache
def _weighty(mapper: Mapper[Entity]) -> tuple[str, ...]:
    """The columns that decide who sees a record and what it adds to rollups: `before` and `after` always have them."""
    return tuple(
        each.key for each in mapper.column_attrs if each.key in SNAPSHOT_COLUMNS or "references" in each.columns[0].info
    )


@functools.cache
def _columns(mapper: Mapper[Entity]) -> dict[str, int]:
    """The positions of the columns whose changes are logged."""
    return {name: place for place, name in enumerate(mapper.column_attrs.keys()) if name not in BOOKKEEPING}


@functools.cache
def _secrets(mapper: Mapper[Entity]) -> frozenset[str]:
    return frozenset(each.key for each in mapper.column_attrs if each.columns[0].info.get("secret"))


@functools.cache
def _left_out(mapper: Mapper[Entity]) -> frozenset[str]:
    """The columns that the entry of a new record does not repeat, or must not reveal."""
    return _secrets(mapper) | BOOKKEEPING | {"workspace_id", "id", "created_at", "custom"}
