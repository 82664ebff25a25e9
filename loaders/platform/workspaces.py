"""The workspace and its revision."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from crm_graph.access import Viewer
from crm_graph.changelog import log
from crm_graph.models import Workspace
from loaders.sql_json.expressions import PlainText


def revision_of(viewer: Viewer) -> sa.Select[str]:
    """The select of `load_revision`, for compiled statements."""
    number = sa.cast(Workspace.revision, sa.String())
    revision = sa.type_coerce(Workspace.epoch.concat(".").concat(number), PlainText())
    return sa.select(revision).where(Workspace.id == viewer.workspace_id)


async def load_revision(session: AsyncSession, viewer: Viewer) -> str:
    """The workspace's revision in the form of the API, "epoch.number"."""
    return str(await log.current_revision(session, viewer.workspace_id))


async def load_workspace(session: AsyncSession, viewer: Viewer) -> Workspace:
    return (await session.execute(sa.select(Workspace).where(Workspace.id == viewer.workspace_id))).scalar_one()
