"""The change log itself as a live list."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from crm_graph.access import Viewer, visibility_scope, visible
from crm_graph.changelog import ChangeRow, Revision, log
from crm_graph.database import in_array
from crm_graph.errors import ResyncRequired
from crm_graph.models import Action, Entity
from loaders.live.audience import access_changes
from loaders.live.events import SIGN_IN_ACTIONS, ChangeBatch, ListUpdate, Members, RecordEvent
from loaders.live.visibility import (
    have_dependents,
    load_visibility_changes,
    load_visible_after,
    load_visible_before,
    reassigned,
)


@dataclass(frozen=True)
class LiveChangeLog:
    """All rows about records of these entities, by name, that the viewer sees now or saw before the row.

    It has the interface of LiveList, but its members are not tracked: there are too many.
    """

    models: Mapping[str, type[Entity]]

    async def load_members(self, session: AsyncSession, viewer: Viewer) -> None:
        """Members are not tracked."""

    async def update(
        self, session: AsyncSession, viewer: Viewer, members: Members | None, batch: ChangeBatch
    ) -> ListUpdate | None:
        """One event for each row, in their order; without the record if the viewer no longer sees it. None if other
        records became visible or hidden, so that clients have to reload."""
        if batch.access_changes or await self._affects_dependents(session, viewer, batch.rows):
            return None
        by_entity: dict[str, dict[str, list[ChangeRow]]] = defaultdict(lambda: defaultdict(list))
        for row in batch.rows:
            if row.entity in self.models and row.action not in SIGN_IN_ACTIONS:
                by_entity[row.entity][row.record_id].append(row)
        events: list[RecordEvent] = []
        for entity, by_record in by_entity.items():
            events += await self._events(session, viewer, self.models[entity], by_record)
        return ListUpdate(sorted(events, key=lambda event: event.last.revision), None)

    async def _affects_dependents(self, session: AsyncSession, viewer: Viewer, rows: Sequence[ChangeRow]) -> bool:
        """True if records became visible or hidden together with those that the rows are about."""
        moved = reassigned(rows, viewer)
        shown = await load_visibility_changes(session, viewer, moved) if moved else set()
        return bool(shown) and await have_dependents(session, viewer, shown, [*self.models.values()])

    async def _events(
        self, session: AsyncSession, viewer: Viewer, model: type[Entity], by_record: Mapping[str, Sequence[ChangeRow]]
    ) -> list[RecordEvent]:
        statement = sa.select(model).where(visible(model, viewer), in_array(model.id, list(by_record)))
        present = {record.id: record for record in await session.scalars(statement)}
        hidden = [row for key, rows in by_record.items() if key not in present for row in rows]
        created = [row for row in hidden if row.action in {Action.CREATED, Action.RESTORED}]
        seen = await load_visible_before(session, viewer, model, [row for row in hidden if row.existed])
        seen |= await load_visible_after(session, viewer, model, created)
        return [
            RecordEvent(model, key, present.get(key), row.existed, row, (row,))
            for key, rows in by_record.items()
            for row in rows
            if key in present or row.revision in seen
        ]


async def load_log(
    session: AsyncSession,
    viewer: Viewer,
    live_log: LiveChangeLog,
    after: Revision | None,
    first: int,
    retention: dt.timedelta,
) -> tuple[Sequence[RecordEvent], Revision, bool]:
    """The visible ones among the next `first` rows after a revision, the revision they lead to, and whether that is the
    current one. Without `after`: no rows, and the current revision.

    Raises ResyncRequired.
    """
    end = await log.current_revision(session, viewer.workspace_id)
    if after is None:
        return [], end, True
    await log.require_replayable(session, viewer.workspace_id, after, end, retention)
    rows = await log.read(session, viewer.workspace_id, after.number, end.number, first)
    scope = visibility_scope(viewer, live_log.models.values())
    batch = ChangeBatch(rows, access_changes(rows, scope, {viewer.user_id}))
    update = await live_log.update(session, viewer, None, batch)
    if update is None:
        raise ResyncRequired("What you may see has changed. Read everything again.", str(end))
    number = rows[-1].revision if rows else end.number
    return update.events, Revision(end.epoch, number), number == end.number
