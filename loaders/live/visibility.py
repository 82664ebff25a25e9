"""Records whose visibility depends on other records: contacts on their account, line items on their opportunity,
activities on the records they are about. The dependencies come from the models' policies.

Functions about the past read the change log: who saw a record before a row, and which records another record's new
owner shows or hides.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from graphlib import TopologicalSorter

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from crm_graph.access import INHERITED, VISIBILITY_SOURCES, Viewer, is_private, unscoped, visible, was_visible
from crm_graph.changelog import ChangeRow
from crm_graph.database import in_array
from crm_graph.models import Action, Activity, ActivityLink, Change, Entity

HIDDEN = "dependent records may be hidden, or just have appeared"


def _intermediates() -> list[type[Entity]]:
    """Entities that inherit their visibility and pass it on, such as contacts; each after those it inherits from."""
    passing = {*VISIBILITY_SOURCES.values()} & INHERITED.keys()
    graph = {model: passing.intersection(INHERITED[model].values()) for model in INHERITED if model in passing}
    return list(TopologicalSorter(graph).static_order())


INTERMEDIATES = _intermediates()
INHERITS_FROM: Mapping[type[Entity], Sequence[str]] = {
    model: [*columns] for model, columns in INHERITED.items() if model not in INTERMEDIATES
}
"""The columns of the records that decide who sees an entity's records, for the entities that pass on no visibility."""


def reassigned(rows: Sequence[ChangeRow], viewer: Viewer) -> list[ChangeRow]:
    """The rows that gave private records to other users, accounts or teams: dependent records may appear or vanish."""
    found = []
    for row in rows:
        model = VISIBILITY_SOURCES.get(row.entity)
        if model is None or row.action is Action.CREATED:
            continue
        inherited = INHERITED.get(model, {})
        deciding = {row.entity, *(target.__name__ for target in inherited.values())}
        if {"owner_id", "team_id", *inherited}.isdisjoint(row.names):
            continue
        if any(is_private(viewer, entity) for entity in deciding):
            found.append(row)
    return found


async def load_visible_before(
    session: AsyncSession, viewer: Viewer, model: type[Entity], rows: Sequence[ChangeRow]
) -> set[int]:
    """The revisions of the rows before which their record was visible, by what the viewer may see today."""
    seen = await _load_where(session, viewer, rows, was_visible(model, viewer))
    if model is Activity:
        seen |= await _load_linked_before(session, viewer, [row for row in rows if row.revision not in seen])
    return seen


async def load_visible_after(
    session: AsyncSession, viewer: Viewer, model: type[Entity], rows: Sequence[ChangeRow]
) -> set[int]:
    """As `load_visible_before`, for the state after the rows."""
    return await _load_where(session, viewer, rows, was_visible(model, viewer, "after"))


async def _load_where(
    session: AsyncSession, viewer: Viewer, rows: Sequence[ChangeRow], condition: sa.ColumnElement[bool]
) -> set[int]:
    if not rows or isinstance(condition, sa.True_):
        return {row.revision for row in rows}
    statement = sa.select(Change.revision).where(
        Change.workspace_id == viewer.workspace_id, Change.revision.in_([row.revision for row in rows]), condition
    )
    return set(await session.scalars(statement))


async def _load_linked_before(session: AsyncSession, viewer: Viewer, rows: Sequence[ChangeRow]) -> set[int]:
    """The revisions of the rows before which the viewer took part in the activity, or saw a record it was linked to.

    Only rows that changed participants or links count. An account that is linked by way of a contact, opportunity or
    case makes no activity visible.
    """
    links = {row.revision: _former(row, "chosen_links" if "chosen_links" in row.values else "links") for row in rows}
    ids = {each for former in links.values() for each in former}
    visible_ids: set[str] = set()
    for model in VISIBILITY_SOURCES.values() if ids else ():
        some = [each for each in ids if each.startswith(f"{model.prefix}_")]
        if some:
            shown = sa.select(model.id).where(visible(model, viewer, deleted=True), in_array(model.id, some))
            visible_ids.update(await session.scalars(shown))
    return {
        row.revision
        for row in rows
        if viewer.user_id in _former(row, "participants") or not visible_ids.isdisjoint(links[row.revision])
    }


def _former(row: ChangeRow, name: str) -> set[str]:
    """An activity's links or participants before the row; empty if the row did not change them."""
    old, _ = row.values.get(name) or (None, None)
    return set(old or ())


async def load_visibility_changes(session: AsyncSession, viewer: Viewer, rows: Sequence[ChangeRow]) -> set[str]:
    """The ids of the records that became visible to the viewer, or hidden, by these rows."""
    found: set[str] = set()
    for entity in {row.entity for row in rows}:
        model, its = VISIBILITY_SOURCES[entity], [row for row in rows if row.entity == entity]
        here = visible(model, viewer, deleted=True), in_array(model.id, [row.record_id for row in its])
        now = set(await session.scalars(sa.select(model.id).where(*here)))
        before = await load_visible_before(session, viewer, model, its)
        found |= {row.record_id for row in its if (row.revision in before) != (row.record_id in now)}
    return found


async def load_intermediates(
    session: AsyncSession, viewer: Viewer, ids: Collection[str], kinds: Iterable[type[Entity]] = ()
) -> set[str] | None:
    """The ids of the records that inherit their visibility from these and pass it on, such as the contacts of accounts.
    None, without reading on, if records of these kinds are among them."""
    found: set[str] = set()
    for model in INTERMEDIATES:
        columns = [getattr(model, column) for column in INHERITED[model]]
        named = [*ids, *found]
        statement = sa.select(model.id).where(
            unscoped(model, HIDDEN),
            model.workspace_id == viewer.workspace_id,
            sa.or_(*(in_array(column, named) for column in columns)),
        )
        some = set(await session.scalars(statement))
        if some and model in kinds:
            return None
        found |= some
    return found


async def have_dependents(
    session: AsyncSession, viewer: Viewer, ids: Collection[str], kinds: Collection[type[Entity]]
) -> bool:
    """True if the visibility of a record of these kinds depends on one of these records."""
    intermediates = await load_intermediates(session, viewer, ids, kinds)
    if intermediates is None:
        return True
    every = [*ids, *intermediates]
    dependents = [depends_on(viewer, model, every) for model in INHERITS_FROM if model in kinds]
    if Activity in kinds:
        link = ActivityLink.__table__.c
        about = sa.or_(*(in_array(link[target], every) for target in ActivityLink.TARGETS))
        dependents.append(sa.exists().where(link.workspace_id == viewer.workspace_id, about))
    return bool(dependents) and bool(await session.scalar(sa.select(sa.or_(*dependents))))


def depends_on(
    viewer: Viewer, model: type[Entity], ids: Sequence[str], *conditions: sa.ColumnElement[bool]
) -> sa.ColumnElement[bool]:
    """The condition that the visibility of an entity's record, which meets these conditions, depends on one of these
    records."""
    named = sa.or_(*(in_array(getattr(model, column), ids) for column in INHERITS_FROM[model]))
    return sa.exists().where(unscoped(model, HIDDEN), model.workspace_id == viewer.workspace_id, named, *conditions)
