"""People and companies who may become customers."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Optional

import strawberry

from crm_graph import models, records
from crm_graph.models import LeadStatus
from crm_graph.services.sales import leads
from loaders.activities.activities import activities_of
from loaders.marketing import campaigns
from schema.core import Connection, Money, Node, by_id, column, connection, edge, money, node
from schema.core.mutations import VERSION, MoneyInput, Payload, RecordInput, mutation, write_input
from schema.core.registry import mutation_fields, query_fields
from schema.core.values import Address

if TYPE_CHECKING:
    from schema.core.node_types import Account, Activity, CampaignMember, Contact, Opportunity, Team, User


@node(
    models.Lead, "Somebody who may become a customer: a person and a company before they are a contact and an account."
)
class Lead(Node):
    first_name: str | None = column("The given name.")
    last_name: str = column("The family name.")
    company: str | None = column("Where the person works.")
    title: str | None = column("What the person is there.")
    email: str | None = column("The email address.")
    phone: str | None = column("The phone number, in E.164 form.")
    mobile: str | None = column("The mobile number, in E.164 form.")
    website: str | None = column("The company's web address.")
    industry: str | None = column("The industry the company works in.")
    employees: int | None = column("How many people work there.")
    annual_revenue: Money | None = money("What the company takes in a year.")
    address: Address | None = column("The postal address.")
    description: str | None = column("Anything else worth knowing.", sortable=False)
    source: str | None = column("Where the lead came from.")
    status: LeadStatus = column("How far it has come. Only convertLead makes it CONVERTED.")
    score: int | None = column("How promising it is, from 0 to 100.")
    email_opt_out: bool = column("Whether the person wants no more marketing by email.")
    email_opt_out_at: dt.datetime | None = column("When the person said so.", write=False)
    phone_opt_out: bool = column("Whether the person wants no more calls.")
    phone_opt_out_at: dt.datetime | None = column("When the person said so.", write=False)
    converted_at: dt.datetime | None = column("When it was converted; from then on it is read-only.", write=False)
    external_id: str | None = column("Its id in another system, unique among leads.")
    owner: User | None = edge("Who follows it up.", by="owner_id")
    team: Team | None = edge("The team that follows it up; its owner's home team unless set.", by="team_id")
    converted_account: Account | None = edge("The account it became.", by="converted_account_id", write=False)
    converted_contact: Contact | None = edge("The contact it became.", by="converted_contact_id", write=False)
    converted_opportunity: Opportunity | None = edge("The deal it became.", by="converted_opportunity_id", write=False)
    activities: Connection[Activity] = connection("What was done with it.", activities_of("lead_id"))
    campaign_members: Connection[CampaignMember] = connection("Its places in campaigns.", campaigns.OF_LEAD)


ConvertLeadInput = write_input(
    "ConvertLeadInput",
    "What to make of a lead. An account and a contact that are there already only get what they lack.",
    {
        "lead_id": (strawberry.ID, "Which lead."),
        "account_id": (Optional[strawberry.ID], "The account it becomes; the contact's, or else a new one if omitted."),
        "contact_id": (Optional[strawberry.ID], "The contact it becomes; a new one if omitted."),
        "create_opportunity": (Optional[bool], "Whether to make a deal too; true if omitted."),
        "opportunity_name": (Optional[str], "What the deal is called; as the account if omitted."),
        "owner_id": (
            Optional[strawberry.ID],
            "Whose the records are, and what is still to do; as the lead if omitted.",
        ),
        "expected_version": VERSION,
    },
    {
        "amount": (Optional[MoneyInput], "What the deal is worth."),
        "pipeline_id": (Optional[strawberry.ID], "The pipeline the deal goes through; the first one if omitted."),
        "stage_id": (Optional[strawberry.ID], "The stage the deal is in; the pipeline's first open one if omitted."),
        "close_date": (Optional[dt.date], "When the deal is expected to close; the end of this quarter if omitted."),
    },
)


@strawberry.type(description="The lead as it is now.")
class LeadPayload(Payload):
    lead: Lead | None = edge("The lead; null if it was refused, or if it may not be seen any more.", by="record_id")


@strawberry.type(description="The lead as it is now, and what it became.")
class ConvertLeadPayload(Payload):
    lead: Lead | None = edge("The lead; null if there is none, or if it may not be seen.", by="record_id")
    account: Account | None = edge("The account; null if it was refused, or if it may not be seen.", by="account_id")
    contact: Contact | None = edge("The contact; null if it was refused, or if it may not be seen.", by="contact_id")
    opportunity: Opportunity | None = edge(
        "The deal; null if it was refused or none was wanted, or if it may not be seen.", by="opportunity_id"
    )


@query_fields(2)
class LeadQuery:
    lead: Lead | None = by_id("One lead; null if there is none, or if it may not be seen.")
    leads: Connection[Lead] = connection("All leads.")


@mutation_fields(2)
class LeadMutation:
    create_lead: LeadPayload = mutation("Add a lead.", leads.create)
    update_lead: LeadPayload = mutation("Change a lead that was not converted.", leads.update)
    delete_lead: LeadPayload = mutation("Delete a lead that was not converted.", leads.delete, RecordInput)
    restore_lead: LeadPayload = mutation("Bring a deleted lead back.", records.restore, RecordInput, model=models.Lead)
    convert_lead: ConvertLeadPayload = mutation(
        "Make an account, a contact and a deal of a lead, or unite it with those that are there already. Its places in "
        "campaigns move to the contact, and what was done with it counts for all three.",
        leads.convert,
        ConvertLeadInput,
    )
