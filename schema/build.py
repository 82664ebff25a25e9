"""All domains' queries, mutations and subscriptions in one schema."""

from __future__ import annotations

import strawberry
from strawberry.extensions import DisableIntrospection

from schema import (
    accounts,
    activities,
    auth,
    boards,
    campaigns,
    cases,
    leads,
    nodes,
    opportunities,
    pipelines,
    users,
    workspaces,
)
from schema.node import TYPES, connect_modules
from schema.scalars import config
from schema.timelines import ENTRIES
from schema.view import CrmSchema


@strawberry.type(description="What can be read.")
class Query(
    nodes.NodeQuery,
    accounts.AccountQuery,
    leads.LeadQuery,
    opportunities.OpportunityQuery,
    pipelines.PipelineQuery,
    boards.BoardQuery,
    activities.ActivityQuery,
    cases.CaseQuery,
    campaigns.CampaignQuery,
    users.UserQuery,
    auth.AuthQuery,
    workspaces.WorkspaceQuery,
):
    pass


@strawberry.type(description="What can be written. Every field is one transaction: done as a whole or not at all.")
class Mutation(
    accounts.AccountMutation,
    leads.LeadMutation,
    opportunities.OpportunityMutation,
    pipelines.PipelineMutation,
    activities.ActivityMutation,
    cases.CaseMutation,
    campaigns.CampaignMutation,
    users.UserMutation,
    auth.AuthMutation,
    workspaces.WorkspaceMutation,
):
    pass


def build_schema(*, introspection: bool = True) -> strawberry.Schema:
    """The schema, ready to execute; with or without answering what it is made of."""
    connect_modules()
    return CrmSchema(
        query=Query,
        mutation=Mutation,
        types=[*TYPES.values(), *ENTRIES.values()],
        extensions=[] if introspection else [DisableIntrospection],
        config=config(),
    )
