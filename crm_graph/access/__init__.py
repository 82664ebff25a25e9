"""Access control: visibility and permissions of records.

The models declare policies (`crm_graph.models.policies`); `policies` turns them into SQL; `visibility` applies them to
statements; `roles` decides what a role allows.
"""

from __future__ import annotations

from crm_graph.access.defaults import DEFAULT_FIELDS, default_column
from crm_graph.access.policies import INHERITED, VISIBILITY_SOURCES, inherits_from
from crm_graph.access.roles import ALLOWED, Permission, require
from crm_graph.access.viewer import Viewer
from crm_graph.access.visibility import (
    VisibilityScope,
    editable,
    is_private,
    unscoped,
    visibility_scope,
    visible,
    visible_totals,
    was_visible,
)

__all__ = [
    "ALLOWED",
    "DEFAULT_FIELDS",
    "INHERITED",
    "VISIBILITY_SOURCES",
    "Permission",
    "Viewer",
    "VisibilityScope",
    "default_column",
    "editable",
    "inherits_from",
    "is_private",
    "require",
    "unscoped",
    "visibility_scope",
    "visible",
    "visible_totals",
    "was_visible",
]
