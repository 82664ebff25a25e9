"""Totals of opportunities, as SQL aggregates. Amounts of different currencies are never added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from crm_graph.access import Viewer, visible, visible_totals
from crm_graph.database import in_array
from crm_graph.models import Opportunity, Stage, StageTotal
from crm_graph.models.types import AMOUNT_SCALE, SPLIT
from loaders.core.pages import ParentCondition, Where


@dataclass(frozen=True)
class CurrencyTotal:
    """Sums over opportunities of one currency; `weighted` is the sum of amount x probability / 100, unrounded."""

    currency: str
    count: int
    amount: Decimal
    weighted: Decimal


@dataclass
class Totals:
    """The number of opportunities, with or without an amount, and their sums per currency, in the order of its code."""

    count: int = 0
    sums: list[CurrencyTotal] = field(default_factory=list)

    def add(self, currency: str | None, count: int, sums: Sequence[Decimal | int | None]) -> None:
        # PostgreSQL's sums of whole numbers are decimals.
        count, high, low, weighted_high, weighted_low = (int(each or 0) for each in (count, *sums))
        self.count += count
        if currency is not None:
            amount = Decimal(high * SPLIT + low) / AMOUNT_SCALE
            weighted = Decimal(weighted_high * SPLIT + weighted_low) / AMOUNT_SCALE / 100
            self.sums.append(CurrencyTotal(currency, count, amount, weighted))


def totals_by(*keys: sa.SQLColumnExpression[object]) -> sa.Select[*tuple[Any, ...]]:
    """Totals of opportunities, grouped by keys: rows of the keys and then the arguments of `Totals.add`."""
    currency = sa.case((Opportunity.amount.is_not(None), Opportunity.currency))
    units = sa.type_coerce(Opportunity.amount, sa.BigInteger)
    parts = (units // SPLIT, units % SPLIT)
    sums = [sa.func.sum(each) for each in (*parts, *(part * Opportunity.probability for part in parts))]
    columns: list[sa.SQLColumnExpression[object]] = [*keys, currency.label("currency"), sa.func.count(), *sums]
    return sa.select(*columns).group_by(*keys, currency).order_by(*keys, currency)


async def load_stage_totals(
    session: AsyncSession, viewer: Viewer, where: Where | None, stage_ids: Sequence[str]
) -> list[Totals]:
    """The totals of stages over the opportunities that the viewer sees and that meet the condition.

    Without a condition they are read from the stored totals: see docs/decisions/0008-stored-stage-totals.md.
    """
    statement = stage_totals(viewer, where, lambda column: in_array(column, stage_ids))
    totals = {stage_id: Totals() for stage_id in stage_ids}
    for stage_id, code, count, *sums in await session.execute(statement):
        totals[stage_id].add(code, count, sums)
    return [totals[stage_id] for stage_id in stage_ids]


def stage_totals(viewer: Viewer, where: Where | None, of_parent: ParentCondition) -> sa.Select[*tuple[Any, ...]]:
    """The totals of stages: rows of the stage's id and then the arguments of `Totals.add`."""
    if where is not None:
        here = [visible(Opportunity, viewer), of_parent(Opportunity.stage_id), where(Opportunity, viewer)]
        return totals_by(Opportunity.stage_id).where(*here)
    stored = StageTotal
    currency = sa.func.nullif(stored.currency, "")  # empty if there is none
    sums = [
        sa.func.sum(each) for each in (stored.count, stored.high, stored.low, stored.weighted_high, stored.weighted_low)
    ]
    return (
        sa.select(stored.stage_id, currency.label("currency"), *sums)
        .where(visible_totals(viewer), of_parent(stored.stage_id), stored.count > 0)
        .group_by(stored.stage_id, stored.currency)
        .order_by(stored.stage_id, stored.currency)
    )


def stages_of(viewer: Viewer, of_parent: ParentCondition) -> sa.Select[Stage]:
    """All stages of pipelines, in their order."""
    return (
        sa.select(Stage).where(visible(Stage, viewer), of_parent(Stage.pipeline_id)).order_by(Stage.position, Stage.id)
    )


async def load_stages(session: AsyncSession, viewer: Viewer, pipeline_ids: Sequence[str]) -> list[list[Stage]]:
    statement = stages_of(viewer, lambda column: in_array(column, pipeline_ids))
    found: dict[str, list[Stage]] = {pipeline_id: [] for pipeline_id in pipeline_ids}
    for stage in await session.scalars(statement):
        found[stage.pipeline_id].append(stage)
    return [found[pipeline_id] for pipeline_id in pipeline_ids]
