"""Emails, calls, meetings, notes and tasks."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Optional

import strawberry

from crm_graph import models
from crm_graph.models import ActivityDirection, ActivityType, Priority
from crm_graph.services.activities import activities
from loaders import SortKey
from loaders.activities.activities import load_participants, participants_of, targets_of
from schema.core import (
    Connection,
    Node,
    column,
    compile_rows,
    computed,
    connection,
    crud,
    edge,
    node,
)
from schema.core.costs import FREE, costs
from schema.core.filters import INPUT_TYPES
from schema.core.mutations import VERSION, mutation, write_input

if TYPE_CHECKING:
    from schema.core.node_types import Account, Campaign, Case, Contact, Lead, Opportunity, Team, User


@node(models.Activity, "Something done or planned.", order=(SortKey("happens_at", descending=True),))
class Activity(Node):
    type: ActivityType = column("Kind of activity.", write="create")
    subject: str = column("Subject in one line.")
    body: str | None = column("Full text.", sortable=False)
    happens_at: dt.datetime = column("Time it happened or is planned; now by default, for a task its due time.")
    duration_minutes: int | None = column("Duration in minutes.")
    direction: ActivityDirection | None = column("Direction: from you or from the customer.")
    outcome: str | None = column("Result.")
    due_at: dt.datetime | None = column("Deadline.")
    done: bool = column("True if it is done; only tasks can be.", write=False)
    done_at: dt.datetime | None = column("Time it was done.", write=False)
    priority: Priority | None = column("Urgency.")
    external_id: str | None = column("Id in another system, unique among activities.")
    owner: User | None = edge("The user whose activity it is.", by="owner_id")
    team: Team | None = edge("The owner's home team by default.", by="team_id")
    participants: list[Participant] = computed(
        "The people who took part.",
        load_participants,
        lambda selection, scope: compile_rows(
            selection, scope, models.Participant, participants_of(selection.viewer, scope.row.id)
        ),
    )
    accounts: Connection[Account] = connection(
        "The accounts it is about, including those of its contacts, deals and cases.",
        targets_of(models.Account, "account_id"),
    )
    contacts: Connection[Contact] = connection("The contacts it is about.", targets_of(models.Contact, "contact_id"))
    leads: Connection[Lead] = connection("The leads it is about.", targets_of(models.Lead, "lead_id"))
    opportunities: Connection[Opportunity] = connection(
        "The deals it is about.", targets_of(models.Opportunity, "opportunity_id")
    )
    cases: Connection[Case] = connection("The cases it is about.", targets_of(models.Case, "case_id"))
    campaigns: Connection[Campaign] = connection(
        "The campaigns it is about.", targets_of(models.Campaign, "campaign_id")
    )


@costs(FREE)
@strawberry.type(description="A participant of an activity: one of the four, or none that you may see.")
class Participant:
    user: User | None = edge("A workspace user.", by="user_id")
    contact: Contact | None = edge("A contact.", by="contact_id")
    lead: Lead | None = edge("A lead.", by="lead_id")
    email: str | None = strawberry.field(description="Email address of a person who is not in the CRM.")


@strawberry.input(description="A participant of an activity: exactly one of the four.")
class ParticipantInput:
    user_id: strawberry.ID | None = strawberry.field(description="A workspace user.", default=None)
    contact_id: strawberry.ID | None = strawberry.field(description="A contact.", default=None)
    lead_id: strawberry.ID | None = strawberry.field(description="A lead.", default=None)
    email: str | None = strawberry.field(description="Email address of a person who is not in the CRM.", default=None)


def _link_fields(rest: str) -> dict[str, tuple[object, str]]:
    """The input fields of an activity's links and participants; `rest` ends their descriptions."""
    nouns = ("accounts", "contacts", "leads", "opportunities", "cases", "campaigns")
    links = zip(models.ActivityLink.TARGETS, nouns, strict=True)
    return {
        **{f"{column}s": (Optional[list[strawberry.ID]], f"The {noun} it is about{rest}.") for column, noun in links},
        "participants": (Optional[list[ParticipantInput]], f"The people who took part{rest}."),
    }


_create, _update = INPUT_TYPES["CreateActivityInput"], INPUT_TYPES["UpdateActivityInput"]
write_input(
    "LogActivityInput",
    "A new activity. An activity about a contact, a deal or a case is also about its account.",
    {**_create.own_fields, **_link_fields("")},
    _create.record_fields,
)
write_input(
    "UpdateActivityInput",
    "Changes to an activity. Null clears a field.",
    {**_update.own_fields, **_link_fields("; replaces the present ones unless null")},
    _update.record_fields,
)
write_input(
    "CompleteTaskInput",
    "The task that is done.",
    {
        "id": (strawberry.ID, "Id of the task."),
        "outcome": (Optional[str], "The result; null keeps the present one."),
        "expected_version": VERSION,
    },
)
write_input(
    "ReopenTaskInput",
    "The task to reopen.",
    {"id": (strawberry.ID, "Id of the task."), "expected_version": VERSION},
)

crud(
    Activity,
    create=mutation("Create an activity about any number of records, with its participants.", activities.log),
    create_verb="log",
    update=activities.update,
    verbs={
        "complete_task": mutation("Mark a task as done. A task that is done stays as it is.", activities.complete),
        "reopen_task": mutation("Reopen a task. A task that is open stays as it is.", activities.reopen),
    },
    position=6,
)
