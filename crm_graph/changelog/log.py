"""Reading the log: revisions in the form of clients, pages of rows after a revision, and the newest rows in memory."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from crm_graph.errors import BadUserInput, ResyncRequired
from crm_graph.models import Action, Change, Workspace, now

MAX_PAGE = 500
UNKNOWN_REVISION = "Unknown revision. Reload the list."
MAX_RECENT = 2000
# The fields whose old and new values rows keep in memory. Of others, the names are enough.
KEPT_VALUES = {"links", "chosen_links", "participants"}


@dataclass(frozen=True, order=True)
class Revision:
    """A position in a workspace's log, written "<epoch>.<number>". A restored backup starts a new epoch, so that no
    number is used twice."""

    epoch: str
    number: int

    def __str__(self) -> str:
        return f"{self.epoch}.{self.number}"

    @classmethod
    def parse(cls, text: str, argument: str) -> Revision:
        """Raises BadUserInput naming the argument."""
        epoch, _, number = text.rpartition(".")
        if not (epoch.isalnum() and epoch.isascii() and number.isascii() and number.isdigit() and len(number) < 19):
            raise BadUserInput(f"{argument} is not a revision of this server.", argument)
        return cls(epoch, int(number))


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """A row of the log. `names` are the changed fields; `values` the changes that readers need, {name: [old, new]}."""

    revision: int
    entity: str
    record_id: str
    action: Action
    user_id: str | None
    cause: str
    happened_at: dt.datetime
    recorded_at: dt.datetime
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    names: tuple[str, ...]
    values: Mapping[str, Any]

    @property
    def existed(self) -> bool:
        """The record existed before the change, and was not deleted."""
        return self.action is not Action.CREATED and self.before.get("deleted_at") is None

    @property
    def affects_visibility(self) -> bool:
        """The change may affect who sees other records: it is about people, teams or the workspace's defaults."""
        match self.entity:
            case "Membership":
                return True
            case "User":
                return not {"role", "active", "manager_id", "deleted_at"}.isdisjoint(self.names)
            case "Workspace":
                return any(name.endswith("_visibility") for name in self.names)
        return False


_COLUMNS = [getattr(Change, name) for name in ChangeRow.__slots__ if name not in {"names", "values"}]


async def current_revision(session: AsyncSession, workspace_id: str) -> Revision:
    """The newest revision in the session's snapshot."""
    statement = sa.select(Workspace.epoch, Workspace.revision).where(Workspace.id == workspace_id)
    epoch, number = (await session.execute(statement)).one()
    return Revision(epoch, number)


async def read(session: AsyncSession, workspace_id: str, after: int, to: int, limit: int = MAX_PAGE) -> list[ChangeRow]:
    """At most `limit` rows after the revision number `after`, up to `to`, in order."""
    statement = (
        sa.select(*_COLUMNS, Change.fields)
        .where(Change.workspace_id == workspace_id, Change.revision > after, Change.revision <= to)
        .order_by(Change.revision)
        .limit(limit)
    )
    rows = await session.execute(statement)
    return [ChangeRow(*values, *_changed(fields)) for *values, fields in rows]  # type: ignore[call-arg]  # a value a column


def _changed(fields: Mapping[str, object]) -> tuple[tuple[str, ...], Mapping[str, object]]:
    return tuple(fields), {name: fields[name] for name in KEPT_VALUES & fields.keys()}


async def require_replayable(
    session: AsyncSession, workspace_id: str, after: Revision, at: Revision, retention: dt.timedelta
) -> None:
    """Raises ResyncRequired if the rows after a revision cannot be replayed from a log that is at `at`: the revision is
    older than `retention`, in the future, or of an earlier epoch."""
    if after.epoch != at.epoch or after.number > at.number:
        raise ResyncRequired(UNKNOWN_REVISION, str(at))
    if after.number == at.number:
        return
    next_row = sa.select(Change.recorded_at).where(
        Change.workspace_id == workspace_id, Change.revision == after.number + 1
    )
    recorded_at = await session.scalar(next_row)
    if recorded_at is None or recorded_at < now() - retention:
        raise ResyncRequired("The changes since this revision are no longer kept. Reload the list.", str(at))


class RecentChanges:
    """The newest rows of a workspace's log, read once for many readers."""

    def __init__(self, workspace_id: str, at: int) -> None:
        self.workspace_id, self.at = workspace_id, at
        self._rows: list[ChangeRow] = []

    async def extend(self, session: AsyncSession, to: int) -> Sequence[ChangeRow]:
        """Read the next rows, at most a page, up to a revision number."""
        rows = await read(session, self.workspace_id, self.at, to)
        if rows:
            self.at = rows[-1].revision
            self._rows.extend(rows)
            del self._rows[: max(0, len(self._rows) - MAX_RECENT)]
        return rows

    def after(self, number: int) -> Sequence[ChangeRow] | None:
        """The rows after a revision number, up to the newest; None where they do not reach back that far."""
        missing = self.at - number
        if missing > len(self._rows):
            return None
        return self._rows[len(self._rows) - missing :] if missing > 0 else []
