"""Companies and the people who work there."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import strawberry

from crm_graph import models
from crm_graph.models import AccountType
from crm_graph.services.accounts import contacts
from loaders.accounts import accounts as relations
from loaders.activities import activities_of
from schema.accounts.summaries import AccountSummary, Summary
from schema.accounts.timelines import Timeline, TimelineEntry
from schema.core import Connection, Money, Node, column, connection, crud, edge, money, node, value_type
from schema.core.declared import declared
from schema.core.values import Address

if TYPE_CHECKING:
    from schema.core.node_types import Activity, Campaign, Case, Opportunity, Team, User


@node(models.Account, "A company: a customer, prospect, partner or supplier.")
class Account(Node):
    name: str = column("Name of the company.")
    type: AccountType | None = column("The company's relation to you.")
    domain: str | None = column("Internet domain, such as example.com.")
    website: str | None = column("Web address.")
    phone: str | None = column("Main phone number in E.164 form.")
    industry: str | None = column("Industry that the company works in.")
    description: str | None = column("Free text.", sortable=False)
    employees: int | None = column("Number of employees.")
    founded_year: int | None = column("Year the company was founded.")
    annual_revenue: Money | None = money("Annual revenue.")
    billing_address: Address | None = column("Address for invoices.")
    shipping_address: Address | None = column("Address for deliveries.")
    external_id: str | None = column("Id in another system, unique among accounts.")
    parent: Account | None = edge("The company that it belongs to.", by="parent_id")
    owner: User | None = edge("The user responsible for the account.", by="owner_id")
    team: Team | None = edge("The team that works on it; the owner's home team by default.", by="team_id")
    children: Connection[Account] = connection("The companies that belong to it.", relations.CHILDREN)
    contacts: Connection[Contact] = connection("The people who work there.", relations.CONTACTS)
    opportunities: Connection[Opportunity] = connection("Its deals.", relations.OPPORTUNITIES)
    cases: Connection[Case] = connection("Its cases.", relations.CASES)
    activities: Connection[Activity] = connection("Activities with the account.", activities_of("account_id"))
    campaigns: Connection[Campaign] = connection("Campaigns that reach its contacts.", relations.CAMPAIGNS)
    timeline: Connection[TimelineEntry] = declared(Timeline, "The account's history, newest first.")
    summary: AccountSummary = declared(Summary, "The account in figures.")


@value_type("One of a person's email addresses.")
class EmailAddress:
    address: str = strawberry.field(description="The address.")
    label: str | None = strawberry.field(description="Its purpose, such as work.")


@value_type("One of a person's phone numbers.")
class PhoneNumber:
    number: str = strawberry.field(description="The number in E.164 form.")
    label: str | None = strawberry.field(description="Its purpose, such as mobile.")


@value_type("A person's page on a social network.")
class SocialProfile:
    network: str = strawberry.field(description="The network, such as linkedin.")
    url: str = strawberry.field(description="Address of the page.")


@node(models.Contact, "A person, usually at an account.")
class Contact(Node):
    first_name: str | None = column("Given name.")
    last_name: str = column("Family name.")
    title: str | None = column("Job title.")
    department: str | None = column("Department.")
    description: str | None = column("Free text.", sortable=False)
    email: str | None = column("Primary email address: the first of `emails`.")
    phone: str | None = column("Primary phone number in E.164 form: the first of `phones`.")
    emails: list[EmailAddress] = column("All email addresses, the primary one first.")
    phones: list[PhoneNumber] = column("All phone numbers, the primary one first.")
    social_profiles: list[SocialProfile] = column("The person's pages on social networks.")
    mailing_address: Address | None = column("Address for letters.")
    lead_source: str | None = column("Source of the contact.")
    birthday: dt.date | None = column("Date of birth.")
    email_opt_out: bool = column("True if the person does not want marketing emails.")
    email_opt_out_at: dt.datetime | None = column("Time of the email opt-out.", write=False)
    phone_opt_out: bool = column("True if the person does not want calls.")
    phone_opt_out_at: dt.datetime | None = column("Time of the phone opt-out.", write=False)
    external_id: str | None = column("Id in another system, unique among contacts.")
    account: Account | None = edge("The company that the person works for.", by="account_id")
    owner: User | None = edge("The user responsible for the contact.", by="owner_id")
    team: Team | None = edge("The team that works with the contact; the owner's home team by default.", by="team_id")
    opportunities: Connection[Opportunity] = connection("Deals that the person has a role in.", relations.CONTACT_DEALS)
    cases: Connection[Case] = connection("The person's cases.", relations.CONTACT_CASES)
    activities: Connection[Activity] = connection("Activities with the person.", activities_of("contact_id"))
    campaigns: Connection[Campaign] = connection("Campaigns that reach the person.", relations.CONTACT_CAMPAIGNS)


crud(Account, position=1)
crud(Contact, create=contacts.create, update=contacts.update, position=1)
