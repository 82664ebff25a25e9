"""The visibility defaults of a workspace, stored as {entity: visibility}; an entity that is not named is PUBLIC."""

from __future__ import annotations

import re
from collections.abc import Mapping

import sqlalchemy as sa

from crm_graph.models import ENTITIES, Entity, Visibility, types
from crm_graph.models.policies import WorkspaceDefault


def _has_default(kind: type[Entity]) -> bool:
    parts = [*kind.read_policy.parts(), *kind.edit_policy.parts()]
    return any(isinstance(each, WorkspaceDefault) for each in parts)


DEFAULT_FIELDS: Mapping[str, str] = {
    name: f"{re.sub(r'(?<!^)(?=[A-Z])', '_', name).lower()}_visibility"
    for name, kind in ENTITIES.items()
    if _has_default(kind)
}
"""The entities that have a default, and the names of the defaults in the change log and the API: {"Case":
"case_visibility"}."""


def complete(stored: Mapping[str, str]) -> dict[str, Visibility]:
    """The defaults of all entities that have one."""
    return {entity: Visibility(stored.get(entity, Visibility.PUBLIC)) for entity in DEFAULT_FIELDS}


def default_column(stored: sa.ColumnElement[object], entity: str) -> sa.ColumnElement[Visibility]:
    """One entity's default, given the column of all."""
    value = stored.op("->>", return_type=sa.String())(sa.literal_column(f"'{entity}'"))
    return sa.func.coalesce(value, sa.literal_column(f"'{Visibility.PUBLIC}'"), type_=types.Enum(Visibility))
