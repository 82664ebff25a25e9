"""Campaigns and the people they reach."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Optional

import strawberry

from crm_graph import models
from crm_graph.models import CampaignStatus, CampaignType
from crm_graph.services.marketing import campaigns
from loaders.activities import activities_of
from loaders.marketing import campaigns as relations
from loaders.sales import OF_CAMPAIGN
from schema.core import (
    Connection,
    Money,
    Node,
    column,
    compile_value,
    computed,
    connection,
    crud,
    edge,
    money,
    node,
    payload_type,
    value_type,
)
from schema.core.mutations import VERSION, Payload, mutation, write_input
from schema.core.registry import mutation_fields

if TYPE_CHECKING:
    from schema.core.node_types import Activity, CampaignMemberPayload, Contact, Lead, Opportunity, Team, User


@value_type("A status that members of a campaign can have.")
class MemberStatus:
    name: str = strawberry.field(description="Name, such as SENT.")
    responded: bool = strawberry.field(description="True if it counts as a response.")


@strawberry.type(description="The reach of a campaign.")
class CampaignResponse:
    member_count: int = strawberry.field(description="Number of members.")
    response_count: int = strawberry.field(description="Number of members who responded.")


@node(models.Campaign, "A marketing effort that reaches contacts and leads.")
class Campaign(Node):
    name: str = column("Name of the campaign.")
    type: CampaignType | None = column("The channel through which it reaches people.")
    status: CampaignStatus = column("Status of the campaign.")
    description: str | None = column("Free text.", sortable=False)
    start_date: dt.date | None = column("First day.")
    end_date: dt.date | None = column("Last day.")
    budget: Money | None = money("Planned cost.")
    actual_cost: Money | None = money("Actual cost.")
    expected_revenue: Money | None = money("Expected revenue.")
    member_statuses: list[MemberStatus] = column("The statuses of its members; new members get the first one.")
    external_id: str | None = column("Id in another system, unique among campaigns.")
    parent: Campaign | None = edge("The campaign that it is part of.", by="parent_id")
    owner: User | None = edge("The user who runs it.", by="owner_id")
    team: Team | None = edge("The team that runs it; the owner's home team by default.", by="team_id")
    response: CampaignResponse = computed(
        "Members and responses, counting the members that you may see.",
        relations.load_responses,
        lambda selection, scope: compile_value(
            scope,
            relations.reached(selection.viewer, lambda column: column == scope.row.id),
            lambda members, responses: selection.write({"memberCount": members, "responseCount": responses}),
        ),
    )
    children: Connection[Campaign] = connection("The campaigns that are part of it.", relations.CHILDREN)
    members: Connection[CampaignMember] = connection("The contacts and leads it reaches.", relations.MEMBERS)
    opportunities: Connection[Opportunity] = connection("Deals that came from it.", OF_CAMPAIGN)
    activities: Connection[Activity] = connection("Activities about the campaign.", activities_of("campaign_id"))


@node(models.CampaignMember, "A contact or lead that a campaign reaches.")
class CampaignMember(Node):
    status: str = column("One of the campaign's member statuses.", write=False)
    first_responded_at: dt.datetime | None = column("Time of the first response.", write=False)
    campaign: Campaign | None = edge("The campaign.", by="campaign_id", write=False)
    contact: Contact | None = edge("The contact; null for a lead.", by="contact_id", write=False)
    lead: Lead | None = edge("The lead; null for a contact.", by="lead_id", write=False)


write_input(
    "AddCampaignMembersInput",
    "Contacts and leads to add to a campaign: at most 500, all of them or none.",
    {
        "campaign_id": (strawberry.ID, "Id of the campaign."),
        "contact_ids": (Optional[list[strawberry.ID]], "Contacts to add."),
        "lead_ids": (Optional[list[strawberry.ID]], "Leads to add."),
        "status": (Optional[str], "Their status, one of the campaign's member statuses; the first one if omitted."),
    },
)
write_input(
    "SetCampaignMemberStatusInput",
    "The new status of a campaign member.",
    {
        "member_id": (strawberry.ID, "Id of the member."),
        "status": (str, "One of the campaign's member statuses, in upper or lower case."),
        "expected_version": VERSION,
    },
)
write_input(
    "RemoveCampaignMemberInput",
    "The member to remove from a campaign.",
    {"member_id": (strawberry.ID, "Id of the member."), "expected_version": VERSION},
)


crud(Campaign, create=campaigns.create, update=campaigns.update, position=8)
payload_type(CampaignMember)


@strawberry.type(description="The campaign with its new members.")
class AddCampaignMembersPayload(Payload):
    campaign: Campaign | None = edge(
        "The campaign; null if the write failed or you may no longer see it.", by="record_id"
    )
    added: int | None = strawberry.field(description="Number of new members; null if the write failed.")


@strawberry.type(description="The campaign without the member.")
class RemoveCampaignMemberPayload(Payload):
    campaign: Campaign | None = edge(
        "The campaign; null if the write failed or you may no longer see it.", by="campaign_id"
    )
    campaign_member: CampaignMember | None = edge(
        "The current member, if it was changed in the meantime; null once it is removed.", by="record_id"
    )


@mutation_fields(8)
class CampaignMemberMutation:
    add_campaign_members: AddCampaignMembersPayload = mutation(
        "Add contacts and leads to a campaign. Existing members keep their status.", campaigns.add_members
    )
    set_campaign_member_status: CampaignMemberPayload = mutation(
        "Change the status of a member. The time of the first response is recorded.", campaigns.set_member_status
    )
    remove_campaign_member: RemoveCampaignMemberPayload = mutation(
        "Remove a member from a campaign. Adding the person again restores the member.", campaigns.remove_member
    )
