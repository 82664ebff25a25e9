"""People and companies who may become customers."""

from __future__ import annotations

import datetime as dt
import enum
from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from crm_graph.models import types
from crm_graph.models.accounts import Address
from crm_graph.models.base import OwnedEntity, reference
from crm_graph.models.policies import WorkspaceDefault


class LeadStatus(enum.StrEnum):
    """The progress of a lead.

    NEW: not contacted yet.
    WORKING: in contact.
    NURTURING: interested, but not now.
    QUALIFIED: worth a deal.
    UNQUALIFIED: not worth a deal.
    CONVERTED: converted to a contact; read-only.
    """

    NEW = "NEW"
    WORKING = "WORKING"
    NURTURING = "NURTURING"
    QUALIFIED = "QUALIFIED"
    UNQUALIFIED = "UNQUALIFIED"
    CONVERTED = "CONVERTED"


class Lead(OwnedEntity):
    """A person with a company, before conversion makes an account, a contact and an opportunity of it."""

    __tablename__ = "leads"
    __table_args__ = (
        sa.UniqueConstraint("workspace_id", "external_id"),
        sa.Index(None, "workspace_id", "email"),
        sa.Index(None, "workspace_id", "status"),
    )
    prefix = "lead"
    read_policy = edit_policy = WorkspaceDefault()
    EVENTS = {"converted_at": "CONVERTED"}

    first_name: Mapped[str | None]
    last_name: Mapped[str]
    company: Mapped[str | None]
    title: Mapped[str | None]
    email: Mapped[str | None] = mapped_column(types.Email())
    phone: Mapped[str | None] = mapped_column(types.Phone())
    mobile: Mapped[str | None] = mapped_column(types.Phone())
    website: Mapped[str | None] = mapped_column(types.Url())
    industry: Mapped[str | None]
    employees: Mapped[int | None]
    annual_revenue: Mapped[Decimal | None]
    currency: Mapped[str | None] = mapped_column(types.Currency())
    address: Mapped[Address | None] = mapped_column(types.Value(Address))
    description: Mapped[str | None] = mapped_column(types.Text(types.LONG_TEXT))
    source: Mapped[str | None]
    status: Mapped[LeadStatus] = mapped_column(types.Enum(LeadStatus), default=LeadStatus.NEW)
    score: Mapped[int | None] = mapped_column(types.Integer(minimum=0, maximum=100))
    email_opt_out: Mapped[bool] = mapped_column(default=False)
    email_opt_out_at: Mapped[dt.datetime | None]
    phone_opt_out: Mapped[bool] = mapped_column(default=False)
    phone_opt_out_at: Mapped[dt.datetime | None]
    converted_at: Mapped[dt.datetime | None]
    converted_account_id: Mapped[str | None] = reference("accounts")
    converted_contact_id: Mapped[str | None] = reference("contacts")
    converted_opportunity_id: Mapped[str | None] = reference("opportunities")

    @property
    def full_name(self) -> str:
        """First and last name, at most 200 characters."""
        return f"{self.first_name or ''} {self.last_name}".strip()[:200].strip()
