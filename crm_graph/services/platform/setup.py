"""Functions that need no viewer: new workspaces, and lookups for the command line."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from typeid import TypeID

from crm_graph import records
from crm_graph.access import Viewer, visible
from crm_graph.auth import passwords
from crm_graph.changelog import ChangeLog
from crm_graph.errors import Invalid, NotFound, Required
from crm_graph.models import Role, User, Workspace
from crm_graph.services.platform import users

SYSTEM = "system:cli"


async def create_workspace(
    changelog: ChangeLog, *, name: str, currency: str, user_name: str, email: str, password: str
) -> tuple[str, str]:
    """Create a workspace with its first admin. Returns both ids. Raises Invalid, Required, Duplicate."""
    workspace = new_workspace(name, currency)
    try:
        password_hash = await passwords.hashed(password)
    except Invalid as error:
        raise error.prefixed("password") from None
    viewer = Viewer.of(workspace, None, SYSTEM)
    async with changelog.transaction(viewer, "createWorkspace") as session:
        session.add(workspace)
        await session.flush()
        values = {"name": user_name, "email": email, "role": Role.ADMIN}
        user = await users.create(session, viewer, values=values)
        user.password_hash = password_hash
    return workspace.id, user.id


def new_workspace(name: str, currency: str = "USD") -> Workspace:
    """A workspace that is not stored yet, enough for a viewer. Raises Invalid, Required."""
    cleaned = records.clean(Workspace, {"name": name, "currency": currency})
    key = {"id": str(TypeID(prefix=Workspace.prefix)), "epoch": str(TypeID())}
    return Workspace(**key, **cleaned, visibility_defaults={})


async def find_workspace(session: AsyncSession, wanted: str | None) -> Workspace:
    """Find a workspace by id or name; None stands for the only one. Raises NotFound, Required."""
    statement = sa.select(Workspace).order_by(Workspace.created_at, Workspace.id)
    if wanted is not None:
        statement = statement.where(sa.or_(Workspace.id == wanted, Workspace.name == wanted))
    found = (await session.scalars(statement)).all()
    if not found:
        what = "workspace yet. Make one: crm-graph workspace create" if wanted is None else f"workspace {wanted!r}."
        raise NotFound(f"There is no {what}", "workspace")
    if len(found) > 1:
        choice = ", ".join(f"{each.id} ({each.name})" for each in found)
        raise Required(f"There are several workspaces. Give the id of one: {choice}.", "workspace")
    return found[0]


async def find_user(session: AsyncSession, workspace: Workspace, email: str) -> Viewer:
    """Viewer for the active user with an email. Raises NotFound, Invalid, Required."""
    cleaned = records.clean(User, {"email": email})
    system = Viewer.of(workspace, None, SYSTEM)
    user = await session.scalar(
        sa.select(User).where(visible(User, system), User.email == cleaned["email"], User.active)
    )
    if user is None:
        raise NotFound(f"There is no active user with the email {email} in {workspace.name}.", "email")
    return Viewer.of(workspace, user, SYSTEM)
