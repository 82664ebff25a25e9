"""Users, teams and reporting lines.

Managers and admins manage users. Only admins manage admins, and a workspace keeps at least one active admin.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from crm_graph import auth, models, records
from crm_graph.access import Permission, Viewer, require, unscoped, visible
from crm_graph.auth import passwords
from crm_graph.changelog import ChangeLog, advance, journal_of
from crm_graph.database.prepared import insert_many
from crm_graph.errors import Duplicate, Forbidden, Invalid, NotFound
from crm_graph.models import Entity, Membership, ReportingLine, Role, Team, User, now
from crm_graph.records import Values
from crm_graph.records.import_rules import ImportRules, Row, blank


async def create(session: AsyncSession, viewer: Viewer, *, values: Values) -> User:
    """Raises Forbidden, Invalid, Required, NotFound, Duplicate."""
    require(viewer, Permission.USERS)
    check_role(viewer, values.get("role"))
    user = await records.create(session, viewer, User, values=values)
    await _check_email(session, viewer, user)
    await session.flush()
    await _lock(session, viewer)
    await session.execute(sa.insert(ReportingLine), [_line(viewer, user.id, user.id, 0)])
    await _attach(session, viewer, user)
    await _join_home(session, viewer, user)
    return user


async def update(
    session: AsyncSession, viewer: Viewer, *, id: str, values: Values, expected_version: int | None
) -> User:
    """Update a user. A user who becomes inactive is signed out.

    Raises NotFound, Forbidden, Conflict, Invalid, Required, Duplicate.
    """
    user = await _find(session, viewer, id)
    records.check_version(user, expected_version)
    check_role(viewer, values.get("role"))
    manager_id, team_id, was_admin = user.manager_id, user.team_id, _is_acting_admin(user)
    await records.assign(session, viewer, user, values)
    await _check_email(session, viewer, user)
    if was_admin and not _is_acting_admin(user):
        await _check_admin_stays(session, viewer, user, "active" if user.role is Role.ADMIN else "role")
    if user.manager_id != manager_id:
        await _lock(session, viewer)
        await records.check_acyclic(session, viewer, User, user.id, user.manager_id, "manager_id")
        await _detach(session, viewer, user)
        await _attach(session, viewer, user)
    if user.team_id != team_id:
        await _leave(session, viewer, user, team_id)
        await _join_home(session, viewer, user)
    if not user.active:
        await auth.end_sessions(session, viewer, user.id)
    return user


async def delete(session: AsyncSession, viewer: Viewer, *, id: str, expected_version: int | None) -> User:
    """Delete a user and end their sessions and tokens. They still own their records.

    Raises NotFound, Forbidden, Conflict.
    """
    user = await _find(session, viewer, id)
    records.check_version(user, expected_version)
    if _is_acting_admin(user):
        await _check_admin_stays(session, viewer, user, "id")
    user.deleted_at = now()
    await auth.end_sessions(session, viewer, user.id)
    await auth.revoke_tokens(session, viewer, user.id)
    return user


async def restore(session: AsyncSession, viewer: Viewer, *, id: str, expected_version: int | None) -> User:
    """Raises NotFound, Forbidden, Conflict."""
    user = await _find(session, viewer, id, deleted=True)
    records.check_version(user, expected_version)
    user.deleted_at = None
    return user


async def set_password(changelog: ChangeLog, viewer: Viewer, *, user_id: str, password: str) -> int:
    """Set another user's password and end their sessions. Returns the revision. For your own, see `change_password`.

    Raises NotFound, Forbidden, Invalid, Required, Conflict.
    """
    require(viewer, Permission.USERS)
    if user_id == viewer.user_id:
        raise Forbidden("Change your own password with changePassword.", "user_id")
    try:
        password_hash = await passwords.hashed(password)
    except Invalid as error:
        raise error.prefixed("password") from None
    async with changelog.transaction(viewer, "setPassword") as session:
        user = await _find(session, viewer, user_id, field="user_id")
        user.password_hash = password_hash
        await auth.end_sessions(session, viewer, user.id)
        return await advance(session)


# Teams


async def create_team(session: AsyncSession, viewer: Viewer, *, values: Values) -> Team:
    """Raises Forbidden, Invalid, Required, Duplicate."""
    require(viewer, Permission.USERS)
    return await records.create(session, viewer, Team, values=values)


async def update_team(
    session: AsyncSession, viewer: Viewer, *, id: str, values: Values, expected_version: int | None
) -> Team:
    """Raises NotFound, Forbidden, Conflict, Invalid, Required, Duplicate."""
    require(viewer, Permission.USERS)
    return await records.update(session, viewer, Team, id=id, values=values, expected_version=expected_version)


async def delete_team(session: AsyncSession, viewer: Viewer, *, id: str, expected_version: int | None) -> Team:
    """Delete a team and its memberships. Raises NotFound, Forbidden, Conflict; Invalid for a user's home team."""
    require(viewer, Permission.USERS)
    team = await records.delete(session, viewer, Team, id=id, expected_version=expected_version)
    at_home = sa.select(User.id).where(visible(User, viewer), User.team_id == team.id).limit(1)
    if await session.scalar(at_home) is not None:
        raise Invalid("This is the home team of users. Give them another first.", "id")
    members = sa.select(Membership).where(visible(Membership, viewer), Membership.team_id == team.id)
    for membership in await session.scalars(members):
        membership.deleted_at = team.deleted_at
    return team


async def restore_team(session: AsyncSession, viewer: Viewer, *, id: str, expected_version: int | None) -> Team:
    """Restore a team and the memberships that were deleted with it. Raises NotFound, Forbidden, Conflict."""
    require(viewer, Permission.USERS)
    team = await records.find(session, viewer, Team, id, to=Permission.USERS, deleted=True)
    ended_with_it = sa.select(Membership).where(
        visible(Membership, viewer, deleted=True),
        Membership.team_id == team.id,
        Membership.deleted_at == team.deleted_at,
    )
    members = (await session.scalars(ended_with_it)).all() if team.deleted_at else []
    records.check_version(team, expected_version)
    for record in (team, *members):
        record.deleted_at = None
    return team


async def add_member(session: AsyncSession, viewer: Viewer, *, team_id: str, user_id: str) -> dict[str, str]:
    """Returns {team_id, user_id}. Raises Forbidden, NotFound; Duplicate for a member."""
    team, user, membership = await _membership(session, viewer, team_id, user_id)
    if membership is not None and membership.deleted_at is None:
        raise Duplicate("This user is already in the team.", "user_id")
    _join(session, viewer, user, team.id, membership)
    return {"team_id": team.id, "user_id": user.id}


async def remove_member(session: AsyncSession, viewer: Viewer, *, team_id: str, user_id: str) -> dict[str, str]:
    """Returns {team_id, user_id}. Raises Forbidden, NotFound; Invalid for the user's home team."""
    team, user, membership = await _membership(session, viewer, team_id, user_id)
    if membership is None or membership.deleted_at is not None:
        raise NotFound("This user is not in the team.", "user_id")
    if user.team_id == team.id:
        raise Invalid("This is the user's home team. Change their home team first.", "user_id")
    membership.deleted_at = now()
    return {"team_id": team.id, "user_id": user.id}


# Reporting lines


async def rebuild_reporting_lines(session: AsyncSession, viewer: Viewer) -> None:
    """Rebuild the closure of managers for all users of the workspace, as after an import.

    Raises Invalid about `manager_id` for a cycle of managers.
    """
    await session.flush()
    await _lock(session, viewer)
    users = sa.select(User.id, User.manager_id).where(
        unscoped(User, "deleted users stay in the chain"), User.workspace_id == viewer.workspace_id
    )
    managers = {row.id: row.manager_id for row in await session.execute(users)}
    rows = [_line(viewer, above, user_id, depth) for user_id in managers for above, depth in _chain(managers, user_id)]
    await session.execute(sa.delete(ReportingLine).where(ReportingLine.workspace_id == viewer.workspace_id))
    if rows:
        await session.execute(sa.insert(ReportingLine), rows)


def _chain(managers: Mapping[str, str | None], user_id: str) -> Iterator[tuple[str, int]]:
    """Yield a user and everybody above, each with the number of steps between."""
    above: str | None = user_id
    depth = 0
    while above is not None:
        yield above, depth
        above, depth = managers[above], depth + 1
        if depth > len(managers):
            raise Invalid("The managers form a cycle.", "manager_id")


def _line(viewer: Viewer, manager_id: str, user_id: str, depth: int) -> dict[str, str | int]:
    return {"workspace_id": viewer.workspace_id, "manager_id": manager_id, "user_id": user_id, "depth": depth}


async def _detach(session: AsyncSession, viewer: Viewer, user: User) -> None:
    """Remove the lines from a user, and from everybody below, to everybody above."""
    below = sa.select(ReportingLine.user_id).where(
        ReportingLine.workspace_id == viewer.workspace_id, ReportingLine.manager_id == user.id
    )
    lines = sa.delete(ReportingLine).where(
        ReportingLine.workspace_id == viewer.workspace_id,
        ReportingLine.user_id.in_(below),
        ReportingLine.manager_id.not_in(below),
    )
    await session.execute(lines, execution_options={"synchronize_session": False})


async def _attach(session: AsyncSession, viewer: Viewer, user: User) -> None:
    """Add the lines from a user, and from everybody below, to the manager and everybody above."""
    if user.manager_id is None:
        return
    above, below = aliased(ReportingLine), aliased(ReportingLine)
    lines = sa.select(
        below.workspace_id, above.manager_id, below.user_id, (above.depth + below.depth + 1).label("depth")
    ).where(
        above.workspace_id == viewer.workspace_id,
        above.user_id == user.manager_id,
        below.workspace_id == above.workspace_id,
        below.manager_id == user.id,
    )
    await session.execute(
        sa.insert(ReportingLine).from_select(["workspace_id", "manager_id", "user_id", "depth"], lines)
    )


async def _lock(session: AsyncSession, viewer: Viewer) -> None:
    """Serialize changes of managers and of admins: two concurrent ones could break a rule that each alone keeps."""
    workspace = models.Workspace
    await session.execute(
        sa.select(workspace.id).where(workspace.id == viewer.workspace_id).with_for_update(key_share=True)
    )


# Rules


async def _find(
    session: AsyncSession, viewer: Viewer, user_id: str, *, deleted: bool = False, field: str = "id"
) -> User:
    """Return a user whom the viewer may manage. Raises Forbidden, NotFound."""
    require(viewer, Permission.USERS)
    user = await records.find(session, viewer, User, user_id, to=Permission.USERS, deleted=deleted, field=field)
    check_role(viewer, user.role)
    return user


def check_role(viewer: Viewer, role: Role | None, field: str | None = None) -> None:
    """Raises Forbidden about `field` for the role of an admin, unless the viewer is an admin."""
    if role == Role.ADMIN and viewer.role != Role.ADMIN:
        raise Forbidden("Only an admin may create or change an admin.", field)


def _is_acting_admin(user: User) -> bool:
    return user.role is Role.ADMIN and user.active and user.deleted_at is None


async def _check_admin_stays(session: AsyncSession, viewer: Viewer, user: User, field: str) -> None:
    await _lock(session, viewer)
    others = sa.select(User.id).where(visible(User, viewer), User.role == Role.ADMIN, User.active, User.id != user.id)
    if await session.scalar(others.limit(1)) is None:
        raise Forbidden("This is the last active admin. Create another one first.", field)


async def _check_email(session: AsyncSession, viewer: Viewer, user: User) -> None:
    if user.email is None:
        return
    taken = (
        sa.select(User.id)
        .where(unscoped(User, "an email is taken by deleted users too"))
        .where(User.workspace_id == viewer.workspace_id, User.email == user.email, User.id != user.id)
    )
    if await session.scalar(taken) is not None:
        raise Duplicate("Another user has this email.", "email")


async def _leave(session: AsyncSession, viewer: Viewer, user: User, team_id: str | None) -> None:
    """End the membership of a former home team, so that the user no longer sees its records."""
    membership = team_id and await _place(session, viewer, team_id, user.id)
    if membership:
        membership.deleted_at = membership.deleted_at or now()


async def _join_home(session: AsyncSession, viewer: Viewer, user: User) -> None:
    """Make a user a member of their home team."""
    if user.team_id is None:
        return
    membership = await _place(session, viewer, user.team_id, user.id)
    if membership is None or membership.deleted_at is not None:
        _join(session, viewer, user, user.team_id, membership)


def _join(session: AsyncSession, viewer: Viewer, user: User, team_id: str, ended: Membership | None) -> None:
    if ended is not None:
        ended.deleted_at = None
        return
    session.add(Membership(workspace_id=viewer.workspace_id, id=Membership.new_id(), team_id=team_id, user_id=user.id))


async def _membership(
    session: AsyncSession, viewer: Viewer, team_id: str, user_id: str
) -> tuple[Team, User, Membership | None]:
    require(viewer, Permission.USERS)
    team = await records.find(session, viewer, Team, team_id, field="team_id")
    user = await records.find(session, viewer, User, user_id, field="user_id")
    return team, user, await _place(session, viewer, team.id, user.id)


async def _place(session: AsyncSession, viewer: Viewer, team_id: str, user_id: str) -> Membership | None:
    """A user's membership of a team, deleted or not."""
    return await session.scalar(
        sa.select(Membership).where(
            visible(Membership, viewer, deleted=True), Membership.team_id == team_id, Membership.user_id == user_id
        )
    )


class UserImport(ImportRules[User]):
    model = User
    changed_lines = False

    def complete(self, user: User, given: Values) -> None:
        check_role(self.viewer, user.role, "role")

    async def after_insert(self, rows: Sequence[Row], pending: Mapping[type[Entity], Mapping[str, Row]]) -> None:
        """Make new users members of their home teams, unless other rows do."""
        self.changed_lines = True
        named = {(each["user_id"], each["team_id"]) for each in pending.get(Membership, {}).values()}
        memberships = []
        for row in rows:
            if row["team_id"] is not None and (row["id"], row["team_id"]) not in named:
                key = {"workspace_id": self.viewer.workspace_id, "id": Membership.new_id()}
                link = {"user_id": row["id"], "team_id": row["team_id"]}
                memberships.append({**blank(Membership, self.moment), **key, **link})
                self.index.add(Membership, key["id"], memberships[-1])
        if memberships:
            await insert_many(self.session, Membership, memberships)
            journal_of(self.session).add_packed(Membership, memberships)

    async def change(self, user: User, changed: Row, given: Values) -> bool:
        await update(self.session, self.viewer, id=user.id, values=changed, expected_version=None)
        await self.session.flush()
        return True

    async def finish(self) -> None:
        if self.changed_lines:
            await rebuild_reporting_lines(self.session, self.viewer)
