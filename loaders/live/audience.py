"""The users whom a change concerns: their current rights, and the rows of the change log that alter these."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from crm_graph.access import Viewer, VisibilityScope, is_private, visible
from crm_graph.changelog import ChangeRow, Revision
from crm_graph.database import in_array
from crm_graph.models import Membership, ReportingLine, User, Workspace


async def load_viewers(
    session: AsyncSession, viewer: Viewer, user_ids: Collection[str]
) -> tuple[dict[str, Viewer], Revision | None]:
    """Viewers for users of the viewer's workspace, by id, and the revision of the workspace.

    Users who may no longer sign in are left out. Without any user the revision is None.
    """
    statement = (
        sa.select(User, Workspace)
        .join(Workspace, Workspace.id == User.workspace_id)
        .where(visible(User, viewer), in_array(User.id, list(user_ids)), User.active)
    )
    viewers: dict[str, Viewer] = {}
    revision = None
    for user, workspace in await session.execute(statement):
        viewers[user.id] = Viewer.of(workspace, user, f"user:{user.id}")
        revision = Revision(workspace.epoch, workspace.revision)
    return viewers, revision


@dataclass(frozen=True)
class Audience:
    """The ids of the users who see private records, by the records' owner and team. Admins see all records and are not
    listed."""

    by_owner: Mapping[str, set[str]]
    by_team: Mapping[str, set[str]]

    def includes(self, viewer: Viewer, row: ChangeRow) -> bool:
        """True if the viewer may see the record after this row."""
        if not is_private(viewer, row.entity):
            return True
        owner, team, user_id = row.after.get("owner_id"), row.after.get("team_id"), viewer.user_id or ""
        return user_id in self.by_owner.get(owner or "", ()) or user_id in self.by_team.get(team or "", ())


async def load_audience(session: AsyncSession, viewer: Viewer, rows: Sequence[ChangeRow]) -> Audience:
    """The users of the viewer's workspace who see the records of these rows.

    It inverts the policy `OwnerAndTeam` by hand: a change of a private record is resolved only for users who may see
    it. If that policy changes, change this function as well.
    """
    owners = {key for row in rows if (key := row.after.get("owner_id"))}
    teams = {key for row in rows if (key := row.after.get("team_id"))}
    managers = sa.select(ReportingLine.user_id, ReportingLine.manager_id).where(
        ReportingLine.workspace_id == viewer.workspace_id, in_array(ReportingLine.user_id, list(owners))
    )
    members = sa.select(Membership.team_id, Membership.user_id).where(
        visible(Membership, viewer), in_array(Membership.team_id, list(teams))
    )
    by_owner: dict[str, set[str]] = defaultdict(set)
    by_team: dict[str, set[str]] = defaultdict(set)
    for found, statement, wanted in ((by_owner, managers, owners), (by_team, members, teams)):
        for key, user_id in await session.execute(statement) if wanted else ():
            found[key].add(user_id)
    return Audience(by_owner, by_team)


def access_changes(
    rows: Sequence[ChangeRow], scope: VisibilityScope, user_ids: Collection[str | None]
) -> list[ChangeRow]:
    """The rows that may change which other records these users, who share a scope, see."""
    depends_on_user = scope.user_id is not None
    found = []
    for row in rows:
        if not row.affects_visibility:
            continue
        joins = row.entity == "Membership" and {row.before.get("user_id"), row.after.get("user_id")} & set(user_ids)
        reports = row.entity == "User" and "manager_id" in row.names
        own_rights = row.record_id in user_ids and row.names != ("manager_id",)
        defaults = row.entity == "Workspace" and not scope.sees_everything
        if own_rights or defaults or (depends_on_user and (joins or reports)):
            found.append(row)
    return found
