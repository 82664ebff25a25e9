"""The timeline of an account: activities, stage moves, status changes of cases, responses to campaigns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from crm_graph.access import Viewer, visible
from crm_graph.database import in_array
from crm_graph.models import Action, Activity, ActivityLink, CampaignMember, Case, Change, Contact, Entity, Opportunity
from loaders.core.cursors import decode, encode
from loaders.core.pages import Page, PageRequest

ACTIVITY, MOVE, STATUS, RESPONSE = range(4)
_OF = "timeline"


async def load_timelines(
    session: AsyncSession, viewer: Viewer, request: PageRequest, account_ids: Sequence[str]
) -> list[Page]:
    """Pages of accounts' events, newest first. A row has kind, at, record_id and revision: the log's revision, or 0 for
    an activity."""
    events = _events(viewer, account_ids).subquery("events")
    keys = [events.c.at, events.c.kind, events.c.revision, events.c.record_id]
    place = sa.func.row_number().over(
        partition_by=events.c.account_id, order_by=[key.asc() if request.backward else key.desc() for key in keys]
    )
    numbered = sa.select(events, place.label("place"))
    for name, cursor in (("after", request.after), ("before", request.before)):
        if cursor is not None:
            values = decode(_OF, [key.type for key in keys], str(cursor), name)
            bound = sa.tuple_(*(sa.literal(value, key.type) for value, key in zip(values, keys, strict=True)))
            row = sa.tuple_(*keys)
            numbered = numbered.where(row < bound if name == "after" else row > bound)
    page = numbered.subquery("page")
    statement = sa.select(page).where(page.c.place <= request.size + 1).order_by(page.c.account_id, page.c.place)
    found: dict[str, list[Any]] = {account_id: [] for account_id in account_ids}
    for each in await session.execute(statement):
        found[each.account_id].append(each)
    return [_page(request, found[account_id]) for account_id in account_ids]


async def load_timeline_counts(session: AsyncSession, viewer: Viewer, account_ids: Sequence[str]) -> list[int]:
    events = _events(viewer, account_ids).subquery("events")
    statement = sa.select(events.c.account_id, sa.func.count()).group_by(events.c.account_id)
    found = {row[0]: row[1] for row in await session.execute(statement)}
    return [found.get(account_id, 0) for account_id in account_ids]


async def load_changes(session: AsyncSession, viewer: Viewer, revisions: Sequence[int]) -> list[Change | None]:
    """Rows of the log. The caller has checked that the viewer may see their records."""
    statement = sa.select(Change).where(Change.workspace_id == viewer.workspace_id, Change.revision.in_(revisions))
    found = {change.revision: change for change in await session.scalars(statement)}
    return [found.get(revision) for revision in revisions]


def _events(viewer: Viewer, account_ids: Sequence[str]) -> sa.CompoundSelect[*tuple[object, ...]]:
    activities = (
        sa.select(
            ActivityLink.account_id.label("account_id"),
            sa.literal(ACTIVITY).label("kind"),
            Activity.happens_at.label("at"),
            Activity.id.label("record_id"),
            sa.literal(0, sa.BigInteger).label("revision"),
        )
        .join(
            Activity,
            sa.and_(Activity.workspace_id == ActivityLink.workspace_id, Activity.id == ActivityLink.activity_id),
        )
        .where(visible(Activity, viewer, linked=True), in_array(ActivityLink.account_id, account_ids))
        .where(ActivityLink.workspace_id == viewer.workspace_id)
    )
    responses = _changes(CampaignMember, Contact.account_id, RESPONSE, Action.RESPONDED, viewer, account_ids).join(
        Contact,
        sa.and_(Contact.workspace_id == CampaignMember.workspace_id, Contact.id == CampaignMember.contact_id),
    )
    return sa.union_all(
        activities,
        _changes(Opportunity, Opportunity.account_id, MOVE, Action.MOVED, viewer, account_ids),
        _changes(Case, Case.account_id, STATUS, Action.STATUS_CHANGED, viewer, account_ids),
        responses.where(visible(Contact, viewer)),
    )


def _changes(
    model: type[Entity],
    account_id: sa.SQLColumnExpression[str | None],
    kind: int,
    action: Action,
    viewer: Viewer,
    account_ids: Sequence[str],
) -> sa.Select[*tuple[object, ...]]:
    """The log's rows of one action on accounts' visible records."""
    return (
        sa.select(
            account_id.label("account_id"),
            sa.literal(kind).label("kind"),
            Change.happened_at.label("at"),
            model.id.label("record_id"),
            Change.revision.label("revision"),
        )
        .select_from(model)
        .join(
            Change,
            sa.and_(Change.workspace_id == model.workspace_id, Change.record_id == model.id, Change.action == action),
        )
        .where(visible(model, viewer), in_array(account_id, account_ids))
    )


def _page(request: PageRequest, rows: list[Any]) -> Page:
    more = len(rows) > request.size
    rows = rows[: request.size]
    if request.backward:
        rows.reverse()
    return Page(
        rows=rows,
        cursors=[encode(_OF, (row.at, row.kind, row.revision, row.record_id)) for row in rows],
        has_next=request.before is not None if request.backward else more,
        has_previous=more if request.backward else request.after is not None,
    )
