"""Customers' questions and problems."""

from __future__ import annotations

import datetime as dt
import enum

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from crm_graph.models import types
from crm_graph.models.activities import Priority
from crm_graph.models.base import Assigned, reference


class CaseStatus(enum.StrEnum):
    """Where the work on a case stands."""

    NEW = "NEW"
    IN_PROGRESS = "IN_PROGRESS"
    WAITING_ON_CUSTOMER = "WAITING_ON_CUSTOMER"
    RESOLVED = "RESOLVED"
    CLOSED = "CLOSED"

    @property
    def ended(self) -> bool:
        return self in {CaseStatus.RESOLVED, CaseStatus.CLOSED}


class CaseOrigin(enum.StrEnum):
    """The channel that a case came by."""

    EMAIL = "EMAIL"
    PHONE = "PHONE"
    WEB = "WEB"
    CHAT = "CHAT"
    SOCIAL = "SOCIAL"
    IN_PERSON = "IN_PERSON"


class CaseType(enum.StrEnum):
    """What a case is about."""

    QUESTION = "QUESTION"
    PROBLEM = "PROBLEM"
    INCIDENT = "INCIDENT"
    FEATURE_REQUEST = "FEATURE_REQUEST"
    OTHER = "OTHER"


class Case(Assigned):
    """A customer's question or problem, with an owner, or waiting in a team's queue."""

    __tablename__ = "cases"
    __table_args__ = (
        sa.UniqueConstraint("workspace_id", "external_id"),
        sa.UniqueConstraint("workspace_id", "number"),
        sa.Index(None, "workspace_id", "status", "id"),
    )
    prefix = "case"
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
    account_id: Mapped[str | None] = reference("accounts")
    contact_id: Mapped[str | None] = reference("contacts")
    first_response_at: Mapped[dt.datetime | None]
    resolved_at: Mapped[dt.datetime | None]
    closed_at: Mapped[dt.datetime | None]
    escalation_level: Mapped[int] = mapped_column(default=0)
    escalation_reason: Mapped[str | None] = mapped_column(types.Text(2000))
