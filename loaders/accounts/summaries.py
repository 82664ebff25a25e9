"""What is said of an account in figures, as SQL aggregates over what the viewer sees."""

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

_TIMES: list[Any] = [Activity.happens_at, Activity.id]


@dataclass
class Deals:
    """Totals of an account's deals, by the category of their stages."""

    open: Totals = field(default_factory=Totals)
    won: Totals = field(default_factory=Totals)
    lost: Totals = field(default_factory=Totals)


def deals(viewer: Viewer, whose: ParentCondition, *keys: Any) -> sa.Select[*tuple[Any, ...]]:
    """The totals of accounts' deals by keys, which may be of their stages."""
    return (
        totals_by(*keys)
        .join(Stage, sa.and_(Stage.workspace_id == Opportunity.workspace_id, Stage.id == Opportunity.stage_id))
        .where(visible(Opportunity, viewer), visible(Stage, viewer, deleted=True), whose(Opportunity.account_id))
    )


async def load_deals(session: AsyncSession, viewer: Viewer, account_ids: Sequence[str]) -> list[Deals]:
    statement = deals(viewer, _of(account_ids), Opportunity.account_id, Stage.category)
    found = {account_id: Deals() for account_id in account_ids}
    for account_id, category, code, count, *sums in await session.execute(statement):
        one = found[account_id]
        totals = {StageCategory.OPEN: one.open, StageCategory.WON: one.won, StageCategory.LOST: one.lost}
        totals[category].add(code, count, sums)
    return [found[account_id] for account_id in account_ids]


def open_cases(viewer: Viewer, whose: ParentCondition) -> sa.Select[Any]:
    """How many cases of accounts are neither resolved nor closed."""
    ended = [status.value for status in CaseStatus if status.ended]
    return sa.select(sa.func.count()).where(
        visible(Case, viewer), whose(Case.account_id), sa.not_(in_array(Case.status, ended))
    )


async def load_open_cases(session: AsyncSession, viewer: Viewer, account_ids: Sequence[str]) -> list[int]:
    statement = open_cases(viewer, _of(account_ids)).add_columns(Case.account_id).group_by(Case.account_id)
    found = {account_id: count for count, account_id in await session.execute(statement)}
    return [found.get(account_id, 0) for account_id in account_ids]


_MOMENT: Any = sa.bindparam("moment", callable_=now, type_=Activity.happens_at.type)
HAPPENED = sa.and_(Activity.happens_at <= _MOMENT, sa.or_(Activity.type != ActivityType.TASK, Activity.done))
"""A task has happened when it is done."""
PLANNED = sa.case((Activity.type == ActivityType.TASK, sa.not_(Activity.done)), else_=Activity.happens_at > _MOMENT)
"""An open task is still to happen, however late it is."""


async def load_last_activities(
    session: AsyncSession, viewer: Viewer, account_ids: Sequence[str]
) -> list[Activity | None]:
    """The newest activity that happened."""
    return await _nearest(session, viewer, account_ids, HAPPENED, newest=True)


async def load_next_activities(
    session: AsyncSession, viewer: Viewer, account_ids: Sequence[str]
) -> list[Activity | None]:
    """The first activity that is still to happen."""
    return await _nearest(session, viewer, account_ids, PLANNED, newest=False)


def nearest(viewer: Viewer, account_id: Any, condition: sa.ColumnElement[bool], *, newest: bool) -> sa.Select[Any]:
    """The first of an account's activities."""
    order = [time.desc() if newest else time.asc() for time in _TIMES]
    return _linked(sa.select(Activity), viewer, condition).where(ActivityLink.account_id == account_id).order_by(*order)


async def _nearest(
    session: AsyncSession,
    viewer: Viewer,
    account_ids: Sequence[str],
    condition: sa.ColumnElement[bool],
    *,
    newest: bool,
) -> list[Activity | None]:
    place = sa.func.row_number().over(
        partition_by=ActivityLink.account_id, order_by=[time.desc() if newest else time.asc() for time in _TIMES]
    )
    numbered = sa.select(Activity, ActivityLink.account_id.label("account"), place.label("place"))
    inner = _linked(numbered, viewer, condition).where(in_array(ActivityLink.account_id, account_ids)).subquery()
    row = aliased(Activity, inner)
    found = {
        account: activity
        for activity, account in await session.execute(sa.select(row, inner.c.account).where(inner.c.place == 1))
    }
    return [found.get(account_id) for account_id in account_ids]


def _linked(select: sa.Select[Any], viewer: Viewer, condition: sa.ColumnElement[bool]) -> sa.Select[Any]:
    """A select of activities, with their links."""
    links = sa.and_(ActivityLink.workspace_id == Activity.workspace_id, ActivityLink.activity_id == Activity.id)
    return select.join(ActivityLink, links).where(visible(Activity, viewer, linked=True), condition)


def _of(account_ids: Sequence[str]) -> ParentCondition:
    return lambda column: in_array(column, account_ids)
