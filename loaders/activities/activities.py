"""Links of activities to other records, and their participants."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from crm_graph.access import Viewer
from crm_graph.database import in_array
from crm_graph.models import Activity, ActivityLink, Entity, Participant
from loaders.core.pages import ParentCondition, Relation
from loaders.sql_json.expressions import Expression


def activities_of(target: str) -> Relation:
    """The activities of a record that the column `target` of their links names."""
    key = ActivityLink.__table__.columns[target]

    def pairs(viewer: Viewer, of_parent: ParentCondition) -> sa.Select[object, object]:
        return sa.select(key, ActivityLink.activity_id).where(
            ActivityLink.workspace_id == viewer.workspace_id, of_parent(key)
        )

    return Relation(Activity, pairs=pairs, linked=True)


def targets_of(model: type[Entity], target: str) -> Relation:
    """The records of an entity that the column `target` of an activity's links names."""
    key = ActivityLink.__table__.columns[target]

    def pairs(viewer: Viewer, of_parent: ParentCondition) -> sa.Select[object, object]:
        return sa.select(ActivityLink.activity_id, key).where(
            ActivityLink.workspace_id == viewer.workspace_id,
            of_parent(ActivityLink.activity_id),
        )

    return Relation(model, pairs=pairs)


def participants_of(viewer: Viewer, activity_id: Expression) -> sa.Select[Participant]:
    """The participants of one activity."""
    return (
        sa.select(Participant)
        .where(Participant.workspace_id == viewer.workspace_id, Participant.activity_id == activity_id)
        .order_by(Participant.id)
    )


async def load_participants(session: AsyncSession, viewer: Viewer, ids: list[str]) -> Sequence[list[Participant]]:
    """The participants of activities."""
    statement = (
        sa.select(Participant)
        .where(Participant.workspace_id == viewer.workspace_id, in_array(Participant.activity_id, ids))
        .order_by(Participant.id)
    )
    found: dict[str, list[Participant]] = {each: [] for each in ids}
    for participant in await session.scalars(statement):
        found[participant.activity_id].append(participant)
    return [found[each] for each in ids]
