"""Emails, calls, meetings, notes and tasks, done or planned."""

from __future__ import annotations

import datetime as dt
import enum

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from crm_graph.models import types
from crm_graph.models.base import OwnedEntity, WorkspaceRow, now, reference
from crm_graph.models.policies import AnyOf, Holder, InheritsFrom, LinkedRecords, OwnerAndTeam, RelatedHolder, Unowned


class ActivityType(enum.StrEnum):
    """The kind of an activity.

    EMAIL: a message by email.
    CALL: a call by phone or video.
    MEETING: a meeting or a demo.
    NOTE: a note.
    TASK: something to do, open until it is done.
    """

    EMAIL = "EMAIL"
    CALL = "CALL"
    MEETING = "MEETING"
    NOTE = "NOTE"
    TASK = "TASK"


class ActivityDirection(enum.StrEnum):
    """The side that began a conversation.

    INBOUND: the customer.
    OUTBOUND: a user.
    """

    INBOUND = "INBOUND"
    OUTBOUND = "OUTBOUND"


class Priority(enum.StrEnum):
    """The urgency of a case or a task.

    LOW: when there is time.
    MEDIUM: in turn.
    HIGH: before others.
    URGENT: immediately.
    """

    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"
    URGENT = "URGENT"


class Activity(OwnedEntity):
    """Something that happened at `happens_at`, or is planned for it. A task is open until `done`."""

    __tablename__ = "activities"
    __table_args__ = (
        sa.UniqueConstraint("workspace_id", "external_id"),
        sa.Index(None, "workspace_id", "happens_at", "id"),
    )
    prefix = "act"
    read_policy = AnyOf(
        Holder("owner_id"),
        LinkedRecords("activity_links", "activity_id", ignored="derived"),
        RelatedHolder("participants", "activity_id", holder="user_id"),
    )
    edit_policy = AnyOf(Unowned(), OwnerAndTeam())
    EVENTS = {"done": "COMPLETED"}

    type: Mapped[ActivityType] = mapped_column(types.Enum(ActivityType))
    subject: Mapped[str] = mapped_column(types.Text(500))
    body: Mapped[str | None] = mapped_column(types.Text(types.LONG_TEXT))
    happens_at: Mapped[dt.datetime] = mapped_column(default=now)
    duration_minutes: Mapped[int | None]
    direction: Mapped[ActivityDirection | None] = mapped_column(types.Enum(ActivityDirection))
    outcome: Mapped[str | None]
    due_at: Mapped[dt.datetime | None]
    done: Mapped[bool] = mapped_column(default=False)
    done_at: Mapped[dt.datetime | None]
    priority: Mapped[Priority | None] = mapped_column(types.Enum(Priority))


class ActivityLink(WorkspaceRow):
    """A record that an activity is about: exactly one of the columns TARGETS is set.

    A `derived` link, to the account of a linked contact, deal or case, lists the activity there but does not make it
    visible. No activity has only derived links.
    """

    __tablename__ = "activity_links"
    TARGETS = ("account_id", "contact_id", "lead_id", "opportunity_id", "case_id", "campaign_id")
    # The indexes cover two queries: the activities of a record, and the existence of a link that is not derived.
    __table_args__ = (
        *(sa.UniqueConstraint("workspace_id", target, "activity_id") for target in TARGETS),
        sa.Index(None, "workspace_id", "activity_id", "derived"),
    )
    prefix = "link"

    activity_id: Mapped[str] = reference("activities", nullable=False, index=False)
    derived: Mapped[bool] = mapped_column(default=False)
    account_id: Mapped[str | None] = reference("accounts", index=False)
    contact_id: Mapped[str | None] = reference("contacts", index=False)
    lead_id: Mapped[str | None] = reference("leads", index=False)
    opportunity_id: Mapped[str | None] = reference("opportunities", index=False)
    case_id: Mapped[str | None] = reference("cases", index=False)
    campaign_id: Mapped[str | None] = reference("campaigns", index=False)


class Participant(WorkspaceRow):
    """A participant of an activity: a user, a contact, a lead, or only an email address."""

    __tablename__ = "participants"
    prefix = "part"
    read_policy = InheritsFrom("activity_id")

    activity_id: Mapped[str] = reference("activities", nullable=False)
    user_id: Mapped[str | None] = reference("users")
    contact_id: Mapped[str | None] = reference("contacts")
    lead_id: Mapped[str | None] = reference("leads")
    email: Mapped[str | None] = mapped_column(types.Email())
