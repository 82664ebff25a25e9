"""Lists that are followed live: which of their records came, changed and went, told from the log and one snapshot."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from crm_graph.access import Viewer, VisibilityScope, unscoped, visibility_scope, visible
from crm_graph.changelog import ChangeRow, Revision, log
from crm_graph.changelog.log import KEPT_VALUES
from crm_graph.database import in_array
from crm_graph.errors import ResyncRequired
from crm_graph.models import Action, Contact, Entity, Membership, ReportingLine, User, Workspace
from loaders.core.pages import Where
from loaders.live.visibility import (
    have_dependents,
    load_visibility_changes,
    load_visible_after,
    load_visible_before,
    reassigned,
)

MAX_MEMBERS = 5_000
"""The longest list whose members are kept in mind."""
MAX_DIFFERENCES = 500
"""How many records may come and go because of what their viewer may see, before it is easier to read the list anew."""
SIGN_IN_ACTIONS = {Action.SIGNED_IN, Action.SIGNED_OUT, Action.SIGN_IN_FAILED}
Members = set[str]
Dependencies = Mapping[type[Entity], set[str]]
"""The kinds of other records that a list's condition looks at, with the names of the columns."""
Unsettled = Callable[[AsyncSession, Viewer, Sequence[ChangeRow], Members | None], Awaitable[Sequence[ChangeRow]]]


@dataclass
class RecordEvent:
    """What became of a record: it is in the list as `record`, or None when it has left. `rows` are what the log says
    of it, none where only the sight of it has changed; `last` is the newest of those that brought it about."""

    model: type[Entity]
    record_id: str
    record: Any
    was_member: bool
    last: ChangeRow
    rows: Sequence[ChangeRow] = ()

    @property
    def actions(self) -> set[Action]:
        return {row.action for row in self.rows}

    @property
    def names(self) -> set[str]:
        """The fields that changed."""
        return {name for row in self.rows for name in row.names}


@dataclass(frozen=True)
class ListSource:
    """The records of one kind in a list.

    `where` is the condition on those that belong. `touched` says of a row about such a record, given the members as
    far as they are known, whether it may matter; `was` whether the record belonged, by the row's `before`. Without it,
    or where it answers None, a record belonged if it still does.
    """

    model: type[Entity]
    where: Where
    touched: Callable[[ChangeRow, Members | None], bool]
    was: Callable[[ChangeRow], bool | None] = lambda row: None

    def select(self, viewer: Viewer, *columns: Any) -> sa.Select[Any]:
        return sa.select(*columns).where(visible(self.model, viewer), self.where(self.model, viewer))


def everything(model: Any, viewer: Viewer) -> sa.ColumnElement[bool]:
    """The condition of a list of all records of a kind."""
    return sa.true()


async def never_invalidated(
    session: AsyncSession, viewer: Viewer, rows: Sequence[ChangeRow], members: Members | None
) -> Sequence[ChangeRow]:
    """What unsettles a list whose records come and go by what happens to them alone."""
    return []


def invalidated_by(reached: Dependencies) -> Unsettled:
    """What unsettles a list whose condition reaches other records: that such records come and go, and changes of their
    columns that it looks at, or that decide who sees them; and of accounts where contacts are reached, which follow
    them."""
    looked_at = {model.__name__: names for model, names in reached.items()}
    if Contact in reached:
        looked_at.setdefault("Account", set())

    def matters(row: ChangeRow) -> bool:
        if row.entity not in looked_at or row.action in SIGN_IN_ACTIONS:
            return False
        telling = looked_at[row.entity] | row.before.keys() | KEPT_VALUES
        return row.action is Action.CREATED or not telling.isdisjoint(row.names)

    async def unsettled(
        session: AsyncSession, viewer: Viewer, rows: Sequence[ChangeRow], members: Members | None
    ) -> Sequence[ChangeRow]:
        return [row for row in rows if matters(row)]

    return unsettled


@dataclass(frozen=True)
class LiveList:
    """A list of records of one or several kinds. `unsettled` answers which rows, given the members as far as they are
    known, may make records come or go that they are not about."""

    scopes: Sequence[ListSource]
    unsettled: Unsettled = never_invalidated
    by_entity: Mapping[str, ListSource] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_entity", {scope.model.__name__: scope for scope in self.scopes})

    async def members(self, session: AsyncSession, viewer: Viewer) -> Members | None:
        """The ids of the list's records; None where they are too many."""
        found: Members = set()
        for scope in self.scopes:
            statement = scope.select(viewer, scope.model.id).limit(MAX_MEMBERS + 1 - len(found))
            found.update(await session.scalars(statement))
            if len(found) > MAX_MEMBERS:
                return None
        return found

    def about(self, rows: Sequence[ChangeRow], members: Members | None) -> dict[str, list[ChangeRow]]:
        """The rows that may matter, by their record."""
        found: dict[str, list[ChangeRow]] = defaultdict(list)
        known = None if members is None else set(members)
        for row in rows:
            scope = self.by_entity.get(row.entity)
            if scope is not None and scope.touched(row, known):
                found[row.record_id].append(row)
                if known is not None:
                    known.add(row.record_id)  # parts of it may follow
        return found

    async def look(
        self, session: AsyncSession, viewer: Viewer, about: Mapping[str, Sequence[ChangeRow]], members: Members | None
    ) -> list[RecordEvent]:
        """What became of the records that rows are about, in the order of their last rows. Without `members` the log
        tells which of them were in the list, by what the viewer sees today."""
        found = []
        for scope in self.scopes:
            rows = {key: its for key, its in about.items() if its[0].entity == scope.model.__name__}
            if not rows:
                continue
            present = await self._load(session, viewer, scope, rows)
            known = rows.keys() & members if members is not None else await self._before(session, viewer, scope, rows)
            for key, its in rows.items():
                if key in present or key in known:
                    found.append(RecordEvent(scope.model, key, present.get(key), key in known, its[-1], its))
        return sorted(found, key=lambda each: each.last.revision)

    async def compare(
        self, session: AsyncSession, viewer: Viewer, before: Members, after: Members, cause: ChangeRow
    ) -> list[RecordEvent] | None:
        """Which records came and went between two states of the list; None where they are too many."""
        came, gone = after - before, before - after
        if len(came) + len(gone) > MAX_DIFFERENCES:
            return None
        found = []
        for scope in self.scopes:
            prefix = f"{scope.model.prefix}_"
            ids = [key for key in came if key.startswith(prefix)]
            present = await self._load(session, viewer, scope, ids) if ids else {}
            found += [RecordEvent(scope.model, key, present[key], False, cause) for key in sorted(present)]
            found += [
                RecordEvent(scope.model, key, None, True, cause) for key in sorted(gone) if key.startswith(prefix)
            ]
        return found

    async def _load(
        self, session: AsyncSession, viewer: Viewer, scope: ListSource, ids: Collection[str]
    ) -> dict[str, Entity]:
        statement = scope.select(viewer, scope.model).where(in_array(scope.model.id, list(ids)))
        return {record.id: record for record in await session.scalars(statement)}

    async def _before(
        self, session: AsyncSession, viewer: Viewer, scope: ListSource, rows: Mapping[str, Sequence[ChangeRow]]
    ) -> Collection[str]:
        first = [_telling(its) for its in rows.values() if its[0].existed]
        unsure = [row.record_id for row in first if scope.was(row) is None]
        still = set(await session.scalars(self._still(viewer, scope, unsure))) if unsure else set()
        first = [row for row in first if scope.was(row) or row.record_id in still]
        seen = await load_visible_before(session, viewer, scope.model, first)
        return {row.record_id for row in first if row.revision in seen}

    def _still(self, viewer: Viewer, scope: ListSource, ids: Sequence[str]) -> sa.Select[Any]:
        model = scope.model
        return sa.select(model.id).where(
            unscoped(model, "what went out of sight is told by its id alone, to those who saw it"),
            model.workspace_id == viewer.workspace_id,
            scope.where(model, viewer),
            in_array(model.id, ids),
        )


def _telling(rows: Sequence[ChangeRow]) -> ChangeRow:
    """The row that tells where a record belonged before all of these, which are about it."""
    return next((row for row in rows if "links" in row.values), rows[0])


@dataclass(frozen=True)
class LiveChangeLog:
    """The log itself, row for row, of records of these kinds, as far as the viewer sees them or saw them until then."""

    models: Mapping[str, type[Entity]]

    async def unsettled(
        self, session: AsyncSession, viewer: Viewer, rows: Sequence[ChangeRow], members: Members | None
    ) -> Sequence[ChangeRow]:
        """The rows by which records came into sight, or went, along with those that they are about."""
        moved = reassigned(rows, viewer)
        shown = await load_visibility_changes(session, viewer, moved) if moved else set()
        if not shown or not await have_dependents(session, viewer, shown, [*self.models.values()]):
            return []
        return [row for row in moved if row.record_id in shown]

    async def members(self, session: AsyncSession, viewer: Viewer) -> None:
        """Not kept in mind: there are too many."""

    async def compare(
        self, session: AsyncSession, viewer: Viewer, before: Members, after: Members, cause: ChangeRow
    ) -> None:
        """Nothing to compare."""

    def about(self, rows: Sequence[ChangeRow], members: Members | None) -> dict[str, list[ChangeRow]]:
        found: dict[str, list[ChangeRow]] = defaultdict(list)
        for row in rows:
            if row.entity in self.models and row.action not in SIGN_IN_ACTIONS:
                found[row.record_id].append(row)
        return found

    async def look(
        self, session: AsyncSession, viewer: Viewer, about: Mapping[str, Sequence[ChangeRow]], members: Members | None
    ) -> list[RecordEvent]:
        """One occurrence a row, in their order; of a record that the viewer saw until then, but sees no more, without
        the record."""
        found = []
        by_entity: dict[str, list[str]] = defaultdict(list)
        for key, rows in about.items():
            by_entity[rows[0].entity].append(key)
        for entity, keys in by_entity.items():
            model = self.models[entity]
            records = await session.scalars(sa.select(model).where(visible(model, viewer), in_array(model.id, keys)))
            present = {record.id: record for record in records}
            lost = [row for key in keys if key not in present for row in about[key]]
            came = [row for row in lost if row.action in {Action.CREATED, Action.RESTORED}]
            seen = await load_visible_before(session, viewer, model, [row for row in lost if row.existed])
            seen |= await load_visible_after(session, viewer, model, came)
            for key in keys:
                for row in about[key]:
                    if key in present or row.revision in seen:
                        found.append(RecordEvent(model, key, present.get(key), row.existed, row, (row,)))
        return sorted(found, key=lambda each: each.last.revision)


async def load_viewers(
    session: AsyncSession, viewer: Viewer, user_ids: Collection[str]
) -> tuple[dict[str, Viewer], Revision | None]:
    """What users of the viewer's workspace may see now, and where its log stands. Those who may no longer sign in are
    left out; without any there is no revision."""
    statement = (
        sa.select(User, Workspace)
        .join(Workspace, Workspace.id == User.workspace_id)
        .where(visible(User, viewer), in_array(User.id, list(user_ids)), User.active)
    )
    viewers, at = {}, None
    for user, workspace in await session.execute(statement):
        viewers[user.id] = Viewer.of(workspace, user, f"user:{user.id}")
        at = Revision(workspace.epoch, workspace.revision)
    return viewers, at


@dataclass(frozen=True)
class Audience:
    """Who sees the records of owners and of teams where these are private, by their ids. Admins see them anyway."""

    of_owner: Mapping[str, set[str]]
    of_team: Mapping[str, set[str]]

    def has(self, user_id: str, row: ChangeRow) -> bool:
        """Whether the user sees the record as the row leaves it."""
        owner, team = row.after.get("owner_id"), row.after.get("team_id")
        return user_id in self.of_owner.get(owner or "", ()) or user_id in self.of_team.get(team or "", ())


async def load_audience(session: AsyncSession, viewer: Viewer, rows: Sequence[ChangeRow]) -> Audience:
    """Who of the viewer's workspace sees what these rows leave: the gate's rule, read the other way round, so that a
    change of a private record is looked up only for those whom it concerns."""
    of_owner: dict[str, set[str]] = defaultdict(set)
    of_team: dict[str, set[str]] = defaultdict(set)
    owners = {key for row in rows if (key := row.after.get("owner_id"))}
    teams = {key for row in rows if (key := row.after.get("team_id"))}
    above = sa.select(ReportingLine.user_id, ReportingLine.manager_id).where(
        ReportingLine.workspace_id == viewer.workspace_id, in_array(ReportingLine.user_id, list(owners))
    )
    inside = sa.select(Membership.team_id, Membership.user_id).where(
        visible(Membership, viewer), in_array(Membership.team_id, list(teams))
    )
    for found, statement, wanted in ((of_owner, above, owners), (of_team, inside, teams)):
        for key, user_id in await session.execute(statement) if wanted else ():
            found[key].add(user_id)
    return Audience(of_owner, of_team)


def moving_rows(rows: Sequence[ChangeRow], sight: VisibilityScope, user_ids: Collection[str | None]) -> list[ChangeRow]:
    """The rows that may change what these users, who have this sight, see of other records."""
    personal = sight.user_id is not None
    found = []
    for row in rows:
        if not row.affects_visibility:
            continue
        joins = row.entity == "Membership" and {row.before.get("user_id"), row.after.get("user_id")} & set(user_ids)
        reports = row.entity == "User" and "manager_id" in row.names
        itself = row.record_id in user_ids and row.names != ("manager_id",)
        defaults = row.entity == "Workspace" and not sight.sees_everything
        if itself or defaults or (personal and (joins or reports)):
            found.append(row)
    return found


async def load_log(
    session: AsyncSession,
    viewer: Viewer,
    ledger: LiveChangeLog,
    after: Revision | None,
    first: int,
    retention: dt.timedelta,
) -> tuple[list[RecordEvent], Revision, bool]:
    """At most `first` rows of the log after a revision, those among them that concern the viewer, where he then stands,
    and whether that is all. Without a revision: from now on, which is nothing.

    Raises ResyncRequired.
    """
    end = await log.current_revision(session, viewer.workspace_id)
    if after is None:
        return [], end, True
    await log.require_replayable(session, viewer.workspace_id, after, end, retention)
    rows = await log.read(session, viewer.workspace_id, after.number, end.number, first)
    sight = visibility_scope(viewer, ledger.models.values())
    if moving_rows(rows, sight, {viewer.user_id}) or await ledger.unsettled(session, viewer, rows, None):
        raise ResyncRequired("What you may see has changed. Read everything again.", str(end))
    at = rows[-1].revision if rows else end.number
    about = ledger.about(rows, None)
    return await ledger.look(session, viewer, about, None), Revision(end.epoch, at), at == end.number
