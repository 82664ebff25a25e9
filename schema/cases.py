"""Customers' questions and problems."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import strawberry

from crm_graph import models
from crm_graph.models import CaseOrigin, CaseStatus, CaseType, Priority
from crm_graph.services import records
from loaders.activities import activities_of
from schema.node import Connection, Node, by_id, column, connection, edge, node
from schema.writes import Payload, RecordInput, mutation

if TYPE_CHECKING:
    from schema.accounts import Account, Contact
    from schema.activities import Activity
    from schema.users import Team, User


@node(models.Case, "A customer's question or problem.")
class Case(Node):
    number: int = column("Its number, counted up in the workspace.", write=False)
    subject: str = column("What it is about, in a line.")
    description: str | None = column("The whole story.", sortable=False)
    status: CaseStatus = column("Where the work on it stands; changed by changeCaseStatus.", write=False)
    priority: Priority = column("How urgent it is.")
    origin: CaseOrigin | None = column("The channel that it came by.")
    type: CaseType | None = column("What kind it is.")
    first_response_at: dt.datetime | None = column("When the customer first got an answer.")
    resolved_at: dt.datetime | None = column("When it was resolved.", write=False)
    closed_at: dt.datetime | None = column("When it was closed.", write=False)
    escalation_level: int = column("How far up it was escalated; 0 if not at all.", write=False)
    escalation_reason: str | None = column("Why it was escalated last.", write=False)
    external_id: str | None = column("Its id in another system, unique among cases.")
    account: Account | None = edge("Whose it is.", by="account_id")
    contact: Contact | None = edge("Who asks.", by="contact_id")
    owner: User | None = edge("Who works on it.", by="owner_id", write="create")
    team: Team | None = edge("The queue it waits in, or its owner's home team.", by="team_id", write="create")
    activities: Connection[Activity] = connection("What was done about it.", activities_of("case_id"))


@strawberry.type(description="The case as it is now.")
class CasePayload(Payload):
    case: Case | None = edge("The case; null if it was refused, or if it may not be seen any more.", by="record_id")


@strawberry.type
class CaseQuery:
    case: Case | None = by_id("One case; null if there is none, or if it may not be seen.")
    cases: Connection[Case] = connection("All cases.")


@strawberry.type
class CaseMutation:
    create_case: CasePayload = mutation("Add a case.", records.create, "CreateCaseInput", model=models.Case)
    update_case: CasePayload = mutation("Change a case.", records.update, "UpdateCaseInput", model=models.Case)
    delete_case: CasePayload = mutation("Delete a case.", records.delete, RecordInput, model=models.Case)
    restore_case: CasePayload = mutation("Bring a deleted case back.", records.restore, RecordInput, model=models.Case)
