"""The workspace's own settings."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from crm_graph import records
from crm_graph.access import DEFAULT_FIELDS, Viewer
from crm_graph.access.defaults import complete
from crm_graph.changelog import journal_of
from crm_graph.errors import Forbidden, Required
from crm_graph.models import Action, Role, Workspace, now
from crm_graph.models.types import wire
from crm_graph.records import Values


async def update(session: AsyncSession, viewer: Viewer, *, values: Values) -> dict[str, str]:
    """Change name, currency or visibility defaults, which are named by DEFAULT_FIELDS.

    Raises Forbidden unless the viewer is an admin; Invalid, Required.
    """
    if viewer.role is not Role.ADMIN:
        raise Forbidden("Only an admin may change the workspace.")
    defaults = {entity: values[name] for entity, name in DEFAULT_FIELDS.items() if name in values}
    for entity, visibility in defaults.items():
        if visibility is None:
            raise Required("A value is needed.", DEFAULT_FIELDS[entity])
    names = DEFAULT_FIELDS.values()
    cleaned = records.clean(Workspace, {name: value for name, value in values.items() if name not in names})
    statement = sa.select(Workspace).where(Workspace.id == viewer.workspace_id).with_for_update(key_share=True)
    workspace = (await session.execute(statement)).scalar_one()
    fields = {
        name: [wire(old), wire(value)] for name, value in cleaned.items() if (old := getattr(workspace, name)) != value
    }
    known = complete(workspace.visibility_defaults)
    changed = {entity: value for entity, value in defaults.items() if known[entity] is not value}
    fields |= {DEFAULT_FIELDS[entity]: [wire(known[entity]), wire(value)] for entity, value in changed.items()}
    if fields:
        for name, value in cleaned.items():
            setattr(workspace, name, value)
        workspace.visibility_defaults = {**known, **changed}
        workspace.updated_at, workspace.version = now(), workspace.version + 1
        # The workspace is not an entity, so the journal does not notice the change by itself.
        journal_of(session).note(workspace, fields, Action.UPDATED)
    return {"workspace_id": workspace.id}
