"""Campaigns, and the contacts and leads that they reach."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from crm_graph.models import Campaign, CampaignMember, CampaignStatus, CampaignType, Contact, Lead, LeadStatus
from crm_graph.models.marketing.campaigns import MemberStatus
from crm_graph.services.demo import sample_data as words
from crm_graph.services.demo.builder import Draft, Row
from crm_graph.services.demo.company import Company
from crm_graph.services.demo.customers import Customer

REACH = 0.14


def plan(draft: Draft, company: Company) -> list[Row]:
    """The campaigns, as they stand today."""
    campaigns: list[Row] = []
    for name, kind, status, begins, ends, statuses, parent in words.CAMPAIGNS:
        owner = draft.pick(company.reps("Marketing"))
        budget = Decimal(draft.random.randrange(2_000, 40_000, 500))
        campaign = draft.add(
            Campaign,
            draft.day(min(begins, 0) - 20),
            owner["id"],
            name=name,
            type=CampaignType(kind),
            start_date=draft.today + dt.timedelta(days=begins),
            end_date=draft.today + dt.timedelta(days=ends),
            budget=budget,
            expected_revenue=budget * draft.random.randint(4, 12),
            currency="USD",
            member_statuses=[MemberStatus(each, responded=each == statuses[-1]) for each in statuses],
            parent_id=None if parent is None else campaigns[parent]["id"],
            owner_id=owner["id"],
            team_id=owner["team_id"],
        )
        campaigns.append(campaign)
        if begins < 0:
            draft.change(campaign, Campaign, draft.day(begins), owner["id"], status=CampaignStatus.ACTIVE)
        if status in {"COMPLETED", "ABORTED"}:
            cost = (budget * draft.random.randint(80, 115) / 100).quantize(Decimal(1))
            values = {"status": CampaignStatus(status), "actual_cost": cost}
            draft.change(campaign, Campaign, draft.day(ends + 1), owner["id"], **values)
    return campaigns


def reach(draft: Draft, campaigns: list[Row], customers: list[Customer], leads: list[Row]) -> None:
    """Members of the campaigns: people who were known when one began, some of whom responded."""
    contacts = [contact for customer in customers for contact in customer.contacts]
    for campaign in campaigns:
        begins = max(
            campaign["created_at"], draft.moment - dt.timedelta(days=(draft.today - campaign["start_date"]).days)
        )
        if campaign["status"] is CampaignStatus.PLANNED:
            begins = draft.day(-3)
        first, *later = campaign["member_statuses"]
        for column, people, model in (("contact_id", contacts, Contact), ("lead_id", leads, Lead)):
            known = [each for each in people if each["created_at"] < begins and not each["email_opt_out"]]
            if model is Lead:
                known = [each for each in known if each["status"] is not LeadStatus.CONVERTED]
            for person in draft.some(known, round(len(known) * REACH), round(len(known) * REACH)):
                values = {"campaign_id": campaign["id"], column: person["id"], "status": first.name}
                member = draft.add(CampaignMember, draft.after(begins, 0, 3), campaign["owner_id"], **values)
                _respond(draft, campaign, member, later)


def _respond(draft: Draft, campaign: Row, member: Row, statuses: list[MemberStatus]) -> None:
    at = member["created_at"]
    for status in statuses:
        at = draft.after(at, 0.1, 12)
        if at >= draft.moment or campaign["status"] is CampaignStatus.PLANNED or not draft.chance(0.45):
            return
        responded = {"first_responded_at": at} if status.responded else {}
        draft.change(member, CampaignMember, at, campaign["owner_id"], status=status.name, **responded)
