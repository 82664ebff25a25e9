"""What activities are about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from crm_graph.access import Viewer
from crm_graph.db import among
from crm_graph.models import Activity, ActivityLink
from loaders.pages import Relation


def activities_of(target: str) -> Relation:
    """The activities that are linked to a record by column `target` of the links."""

    def pairs(viewer: Viewer, ids: Sequence[str]) -> sa.Select[Any, Any]:
        key = ActivityLink.__table__.columns[target]
        return sa.select(key, ActivityLink.activity_id).where(
            ActivityLink.workspace_id == viewer.workspace_id, among(key, ids)
        )

    return Relation(Activity, pairs=pairs)
