"""Customers' questions and problems."""

from __future__ import annotations

import datetime as dt
import enum

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from crm_graph.models import types
from crm_graph.models.activities import Priority
from crm_graph.models.base import OwnedEntity, now, reference
from crm_graph.models.policies import WorkspaceDefault

MAX_ESCALATION_LEVEL = 9


class CaseStatus(enum.StrEnum):
    """The progress of a case.

    NEW: not started.
    IN_PROGRESS: being worked on.
    WAITING_ON_CUSTOMER: waiting for the customer's answer.
    RESOLVED: solved, unless the customer disagrees.
    CLOSED: finished.
    """

    NEW = "NEW"
    IN_PROGRESS = "IN_PROGRESS"
    WAITING_ON_CUSTOMER = "WAITING_ON_CUSTOMER"
    RESOLVED = "RESOLVED"
    CLOSED = "CLOSED"

    @property
    def ended(self) -> bool:
        return self in {CaseStatus.RESOLVED, CaseStatus.CLOSED}

    def leads_to(self, status: CaseStatus) -> bool:
        """The status may follow this one. A closed case can only be reopened."""
        return self is not CaseStatus.CLOSED or status in {CaseStatus.CLOSED, CaseStatus.IN_PROGRESS}


class CaseOrigin(enum.StrEnum):
    """The channel through which a case came in.

    EMAIL: an email.
    PHONE: a call.
    WEB: a form on a web page.
    CHAT: a chat.
    SOCIAL: a social network.
    IN_PERSON: a visit.
    """

    EMAIL = "EMAIL"
    PHONE = "PHONE"
    WEB = "WEB"
    CHAT = "CHAT"
    SOCIAL = "SOCIAL"
    IN_PERSON = "IN_PERSON"


class CaseType(enum.StrEnum):
    """The kind of a case.

    QUESTION: a question.
    PROBLEM: something does not work.
    INCIDENT: an outage that affects many.
    FEATURE_REQUEST: a wish for something new.
    OTHER: anything else.
    """

    QUESTION = "QUESTION"
    PROBLEM = "PROBLEM"
    INCIDENT = "INCIDENT"
    FEATURE_REQUEST = "FEATURE_REQUEST"
    OTHER = "OTHER"


class Case(OwnedEntity):
    """A customer's question or problem, with an owner, or waiting in a team's queue."""

    __tablename__ = "cases"
    __table_args__ = (
        sa.UniqueConstraint("workspace_id", "external_id"),
        sa.UniqueConstraint("workspace_id", "number"),
        sa.Index(None, "workspace_id", "status", "id"),
        sa.Index(None, "workspace_id", "account_id", "id"),
        sa.Index(None, "workspace_id", "contact_id", "id"),
    )
    prefix = "case"
    read_policy = edit_policy = WorkspaceDefault()
    EVENTS = {
        "status": "STATUS_CHANGED",
        "escalation_level": "ESCALATED",
        "owner_id": "ASSIGNED",
        "team_id": "ASSIGNED",
    }

    number: Mapped[int]
    subject: Mapped[str] = mapped_column(types.Text(500))
    description: Mapped[str | None] = mapped_column(types.Text(types.LONG_TEXT))
    status: Mapped[CaseStatus] = mapped_column(types.Enum(CaseStatus), default=CaseStatus.NEW)
    priority: Mapped[Priority] = mapped_column(types.Enum(Priority), default=Priority.MEDIUM)
    origin: Mapped[CaseOrigin | None] = mapped_column(types.Enum(CaseOrigin))
    type: Mapped[CaseType | None] = mapped_column(types.Enum(CaseType))
    account_id: Mapped[str | None] = reference("accounts", index=False)
    contact_id: Mapped[str | None] = reference("contacts", index=False)
    first_response_at: Mapped[dt.datetime | None]
    resolved_at: Mapped[dt.datetime | None]
    closed_at: Mapped[dt.datetime | None]
    escalation_level: Mapped[int] = mapped_column(types.Integer(maximum=MAX_ESCALATION_LEVEL), default=0)
    escalation_reason: Mapped[str | None] = mapped_column(types.Text(2000))

    def enter(self, status: CaseStatus) -> None:
        """Set the status. Reopening clears `resolved_at` and `closed_at`."""
        moment = now()
        self.status = status
        self.resolved_at = (self.resolved_at or moment) if status.ended else None
        self.closed_at = (self.closed_at or moment) if status is CaseStatus.CLOSED else None
