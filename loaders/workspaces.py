"""The workspace itself."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from crm_graph.access import Viewer
from crm_graph.models import Workspace


async def load_revision(session: AsyncSession, viewer: Viewer) -> str:
    """The workspace's revision as clients know it: its epoch and the number of the last change."""
    statement = sa.select(Workspace.epoch, Workspace.revision).where(Workspace.id == viewer.workspace_id)
    epoch, revision = (await session.execute(statement)).one()
    return f"{epoch}.{revision}"


async def load_workspace(session: AsyncSession, viewer: Viewer) -> Workspace:
    return (await session.execute(sa.select(Workspace).where(Workspace.id == viewer.workspace_id))).scalar_one()
