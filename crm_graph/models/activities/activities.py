"""What was done or is to be done: emails, calls, meetings, notes, tasks."""

from __future__ import annotations

import datetime as dt
import enum

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from crm_graph.models import types
from crm_graph.models.base import OwnedEntity, WorkspaceRow, now, reference
from crm_graph.models.policies import AnyOf, Holder, InheritsFrom, LinkedRecords, OwnerAndTeam, RelatedHolder, Unowned


class ActivityType(enum.StrEnum):
    """What kind of contact it was.

    EMAIL: a message by email.
    CALL: a call by phone or video.
    MEETING: a meeting or a demo.
    NOTE: something written down.
    TASK: something to do, open until it is done.
    """

    EMAIL = "EMAIL"
    CALL = "CALL"
    MEETING = "MEETING"
    NOTE = "NOTE"
    TASK = "TASK"


class ActivityDirection(enum.StrEnum):
    """Who began it.

    INBOUND: the other side.
    OUTBOUND: we.
    """

    INBOUND = "INBOUND"
    OUTBOUND = "OUTBOUND"


class Priority(enum.StrEnum):
    """How urgent it is.

    LOW: when there is time.
    MEDIUM: in its turn.
    HIGH: before others.
    URGENT: at once.
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
    """One record that an activity is about: exactly one of the columns is set.

    A `derived` link, from the account of a contact, deal or case, shows the activity there, but gives no sight of it.
    No activity has derived links alone.
    """

    __tablename__ = "activity_links"
    TARGETS = ("account_id", "contact_id", "lead_id", "opportunity_id", "case_id", "campaign_id")
    # No link twice; and from a record to its activities, and from an activity to whether it has a link that was chosen,
    # the index alone answers.
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
    """Somebody who took part in an activity: a user, a contact, a lead, or just an address."""

    __tablename__ = "participants"
    prefix = "part"
    read_policy = InheritsFrom("activity_id")

    activity_id: Mapped[str] = reference("activities", nullable=False)
    user_id: Mapped[str | None] = reference("users")
    contact_id: Mapped[str | None] = reference("contacts")
    lead_id: Mapped[str | None] = reference("leads")
    email: Mapped[str | None] = mapped_column(types.Email())
