"""The workspace: its name, its currency, and who sees what in it."""

from __future__ import annotations

from typing import Any

import strawberry

from crm_graph import models
from crm_graph.models import Visibility
from crm_graph.services import workspaces
from loaders.workspaces import load_revision, load_workspace
from schema.context import Info
from schema.node import maybe
from schema.scalars import CurrencyCode, enum_type
from schema.writes import Payload, mutation, write_input

enum_type(Visibility)
NAME = "What the company is called."
CURRENCY = "The currency of amounts that come without one."
DEFAULTS = {
    "account_visibility": "Who sees and edits accounts and their contacts.",
    "lead_visibility": "Who sees and edits leads.",
    "opportunity_visibility": "Who sees and edits opportunities.",
    "case_visibility": "Who sees and edits cases.",
    "campaign_visibility": "Who sees and edits campaigns.",
}


@strawberry.type(description="One company's CRM, apart from all others.")
class Workspace:
    id: strawberry.ID = strawberry.field(description="Its id.")
    name: str = strawberry.field(description=NAME)
    currency: CurrencyCode = strawberry.field(description=CURRENCY)
    account_visibility: Visibility = strawberry.field(description=DEFAULTS["account_visibility"])
    lead_visibility: Visibility = strawberry.field(description=DEFAULTS["lead_visibility"])
    opportunity_visibility: Visibility = strawberry.field(description=DEFAULTS["opportunity_visibility"])
    case_visibility: Visibility = strawberry.field(description=DEFAULTS["case_visibility"])
    campaign_visibility: Visibility = strawberry.field(description=DEFAULTS["campaign_visibility"])

    @strawberry.field(description="The revision of its last change.")
    def revision(root: strawberry.Parent[Any]) -> str:
        return f"{root.epoch}.{root.revision}"


write_input(
    "UpdateWorkspaceInput",
    "Changes of the workspace.",
    {},
    {
        "name": (maybe(str), NAME),
        "currency": (maybe(CurrencyCode), CURRENCY),
        **{name: (maybe(Visibility), meaning) for name, meaning in DEFAULTS.items()},
    },
)


@strawberry.type(description="The workspace as it is now.")
class WorkspacePayload(Payload):
    @strawberry.field(graphql_type=Workspace | None, description="The workspace; null if it was refused.")
    async def workspace(root: strawberry.Parent[Any], info: Info) -> models.Workspace | None:
        return await _workspace(info) if root.workspace_id else None


@strawberry.type
class WorkspaceQuery:
    @strawberry.field(graphql_type=Workspace, description="The workspace that the viewer is in.")
    async def workspace(self, info: Info) -> models.Workspace:
        return await _workspace(info)

    @strawberry.field(description="The revision that this answer stands at: subscribe `after` it to miss nothing.")
    async def revision(self, info: Info) -> str:
        loaders = info.context.loaders
        return await loaders.read(lambda session: load_revision(session, loaders.viewer))


@strawberry.type
class WorkspaceMutation:
    update_workspace: WorkspacePayload = mutation(
        "Change the workspace. Only admins may.", workspaces.update, "UpdateWorkspaceInput"
    )


async def _workspace(info: Info) -> models.Workspace:
    loaders = info.context.loaders
    return await loaders.read(lambda session: load_workspace(session, loaders.viewer))
