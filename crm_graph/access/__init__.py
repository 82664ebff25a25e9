"""Who may see and change which record."""

from __future__ import annotations

from crm_graph.access.visibility import (
    ALLOWED,
    ASSIGNED,
    DEFAULTS,
    PERSONAL,
    Permission,
    Sight,
    Viewer,
    editable,
    is_private,
    require,
    saw,
    sight_of,
    unscoped,
    visible,
    visible_totals,
)

__all__ = [
    "ALLOWED",
    "ASSIGNED",
    "DEFAULTS",
    "PERSONAL",
    "Permission",
    "Sight",
    "Viewer",
    "editable",
    "is_private",
    "require",
    "saw",
    "sight_of",
    "unscoped",
    "visible",
    "visible_totals",
]
