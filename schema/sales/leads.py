"""People and companies who may become customers."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Optional

import strawberry

from crm_graph import models
from crm_graph.models import LeadStatus
from crm_graph.services.sales import leads
from loaders.activities import activities_of
from loaders.marketing import campaigns
from schema.core import Connection, Money, Node, column, connection, crud, edge, money, node
from schema.core.mutations import VERSION, MoneyInput, Payload, mutation, write_input
from schema.core.registry import mutation_fields
from schema.core.values import Address

if TYPE_CHECKING:
    from schema.core.node_types import Account, Activity, CampaignMember, Contact, Opportunity, Team, User


@node(models.Lead, "A potential customer: a person and a company before they become a contact and an account.")
class Lead(Node):
    first_name: str | None = column("Given name.")
    last_name: str = column("Family name.")
    company: str | None = column("Company that the person works for.")
    title: str | None = column("Job title.")
    email: str | None = column("Email address.")
    phone: str | None = column("Phone number in E.164 form.")
    mobile: str | None = column("Mobile number in E.164 form.")
    website: str | None = column("The company's web address.")
    industry: str | None = column("Industry that the company works in.")
    employees: int | None = column("Number of employees.")
    annual_revenue: Money | None = money("The company's annual revenue.")
    address: Address | None = column("Postal address.")
    description: str | None = column("Free text.", sortable=False)
    source: str | None = column("Source of the lead.")
    status: LeadStatus = column("Progress of the lead. Only convertLead sets CONVERTED.")
    score: int | None = column("Score from 0 to 100.")
    email_opt_out: bool = column("True if the person does not want marketing emails.")
    email_opt_out_at: dt.datetime | None = column("Time of the email opt-out.", write=False)
    phone_opt_out: bool = column("True if the person does not want calls.")
    phone_opt_out_at: dt.datetime | None = column("Time of the phone opt-out.", write=False)
    converted_at: dt.datetime | None = column("Time of conversion; a converted lead is read-only.", write=False)
    external_id: str | None = column("Id in another system, unique among leads.")
    owner: User | None = edge("The user who follows it up.", by="owner_id")
    team: Team | None = edge("The team that follows it up; the owner's home team by default.", by="team_id")
    converted_account: Account | None = edge("The account it became.", by="converted_account_id", write=False)
    converted_contact: Contact | None = edge("The contact it became.", by="converted_contact_id", write=False)
    converted_opportunity: Opportunity | None = edge("The deal it became.", by="converted_opportunity_id", write=False)
    activities: Connection[Activity] = connection("Activities with the lead.", activities_of("lead_id"))
    campaign_members: Connection[CampaignMember] = connection("Its campaign memberships.", campaigns.OF_LEAD)


write_input(
    "ConvertLeadInput",
    "Settings of the conversion of a lead. Existing accounts and contacts only get the values that they lack.",
    {
        "lead_id": (strawberry.ID, "Id of the lead."),
        "account_id": (Optional[strawberry.ID], "The account to use; if omitted, the contact's or a new one."),
        "contact_id": (Optional[strawberry.ID], "The contact to use; a new one if omitted."),
        "create_opportunity": (Optional[bool], "True, the default, creates a deal as well."),
        "opportunity_name": (Optional[str], "Name of the deal; the account's name if omitted."),
        "owner_id": (
            Optional[strawberry.ID],
            "The owner of the new records and of open activities; the lead's owner if omitted.",
        ),
        "expected_version": VERSION,
    },
    {
        "amount": (Optional[MoneyInput], "Value of the deal."),
        "pipeline_id": (Optional[strawberry.ID], "The deal's pipeline; the first one if omitted."),
        "stage_id": (Optional[strawberry.ID], "The deal's stage; the pipeline's first open stage if omitted."),
        "close_date": (Optional[dt.date], "Expected closing date; the end of this quarter if omitted."),
    },
)

crud(
    Lead,
    create=leads.create,
    update=mutation("Update a lead that is not converted.", leads.update),
    delete=mutation("Delete a lead that is not converted.", leads.delete),
    position=2,
)


@strawberry.type(description="The lead after the write, and the records it became.")
class ConvertLeadPayload(Payload):
    lead: Lead | None = edge("The lead; null if it does not exist or you may not see it.", by="record_id")
    account: Account | None = edge("The account; null if the write failed or you may not see it.", by="account_id")
    contact: Contact | None = edge("The contact; null if the write failed or you may not see it.", by="contact_id")
    opportunity: Opportunity | None = edge(
        "The deal; null if the write failed, none was created, or you may not see it.", by="opportunity_id"
    )


@mutation_fields(2)
class LeadConversionMutation:
    convert_lead: ConvertLeadPayload = mutation(
        "Convert a lead to an account, a contact and a deal, or merge it into existing ones. Its campaign memberships "
        "move to the contact, and its activities are linked to all three.",
        leads.convert,
    )
