"""Campaigns and the people they reach."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Optional

import strawberry

from crm_graph import models, records
from crm_graph.models import CampaignStatus, CampaignType
from crm_graph.services.marketing import campaigns
from loaders.activities.activities import activities_of
from loaders.marketing import campaigns as relations
from loaders.sales.opportunities import OF_CAMPAIGN
from schema.core import (
    Connection,
    Money,
    Node,
    by_id,
    column,
    compile_value,
    computed,
    connection,
    edge,
    money,
    node,
    value_type,
)
from schema.core.mutations import VERSION, Payload, RecordInput, mutation, write_input
from schema.core.registry import mutation_fields, query_fields

if TYPE_CHECKING:
    from schema.core.node_types import Activity, Contact, Lead, Opportunity, Team, User


@value_type("A status that members of a campaign may have.")
class MemberStatus:
    name: str = strawberry.field(description="What it is called, such as SENT.")
    responded: bool = strawberry.field(description="Whether it counts as a response.")


@strawberry.type(description="How many people a campaign reaches, and how many of them have responded.")
class CampaignResponse:
    member_count: int = strawberry.field(description="How many members it has.")
    response_count: int = strawberry.field(description="How many of them have responded.")


@node(models.Campaign, "An effort to win customers.")
class Campaign(Node):
    name: str = column("What the campaign is called.")
    type: CampaignType | None = column("How it reaches people.")
    status: CampaignStatus = column("Where it stands.")
    description: str | None = column("What it is about.", sortable=False)
    start_date: dt.date | None = column("Its first day.")
    end_date: dt.date | None = column("Its last day.")
    budget: Money | None = money("What it may cost.")
    actual_cost: Money | None = money("What it cost.")
    expected_revenue: Money | None = money("What it is to bring.")
    member_statuses: list[MemberStatus] = column("The statuses of its members, the first one being a new member's.")
    external_id: str | None = column("Its id in another system, unique among campaigns.")
    parent: Campaign | None = edge("The campaign that it is a part of.", by="parent_id")
    owner: User | None = edge("Who runs it.", by="owner_id")
    team: Team | None = edge("The team that runs it; its owner's home team unless set.", by="team_id")
    response: CampaignResponse = computed(
        "What came of it, of the members that may be seen.",
        relations.load_responses,
        lambda selection, at: compile_value(
            at,
            relations.reached(selection.viewer, lambda column: column == at.row.id),
            lambda members, responses: selection.write({"memberCount": members, "responseCount": responses}),
        ),
    )
    children: Connection[Campaign] = connection("The campaigns that are parts of it.", relations.CHILDREN)
    members: Connection[CampaignMember] = connection("Whom it reaches.", relations.MEMBERS)
    opportunities: Connection[Opportunity] = connection("Deals that came from it.", OF_CAMPAIGN)
    activities: Connection[Activity] = connection("What was done about it.", activities_of("campaign_id"))


@node(models.CampaignMember, "A contact or a lead that a campaign reaches.")
class CampaignMember(Node):
    status: str = column("One of the campaign's own statuses.", write=False)
    first_responded_at: dt.datetime | None = column("When the person first responded.", write=False)
    campaign: Campaign | None = edge("The campaign.", by="campaign_id", write=False)
    contact: Contact | None = edge("The person, if a contact.", by="contact_id", write=False)
    lead: Lead | None = edge("The person, if still a lead.", by="lead_id", write=False)


AddCampaignMembersInput = write_input(
    "AddCampaignMembersInput",
    "Whom to add to a campaign: at most 500 people, all of them or none.",
    {
        "campaign_id": (strawberry.ID, "Which campaign."),
        "contact_ids": (Optional[list[strawberry.ID]], "Contacts to add."),
        "lead_ids": (Optional[list[strawberry.ID]], "Leads to add."),
        "status": (Optional[str], "Their status, one of the campaign's own; its first one if omitted."),
    },
)
SetCampaignMemberStatusInput = write_input(
    "SetCampaignMemberStatusInput",
    "How far a member of a campaign has come.",
    {
        "member_id": (strawberry.ID, "Which member."),
        "status": (str, "One of the campaign's own statuses; upper and lower case are the same."),
        "expected_version": VERSION,
    },
)
RemoveCampaignMemberInput = write_input(
    "RemoveCampaignMemberInput",
    "Whom to take out of a campaign.",
    {"member_id": (strawberry.ID, "Which member."), "expected_version": VERSION},
)


@strawberry.type(description="The campaign as it is now.")
class CampaignPayload(Payload):
    campaign: Campaign | None = edge(
        "The campaign; null if it was refused, or if it may not be seen any more.", by="record_id"
    )


@strawberry.type(description="The campaign with its new members.")
class AddCampaignMembersPayload(Payload):
    campaign: Campaign | None = edge(
        "The campaign; null if it was refused, or if it may not be seen any more.", by="record_id"
    )
    added: int | None = strawberry.field(description="How many were not members before; null if it was refused.")


@strawberry.type(description="The member as it is now.")
class CampaignMemberPayload(Payload):
    campaign_member: CampaignMember | None = edge(
        "The member; null if it was refused, or if it may not be seen any more.", by="record_id"
    )


@strawberry.type(description="The campaign without the member.")
class RemoveCampaignMemberPayload(Payload):
    campaign: Campaign | None = edge(
        "The campaign; null if it was refused, or if it may not be seen any more.", by="campaign_id"
    )
    campaign_member: CampaignMember | None = edge(
        "The member as it is now, if it was changed meanwhile; null once it is removed.", by="record_id"
    )


@query_fields(8)
class CampaignQuery:
    campaign: Campaign | None = by_id("One campaign; null if there is none, or if it may not be seen.")
    campaigns: Connection[Campaign] = connection("All campaigns.")


@mutation_fields(8)
class CampaignMutation:
    create_campaign: CampaignPayload = mutation("Add a campaign.", campaigns.create)
    update_campaign: CampaignPayload = mutation("Change a campaign.", campaigns.update)
    delete_campaign: CampaignPayload = mutation(
        "Delete a campaign.", records.delete, RecordInput, model=models.Campaign
    )
    restore_campaign: CampaignPayload = mutation(
        "Bring a deleted campaign back.", records.restore, RecordInput, model=models.Campaign
    )
    add_campaign_members: AddCampaignMembersPayload = mutation(
        "Add contacts and leads to a campaign. Who is a member already stays as he is.",
        campaigns.add_members,
        AddCampaignMembersInput,
    )
    set_campaign_member_status: CampaignMemberPayload = mutation(
        "Say how far a member has come. The first response is dated.",
        campaigns.set_member_status,
        SetCampaignMemberStatusInput,
    )
    remove_campaign_member: RemoveCampaignMemberPayload = mutation(
        "Take a person out of a campaign; adding the person again brings the member back.",
        campaigns.remove_member,
        RemoveCampaignMemberInput,
    )
