"""Emails, calls, meetings, notes and tasks."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Optional

import strawberry

from crm_graph import models, records
from crm_graph.models import ActivityDirection, ActivityType, Priority
from crm_graph.services.activities import activities
from loaders import Order
from loaders.activities.activities import load_participants, participants_of, targets_of
from schema.core import Connection, Node, by_id, column, compile_rows, computed, connection, edge, node
from schema.core.costs import FREE, costs
from schema.core.filters import INPUT_TYPES
from schema.core.mutations import VERSION, Payload, RecordInput, mutation, write_input
from schema.core.registry import mutation_fields, query_fields

if TYPE_CHECKING:
    from schema.core.node_types import Account, Campaign, Case, Contact, Lead, Opportunity, Team, User


@node(models.Activity, "Something that was done, or is to be done.", order=(Order("happens_at", descending=True),))
class Activity(Node):
    type: ActivityType = column("What kind it is.", write="create")
    subject: str = column("What it is about, in a line.")
    body: str | None = column("The whole text.", sortable=False)
    happens_at: dt.datetime = column("When it happened, or is to happen: now unless set, for a task when it is due.")
    duration_minutes: int | None = column("How long it took.")
    direction: ActivityDirection | None = column("Who began it.")
    outcome: str | None = column("What came of it.")
    due_at: dt.datetime | None = column("When it must be done.")
    done: bool = column("Whether it is done; only a task can be.", write=False)
    done_at: dt.datetime | None = column("When it was done.", write=False)
    priority: Priority | None = column("How urgent it is.")
    external_id: str | None = column("Its id in another system, unique among activities.")
    owner: User | None = edge("Whose it is.", by="owner_id")
    team: Team | None = edge("Its owner's home team unless set.", by="team_id")
    participants: list[Participant] = computed(
        "Who took part.",
        load_participants,
        lambda selection, at: compile_rows(
            selection, at, models.Participant, participants_of(selection.viewer, at.row.id)
        ),
    )
    accounts: Connection[Account] = connection(
        "The accounts it is about, those of its contacts, deals and cases included.",
        targets_of(models.Account, "account_id"),
    )
    contacts: Connection[Contact] = connection("The people it is about.", targets_of(models.Contact, "contact_id"))
    leads: Connection[Lead] = connection("The leads it is about.", targets_of(models.Lead, "lead_id"))
    opportunities: Connection[Opportunity] = connection(
        "The deals it is about.", targets_of(models.Opportunity, "opportunity_id")
    )
    cases: Connection[Case] = connection("The cases it is about.", targets_of(models.Case, "case_id"))
    campaigns: Connection[Campaign] = connection(
        "The campaigns it is about.", targets_of(models.Campaign, "campaign_id")
    )


@costs(FREE)
@strawberry.type(description="Somebody who took part in an activity: one of the four, or none that may be seen.")
class Participant:
    user: User | None = edge("One of us.", by="user_id")
    contact: Contact | None = edge("A contact.", by="contact_id")
    lead: Lead | None = edge("A lead.", by="lead_id")
    email: str | None = strawberry.field(description="The address of somebody whom the CRM does not know.")


@strawberry.input(description="Somebody who took part in an activity: exactly one of the four.")
class ParticipantInput:
    user_id: strawberry.ID | None = strawberry.field(description="One of us.", default=None)
    contact_id: strawberry.ID | None = strawberry.field(description="A contact.", default=None)
    lead_id: strawberry.ID | None = strawberry.field(description="A lead.", default=None)
    email: str | None = strawberry.field(description="Somebody whom the CRM does not know.", default=None)


def _related(rest: str) -> dict[str, tuple[Any, str]]:
    """The input fields of what an activity is about and of who took part; `rest` ends their descriptions."""
    kinds = ("accounts", "contacts", "leads", "opportunities", "cases", "campaigns")
    fields = {
        column: f"The {kind} it is about{rest}."
        for column, kind in zip(models.ActivityLink.TARGETS, kinds, strict=True)
    }
    ids: Any = Optional[list[strawberry.ID]]
    return {
        **{f"{column}s": (ids, meaning) for column, meaning in fields.items()},
        "participants": (Optional[list[ParticipantInput]], f"Who took part{rest}."),
    }


_create, _update = INPUT_TYPES["CreateActivityInput"], INPUT_TYPES["UpdateActivityInput"]
write_input(
    "LogActivityInput",
    "A new activity. What is about a contact, a deal or a case is about its account too.",
    {**_create.own_fields, **_related("")},
    _create.record_fields,
)
write_input(
    "UpdateActivityInput",
    "Changes of an activity; null empties a field.",
    {**_update.own_fields, **_related(", instead of those there were; null leaves them")},
    _update.record_fields,
)
write_input(
    "CompleteTaskInput",
    "Which task is done.",
    {
        "id": (strawberry.ID, "Which one."),
        "outcome": (Optional[str], "What came of it; null leaves what there was."),
        "expected_version": VERSION,
    },
)
write_input(
    "ReopenTaskInput",
    "Which task is not done after all.",
    {"id": (strawberry.ID, "Which one."), "expected_version": VERSION},
)


@strawberry.type(description="The activity as it is now.")
class ActivityPayload(Payload):
    activity: Activity | None = edge(
        "The activity; null if it was refused, or if it may not be seen any more.", by="record_id"
    )


@query_fields(6)
class ActivityQuery:
    activity: Activity | None = by_id("One activity; null if there is none, or if it may not be seen.")
    activities: Connection[Activity] = connection("All activities.")


@mutation_fields(6)
class ActivityMutation:
    log_activity: ActivityPayload = mutation(
        "Add an activity, about any number of records, with those who took part.", activities.log
    )
    update_activity: ActivityPayload = mutation("Change an activity.", activities.update)
    complete_task: ActivityPayload = mutation("Tick a task off. One that is done stays as it is.", activities.complete)
    reopen_task: ActivityPayload = mutation(
        "Take a task's tick back. One that is open stays as it is.", activities.reopen
    )
    delete_activity: ActivityPayload = mutation(
        "Delete an activity.", records.delete, RecordInput, model=models.Activity
    )
    restore_activity: ActivityPayload = mutation(
        "Bring a deleted activity back.", records.restore, RecordInput, model=models.Activity
    )
