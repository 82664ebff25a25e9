"""All domains' queries, mutations and subscriptions in one schema."""

from __future__ import annotations

import strawberry

from schema.accounts import accounts, customers
from schema.accounts.timelines import ENTRIES
from schema.activities import activities
from schema.core import TYPES, link_type_names, nodes
from schema.core.federation import subgraph_query
from schema.core.scalars import config
from schema.execution.schema import CrmSchema
from schema.marketing import campaigns
from schema.platform import audit, auth, changes, users, workspaces
from schema.sales import boards, leads, opportunities, pipelines
from schema.service import cases


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
    link_type_names()
    return CrmSchema(
        query=subgraph_query(Query, introspection=introspection) if federation else Query,
        mutation=Mutation,
        subscription=Subscription,
        types=[*TYPES.values(), *ENTRIES.values()],
        introspection=introspection,
        compiled=compiled,
        config=config(enable_experimental_incremental_execution=True),
    )
