"""What people did, and what they plan to do: around deals, cases, leads, campaigns and accounts."""

from __future__ import annotations

import datetime as dt
from typing import Any

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
from crm_graph.services.demo import sample_data as words
from crm_graph.services.demo.builder import Draft, Row
from crm_graph.services.demo.customers import Customer
from crm_graph.services.demo.deals import Deal
from crm_graph.services.demo.support import Ticket

EMAIL, CALL, MEETING = ActivityType.EMAIL, ActivityType.CALL, ActivityType.MEETING
NOTE, TASK = ActivityType.NOTE, ActivityType.TASK
SUBJECTS = {
    EMAIL: words.EMAIL_SUBJECTS,
    CALL: words.CALL_SUBJECTS,
    MEETING: words.MEETING_SUBJECTS,
    NOTE: words.NOTE_SUBJECTS,
    TASK: words.TASK_SUBJECTS,
}
MINUTES = {CALL: (3, 40), MEETING: (30, 120)}
OUTCOMES = {CALL: words.CALL_OUTCOMES, MEETING: words.MEETING_OUTCOMES}


def keep(
    draft: Draft,
    deals: list[Deal],
    tickets: list[Ticket],
    leads: list[Row],
    campaigns: list[Row],
    customers: list[Customer],
) -> None:
    """The whole diary."""
    for deal in deals:
        _around_deal(draft, deal)
    for ticket in tickets:
        _around_case(draft, ticket)
    for lead in leads:
        _around_lead(draft, lead)
    for campaign in campaigns:
        at = draft.after(campaign["created_at"], 0, 5)
        _log(draft, NOTE, at, campaign["owner_id"], campaign["name"], campaign_id=campaign["id"])
    for customer in customers:
        _around_account(draft, customer)


def _around_deal(draft: Draft, deal: Deal) -> None:
    opportunity, account = deal.opportunity, deal.customer.account
    by, subject = opportunity["owner_id"], deal.subject
    links = {"opportunity_id": opportunity["id"], "account_id": account["id"]}
    start, end = opportunity["created_at"], deal.ended or draft.moment
    for _ in range(draft.random.randint(2, 6)):
        person = draft.pick(deal.people)
        at = start + (end - start) * draft.random.random()
        kind = draft.random.choices([EMAIL, CALL, MEETING, NOTE], [4, 3, 2, 1])[0]
        _log(draft, kind, at, by, subject, person, **links, contact_id=person["id"])
    if draft.chance(0.5):
        at = start + (end - start) * draft.random.random()
        _log(draft, TASK, at, by, subject, finished=min(draft.after(at, 0.1, 3), end), **links)
    if deal.ended is None:
        person = draft.pick(deal.people)
        planned = draft.day(draft.random.uniform(-4, 21))
        _plan(draft, TASK, planned, by, subject, **links)
        if draft.chance(0.5):
            meeting = draft.day(draft.random.uniform(1, 30))
            _plan(draft, MEETING, meeting, by, subject, person, **links, contact_id=person["id"])


def _around_case(draft: Draft, ticket: Ticket) -> None:
    case, contact = ticket.case, ticket.contact
    links = {"case_id": case["id"], "account_id": ticket.customer.account["id"], "contact_id": contact["id"]}
    kind = CALL if case["origin"] in {CaseOrigin.PHONE, CaseOrigin.IN_PERSON} else EMAIL
    by = case["owner_id"]
    _log(draft, kind, case["created_at"], by, case["subject"], contact, ActivityDirection.INBOUND, **links)
    if case["first_response_at"] is not None:
        answered = case["first_response_at"]
        _log(draft, kind, answered, by, case["subject"], contact, ActivityDirection.OUTBOUND, **links)


def _around_lead(draft: Draft, lead: Row) -> None:
    links = {"lead_id": lead["id"]}
    if lead["status"] is LeadStatus.CONVERTED:
        converted = ("account_id", "contact_id", "opportunity_id")
        links.update({column: lead[f"converted_{column}"] for column in converted})
    if lead["status"] is LeadStatus.NEW:
        return
    end = lead["converted_at"] or draft.moment
    for _ in range(draft.random.randint(1, 2)):
        at = lead["created_at"] + (end - lead["created_at"]) * draft.random.random()
        _log(draft, draft.pick([EMAIL, CALL]), at, lead["owner_id"], lead["company"], lead, **links)


def _around_account(draft: Draft, customer: Customer) -> None:
    account = customer.account
    for _ in range(draft.random.randint(0, 2)):
        person = draft.pick(customer.contacts)
        at = person["created_at"] + (draft.moment - person["created_at"]) * draft.random.random()
        links = {"account_id": account["id"], "contact_id": person["id"]}
        _log(draft, draft.pick([CALL, NOTE]), at, account["owner_id"], account["name"], person, **links)


def _log(
    draft: Draft,
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
    values: dict[str, Any] = {"due_at": finished, "priority": Priority.MEDIUM} if kind is TASK else {}
    if kind in {EMAIL, CALL}:
        values["direction"] = direction or draft.pick(list(ActivityDirection))
    if kind in OUTCOMES:
        values["outcome"] = draft.pick(OUTCOMES[kind])
    activity = _activity(draft, kind, at, finished or at, by, subject, person, links, values)
    if finished is not None:
        draft.change(activity, Activity, finished, by, done=True, done_at=finished)


def _plan(
    draft: Draft,
    kind: ActivityType,
    at: dt.datetime,
    by: str | None,
    subject: str,
    person: Row | None = None,
    **links: str,
) -> None:
    """Something that is to happen; a task may be late already."""
    values = {"due_at": at, "priority": draft.pick(list(Priority))} if kind is TASK else {}
    made = draft.day(-draft.random.uniform(5, 9))
    _activity(draft, kind, made, at, by, subject, person, links, values)


def _activity(
    draft: Draft,
    kind: ActivityType,
    made: dt.datetime,
    happens_at: dt.datetime,
    by: str | None,
    subject: str,
    person: Row | None,
    links: dict[str, str],
    values: dict[str, Any],
) -> Row:
    if kind in MINUTES:
        values["duration_minutes"] = draft.random.randint(*MINUTES[kind])
    activity = draft.add(
        Activity,
        made,
        by,
        type=kind,
        subject=draft.pick(SUBJECTS[kind]).format(subject),
        body=draft.pick(words.BODIES),
        happens_at=happens_at,
        owner_id=by,
        team_id=draft.home[by],
        **values,
    )
    people = (
        {} if person is None or kind is NOTE else {person["id"]: _column(person), **({by: "user_id"} if by else {})}
    )
    for record_id, column in people.items():
        draft.link(Participant, activity_id=activity["id"], **{column: record_id})
    for column, record_id in links.items():
        draft.link(ActivityLink, activity_id=activity["id"], derived=False, **{column: record_id})
    # The log has links and participants as fields of their activity.
    fields = draft.past[activity["id"]][0].fields
    fields["links"] = [None, sorted(links.values())]
    if people:
        fields["participants"] = [None, sorted(people)]
    return activity


def _column(person: Row) -> str:
    return "lead_id" if person["id"].startswith("lead_") else "contact_id"
