"""Campaigns, and the contacts and leads that they reach."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from crm_graph.models import Campaign, CampaignMember, CampaignStatus, CampaignType, Contact, Lead, LeadStatus
from crm_graph.models.marketing.campaigns import MemberStatus
from crm_graph.services.demo import sample_data
from crm_graph.services.demo.builder import Builder, Row
from crm_graph.services.demo.company import Company
from crm_graph.services.demo.customers import Customer

REACH = 0.14


def plan(builder: Builder, company: Company) -> list[Row]:
    """The campaigns, as they stand today."""
    campaigns: list[Row] = []
    for name, kind, status, begins, ends, statuses, parent in sample_data.CAMPAIGNS:
        owner = builder.pick(company.reps("Marketing"))
        budget = Decimal(builder.random.randrange(2_000, 40_000, 500))
        campaign = builder.add(
            Campaign,
            builder.day(min(begins, 0) - 20),
            owner["id"],
            name=name,
            type=CampaignType(kind),
            start_date=builder.today + dt.timedelta(days=begins),
            end_date=builder.today + dt.timedelta(days=ends),
            budget=budget,
            expected_revenue=budget * builder.random.randint(4, 12),
            currency="USD",
            member_statuses=[MemberStatus(each, responded=each == statuses[-1]) for each in statuses],
            parent_id=None if parent is None else campaigns[parent]["id"],
            owner_id=owner["id"],
            team_id=owner["team_id"],
        )
        campaigns.append(campaign)
        if begins < 0:
            builder.change(campaign, Campaign, builder.day(begins), owner["id"], status=CampaignStatus.ACTIVE)
        if status in {"COMPLETED", "ABORTED"}:
            cost = (budget * builder.random.randint(80, 115) / 100).quantize(Decimal(1))
            values = {"status": CampaignStatus(status), "actual_cost": cost}
            builder.change(campaign, Campaign, builder.day(ends + 1), owner["id"], **values)
    return campaigns


def reach(builder: Builder, campaigns: list[Row], customers: list[Customer], leads: list[Row]) -> None:
    """Members of the campaigns: people who were known when one began, some of whom responded."""
    contacts = [contact for customer in customers for contact in customer.contacts]
    for campaign in campaigns:
        begins = max(
            campaign["created_at"], builder.moment - dt.timedelta(days=(builder.today - campaign["start_date"]).days)
        )
        if campaign["status"] is CampaignStatus.PLANNED:
            begins = builder.day(-3)
        first, *later = campaign["member_statuses"]
        for column, people, model in (("contact_id", contacts, Contact), ("lead_id", leads, Lead)):
            known = [each for each in people if each["created_at"] < begins and not each["email_opt_out"]]
            if model is Lead:
                known = [each for each in known if each["status"] is not LeadStatus.CONVERTED]
            for person in builder.some(known, round(len(known) * REACH), round(len(known) * REACH)):
                values = {"campaign_id": campaign["id"], column: person["id"], "status": first.name}
                member = builder.add(CampaignMember, builder.after(begins, 0, 3), campaign["owner_id"], **values)
                _respond(builder, campaign, member, later)


def _respond(builder: Builder, campaign: Row, member: Row, statuses: list[MemberStatus]) -> None:
    at = member["created_at"]
    for status in statuses:
        at = builder.after(at, 0.1, 12)
        if at >= builder.moment or campaign["status"] is CampaignStatus.PLANNED or not builder.chance(0.45):
            return
        responded = {"first_responded_at": at} if status.responded else {}
        builder.change(member, CampaignMember, at, campaign["owner_id"], status=status.name, **responded)
