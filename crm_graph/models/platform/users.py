"""Users, their teams, and their tokens and sessions."""

from __future__ import annotations

import datetime as dt
import enum

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from crm_graph.models import types
from crm_graph.models.base import Base, Entity, WorkspaceRow, now, reference
from crm_graph.models.policies import Everyone, Holder


class Role(enum.StrEnum):
    """The role of a user.

    ADMIN: sees and does everything.
    MANAGER: works on records, deletes, imports, and manages settings and users.
    REP: works on records.
    READ_ONLY: only reads.
    """

    ADMIN = "ADMIN"
    MANAGER = "MANAGER"
    REP = "REP"
    READ_ONLY = "READ_ONLY"


class Team(Entity):
    """People who work on the same records; also the queue that a case may wait in."""

    __tablename__ = "teams"
    __table_args__ = (sa.UniqueConstraint("workspace_id", "external_id"),)
    prefix = "team"
    read_policy = edit_policy = Everyone()

    name: Mapped[str]
    description: Mapped[str | None] = mapped_column(types.Text(2000))
    external_id: Mapped[str | None] = mapped_column(types.Text(100))


class SignInEmail(types.Email):
    """An address to sign in with, all in lower case."""

    cache_ok = True

    def standard(self, text: str) -> str:
        return super().standard(text).lower()


class User(Entity):
    """A person, or an agent known from an import: without email and password nobody can sign in as it.

    `team_id` is the home team: records of a new owner go to it.
    """

    __tablename__ = "users"
    __table_args__ = (
        sa.UniqueConstraint("workspace_id", "external_id"),
        sa.UniqueConstraint("workspace_id", "email"),
        sa.Index("ix_users_email", "email"),
    )
    prefix = "user"
    read_policy = edit_policy = Everyone()

    name: Mapped[str]
    email: Mapped[str | None] = mapped_column(SignInEmail())
    phone: Mapped[str | None] = mapped_column(types.Phone())
    title: Mapped[str | None]
    role: Mapped[Role] = mapped_column(types.Enum(Role), default=Role.REP)
    active: Mapped[bool] = mapped_column(default=True)
    manager_id: Mapped[str | None] = reference("users")
    team_id: Mapped[str | None] = reference("teams")
    password_hash: Mapped[str | None] = mapped_column(types.Text(200), info={"secret": True})
    external_id: Mapped[str | None] = mapped_column(types.Text(100))


class ReportingLine(Base):
    """The closure of the managers' tree: `user_id` reports to `manager_id` over `depth` steps; each user to
    themselves at depth 0."""

    __tablename__ = "reports"
    __table_args__ = (
        sa.ForeignKeyConstraint(["workspace_id", "manager_id"], ["users.workspace_id", "users.id"]),
        sa.ForeignKeyConstraint(["workspace_id", "user_id"], ["users.workspace_id", "users.id"]),
        sa.Index(None, "workspace_id", "user_id"),
    )

    workspace_id: Mapped[str] = mapped_column(types.Id(), sa.ForeignKey("workspaces.id"), primary_key=True)
    manager_id: Mapped[str] = mapped_column(types.Id(), primary_key=True)
    user_id: Mapped[str] = mapped_column(types.Id(), primary_key=True)
    depth: Mapped[int]


class Membership(Entity):
    """A user's place in a team."""

    __tablename__ = "memberships"
    __table_args__ = (sa.UniqueConstraint("workspace_id", "user_id", "team_id"),)
    prefix = "mem"
    read_policy = edit_policy = Everyone()

    team_id: Mapped[str] = reference("teams", nullable=False)
    user_id: Mapped[str] = reference("users", nullable=False, index=False)


class ApiToken(Entity):
    """A key for a program that acts as its user. Only a hash is kept: the token itself is shown once."""

    __tablename__ = "api_tokens"
    __table_args__ = (sa.UniqueConstraint("token_hash"),)
    prefix = "tok"
    read_policy = edit_policy = Holder("user_id")

    user_id: Mapped[str] = reference("users", nullable=False)
    name: Mapped[str]
    token_hash: Mapped[str] = mapped_column(types.Text(64), info={"secret": True})
    expires_at: Mapped[dt.datetime | None]


class Session(WorkspaceRow):
    """One sign-in: the family of its refresh tokens, of which only the newest is good.

    A refresh token names its session by the id alone, so that is unique by itself.
    """

    __tablename__ = "sessions"
    __table_args__ = (sa.UniqueConstraint("id"),)
    prefix = "ses"

    user_id: Mapped[str] = reference("users", nullable=False)
    refresh_hash: Mapped[str] = mapped_column(types.Text(64))
    created_at: Mapped[dt.datetime] = mapped_column(default=now)
    expires_at: Mapped[dt.datetime]
    revoked_at: Mapped[dt.datetime | None]


class SignInAttempt(Base):
    """Failed sign-ins, and those under way, for one key (a hash of an email or of a client) in a window of time."""

    __tablename__ = "sign_in_tries"

    key: Mapped[str] = mapped_column(types.Text(64), primary_key=True)
    tries: Mapped[int]
    window_ends_at: Mapped[dt.datetime]
