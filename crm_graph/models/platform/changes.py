"""The change log: audit trail, history, and the event queue of subscriptions."""

from __future__ import annotations

import datetime as dt
import enum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from crm_graph.models import types
from crm_graph.models.base import Base, reference


class Action(enum.StrEnum):
    """The action of a change.

    CREATED: the record was created.
    UPDATED: fields were changed.
    DELETED: the record was deleted.
    RESTORED: the record was restored.
    MOVED: the deal moved to another stage.
    CONVERTED: the lead was converted.
    COMPLETED: the task was done.
    STATUS_CHANGED: the status of the case changed.
    ESCALATED: the case was escalated by a level.
    ASSIGNED: the case got another owner or queue.
    RESPONDED: the member responded to the campaign.
    SIGNED_IN: the user signed in.
    SIGNED_OUT: the user signed out, or was signed out.
    SIGN_IN_FAILED: a wrong password, at a sign-in or a change of password; or the user may not sign in.
    """

    CREATED = "CREATED"
    UPDATED = "UPDATED"
    DELETED = "DELETED"
    RESTORED = "RESTORED"
    MOVED = "MOVED"
    CONVERTED = "CONVERTED"
    COMPLETED = "COMPLETED"
    STATUS_CHANGED = "STATUS_CHANGED"
    ESCALATED = "ESCALATED"
    ASSIGNED = "ASSIGNED"
    RESPONDED = "RESPONDED"
    SIGNED_IN = "SIGNED_IN"
    SIGNED_OUT = "SIGNED_OUT"
    SIGN_IN_FAILED = "SIGN_IN_FAILED"


IS_AUDITED = sa.text("entity IN ('ApiToken', 'Membership', 'Team', 'User', 'Workspace')")
"""The condition on rows of the log about users, teams, tokens and the workspace.

The databases use the partial index only for exactly this text.
"""


class Change(Base):
    """One changed record in one transaction. Rows are never deleted.

    `fields` has the old and new wire values of the changed fields, {name: [old, new]}. `before` and `after` always have
    the columns that decide visibility and totals. `actor` is "user:<id>" by a session, "token:<id>" by an API token,
    "system:<command>" or "nobody"; `user_id` is the user's, if any. `cause` is the name of the mutation in snake case,
    or of the command, such as "import".
    """

    __tablename__ = "changes"
    __table_args__ = (
        sa.Index(None, "workspace_id", "record_id", "action", "revision"),
        sa.Index("ix_changes_audited", "workspace_id", "revision", info={"where": IS_AUDITED}),
    )

    workspace_id: Mapped[str] = mapped_column(types.Id(), sa.ForeignKey("workspaces.id"), primary_key=True)
    revision: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True)
    entity: Mapped[str] = mapped_column(types.Text(40))
    record_id: Mapped[str] = mapped_column(types.Id())
    action: Mapped[Action] = mapped_column(types.Enum(Action))
    actor: Mapped[str] = mapped_column(types.Text(100))
    user_id: Mapped[str | None] = reference("users", index=False)
    cause: Mapped[str] = mapped_column(types.Text(100))
    happened_at: Mapped[dt.datetime]
    recorded_at: Mapped[dt.datetime]
    fields: Mapped[dict[str, Any]] = mapped_column(types.Json())
    before: Mapped[dict[str, object]] = mapped_column(types.Json())
    after: Mapped[dict[str, object]] = mapped_column(types.Json())


class IdempotencyKey(Base):
    """The result of a write that a client may repeat: the record and the revision."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (sa.Index(None, "workspace_id", "created_at"),)

    workspace_id: Mapped[str] = mapped_column(types.Id(), sa.ForeignKey("workspaces.id"), primary_key=True)
    user_id: Mapped[str] = mapped_column(types.Id(), primary_key=True)
    key: Mapped[str] = mapped_column(types.Text(100), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(types.Text(64))
    result: Mapped[dict[str, object]] = mapped_column(types.Json())
    revision: Mapped[int] = mapped_column(sa.BigInteger)
    created_at: Mapped[dt.datetime]


class Alias(Base):
    """A former id of a record, such as one that was merged into another."""

    __tablename__ = "aliases"

    workspace_id: Mapped[str] = mapped_column(types.Id(), sa.ForeignKey("workspaces.id"), primary_key=True)
    former_id: Mapped[str] = mapped_column(types.Id(), primary_key=True)
    record_id: Mapped[str] = mapped_column(types.Id())
