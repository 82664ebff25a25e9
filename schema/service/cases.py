"""Customers' questions and problems."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Optional

import strawberry

from crm_graph import models
from crm_graph.models import CaseOrigin, CaseStatus, CaseType, Priority
from crm_graph.services.service import cases
from loaders.activities import activities_of
from schema.core import Connection, Node, column, connection, crud, edge, node
from schema.core.mutations import VERSION, mutation, write_input
from schema.subscriptions.live_lists import changed, live_list

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

live_list(
    Case,
    created="OPENED",
    kinds={
        "CLOSED": (
            "The case was resolved or closed.",
            lambda event: "status" in event.names and event.record.status.ended,
        ),
        "ESCALATED": ("The case was escalated.", changed("escalation_level")),
        "ASSIGNED": ("The case has a new owner or queue.", changed("owner_id", "team_id")),
    },
    position=2,
)
