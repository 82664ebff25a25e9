"""GraphQL documents that clients send by id."""

from __future__ import annotations

import datetime as dt

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from crm_graph.models import types
from crm_graph.models.base import Base


class StoredDocument(Base):
    """A document of an application, for all workspaces.

    A `trusted` one was loaded from a manifest by an operator. Others are kept for a while under the hash of their text.
    """

    __tablename__ = "stored_documents"
    __table_args__ = (sa.Index(None, "trusted", "kept_at"),)

    id: Mapped[str] = mapped_column(types.Text(200), primary_key=True)
    text: Mapped[str] = mapped_column(types.Text(types.LONG_TEXT))
    trusted: Mapped[bool]
    kept_at: Mapped[dt.datetime]
