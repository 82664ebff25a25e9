"""Past and planned activities about deals, cases, leads, campaigns and accounts."""

from __future__ import annotations

import datetime as dt

from crm_graph.models import (
    Activity,
    ActivityDirection,
    ActivityLink,
    ActivityType,
    CaseOrigin,
    LeadStatus,
    Participant,
    Priority,
)
from crm_graph.services.demo import sample_data
from crm_graph.services.demo.builder import Builder, Row
from crm_graph.services.demo.customers import Customer
from crm_graph.services.demo.deals import Deal
from crm_graph.services.demo.support import Ticket

EMAIL, CALL, MEETING = ActivityType.EMAIL, ActivityType.CALL, ActivityType.MEETING
NOTE, TASK = ActivityType.NOTE, ActivityType.TASK
SUBJECTS = {
    EMAIL: sample_data.EMAIL_SUBJECTS,
    CALL: sample_data.CALL_SUBJECTS,
    MEETING: sample_data.MEETING_SUBJECTS,
    NOTE: sample_data.NOTE_SUBJECTS,
    TASK: sample_data.TASK_SUBJECTS,
}
MINUTES = {CALL: (3, 40), MEETING: (30, 120)}
OUTCOMES = {CALL: sample_data.CALL_OUTCOMES, MEETING: sample_data.MEETING_OUTCOMES}


def keep(
    builder: Builder,
    deals: list[Deal],
    tickets: list[Ticket],
    leads: list[Row],
    campaigns: list[Row],
    customers: list[Customer],
) -> None:
    """The whole diary."""
    for deal in deals:
        _around_deal(builder, deal)
    for ticket in tickets:
        _around_case(builder, ticket)
    for lead in leads:
        _around_lead(builder, lead)
    for campaign in campaigns:
        at = builder.after(campaign["created_at"], 0, 5)
        _log(builder, NOTE, at, campaign["owner_id"], campaign["name"], campaign_id=campaign["id"])
    for customer in customers:
        _around_account(builder, customer)


def _around_deal(builder: Builder, deal: Deal) -> None:
    opportunity, account = deal.opportunity, deal.customer.account
    by, subject = opportunity["owner_id"], deal.subject
    links = {"opportunity_id": opportunity["id"], "account_id": account["id"]}
    start, end = opportunity["created_at"], deal.ended or builder.moment
    for _ in range(builder.random.randint(2, 6)):
        person = builder.pick(deal.people)
        at = start + (end - start) * builder.random.random()
        kind = builder.random.choices([EMAIL, CALL, MEETING, NOTE], [4, 3, 2, 1])[0]
        _log(builder, kind, at, by, subject, person, **links, contact_id=person["id"])
    if builder.chance(0.5):
        at = start + (end - start) * builder.random.random()
        _log(builder, TASK, at, by, subject, finished=min(builder.after(at, 0.1, 3), end), **links)
    if deal.ended is None:
        person = builder.pick(deal.people)
        planned = builder.day(builder.random.uniform(-4, 21))
        _plan(builder, TASK, planned, by, subject, **links)
        if builder.chance(0.5):
            meeting = builder.day(builder.random.uniform(1, 30))
            _plan(builder, MEETING, meeting, by, subject, person, **links, contact_id=person["id"])


def _around_case(builder: Builder, ticket: Ticket) -> None:
    case, contact = ticket.case, ticket.contact
    links = {"case_id": case["id"], "account_id": ticket.customer.account["id"], "contact_id": contact["id"]}
    kind = CALL if case["origin"] in {CaseOrigin.PHONE, CaseOrigin.IN_PERSON} else EMAIL
    by = case["owner_id"]
    _log(builder, kind, case["created_at"], by, case["subject"], contact, ActivityDirection.INBOUND, **links)
    if case["first_response_at"] is not None:
        answered = case["first_response_at"]
        _log(builder, kind, answered, by, case["subject"], contact, ActivityDirection.OUTBOUND, **links)


def _around_lead(builder: Builder, lead: Row) -> None:
    links = {"lead_id": lead["id"]}
    if lead["status"] is LeadStatus.CONVERTED:
        converted = ("account_id", "contact_id", "opportunity_id")
        links.update({column: lead[f"converted_{column}"] for column in converted})
    if lead["status"] is LeadStatus.NEW:
        return
    end = lead["converted_at"] or builder.moment
    for _ in range(builder.random.randint(1, 2)):
        at = lead["created_at"] + (end - lead["created_at"]) * builder.random.random()
        _log(builder, builder.pick([EMAIL, CALL]), at, lead["owner_id"], lead["company"], lead, **links)


def _around_account(builder: Builder, customer: Customer) -> None:
    account = customer.account
    for _ in range(builder.random.randint(0, 2)):
        person = builder.pick(customer.contacts)
        at = person["created_at"] + (builder.moment - person["created_at"]) * builder.random.random()
        links = {"account_id": account["id"], "contact_id": person["id"]}
        _log(builder, builder.pick([CALL, NOTE]), at, account["owner_id"], account["name"], person, **links)


def _log(
    builder: Builder,
    kind: ActivityType,
    at: dt.datetime,
    by: str | None,
    subject: str,
    person: Row | None = None,
    direction: ActivityDirection | None = None,
    *,
    finished: dt.datetime | None = None,
    **links: str,
) -> None:
    """Something that happened; a task that was begun then and `finished` later."""
    values: dict[str, object] = {"due_at": finished, "priority": Priority.MEDIUM} if kind is TASK else {}
    if kind in {EMAIL, CALL}:
        values["direction"] = direction or builder.pick(list(ActivityDirection))
    if kind in OUTCOMES:
        values["outcome"] = builder.pick(OUTCOMES[kind])
    activity = _activity(builder, kind, at, finished or at, by, subject, person, links, values)
    if finished is not None:
        builder.change(activity, Activity, finished, by, done=True, done_at=finished)


def _plan(
    builder: Builder,
    kind: ActivityType,
    at: dt.datetime,
    by: str | None,
    subject: str,
    person: Row | None = None,
    **links: str,
) -> None:
    """Something that is to happen; a task may be late already."""
    values = {"due_at": at, "priority": builder.pick(list(Priority))} if kind is TASK else {}
    made = builder.day(-builder.random.uniform(5, 9))
    _activity(builder, kind, made, at, by, subject, person, links, values)


def _activity(
    builder: Builder,
    kind: ActivityType,
    made: dt.datetime,
    happens_at: dt.datetime,
    by: str | None,
    subject: str,
    person: Row | None,
    links: dict[str, str],
    values: dict[str, object],
) -> Row:
    if kind in MINUTES:
        values["duration_minutes"] = builder.random.randint(*MINUTES[kind])
    activity = builder.add(
        Activity,
        made,
        by,
        type=kind,
        subject=builder.pick(SUBJECTS[kind]).format(subject),
        body=builder.pick(sample_data.BODIES),
        happens_at=happens_at,
        owner_id=by,
        team_id=builder.home[by],
        **values,
    )
    people = (
        {} if person is None or kind is NOTE else {person["id"]: _column(person), **({by: "user_id"} if by else {})}
    )
    for record_id, column in people.items():
        builder.link(Participant, activity_id=activity["id"], **{column: record_id})
    for column, record_id in links.items():
        builder.link(ActivityLink, activity_id=activity["id"], derived=False, **{column: record_id})
    # The log has links and participants as fields of their activity.
    fields = builder.past[activity["id"]][0].fields
    fields["links"] = [None, sorted(links.values())]
    if people:
        fields["participants"] = [None, sorted(people)]
    return activity


def _column(person: Row) -> str:
    return "lead_id" if person["id"].startswith("lead_") else "contact_id"
