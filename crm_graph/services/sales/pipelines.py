"""Pipelines, stages and products, which managers and admins set up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from crm_graph import records
from crm_graph.access import Permission, Viewer, require, unscoped, visible
from crm_graph.database.prepared import fetch_records
from crm_graph.errors import Invalid, Required
from crm_graph.models import Entity, Opportunity, Pipeline, Product, Stage, StageCategory
from crm_graph.records import Values
from crm_graph.records.import_rules import ImportRules

E = TypeVar("E", bound=Entity)
_LINKS: Mapping[type[Entity], sa.ColumnElement[str]] = {
    Pipeline: Opportunity.__table__.c.pipeline_id,
    Stage: Opportunity.__table__.c.stage_id,
}


async def create(session: AsyncSession, viewer: Viewer, model: type[E], *, values: Values) -> E:
    """Create a pipeline, stage or product. Pipelines and stages come last unless `values` has a position.

    Raises Forbidden, Invalid, Required, NotFound, Duplicate.
    """
    require(viewer, Permission.SETTINGS)
    if issubclass(model, Pipeline | Stage):
        values = {"position": next_position(await _last_position(session, viewer, model, values)), **values}
    return await records.create(session, viewer, model, values=values)


async def update(
    session: AsyncSession, viewer: Viewer, model: type[E], *, id: str, values: Values, expected_version: int | None
) -> E:
    """Raises Forbidden, NotFound, Conflict, Invalid, Required, Duplicate."""
    require(viewer, Permission.SETTINGS)
    return await records.update(session, viewer, model, id=id, values=values, expected_version=expected_version)


async def delete(session: AsyncSession, viewer: Viewer, model: type[E], *, id: str, expected_version: int | None) -> E:
    """Raises Forbidden, NotFound, Conflict; Invalid if the pipeline or stage has deals."""
    require(viewer, Permission.SETTINGS)
    record = await records.delete(session, viewer, model, id=id, expected_version=expected_version)
    if model in _LINKS:
        deals = (
            sa.select(Opportunity.id)
            .where(unscoped(Opportunity, "deals that the viewer cannot see are deals too"))
            .where(Opportunity.workspace_id == viewer.workspace_id, Opportunity.deleted_at.is_(None))
            .where(_LINKS[model] == id)
        )
        if await session.scalar(deals.limit(1)) is not None:
            raise Invalid(f"There are deals in this {records.label(model)}. Move them first.", "id")
    return record


async def restore(session: AsyncSession, viewer: Viewer, model: type[E], *, id: str, expected_version: int | None) -> E:
    """Raises Forbidden, NotFound, Conflict."""
    require(viewer, Permission.SETTINGS)
    return await records.restore(session, viewer, model, id=id, expected_version=expected_version)


async def stage_of(session: AsyncSession, viewer: Viewer, pipeline_id: str | None, stage_id: str) -> Stage:
    """Return a stage of a pipeline; None allows any pipeline. A lock keeps others from deleting it until the commit.

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
        raise records.no_such(Stage, "stage_id")
    stage: Stage = found[0][0]
    check_pipeline(stage, pipeline_id)
    return stage


def check_pipeline(stage: Stage, pipeline_id: str | None, field: str = "stage_id") -> None:
    """Raises Invalid about `field` for a stage of another pipeline. None stands for any pipeline."""
    if pipeline_id not in (None, stage.pipeline_id):
        raise Invalid("This stage is part of another pipeline.", field)


async def entry_stage(session: AsyncSession, viewer: Viewer, pipeline_id: str | None) -> Stage:
    """Return the stage of a new deal: the first open one of a pipeline, or of the first pipeline with one.

    Raises NotFound for an unknown pipeline; Required if there is no open stage.
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


def next_position(last: int | None) -> int:
    """Position after the last one, which is None in an empty list."""
    return 0 if last is None else last + 1


async def _last_position(
    session: AsyncSession, viewer: Viewer, model: type[Pipeline | Stage], values: Values
) -> int | None:
    statement = sa.select(sa.func.max(model.position)).where(visible(model, viewer))
    if model is Stage:
        statement = statement.where(Stage.pipeline_id == values.get("pipeline_id", ""))
    return await session.scalar(statement)


class PipelineImport(ImportRules[Pipeline]):
    model = Pipeline
    facts = {Pipeline: ("position",)}

    def complete(self, pipeline: Pipeline, given: Values) -> None:
        if "position" not in given:
            others = (each.position for each in self.index.all_facts(Pipeline))
            pipeline.position = next_position(max(others, default=None))


class StageImport(ImportRules[Stage]):
    model = Stage
    facts = {Stage: ("pipeline_id", "position")}
    always_loaded = True
    name_scope = "pipeline_id"

    def complete(self, stage: Stage, given: Values) -> None:
        if "position" not in given:
            others = self.index.all_facts(Stage)
            positions = (each.position for each in others if each.pipeline_id == stage.pipeline_id)
            stage.position = next_position(max(positions, default=None))


class ProductImport(ImportRules[Product]):
    model = Product
    always_loaded = True
