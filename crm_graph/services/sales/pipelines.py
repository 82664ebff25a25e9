"""Pipelines, stages and products: what managers and admins set up for everybody."""

from __future__ import annotations

from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from crm_graph import records
from crm_graph.access import Permission, Viewer, require, unscoped, visible
from crm_graph.database.prepared import fetch_records
from crm_graph.errors import Invalid, NotFound, Required
from crm_graph.models import Entity, Opportunity, Pipeline, Stage, StageCategory
from crm_graph.records import Values

E = TypeVar("E", bound=Entity)


async def create(session: AsyncSession, viewer: Viewer, model: type[E], *, values: Values) -> E:
    """A new pipeline, stage or product; the first two come last in their list unless a position is given.

    Raises Forbidden, Invalid, Required, NotFound, Duplicate.
    """
    require(viewer, Permission.SETTINGS)
    if model is Pipeline or model is Stage:
        values = {"position": await _next_position(session, viewer, model, values), **values}
    return await records.create(session, viewer, model, values=values)


async def update(
    session: AsyncSession, viewer: Viewer, model: type[E], *, id: str, values: Values, expected_version: int | None
) -> E:
    """Raises Forbidden, NotFound, Conflict, Invalid, Required, Duplicate."""
    require(viewer, Permission.SETTINGS)
    return await records.update(session, viewer, model, id=id, values=values, expected_version=expected_version)


async def delete(session: AsyncSession, viewer: Viewer, model: type[E], *, id: str, expected_version: int | None) -> E:
    """Raises Forbidden, NotFound, Conflict; Invalid for a pipeline or a stage with deals in it."""
    require(viewer, Permission.SETTINGS)
    record = await records.delete(session, viewer, model, id=id, expected_version=expected_version)
    columns: dict[Any, Any] = {Pipeline: Opportunity.pipeline_id, Stage: Opportunity.stage_id}
    if model in columns:
        deals = (
            sa.select(Opportunity.id)
            .where(unscoped(Opportunity, "deals that the viewer cannot see are deals too"))
            .where(Opportunity.workspace_id == viewer.workspace_id, Opportunity.deleted_at.is_(None))
            .where(columns[model] == id)
        )
        if await session.scalar(deals.limit(1)) is not None:
            raise Invalid(f"There are deals in this {records.label(model)}. Move them first.", "id")
    return record


async def restore(session: AsyncSession, viewer: Viewer, model: type[E], *, id: str, expected_version: int | None) -> E:
    """Raises Forbidden, NotFound, Conflict."""
    require(viewer, Permission.SETTINGS)
    return await records.restore(session, viewer, model, id=id, expected_version=expected_version)


async def stage_of(session: AsyncSession, viewer: Viewer, pipeline_id: str | None, stage_id: str) -> Stage:
    """A stage of a pipeline, or of any where None is given. It cannot be deleted before the transaction ends.

    Raises NotFound; Invalid for a stage of another pipeline.
    """

    def build() -> sa.Select[Stage]:
        of_pipeline = sa.and_(Pipeline.workspace_id == Stage.workspace_id, Pipeline.id == Stage.pipeline_id)
        return (
            sa.select(Stage)
            .join(Pipeline, of_pipeline)
            .where(visible(Stage, viewer), visible(Pipeline, viewer), Stage.id == sa.bindparam("stage_id"))
            .with_for_update(read=True, of=[Stage, Pipeline])
        )

    found = await fetch_records(session, Stage, viewer.statement("stage of", build), {"stage_id": stage_id})
    if not found:
        raise NotFound("There is no such stage.", "stage_id")
    stage: Stage = found[0][0]
    if pipeline_id not in (None, stage.pipeline_id):
        raise Invalid("This stage is part of another pipeline.", "stage_id")
    return stage


async def entry_stage(session: AsyncSession, viewer: Viewer, pipeline_id: str | None) -> Stage:
    """Where a new deal goes: the first open stage of a pipeline, or of the first pipeline.

    Raises NotFound for an unknown pipeline, Required where there is no open stage yet.
    """
    if pipeline_id is not None:
        await records.find(session, viewer, Pipeline, pipeline_id, field="pipeline_id")
    chosen = sa.true() if pipeline_id is None else Stage.pipeline_id == pipeline_id
    statement = (
        sa.select(Stage)
        .join(Pipeline, Pipeline.id == Stage.pipeline_id)
        .where(visible(Stage, viewer), visible(Pipeline, viewer), chosen, Stage.category == StageCategory.OPEN)
        .order_by(Pipeline.position, Pipeline.id, Stage.position, Stage.id)
        .limit(1)
        .with_for_update(read=True, of=[Stage, Pipeline])
    )
    stage = await session.scalar(statement)
    if stage is None:
        raise Required("There is no open stage to put the deal into. Create a pipeline with stages.", "stage_id")
    return stage


async def _next_position(session: AsyncSession, viewer: Viewer, model: Any, values: Values) -> int:
    statement = sa.select(sa.func.max(model.position)).where(visible(model, viewer))
    if model is Stage:
        statement = statement.where(Stage.pipeline_id == values.get("pipeline_id", ""))
    last = await session.scalar(statement)
    return 0 if last is None else last + 1
