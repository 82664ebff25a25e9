"""An account in figures: aggregates of the records that the viewer may see.

Each figure is one select. The compiled form and the batched form, "select id, (figure of this id)", both contain it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from crm_graph.access import Viewer, visible
from crm_graph.database import in_array
from crm_graph.models import (
    Account,
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
from loaders.core.pages import ParentCondition
from loaders.sales import Totals, totals_by

_TIMES: list[sa.SQLColumnExpression[object]] = [Activity.happens_at, Activity.id]


@dataclass
class Deals:
    """Totals of an account's opportunities by the category of their stages."""

    open: Totals = field(default_factory=Totals)
    won: Totals = field(default_factory=Totals)
    lost: Totals = field(default_factory=Totals)


def deals(
    viewer: Viewer, of_account: ParentCondition, *keys: sa.SQLColumnExpression[object]
) -> sa.Select[*tuple[Any, ...]]:
    """Totals of accounts' opportunities, grouped by columns of theirs or of their stages."""
    return (
        totals_by(*keys)
        .join(Stage, sa.and_(Stage.workspace_id == Opportunity.workspace_id, Stage.id == Opportunity.stage_id))
        .where(visible(Opportunity, viewer), visible(Stage, viewer, deleted=True), of_account(Opportunity.account_id))
    )


async def load_deals(session: AsyncSession, viewer: Viewer, account_ids: Sequence[str]) -> list[Deals]:
    statement = deals(viewer, lambda column: in_array(column, account_ids), Opportunity.account_id, Stage.category)
    found = {account_id: Deals() for account_id in account_ids}
    for account_id, category, code, count, *sums in await session.execute(statement):
        one = found[account_id]
        totals = {StageCategory.OPEN: one.open, StageCategory.WON: one.won, StageCategory.LOST: one.lost}
        totals[category].add(code, count, sums)
    return [found[account_id] for account_id in account_ids]


def open_cases(viewer: Viewer, of_account: ParentCondition) -> sa.Select[int]:
    """The number of an account's cases that are neither resolved nor closed."""
    ended = [status.value for status in CaseStatus if status.ended]
    return sa.select(sa.func.count()).where(
        visible(Case, viewer), of_account(Case.account_id), sa.not_(in_array(Case.status, ended))
    )


async def load_open_cases(session: AsyncSession, viewer: Viewer, account_ids: Sequence[str]) -> list[int]:
    count = open_cases(viewer, lambda column: column == Account.id).correlate(Account).scalar_subquery()
    statement = sa.select(Account.id, count).where(_are_accounts(viewer, account_ids))
    found = {row[0]: row[1] for row in await session.execute(statement)}
    return [found.get(account_id, 0) for account_id in account_ids]


_MOMENT = sa.bindparam("moment", callable_=now, type_=Activity.happens_at.type)
HAPPENED = sa.and_(Activity.happens_at <= _MOMENT, sa.or_(Activity.type != ActivityType.TASK, Activity.done))
"""A task has happened if it is done."""
PLANNED = sa.case((Activity.type == ActivityType.TASK, sa.not_(Activity.done)), else_=Activity.happens_at > _MOMENT)
"""A task that is not done is planned, even if it is overdue."""


async def load_last_activities(
    session: AsyncSession, viewer: Viewer, account_ids: Sequence[str]
) -> list[Activity | None]:
    """The latest past activity of each account."""
    return await _load_nearest(session, viewer, account_ids, HAPPENED, newest=True)


async def load_next_activities(
    session: AsyncSession, viewer: Viewer, account_ids: Sequence[str]
) -> list[Activity | None]:
    """The next planned activity of each account."""
    return await _load_nearest(session, viewer, account_ids, PLANNED, newest=False)


def nearest(
    viewer: Viewer, account_id: sa.SQLColumnExpression[object], condition: sa.ColumnElement[bool], *, newest: bool
) -> sa.Select[Activity]:
    """An account's activities that meet a condition, by time."""
    order = [time.desc() if newest else time.asc() for time in _TIMES]
    links = sa.and_(ActivityLink.workspace_id == Activity.workspace_id, ActivityLink.activity_id == Activity.id)
    return (
        sa.select(Activity)
        .join(ActivityLink, links)
        .where(visible(Activity, viewer, linked=True), condition, ActivityLink.account_id == account_id)
        .order_by(*order)
    )


async def _load_nearest(
    session: AsyncSession,
    viewer: Viewer,
    account_ids: Sequence[str],
    condition: sa.ColumnElement[bool],
    *,
    newest: bool,
) -> list[Activity | None]:
    first = nearest(viewer, Account.id, condition, newest=newest).with_only_columns(Activity.id).limit(1)
    activity = aliased(Activity)
    statement = (
        sa.select(Account.id, activity)
        .join(activity, activity.id == first.correlate(Account).scalar_subquery())
        .where(_are_accounts(viewer, account_ids), visible(activity, viewer, linked=True))
    )
    found = {row[0]: row[1] for row in await session.execute(statement)}
    return [found.get(account_id) for account_id in account_ids]


def _are_accounts(viewer: Viewer, account_ids: Sequence[str]) -> sa.ColumnElement[bool]:
    return sa.and_(visible(Account, viewer), in_array(Account.id, account_ids))
