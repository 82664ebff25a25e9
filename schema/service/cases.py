"""Customers' questions and problems."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Optional

import strawberry

from crm_graph import models
from crm_graph.changelog import Revision
from crm_graph.errors import BadUserInput
from crm_graph.models import Action, CaseOrigin, CaseStatus, CaseType, Priority
from crm_graph.services.service import cases
from loaders.activities.activities import activities_of
from loaders.live.lists import Listing, Occurrence, Reached, Scope, everything, unsettled_by
from schema.core import Connection, Node, column, connection, crud, edge, node
from schema.core.context import Info
from schema.core.declared import argument
from schema.core.filters import INPUT_TYPES
from schema.core.mutations import VERSION, mutation, write_input
from schema.core.registry import subscription_fields
from schema.core.scalars import enum_type
from schema.subscriptions.source import LiveEvent, LiveUpdate, Watch, events_of, live

if TYPE_CHECKING:
    from schema.core.node_types import Account, Activity, Contact, Team, User


@node(models.Case, "A customer's question or problem.")
class Case(Node):
    number: int = column("Number of the case, counted up in the workspace.", write=False)
    subject: str = column("Subject in one line.")
    description: str | None = column("Full description.", sortable=False)
    status: CaseStatus = column("Status of the work; changed by changeCaseStatus.", write=False)
    priority: Priority = column("Urgency.")
    origin: CaseOrigin | None = column("The channel through which the case arrived.")
    type: CaseType | None = column("Kind of case.")
    first_response_at: dt.datetime | None = column(
        "Time of the first answer to the customer; the first OUTBOUND email, call or meeting sets it."
    )
    resolved_at: dt.datetime | None = column("Time it was resolved.", write=False)
    closed_at: dt.datetime | None = column("Time it was closed.", write=False)
    escalation_level: int = column("Number of levels by which it was escalated; 0 if never.", write=False)
    escalation_reason: str | None = column("Reason for the last escalation.", write=False)
    external_id: str | None = column("Id in another system, unique among cases.")
    account: Account | None = edge("The customer; the contact's account by default.", by="account_id")
    contact: Contact | None = edge("The person at the account who raised it.", by="contact_id")
    owner: User | None = edge(
        "The user who works on it; null while it waits in a queue. Changed by assignCase.",
        by="owner_id",
        write="create",
    )
    team: Team | None = edge(
        "The team in whose queue it waits, or the owner's home team.", by="team_id", write="create"
    )
    activities: Connection[Activity] = connection("Activities about the case.", activities_of("case_id"))


write_input(
    "ChangeCaseStatusInput",
    "The new status of a case.",
    {
        "id": (strawberry.ID, "Id of the case."),
        "status": (CaseStatus, "The new status. CLOSED can only become IN_PROGRESS, which reopens the case."),
        "expected_version": (int, "The version that you know; the change is rejected if it is not the latest."),
    },
)
write_input(
    "AssignCaseInput",
    "The new owner of a case, or the team in whose queue it waits.",
    {
        "id": (strawberry.ID, "Id of the case."),
        "owner_id": (Optional[strawberry.ID], "The new owner; the case also goes to the owner's home team."),
        "team_id": (Optional[strawberry.ID], "The team; without `ownerId` the case has no owner until it is assigned."),
        "expected_version": VERSION,
    },
)
write_input(
    "EscalateCaseInput",
    "The reason for an escalation, and who takes over.",
    {
        "id": (strawberry.ID, "Id of the case."),
        "reason": (str, "The reason."),
        "to_owner_id": (Optional[strawberry.ID], "The user who takes over."),
        "to_team_id": (Optional[strawberry.ID], "The team in whose queue it waits."),
        "expected_version": VERSION,
    },
)

crud(
    Case,
    create=mutation("Create a case. With a team and no owner, it waits in the team's queue.", cases.create),
    update=cases.update,
    verbs={
        "change_case_status": mutation("Change the status of a case.", cases.change_status),
        "assign_case": mutation("Assign a case to a user or to a team's queue.", cases.assign),
        "escalate_case": mutation(
            "Escalate a case by one level, up to 9, and raise its priority to at least HIGH.", cases.escalate
        ),
    },
    position=7,
)


# Cases, live


@enum_type
class CaseEventKind(enum.Enum):
    """What became of a case.

    OPENED: it is new.
    ENTERED: it came into the list, or into sight.
    CLOSED: it was resolved or closed.
    ESCALATED: it went up a level.
    ASSIGNED: somebody else works on it, or it waits in another queue.
    CHANGED: something else in it changed.
    LEFT: it is no longer in the list, or no longer in sight.
    """

    OPENED = "OPENED"
    ENTERED = "ENTERED"
    CLOSED = "CLOSED"
    ESCALATED = "ESCALATED"
    ASSIGNED = "ASSIGNED"
    CHANGED = "CHANGED"
    LEFT = "LEFT"


@strawberry.type(description="What became of one case.")
class CaseEvent(LiveEvent):
    @strawberry.field(description="What became of it; where it was several things, the first of the list.")
    def kind(self) -> CaseEventKind:
        case, names = self.occurrence.record, self.occurrence.names
        if case is None:
            return CaseEventKind.LEFT
        if not self.occurrence.was_member:
            created = Action.CREATED in self.occurrence.actions
            return CaseEventKind.OPENED if created else CaseEventKind.ENTERED
        if "status" in names and case.status.ended:
            return CaseEventKind.CLOSED
        if "escalation_level" in names:
            return CaseEventKind.ESCALATED
        assigned = not names.isdisjoint({"owner_id", "team_id"})
        return CaseEventKind.ASSIGNED if assigned else CaseEventKind.CHANGED

    @strawberry.field(description="The id of the case.")
    def case_id(self) -> strawberry.ID:
        return strawberry.ID(self.occurrence.record_id)

    @strawberry.field(description="The case as it is now; null where it has LEFT.")
    def case(self) -> Case | None:
        return self.occurrence.record


@strawberry.type(description="What became of the cases in a list, all of it at one revision.")
class CaseUpdate(LiveUpdate):
    events: list[CaseEvent] = strawberry.field(description="What became of the cases; none for a checkpoint.")


async def _follow_cases(info: Info, *, filter: Any = None, after: Revision | None) -> Watch:
    if filter is not None and filter.mentions("deleted_at"):
        raise BadUserInput("Deleted cases cannot be followed.", "filter.deletedAt")
    where = everything if filter is None else filter.where

    def answer(occurrences: Sequence[Occurrence], revision: str, caught_up: bool) -> CaseUpdate:
        events = events_of(CaseEvent, occurrences, revision)
        return CaseUpdate(revision=revision, caught_up=caught_up, events=events)

    scope = Scope(models.Case, where, lambda row, members: True, lambda row: True)
    reached: Reached = {} if filter is None else filter.reaches()
    return Watch(Listing([scope], unsettled_by(reached)), answer, {models.Case, *reached}, after)


@subscription_fields(2)
class CaseSubscription:
    case_updates: CaseUpdate = live(
        "What becomes of cases. `after` the revision of a query nothing is missed.",
        _follow_cases,
        lambda: [argument("filter", INPUT_TYPES["CaseFilter"] | None, "Only these cases.")],
    )
