"""A workspace: one company's CRM, apart from all others."""

from __future__ import annotations

import datetime as dt
from typing import ClassVar

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column
from typeid import TypeID

from crm_graph.models import types
from crm_graph.models.base import Base, now


class Workspace(Base):
    """The root of all other rows. `revision` is the number of the last change in the workspace's log.

    `visibility_defaults` are {entity: visibility}; an entity that is not in it is PUBLIC. Assign a new dict to change
    it.
    """

    __tablename__ = "workspaces"
    prefix: ClassVar[str] = "ws"

    id: Mapped[str] = mapped_column(types.Id(), primary_key=True, default=lambda: str(TypeID(prefix=Workspace.prefix)))
    name: Mapped[str]
    currency: Mapped[str] = mapped_column(types.Currency(), default="USD")
    epoch: Mapped[str] = mapped_column(types.Id(), default=lambda: str(TypeID()))
    revision: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    visibility_defaults: Mapped[dict[str, str]] = mapped_column(types.Json(), default=dict)
    created_at: Mapped[dt.datetime] = mapped_column(default=now)
    updated_at: Mapped[dt.datetime] = mapped_column(default=now)
    version: Mapped[int] = mapped_column(types.Integer(minimum=1), default=1)


class Counter(Base):
    """A number handed out once, such as a case's. A separate row, so that it blocks no other writes."""

    __tablename__ = "counters"

    workspace_id: Mapped[str] = mapped_column(types.Id(), sa.ForeignKey("workspaces.id"), primary_key=True)
    name: Mapped[str] = mapped_column(types.Text(40), primary_key=True)
    value: Mapped[int] = mapped_column(sa.BigInteger)
