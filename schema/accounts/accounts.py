"""Companies and the people who work there."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import strawberry

from crm_graph import models, records
from crm_graph.models import AccountType
from crm_graph.services.accounts import contacts
from loaders.accounts import accounts as relations
from loaders.activities.activities import activities_of
from schema.accounts.summaries import AccountSummary, summary
from schema.accounts.timelines import TimelineEntry, timeline
from schema.core import Connection, Money, Node, by_id, column, connection, edge, money, node, value_type
from schema.core.mutations import Payload, RecordInput, mutation
from schema.core.registry import mutation_fields, query_fields
from schema.core.values import Address

if TYPE_CHECKING:
    from schema.core.node_types import Activity, Campaign, Case, Opportunity, Team, User


@node(models.Account, "A company: a customer, prospect, partner or supplier.")
class Account(Node):
    name: str = column("What the company is called.")
    type: AccountType | None = column("What the company is to us.")
    domain: str | None = column("Its internet domain, such as example.com.")
    website: str | None = column("Its web address.")
    phone: str | None = column("Its main phone number, in E.164 form.")
    industry: str | None = column("The industry it works in.")
    description: str | None = column("Anything else worth knowing.", sortable=False)
    employees: int | None = column("How many people work there.")
    founded_year: int | None = column("The year it was founded in.")
    annual_revenue: Money | None = money("What it takes in a year.")
    billing_address: Address | None = column("Where invoices go.")
    shipping_address: Address | None = column("Where goods go.")
    external_id: str | None = column("Its id in another system, unique among accounts.")
    parent: Account | None = edge("The company that it belongs to.", by="parent_id")
    owner: User | None = edge("Who looks after it.", by="owner_id")
    team: Team | None = edge("The team that works on it; its owner's home team unless set.", by="team_id")
    children: Connection[Account] = connection("The companies that belong to it.", relations.CHILDREN)
    contacts: Connection[Contact] = connection("The people who work there.", relations.CONTACTS)
    opportunities: Connection[Opportunity] = connection("Its deals.", relations.OPPORTUNITIES)
    cases: Connection[Case] = connection("Its questions and problems.", relations.CASES)
    activities: Connection[Activity] = connection("What was done with it.", activities_of("account_id"))
    campaigns: Connection[Campaign] = connection("Campaigns that reach its contacts.", relations.CAMPAIGNS)
    timeline: Connection[TimelineEntry] = timeline("All that happened with it, newest first.")
    summary: AccountSummary = summary("The account in figures.")


@value_type("One of a person's email addresses.")
class EmailAddress:
    address: str = strawberry.field(description="The address.")
    label: str | None = strawberry.field(description="What it is for, such as work.")


@value_type("One of a person's phone numbers.")
class PhoneNumber:
    number: str = strawberry.field(description="The number, in E.164 form.")
    label: str | None = strawberry.field(description="What it is for, such as mobile.")


@value_type("A page about a person on a network.")
class SocialProfile:
    network: str = strawberry.field(description="The network, such as linkedin.")
    url: str = strawberry.field(description="The page's address.")


@node(models.Contact, "A person, usually at an account.")
class Contact(Node):
    first_name: str | None = column("The given name.")
    last_name: str = column("The family name.")
    title: str | None = column("What the person is at the company.")
    department: str | None = column("Where in the company.")
    description: str | None = column("Anything else worth knowing.", sortable=False)
    email: str | None = column("The primary email address: the first of `emails`.")
    phone: str | None = column("The primary phone number: the first of `phones`, in E.164 form.")
    emails: list[EmailAddress] = column("All email addresses, the primary one first.")
    phones: list[PhoneNumber] = column("All phone numbers, the primary one first.")
    social_profiles: list[SocialProfile] = column("Pages about the person on networks.")
    mailing_address: Address | None = column("Where letters go.")
    lead_source: str | None = column("Where the person came from.")
    birthday: dt.date | None = column("The day of birth.")
    email_opt_out: bool = column("Whether the person wants no more marketing by email.")
    email_opt_out_at: dt.datetime | None = column("When the person said so.", write=False)
    phone_opt_out: bool = column("Whether the person wants no more calls.")
    phone_opt_out_at: dt.datetime | None = column("When the person said so.", write=False)
    external_id: str | None = column("The person's id in another system, unique among contacts.")
    account: Account | None = edge("Where the person works.", by="account_id")
    owner: User | None = edge("Who looks after the person.", by="owner_id")
    team: Team | None = edge("The team that works with the person.", by="team_id")
    opportunities: Connection[Opportunity] = connection("Deals that the person has a part in.", relations.CONTACT_DEALS)
    cases: Connection[Case] = connection("The person's questions and problems.", relations.CONTACT_CASES)
    activities: Connection[Activity] = connection("What was done with the person.", activities_of("contact_id"))
    campaigns: Connection[Campaign] = connection("Campaigns that reach the person.", relations.CONTACT_CAMPAIGNS)


@strawberry.type(description="The account as it is now.")
class AccountPayload(Payload):
    account: Account | None = edge(
        "The account; null if it was refused, or if it may not be seen any more.", by="record_id"
    )


@strawberry.type(description="The contact as it is now.")
class ContactPayload(Payload):
    contact: Contact | None = edge(
        "The contact; null if it was refused, or if it may not be seen any more.", by="record_id"
    )


@query_fields(1)
class AccountQuery:
    account: Account | None = by_id("One account; null if there is none, or if it may not be seen.")
    accounts: Connection[Account] = connection("All accounts.")
    contact: Contact | None = by_id("One contact; null if there is none, or if it may not be seen.")
    contacts: Connection[Contact] = connection("All contacts.")


@mutation_fields(1)
class AccountMutation:
    create_account: AccountPayload = mutation("Add an account.", records.create, model=models.Account)
    update_account: AccountPayload = mutation("Change an account.", records.update, model=models.Account)
    delete_account: AccountPayload = mutation("Delete an account.", records.delete, RecordInput, model=models.Account)
    restore_account: AccountPayload = mutation(
        "Bring a deleted account back.", records.restore, RecordInput, model=models.Account
    )
    create_contact: ContactPayload = mutation("Add a contact.", contacts.create)
    update_contact: ContactPayload = mutation("Change a contact.", contacts.update)
    delete_contact: ContactPayload = mutation("Delete a contact.", records.delete, RecordInput, model=models.Contact)
    restore_contact: ContactPayload = mutation(
        "Bring a deleted contact back.", records.restore, RecordInput, model=models.Contact
    )
