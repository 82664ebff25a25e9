"""The audit log, for admins: sign-ins and changes of rights."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from crm_graph.access import Viewer
from crm_graph.errors import PermissionDenied
from crm_graph.models import Action, Change, Role
from crm_graph.models.platform.changes import IS_AUDITED
from loaders.core.cursors import decode, encode
from loaders.core.pages import Page, PageRequest

_OF = "audit"


@dataclass(frozen=True)
class AuditFilter:
    """Only events with these actions, and done by or to this user or record; None means all."""

    actions: Collection[Action] | None = None
    about: str | None = None


async def load_audit(session: AsyncSession, viewer: Viewer, request: PageRequest, filter_: AuditFilter) -> Page:
    """A page of events, newest first. Raises PermissionDenied, BadUserInput."""
    statement, number = sa.select(Change).where(*_conditions(viewer, filter_)), Change.revision
    for name, cursor in (("after", request.after), ("before", request.before)):
        if cursor is not None:
            [bound] = decode(_OF, [number.type], str(cursor), name)
            statement = statement.where(number < bound if name == "after" else number > bound)
    order = number.asc() if request.backward else number.desc()
    rows = list(await session.scalars(statement.order_by(order).limit(request.size + 1)))
    more = len(rows) > request.size
    rows = rows[: request.size]
    if request.backward:
        rows.reverse()
    return Page(
        rows=rows,
        cursors=[encode(_OF, [row.revision]) for row in rows],
        has_next=request.before is not None if request.backward else more,
        has_previous=more if request.backward else request.after is not None,
    )


async def count_audit(session: AsyncSession, viewer: Viewer, filter_: AuditFilter) -> int:
    """The number of events. Raises PermissionDenied."""
    statement = sa.select(sa.func.count()).select_from(Change).where(*_conditions(viewer, filter_))
    return (await session.execute(statement)).scalar_one()


def _conditions(viewer: Viewer, filter_: AuditFilter) -> list[sa.ColumnElement[bool] | sa.TextClause]:
    """The conditions on events of the audit. Raises PermissionDenied."""
    if viewer.role is not Role.ADMIN:
        raise PermissionDenied("Only an admin may read the audit.")
    conditions: list[sa.ColumnElement[bool] | sa.TextClause] = [Change.workspace_id == viewer.workspace_id, IS_AUDITED]
    if filter_.actions is not None:
        conditions.append(Change.action.in_(filter_.actions))
    if filter_.about is not None:
        conditions.append(sa.or_(Change.record_id == filter_.about, Change.user_id == filter_.about))
    return conditions
