"""What is said of an account in figures, as SQL aggregates over what the viewer sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from crm_graph.access import Viewer, visible
from crm_graph.db import among
from crm_graph.models import (
    Activity,
    ActivityLink,
    ActivityType,
    Case,
    CaseStatus,
    Opportunity,
    Stage,
    StageCategory,
    now,
)
from loaders.boards import Totals, totals_by


@dataclass
class Deals:
    """Totals of an account's deals, by the category of their stages."""

    open: Totals = field(default_factory=Totals)
    won: Totals = field(default_factory=Totals)
    lost: Totals = field(default_factory=Totals)


async def load_deals(session: AsyncSession, viewer: Viewer, account_ids: Sequence[str]) -> list[Deals]:
    statement = (
        totals_by(Opportunity.account_id, Stage.category)
        .join(Stage, sa.and_(Stage.workspace_id == Opportunity.workspace_id, Stage.id == Opportunity.stage_id))
        .where(visible(Opportunity, viewer), visible(Stage, viewer, deleted=True))
        .where(among(Opportunity.account_id, account_ids))
    )
    found = {account_id: Deals() for account_id in account_ids}
    for account_id, category, code, count, *sums in await session.execute(statement):
        deals = found[account_id]
        totals = {StageCategory.OPEN: deals.open, StageCategory.WON: deals.won, StageCategory.LOST: deals.lost}
        totals[category].add(code, count, sums)
    return [found[account_id] for account_id in account_ids]


async def load_open_cases(session: AsyncSession, viewer: Viewer, account_ids: Sequence[str]) -> list[int]:
    ended = [status for status in CaseStatus if status.ended]
    statement = (
        sa.select(Case.account_id, sa.func.count())
        .where(visible(Case, viewer), among(Case.account_id, account_ids), Case.status.not_in(ended))
        .group_by(Case.account_id)
    )
    found = {row[0]: row[1] for row in await session.execute(statement)}
    return [found.get(account_id, 0) for account_id in account_ids]


async def load_last_activities(
    session: AsyncSession, viewer: Viewer, account_ids: Sequence[str]
) -> list[Activity | None]:
    """The newest activity that happened; a task has when it is done."""
    happened = sa.and_(Activity.happens_at <= now(), sa.or_(Activity.type != ActivityType.TASK, Activity.done))
    return await _nearest(session, viewer, account_ids, happened, newest=True)


async def load_next_activities(
    session: AsyncSession, viewer: Viewer, account_ids: Sequence[str]
) -> list[Activity | None]:
    """The first activity that is still to happen; an open task is, however late."""
    planned = sa.case((Activity.type == ActivityType.TASK, sa.not_(Activity.done)), else_=Activity.happens_at > now())
    return await _nearest(session, viewer, account_ids, planned, newest=False)


async def _nearest(
    session: AsyncSession,
    viewer: Viewer,
    account_ids: Sequence[str],
    condition: sa.ColumnElement[bool],
    *,
    newest: bool,
) -> list[Activity | None]:
    times: list[Any] = [Activity.happens_at, Activity.id]
    place = sa.func.row_number().over(
        partition_by=ActivityLink.account_id, order_by=[time.desc() if newest else time.asc() for time in times]
    )
    inner = (
        sa.select(Activity, ActivityLink.account_id.label("account"), place.label("place"))
        .join(
            ActivityLink,
            sa.and_(ActivityLink.workspace_id == Activity.workspace_id, ActivityLink.activity_id == Activity.id),
        )
        .where(visible(Activity, viewer), among(ActivityLink.account_id, account_ids), condition)
        .subquery()
    )
    row = aliased(Activity, inner)
    found = {
        account: activity
        for activity, account in await session.execute(sa.select(row, inner.c.account).where(inner.c.place == 1))
    }
    return [found.get(account_id) for account_id in account_ids]
