"""Customers' questions and problems."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Optional

import strawberry

from crm_graph import models, records
from crm_graph.changelog import Revision
from crm_graph.errors import BadUserInput
from crm_graph.models import Action, CaseOrigin, CaseStatus, CaseType, Priority
from crm_graph.services.service import cases
from loaders.activities.activities import activities_of
from loaders.live.lists import Listing, Occurrence, Reached, Scope, everything, unsettled_by
from schema.core import Connection, Node, by_id, column, connection, edge, node
from schema.core.context import Info
from schema.core.declared import argument
from schema.core.filters import INPUT_TYPES
from schema.core.mutations import VERSION, Payload, RecordInput, mutation, write_input
from schema.core.registry import mutation_fields, query_fields, subscription_fields
from schema.core.scalars import enum_type
from schema.subscriptions.source import LiveEvent, LiveUpdate, Watch, events_of, live

if TYPE_CHECKING:
    from schema.core.node_types import Account, Activity, Contact, Team, User


@node(models.Case, "A customer's question or problem.")
class Case(Node):
    number: int = column("Its number, counted up in the workspace.", write=False)
    subject: str = column("What it is about, in a line.")
    description: str | None = column("The whole story.", sortable=False)
    status: CaseStatus = column("Where the work on it stands; changed by changeCaseStatus.", write=False)
    priority: Priority = column("How urgent it is.")
    origin: CaseOrigin | None = column("The channel that it came by.")
    type: CaseType | None = column("What kind it is.")
    first_response_at: dt.datetime | None = column(
        "When the customer first got an answer; the first OUTBOUND email, call or meeting sets it."
    )
    resolved_at: dt.datetime | None = column("When it was resolved.", write=False)
    closed_at: dt.datetime | None = column("When it was closed.", write=False)
    escalation_level: int = column("How far up it was escalated; 0 if not at all.", write=False)
    escalation_reason: str | None = column("Why it was escalated last.", write=False)
    external_id: str | None = column("Its id in another system, unique among cases.")
    account: Account | None = edge("Whose it is; the contact's account unless set.", by="account_id")
    contact: Contact | None = edge("Who asks, of that account.", by="contact_id")
    owner: User | None = edge(
        "Who works on it; null while it waits in a queue. Changed by assignCase.", by="owner_id", write="create"
    )
    team: Team | None = edge("The queue it waits in, or its owner's home team.", by="team_id", write="create")
    activities: Connection[Activity] = connection("What was done about it.", activities_of("case_id"))


write_input(
    "ChangeCaseStatusInput",
    "Where the work on a case stands now.",
    {
        "id": (strawberry.ID, "Which case."),
        "status": (CaseStatus, "The new status. From CLOSED only IN_PROGRESS is possible, which reopens the case."),
        "expected_version": (int, "The version that the client knows; the change is refused if it is not the newest."),
    },
)
write_input(
    "AssignCaseInput",
    "Who works on a case from now on: a person, or a team whose queue it waits in.",
    {
        "id": (strawberry.ID, "Which case."),
        "owner_id": (Optional[strawberry.ID], "The person; the case goes to the person's home team too."),
        "team_id": (Optional[strawberry.ID], "The team; the case has no owner until somebody takes it."),
        "expected_version": VERSION,
    },
)
write_input(
    "EscalateCaseInput",
    "Why a case goes up a level, and to whom.",
    {
        "id": (strawberry.ID, "Which case."),
        "reason": (str, "Why."),
        "to_owner_id": (Optional[strawberry.ID], "The person who takes it over."),
        "to_team_id": (Optional[strawberry.ID], "The team whose queue it goes to."),
        "expected_version": VERSION,
    },
)


@strawberry.type(description="The case as it is now.")
class CasePayload(Payload):
    case: Case | None = edge("The case; null if it was refused, or if it may not be seen any more.", by="record_id")


@query_fields(7)
class CaseQuery:
    case: Case | None = by_id("One case; null if there is none, or if it may not be seen.")
    cases: Connection[Case] = connection("All cases.")


@mutation_fields(7)
class CaseMutation:
    create_case: CasePayload = mutation(
        "Add a case. Given a team and no owner it waits in the team's queue.", cases.create
    )
    update_case: CasePayload = mutation("Change a case.", cases.update)
    change_case_status: CasePayload = mutation("Say where the work on a case stands.", cases.change_status)
    assign_case: CasePayload = mutation("Give a case to a person or to a team's queue.", cases.assign)
    escalate_case: CasePayload = mutation(
        "Lift a case one level up, at most to 9, with at least HIGH priority.", cases.escalate
    )
    delete_case: CasePayload = mutation("Delete a case.", records.delete, RecordInput, model=models.Case)
    restore_case: CasePayload = mutation("Bring a deleted case back.", records.restore, RecordInput, model=models.Case)


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
