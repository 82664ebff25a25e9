"""Deals on their way through the stages, with the people and products in them, and the leads that some came from."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from crm_graph.models import AccountType, ContactRole, Lead, LeadStatus, Opportunity, OpportunityLine, StageCategory
from crm_graph.records.ranks import between
from crm_graph.services.demo import sample_data
from crm_graph.services.demo.builder import Builder, Row
from crm_graph.services.demo.company import Company
from crm_graph.services.demo.customers import Customer, address_in, phone_in, slug

LEADS_AN_ACCOUNT = 0.6


@dataclass
class Deal:
    """A deal with what the other parts need to know of it. `ended` is when it was won or lost."""

    opportunity: Row
    customer: Customer
    subject: str
    people: list[Row]
    ended: dt.datetime | None = None
    lead: Row | None = None


@dataclass
class Board:
    """A pipeline's stages, and the rank of the lowest card in each."""

    stages: list[Row]
    lowest: dict[str, str] = field(default_factory=dict)

    @property
    def open(self) -> list[Row]:
        return [stage for stage in self.stages if stage["category"] is StageCategory.OPEN]

    def end(self, category: StageCategory) -> Row:
        return next(stage for stage in self.stages if stage["category"] is category)

    def enter(self, stage: Row, at: dt.datetime) -> Row:
        """The fields of a deal that enters a stage at its lower end."""
        rank = self.lowest[stage["id"]] = between(self.lowest.get(stage["id"]), None)
        return {
            "stage_id": stage["id"],
            "rank": rank,
            "stage_entered_at": at,
            "probability": stage["probability"],
            "forecast_category": stage["forecast_category"],
        }


def negotiate(builder: Builder, company: Company, customers: list[Customer], campaigns: list[Row]) -> list[Deal]:
    """New business with customers and prospects, and renewals with those who bought."""
    sales, renewals = Board(company.sales), Board(company.renewals)
    deals = [
        _deal(builder, company, customer, sales, at, builder.pick(campaigns) if builder.chance(0.25) else None)
        for at, customer in _occasions(builder, customers)
    ]
    won = [deal for deal in deals if deal.opportunity["stage_id"] == sales.end(StageCategory.WON)["id"]]
    for deal in sorted(won, key=lambda deal: deal.ended or builder.moment):
        at = (deal.ended or builder.moment) + dt.timedelta(days=240)
        if at < builder.moment:
            deals.append(_deal(builder, company, deal.customer, renewals, at, None, renewal=True))
    return deals


def _occasions(builder: Builder, customers: list[Customer]) -> list[tuple[dt.datetime, Customer]]:
    """The start of each deal and its customer, in order of time. The first customer has the most deals."""
    found = []
    for number, customer in enumerate(customers):
        if customer.is_buyer:
            many = 1.5 if customer.account["type"] is AccountType.PROSPECT else 3
            for _ in range(6 if not number else round(builder.random.uniform(0, 2 * many))):
                since = (builder.moment - customer.account["created_at"]) / dt.timedelta(days=1)
                found.append((builder.after(customer.account["created_at"], 0, 0.97 * since), customer))
    return sorted((each for each in found if each[0] < builder.moment), key=lambda each: each[0])


def _deal(
    builder: Builder,
    company: Company,
    customer: Customer,
    board: Board,
    at: dt.datetime,
    campaign: Row | None,
    *,
    renewal: bool = False,
) -> Deal:
    account = customer.account
    by, first = account["owner_id"], board.open[0]
    subject = "Yearly contract" if renewal else customer.interests[0]
    customer.interests.append(customer.interests.pop(0))
    opportunity = builder.add(
        Opportunity,
        at,
        by,
        name=f"{account['name']}: {subject}",
        account_id=account["id"],
        pipeline_id=first["pipeline_id"],
        currency=account["currency"],
        start_date=at.date(),
        close_date=(at + dt.timedelta(days=builder.random.randint(50, 120))).date(),
        next_step=builder.pick(sample_data.NEXT_STEPS),
        lead_source=builder.pick(sample_data.SOURCES),
        competitors=builder.some(sample_data.COMPETITORS, 0, 2),
        campaign_id=campaign and campaign["id"],
        owner_id=by,
        team_id=account["team_id"],
        **board.enter(first, at),
    )
    yearly = [each for each in company.products if each["name"].endswith("yearly")]
    products = yearly if renewal else [each for each in company.products if each["active"]]
    deal = Deal(opportunity, customer, subject.lower(), _people(builder, customer, opportunity, at))
    builder.change(opportunity, Opportunity, builder.after(at, 0, 1), by, amount=_lines(builder, deal, at, products))
    _progress(builder, board, deal, at)
    return deal


def _people(builder: Builder, customer: Customer, opportunity: Row, at: dt.datetime) -> list[Row]:
    people = builder.some(customer.contacts, 1, 3)
    for number, (contact, role) in enumerate(zip(people, sample_data.ROLES, strict=False)):
        values = {"opportunity_id": opportunity["id"], "contact_id": contact["id"], "primary": not number}
        moment = max(builder.after(at, 0, 3), contact["created_at"])
        builder.add(ContactRole, moment, opportunity["owner_id"], role=role, **values)
    return people


def _lines(builder: Builder, deal: Deal, at: dt.datetime, products: list[Row]) -> Decimal:
    """Add the products of interest; what they come to."""
    total = Decimal(0)
    for product in builder.some(products, 1, 4):
        dear = product["price"] > 200
        quantity = Decimal(builder.random.randint(1, 6) if dear else builder.random.randint(10, 150))
        discount = Decimal(builder.pick([1, 1, 1, 0.95, 0.9])).quantize(Decimal("0.01"))
        price = (product["price"] * Decimal(str(deal.customer.place.rate)) * discount).quantize(Decimal("0.01"))
        values = {"quantity": quantity, "price": price.normalize() + 0, "currency": deal.opportunity["currency"]}
        builder.add(
            OpportunityLine,
            builder.after(at, 0, 1),
            deal.opportunity["owner_id"],
            opportunity_id=deal.opportunity["id"],
            product_id=product["id"],
            **values,
        )
        total += quantity * price
    return total


def _progress(builder: Builder, board: Board, deal: Deal, at: dt.datetime) -> None:
    """Move the deal on until today or its end. What nobody won or lost yet stays open, some of it too long."""
    opportunity, by = deal.opportunity, deal.opportunity["owner_id"]
    stalls = builder.chance(0.12)
    for stage in [*board.open[1:], None]:
        at = builder.after(at, 4, 45)
        lost = builder.chance(0.12 if stage else 0.3)
        if at >= builder.moment or (stalls and builder.chance(0.4)):
            return _await(builder, deal)
        if stage is not None and not lost:
            builder.change(opportunity, Opportunity, at, by, **board.enter(stage, at))
            continue
        ending = board.end(StageCategory.LOST if lost else StageCategory.WON)
        closed = {"close_date": at.date(), "next_step": None, **board.enter(ending, at)}
        if lost:
            closed["lost_reason"] = builder.pick(sample_data.LOST_REASONS)
        builder.change(opportunity, Opportunity, at, by, **closed)
        deal.ended = at
        return None
    return None


def _await(builder: Builder, deal: Deal) -> None:
    """An open deal: most are expected to close in the next months, a few should have been closed already."""
    opportunity = deal.opportunity
    last = opportunity["updated_at"]
    changed = builder.after(last, 0.1, max(0.2, (builder.moment - last) / dt.timedelta(days=1) * 0.9))
    if changed >= builder.moment:
        return
    values: dict[str, object] = {"close_date": builder.day(builder.random.randint(-10, 120)).date()}
    if builder.chance(0.15):
        values.update(probability=min(95, opportunity["probability"] + 10), probability_pinned=True)
    builder.change(opportunity, Opportunity, changed, opportunity["owner_id"], **values)


def capture(builder: Builder, company: Company, deals: list[Deal], accounts: int) -> list[Row]:
    """Leads: some that became the accounts' first deals, the others still on their way, or not worth it.

    The very first is a new one, for an example to convert.
    """
    firsts: dict[str, Deal] = {}
    for deal in deals:
        firsts.setdefault(deal.customer.account["id"], deal)
    count = round(accounts * LEADS_AN_ACCOUNT)
    converted = builder.some(list(firsts.values()), count // 4, count // 4)
    times: list[tuple[dt.datetime, Deal | None]] = [(_before(builder, deal), deal) for deal in converted]
    times += [(builder.day(-builder.random.uniform(1, 240)), None) for _ in range(count - len(converted))]
    times.sort(key=lambda each: each[0])
    return [_lead(builder, company, builder.day(-3), None), *_leads(builder, company, times)]


def _before(builder: Builder, deal: Deal) -> dt.datetime:
    return deal.opportunity["created_at"] - dt.timedelta(days=builder.random.randint(3, 40))  # type: ignore[no-any-return]


def _leads(builder: Builder, company: Company, times: list[tuple[dt.datetime, Deal | None]]) -> Iterable[Row]:
    for at, deal in times:
        lead = _lead(builder, company, at, deal)
        statuses = [LeadStatus.WORKING, LeadStatus.NURTURING, LeadStatus.QUALIFIED]
        reached = 3 if deal else builder.random.randint(0, 3)
        end = deal.opportunity["created_at"] if deal else builder.moment
        for status in statuses[:reached]:
            at = builder.after(at, 0.2, 12)
            if at >= end:
                break
            score = min(100, lead["score"] + builder.random.randint(3, 20))
            builder.change(lead, Lead, at, lead["owner_id"], status=status, score=score)
        if deal is not None:
            _convert(builder, lead, deal)
        elif builder.chance(0.15) and (at := builder.after(at, 1, 20)) < builder.moment:
            builder.change(lead, Lead, at, lead["owner_id"], status=LeadStatus.UNQUALIFIED, score=0)
        yield lead


def _lead(builder: Builder, company: Company, at: dt.datetime, deal: Deal | None) -> Row:
    """A lead. A converted one has the names and the owner of its deal's account and contact."""
    if deal is not None:
        account, contact, place = deal.customer.account, deal.people[0], deal.customer.place
        first_name, last_name, title = contact["first_name"], contact["last_name"], contact["title"]
        name, industry, domain, owner = account["name"], account["industry"], account["domain"], account
    else:
        first_name, last_name = builder.pick(sample_data.FIRST_NAMES), builder.pick(sample_data.LAST_NAMES)
        title, industry = builder.pick(sample_data.POSITIONS)[0], builder.pick(list(sample_data.INDUSTRIES))
        place = builder.pick(sample_data.PLACES)
        name = f"{builder.pick(sample_data.COMPANY_NAMES)} & {builder.pick(sample_data.LAST_NAMES)}"
        domain = f"{slug(name)}.example"
        user = builder.pick([*company.reps(place.area), *company.reps("Marketing")])
        owner = {"owner_id": user["id"], "team_id": user["team_id"]}
    return builder.add(
        Lead,
        at,
        owner["owner_id"],
        first_name=first_name,
        last_name=last_name,
        company=name,
        title=title,
        email=f"{slug(first_name)}.{slug(last_name)}@{domain}",
        phone=phone_in(builder, place),
        website=f"https://www.{domain}",
        industry=industry,
        employees=builder.random.randint(10, 900),
        address=address_in(builder, place),
        source=builder.pick(sample_data.SOURCES),
        score=builder.random.randint(5, 45),
        owner_id=owner["owner_id"],
        team_id=owner["team_id"],
    )


def _convert(builder: Builder, lead: Row, deal: Deal) -> None:
    at = max(deal.opportunity["created_at"], lead["updated_at"] + dt.timedelta(minutes=1))
    deal.lead = lead
    builder.change(
        lead,
        Lead,
        at,
        lead["owner_id"],
        status=LeadStatus.CONVERTED,
        converted_at=at,
        converted_account_id=deal.customer.account["id"],
        converted_contact_id=deal.people[0]["id"],
        converted_opportunity_id=deal.opportunity["id"],
    )
