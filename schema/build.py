"""All domains' queries, mutations and subscriptions in one schema."""

from __future__ import annotations

import strawberry

from schema import accounts, activities, boards, campaigns, cases, leads, opportunities, pipelines, users
from schema.node import TYPES, connect_modules
from schema.scalars import config
from schema.view import CrmSchema


@strawberry.type(description="What can be read.")
class Query(
    accounts.AccountQuery,
    leads.LeadQuery,
    opportunities.OpportunityQuery,
    pipelines.PipelineQuery,
    boards.BoardQuery,
    activities.ActivityQuery,
    cases.CaseQuery,
    campaigns.CampaignQuery,
    users.UserQuery,
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
):
    pass


def build_schema() -> strawberry.Schema:
    """The schema, ready to execute."""
    connect_modules()
    return CrmSchema(query=Query, mutation=Mutation, types=list(TYPES.values()), config=config())
