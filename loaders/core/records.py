"""Reading records without the ORM, with cached statements."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from crm_graph.access import Viewer
from crm_graph.models import Entity, Role, Visibility
from loaders.sql_json.statement import placeholder_viewer, viewer_parameters


class AccessProfile(NamedTuple):
    """The rights of a viewer on which statements depend. Viewers with equal profiles share statements; their ids are
    parameters."""

    role: Role
    is_system: bool
    defaults: tuple[tuple[str, Visibility], ...]

    @classmethod
    def of(cls, viewer: Viewer) -> AccessProfile:
        return cls(viewer.role, viewer.user_id is None, tuple(viewer.defaults.items()))


@functools.lru_cache(maxsize=100)
def profile_viewer(profile: AccessProfile) -> Viewer:
    """The viewer for whom the statements of a profile are built."""
    return placeholder_viewer(
        Viewer("", None if profile.is_system else "", profile.role, "", "", "", dict(profile.defaults))
    )


async def execute(
    session: AsyncSession, viewer: Viewer, statement: sa.Executable, **values: object
) -> Sequence[sa.Row[*tuple[Any, ...]]]:
    """The rows of a statement that was built for the viewer or for the viewer's profile."""
    connection = await session.connection()
    return (await connection.execute(statement, {**viewer_parameters(viewer), **values})).all()


@functools.cache
def columns_of(model: type[Entity]) -> tuple[sa.SQLColumnExpression[object], ...]:
    """The columns to select for a record."""
    return tuple(getattr(model, name) for name in names_of(model))


@functools.cache
def names_of(model: type[Entity]) -> tuple[str, ...]:
    """The names of these columns."""
    return tuple(sa.inspect(model).column_attrs.keys())
