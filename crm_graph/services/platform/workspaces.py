"""The workspace's own settings."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from crm_graph import records
from crm_graph.access import Viewer
from crm_graph.changelog import journal_of
from crm_graph.errors import Forbidden
from crm_graph.models import Action, Role, Workspace, now
from crm_graph.models.types import wire
from crm_graph.records import Values


async def update(session: AsyncSession, viewer: Viewer, *, values: Values) -> dict[str, str]:
    """Change name, currency or default visibilities. Raises Forbidden unless for an admin; Invalid, Required."""
    if viewer.role is not Role.ADMIN:
        raise Forbidden("Only an admin may change the workspace.")
    cleaned = records.clean(Workspace, values)
    statement = sa.select(Workspace).where(Workspace.id == viewer.workspace_id).with_for_update(key_share=True)
    workspace = (await session.execute(statement)).scalar_one()
    old = {name: getattr(workspace, name) for name, value in cleaned.items() if getattr(workspace, name) != value}
    for name in old:
        setattr(workspace, name, cleaned[name])
    if old:
        workspace.updated_at, workspace.version = now(), workspace.version + 1
        # The workspace is no entity: the journal is told.
        fields = {name: [wire(value), wire(cleaned[name])] for name, value in old.items()}
        journal_of(session).note(workspace, fields, Action.UPDATED)
    return {"workspace_id": workspace.id}
