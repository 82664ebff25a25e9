"""The viewer, on whose behalf records are read and changed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import sqlalchemy as sa

from crm_graph.access import defaults
from crm_graph.models import Role, Visibility

S = TypeVar("S", bound=sa.Executable)


class _Workspace(Protocol):
    """A workspace, or a row with these columns of one."""

    @property
    def id(self) -> str: ...
    @property
    def epoch(self) -> str: ...
    @property
    def currency(self) -> str: ...
    @property
    def visibility_defaults(self) -> Mapping[str, str]: ...


class _User(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def role(self) -> Role: ...


@dataclass(frozen=True)
class Viewer:
    """A user, by a session or a token, or the system itself (`user_id` None) on a command line.

    `actor` is the author of the viewer's changes in the change log: "user:<id>" by a session, "token:<id>"
    by an API token, "system:<command>", or "nobody" for a failed sign-in. `epoch` is the first part of the workspace's
    revisions, and `currency` that of amounts which are written without one. `defaults` are the workspace's visibility
    defaults: {entity: visibility}, for every entity whose policy depends on them.
    """

    workspace_id: str
    user_id: str | None
    role: Role
    actor: str
    epoch: str
    currency: str
    defaults: Mapping[str, Visibility] = field(hash=False)
    _conditions: dict[Hashable, sa.ColumnElement[bool]] = field(default_factory=dict, compare=False, repr=False)
    _statements: dict[Hashable, Any] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, workspace: _Workspace, user: _User | None, actor: str) -> Viewer:
        """A user of a workspace, or the system where `user` is None."""
        user_id, role = (user.id, user.role) if user else (None, Role.ADMIN)
        stored = tuple(workspace.visibility_defaults.items())
        return _viewer(workspace.id, user_id, role, actor, workspace.epoch, workspace.currency, stored)

    def condition(self, key: Hashable, build: Callable[[], sa.ColumnElement[bool]]) -> sa.ColumnElement[bool]:
        """A condition of the viewer's statements, built once."""
        if key not in self._conditions:
            self._conditions[key] = build()
        return self._conditions[key]

    def statement(self, key: Hashable, build: Callable[[], S]) -> S:
        """A statement of the viewer's operations, built once. What differs each time are named parameters."""
        if key not in self._statements:
            self._statements[key] = build()
        statement: S = self._statements[key]
        return statement


@functools.lru_cache(maxsize=1000)
def _viewer(
    workspace_id: str,
    user_id: str | None,
    role: Role,
    actor: str,
    epoch: str,
    currency: str,
    stored: tuple[tuple[str, str], ...],
) -> Viewer:
    """Equal viewers are one object, so that conditions are built once for a user and not for each request."""
    return Viewer(workspace_id, user_id, role, actor, epoch, currency, defaults.complete(dict(stored)))
