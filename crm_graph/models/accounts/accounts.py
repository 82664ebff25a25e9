"""Companies and the people who work for them."""

from __future__ import annotations

import datetime as dt
import enum
from dataclasses import dataclass
from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from crm_graph.models import types
from crm_graph.models.base import OwnedEntity, reference
from crm_graph.models.policies import InheritsFrom, OwnerAndTeam, WorkspaceDefault
from crm_graph.models.types import part


class AccountType(enum.StrEnum):
    """The relationship with a company.

    CUSTOMER: buys from us.
    PROSPECT: may buy from us.
    PARTNER: sells or works with us.
    SUPPLIER: sells to us.
    COMPETITOR: sells what we sell.
    OTHER: any other relationship.
    """

    CUSTOMER = "CUSTOMER"
    PROSPECT = "PROSPECT"
    PARTNER = "PARTNER"
    SUPPLIER = "SUPPLIER"
    COMPETITOR = "COMPETITOR"
    OTHER = "OTHER"


@dataclass(frozen=True)
class Address:
    """A postal address."""

    street: str | None = part(types.Text(500), None)
    city: str | None = part(types.Text(), None)
    region: str | None = part(types.Text(), None)
    postal_code: str | None = part(types.Text(20), None)
    country: str | None = part(types.Text(100), None)


class Account(OwnedEntity):
    """A company."""

    __tablename__ = "accounts"
    __table_args__ = (
        sa.UniqueConstraint("workspace_id", "external_id"),
        sa.Index(None, "workspace_id", "name"),
        sa.Index(None, "workspace_id", "domain"),
        sa.Index(None, "workspace_id", "parent_id", "id"),
    )
    prefix = "acc"
    read_policy = edit_policy = WorkspaceDefault()

    name: Mapped[str]
    type: Mapped[AccountType | None] = mapped_column(types.Enum(AccountType))
    domain: Mapped[str | None] = mapped_column(types.Domain())
    website: Mapped[str | None] = mapped_column(types.Url())
    phone: Mapped[str | None] = mapped_column(types.Phone())
    industry: Mapped[str | None]
    description: Mapped[str | None] = mapped_column(types.Text(types.LONG_TEXT))
    employees: Mapped[int | None]
    founded_year: Mapped[int | None] = mapped_column(types.Integer(minimum=1000, maximum=2100))
    annual_revenue: Mapped[Decimal | None]
    currency: Mapped[str | None] = mapped_column(types.Currency())
    billing_address: Mapped[Address | None] = mapped_column(types.Value(Address))
    shipping_address: Mapped[Address | None] = mapped_column(types.Value(Address))
    parent_id: Mapped[str | None] = reference("accounts", index=False)


@dataclass(frozen=True)
class EmailAddress:
    """One of a person's email addresses."""

    address: str = part(types.Email())
    label: str | None = part(types.Text(40), None)


@dataclass(frozen=True)
class PhoneNumber:
    """One of a person's phone numbers."""

    number: str = part(types.Phone())
    label: str | None = part(types.Text(40), None)


@dataclass(frozen=True)
class SocialProfile:
    """A page about a person on a network."""

    network: str = part(types.Text(40))
    url: str = part(types.Url())


class Contact(OwnedEntity):
    """A person at a company. The first of `emails` and `phones` is the primary one, repeated in `email` and `phone`."""

    __tablename__ = "contacts"
    __table_args__ = (
        sa.UniqueConstraint("workspace_id", "external_id"),
        sa.Index(None, "workspace_id", "last_name"),
        sa.Index(None, "workspace_id", "email"),
        sa.Index(None, "workspace_id", "account_id", "id"),
    )
    prefix = "con"
    read_policy = edit_policy = InheritsFrom("account_id", unlinked=OwnerAndTeam())

    first_name: Mapped[str | None]
    last_name: Mapped[str]
    title: Mapped[str | None]
    department: Mapped[str | None]
    description: Mapped[str | None] = mapped_column(types.Text(types.LONG_TEXT))
    email: Mapped[str | None] = mapped_column(types.Email())
    phone: Mapped[str | None] = mapped_column(types.Phone())
    emails: Mapped[list[EmailAddress]] = mapped_column(types.Values(EmailAddress), default=list)
    phones: Mapped[list[PhoneNumber]] = mapped_column(types.Values(PhoneNumber), default=list)
    social_profiles: Mapped[list[SocialProfile]] = mapped_column(types.Values(SocialProfile), default=list)
    mailing_address: Mapped[Address | None] = mapped_column(types.Value(Address))
    lead_source: Mapped[str | None]
    birthday: Mapped[dt.date | None]
    email_opt_out: Mapped[bool] = mapped_column(default=False)
    email_opt_out_at: Mapped[dt.datetime | None]
    phone_opt_out: Mapped[bool] = mapped_column(default=False)
    phone_opt_out_at: Mapped[dt.datetime | None]
    account_id: Mapped[str | None] = reference("accounts", index=False)
