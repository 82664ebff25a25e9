"""Emails, calls, meetings, notes and tasks."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import strawberry

from crm_graph import models
from crm_graph.models import ActivityDirection, ActivityType, Priority
from crm_graph.services import records
from loaders import Order
from schema.node import Connection, Node, by_id, column, connection, edge, node
from schema.writes import Payload, RecordInput, mutation

if TYPE_CHECKING:
    from schema.users import Team, User


@node(models.Activity, "Something that was done, or is to be done.", order=(Order("happens_at", descending=True),))
class Activity(Node):
    type: ActivityType = column("What it is.", write="create")
    subject: str = column("What it is about, in a line.")
    body: str | None = column("The whole text.", sortable=False)
    happens_at: dt.datetime = column("When it happened, or is to happen.")
    duration_minutes: int | None = column("How long it took.")
    direction: ActivityDirection | None = column("Who began it.")
    outcome: str | None = column("What came of it.")
    due_at: dt.datetime | None = column("When it must be done.")
    done: bool = column("Whether it is done; of tasks.", write=False)
    done_at: dt.datetime | None = column("When it was done.", write=False)
    priority: Priority | None = column("How urgent it is.")
    external_id: str | None = column("Its id in another system, unique among activities.")
    owner: User | None = edge("Whose it is.", by="owner_id")
    team: Team | None = edge("Its owner's home team unless set.", by="team_id")


@strawberry.type(description="The activity as it is now.")
class ActivityPayload(Payload):
    activity: Activity | None = edge(
        "The activity; null if it was refused, or if it may not be seen any more.", by="record_id"
    )


@strawberry.type
class ActivityQuery:
    activity: Activity | None = by_id("One activity; null if there is none, or if it may not be seen.")
    activities: Connection[Activity] = connection("All activities.")


@strawberry.type
class ActivityMutation:
    create_activity: ActivityPayload = mutation(
        "Add an activity.", records.create, "CreateActivityInput", model=models.Activity
    )
    update_activity: ActivityPayload = mutation(
        "Change an activity.", records.update, "UpdateActivityInput", model=models.Activity
    )
    delete_activity: ActivityPayload = mutation(
        "Delete an activity.", records.delete, RecordInput, model=models.Activity
    )
    restore_activity: ActivityPayload = mutation(
        "Bring a deleted activity back.", records.restore, RecordInput, model=models.Activity
    )
