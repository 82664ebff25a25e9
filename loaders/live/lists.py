"""Live lists: the records that entered, changed and left a list, from the change log and one snapshot."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from crm_graph.access import INHERITED, VISIBILITY_SOURCES, Viewer, unscoped, visible
from crm_graph.changelog import ChangeRow
from crm_graph.changelog.log import KEPT_VALUES
from crm_graph.database import in_array
from crm_graph.models import Action, Entity
from loaders.core.pages import Where
from loaders.live.events import SIGN_IN_ACTIONS, ChangeBatch, ListUpdate, Members, RecordEvent
from loaders.live.visibility import load_visible_before

MAX_MEMBERS = 5_000
"""Records of a list whose members are tracked. Subscribers of a longer list reload when it is invalidated."""
MAX_DIFFERENCES = 500
"""Records that may enter and leave with one update. If there are more, clients reload the list."""
Dependencies = Mapping[type[Entity], set[str]]
"""The entities, beside the listed ones, on which a list's condition depends, with the names of the columns."""
Invalidations = Callable[[AsyncSession, Viewer, Sequence[ChangeRow], Members | None], Awaitable[Sequence[ChangeRow]]]
"""Finds the rows that may make other records enter or leave a list, given its members as far as they are tracked."""


@dataclass(frozen=True)
class ListSource:
    """The records of one entity in a list.

    `where` is the list's condition. `is_relevant` is false for a row about a record that was not in the list and still
    is not; it gets the members as far as they are tracked. `was_member` is true if the record was in the list before
    the row. Without it, or if it returns None, the record counts as a former member if it is a member now.
    """

    model: type[Entity]
    where: Where
    is_relevant: Callable[[ChangeRow, Members | None], bool]
    was_member: Callable[[ChangeRow], bool | None] = lambda row: None

    def select(self, viewer: Viewer, selected: sa.SQLColumnExpression[object] | type[Entity]) -> sa.Select[Any]:
        return sa.select(selected).where(visible(self.model, viewer), self.where(self.model, viewer))

    async def load(self, session: AsyncSession, viewer: Viewer, ids: Collection[str]) -> dict[str, Entity]:
        """The records with these ids that are in the list, by id."""
        statement = self.select(viewer, self.model).where(in_array(self.model.id, list(ids)))
        return {record.id: record for record in await session.scalars(statement)}

    async def load_former_members(
        self, session: AsyncSession, viewer: Viewer, by_record: Mapping[str, Sequence[ChangeRow]]
    ) -> Collection[str]:
        """The ids of the records that were in the list before their rows, by what the viewer may see today."""
        first = [_first_decisive(rows) for rows in by_record.values() if rows[0].existed]
        unsure = [row.record_id for row in first if self.was_member(row) is None]
        still = set(await session.scalars(self._still(viewer, unsure))) if unsure else set()
        first = [row for row in first if self.was_member(row) or row.record_id in still]
        seen = await load_visible_before(session, viewer, self.model, first)
        return {row.record_id for row in first if row.revision in seen}

    def _still(self, viewer: Viewer, ids: Sequence[str]) -> sa.Select[str]:
        model = self.model
        return sa.select(model.id).where(
            unscoped(model, "users who saw a record get its id when it leaves"),
            model.workspace_id == viewer.workspace_id,
            self.where(model, viewer),
            in_array(model.id, ids),
        )


def _first_decisive(rows: Sequence[ChangeRow]) -> ChangeRow:
    """The row that decides whether the record was a member before all of these rows, which are about it."""
    return next((row for row in rows if "links" in row.values), rows[0])


def everything(model: type[Entity], viewer: Viewer) -> sa.ColumnElement[bool]:
    """The condition of a list of all records of an entity."""
    return sa.true()


async def never_invalidated(
    session: AsyncSession, viewer: Viewer, rows: Sequence[ChangeRow], members: Members | None
) -> Sequence[ChangeRow]:
    """For a list whose records enter and leave only by changes of their own."""
    return []


def invalidated_by(dependencies: Dependencies) -> Invalidations:
    """For a list whose condition depends on other records: it is invalidated when these are created, when one of the
    named columns changes, and when their visibility changes, also by way of the records they inherit it from."""
    columns = {model.__name__: set(names) for model, names in dependencies.items()}
    for model in dependencies:
        if model.__name__ in VISIBILITY_SOURCES:
            for target in INHERITED.get(model, {}).values():
                columns.setdefault(target.__name__, set())

    def invalidates(row: ChangeRow) -> bool:
        if row.entity not in columns or row.action in SIGN_IN_ACTIONS:
            return False
        decisive = columns[row.entity] | row.before.keys() | KEPT_VALUES
        return row.action is Action.CREATED or not decisive.isdisjoint(row.names)

    async def invalidations(
        session: AsyncSession, viewer: Viewer, rows: Sequence[ChangeRow], members: Members | None
    ) -> Sequence[ChangeRow]:
        return [row for row in rows if invalidates(row)]

    return invalidations


@dataclass(frozen=True)
class LiveList:
    """A list of records of one or several entities."""

    sources: Sequence[ListSource]
    invalidations: Invalidations = never_invalidated
    by_entity: Mapping[str, ListSource] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_entity", {source.model.__name__: source for source in self.sources})

    async def load_members(self, session: AsyncSession, viewer: Viewer) -> Members | None:
        """The ids of the list's records; None if there are more than MAX_MEMBERS."""
        members: Members = set()
        for source in self.sources:
            statement = source.select(viewer, source.model.id).limit(MAX_MEMBERS + 1 - len(members))
            members.update(await session.scalars(statement))
            if len(members) > MAX_MEMBERS:
                return None
        return members

    async def update(
        self, session: AsyncSession, viewer: Viewer, members: Members | None, batch: ChangeBatch
    ) -> ListUpdate | None:
        """The events of a batch, for a viewer of the list with these members, and the members after it.

        `members` is None if they are not tracked: a former member is then recognized by its rows. Returns None if
        clients have to reload the list, since it was invalidated and its members are not tracked, or too many differ.
        """
        by_record = self._relevant(batch.rows, members)
        if members is not None and batch.audience is not None:
            audience = batch.audience
            by_record = {
                key: rows for key, rows in by_record.items() if key in members or audience.includes(viewer, rows[-1])
            }
        events = await self._resolve(session, viewer, by_record, members) if by_record else []
        causes = await self.invalidations(session, viewer, batch.rows, members) or batch.access_changes
        if causes:
            after = None if members is None else await self.load_members(session, viewer)
            if members is None or after is None:
                return None
            resolved = by_record.keys()
            different = await self._diff(session, viewer, members - resolved, after - resolved, causes[-1])
            return None if different is None else ListUpdate([*events, *different], after)
        if members is not None and events:
            members = members | {event.record_id for event in events if event.record is not None}
            members -= {event.record_id for event in events if event.record is None}
            if len(members) > MAX_MEMBERS:
                members = None
        return ListUpdate(events, members)

    def _relevant(self, rows: Sequence[ChangeRow], members: Members | None) -> dict[str, list[ChangeRow]]:
        """The relevant rows by the id of their record."""
        by_record: dict[str, list[ChangeRow]] = defaultdict(list)
        known = None if members is None else set(members)
        for row in rows:
            source = self.by_entity.get(row.entity)
            if source is not None and source.is_relevant(row, known):
                by_record[row.record_id].append(row)
                if known is not None:
                    known.add(row.record_id)  # parts of it may follow
        return by_record

    async def _resolve(
        self,
        session: AsyncSession,
        viewer: Viewer,
        by_record: Mapping[str, Sequence[ChangeRow]],
        members: Members | None,
    ) -> list[RecordEvent]:
        """The events of records that have rows, in the order of their last rows."""
        events: list[RecordEvent] = []
        for source in self.sources:
            changed = {key: rows for key, rows in by_record.items() if rows[0].entity == source.model.__name__}
            if not changed:
                continue
            present = await source.load(session, viewer, changed)
            if members is None:
                former = await source.load_former_members(session, viewer, changed)
            else:
                former = changed.keys() & members
            events += (
                RecordEvent(source.model, key, present.get(key), key in former, rows[-1], rows)
                for key, rows in changed.items()
                if key in present or key in former
            )
        return sorted(events, key=lambda event: event.last.revision)

    async def _diff(
        self, session: AsyncSession, viewer: Viewer, before: Members, after: Members, cause: ChangeRow
    ) -> list[RecordEvent] | None:
        """The records that entered and left between two states of the list; None if more than MAX_DIFFERENCES did."""
        entered, left = after - before, before - after
        if len(entered) + len(left) > MAX_DIFFERENCES:
            return None
        events = []
        for source in self.sources:
            model, prefix = source.model, f"{source.model.prefix}_"
            ids = [key for key in entered if key.startswith(prefix)]
            present = await source.load(session, viewer, ids) if ids else {}
            events += [RecordEvent(model, key, present[key], False, cause) for key in sorted(present)]
            events += [RecordEvent(model, key, None, True, cause) for key in sorted(left) if key.startswith(prefix)]
        return events
