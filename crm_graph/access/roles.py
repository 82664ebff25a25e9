"""Permissions of the roles."""

from __future__ import annotations

import enum
from collections.abc import Mapping

from crm_graph.access.viewer import Viewer
from crm_graph.errors import Forbidden
from crm_graph.models import Role


class Permission(enum.StrEnum):
    """A permission of a role. EDIT and DELETE also depend on the record's `edit_policy`: see `editable`."""

    CREATE = "CREATE"
    EDIT = "EDIT"
    DELETE = "DELETE"
    IMPORT = "IMPORT"
    SETTINGS = "SETTINGS"
    USERS = "USERS"


ALLOWED: Mapping[Role, frozenset[Permission]] = {
    Role.ADMIN: frozenset(Permission),
    Role.MANAGER: frozenset(Permission),
    Role.REP: frozenset({Permission.CREATE, Permission.EDIT}),
    Role.READ_ONLY: frozenset(),
}


def require(viewer: Viewer, permission: Permission, *, editable: bool = True) -> None:
    """Raises Forbidden unless the viewer's role has the permission and, for an existing record, it is `editable`."""
    if permission not in ALLOWED[viewer.role]:
        raise Forbidden(f"Your role {viewer.role} does not allow this.")
    if not editable:
        raise Forbidden("Only its owner, the owner's managers and team, and an admin may change this record.")
