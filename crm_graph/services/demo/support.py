"""Customers' cases, from the first word to the last."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from crm_graph.models import AccountType, Case, CaseOrigin, CaseStatus, CaseType, Priority
from crm_graph.services.demo import sample_data
from crm_graph.services.demo.builder import Builder, Row
from crm_graph.services.demo.company import Company
from crm_graph.services.demo.customers import Customer

WAY = [CaseStatus.IN_PROGRESS, CaseStatus.WAITING_ON_CUSTOMER, CaseStatus.RESOLVED, CaseStatus.CLOSED]
PRIORITIES = [Priority.LOW, *[Priority.MEDIUM] * 3, *[Priority.HIGH] * 2, Priority.URGENT]


@dataclass
class Ticket:
    """A case with the customer it is of."""

    case: Row
    customer: Customer
    contact: Row


def answer(builder: Builder, company: Company, customers: list[Customer]) -> list[Ticket]:
    """The cases of customers. Half of the newest wait in the queue of the support team. The first has an open one."""
    occasions = []
    for number, customer in enumerate(customers):
        if customer.account["type"] is AccountType.CUSTOMER:
            since = (builder.moment - customer.account["created_at"]) / dt.timedelta(days=1)
            for _ in range(4 if not number else builder.random.randint(0, 4)):
                occasions.append((builder.day(-builder.random.uniform(0.2, max(0.3, since - 5))), customer))
            if not number:
                occasions.append((builder.day(-1), customer))
    occasions.sort(key=lambda each: each[0])
    return [_ticket(builder, company, at, customer, number) for number, (at, customer) in enumerate(occasions, 1)]


def _ticket(builder: Builder, company: Company, at: dt.datetime, customer: Customer, number: int) -> Ticket:
    contact = builder.pick([each for each in customer.contacts if each["created_at"] < at] or customer.contacts)
    engineer = builder.pick(company.reps("Support"))
    subject, kind = builder.pick(sample_data.CASES)
    case = builder.add(
        Case,
        at,
        engineer["id"],
        number=number,
        subject=subject,
        description=f"{contact['first_name']} {contact['last_name']} reports: {subject[0].lower()}{subject[1:]}.",
        priority=builder.pick(PRIORITIES),
        origin=builder.pick(list(CaseOrigin)),
        type=CaseType(kind),
        account_id=customer.account["id"],
        contact_id=contact["id"],
        team_id=company.teams["Support"]["id"],
    )
    if builder.moment - at > dt.timedelta(days=2) or builder.chance(0.5):
        _work(builder, case, engineer, company)
    return Ticket(case, customer, contact)


def _work(builder: Builder, case: Row, engineer: Row, company: Company) -> None:
    at = builder.after(case["created_at"], 0, 0.2)
    if at >= builder.moment:
        return
    builder.change(case, Case, at, company.users[4]["id"], owner_id=engineer["id"])
    for status in WAY:
        at = builder.after(at, 0.05, 8)
        if at >= builder.moment:
            return
        if status is CaseStatus.WAITING_ON_CUSTOMER and builder.chance(0.6):
            continue
        values: Row = {"status": status}
        if status is CaseStatus.IN_PROGRESS:
            values["first_response_at"] = at
        elif status is CaseStatus.RESOLVED:
            values["resolved_at"] = at
        elif status is CaseStatus.CLOSED:
            values["closed_at"] = at
        builder.change(case, Case, at, case["owner_id"], **values)
        if status is CaseStatus.IN_PROGRESS and case["priority"] in {Priority.HIGH, Priority.URGENT}:
            _escalate(builder, case, at)


def _escalate(builder: Builder, case: Row, at: dt.datetime) -> None:
    at = at + dt.timedelta(minutes=builder.random.randint(1, 40))
    if builder.chance(0.3):
        values = {"escalation_level": 1, "escalation_reason": "Needs the firmware team."}
        builder.change(case, Case, at, case["owner_id"], **values)
