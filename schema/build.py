"""All domains' queries, mutations and subscriptions in one schema."""

from __future__ import annotations

import strawberry

from schema import (
    accounts,
    activities,
    audit,
    auth,
    boards,
    campaigns,
    cases,
    changes,
    customers,
    leads,
    nodes,
    opportunities,
    pipelines,
    users,
    workspaces,
)
from schema.execution import CrmSchema
from schema.federation import subgraph_query
from schema.node import TYPES, connect_modules
from schema.scalars import config
from schema.timelines import ENTRIES


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
    changes.ChangeQuery,
    audit.AuditQuery,
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


@strawberry.type(description="What can be followed live. Each message says at which revision the list then stands.")
class Subscription(
    boards.BoardSubscription,
    cases.CaseSubscription,
    customers.CustomerSubscription,
    changes.ChangeSubscription,
):
    pass


def build_schema(*, introspection: bool = True, compiled: bool = True, federation: bool = False) -> CrmSchema:
    """The schema, ready to execute; with or without answering what it is made of, compiling what it can, and answering
    gateways."""
    connect_modules()
    return CrmSchema(
        query=subgraph_query(Query, introspection=introspection) if federation else Query,
        mutation=Mutation,
        subscription=Subscription,
        types=[*TYPES.values(), *ENTRIES.values()],
        introspection=introspection,
        compiled=compiled,
        config=config(enable_experimental_incremental_execution=True),
    )
