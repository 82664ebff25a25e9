"""Reading records for those who only look at them, with statements that are built once."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from crm_graph.access import Viewer
from crm_graph.models import Entity, Role, Visibility
from loaders.compiled.statement import ids_of, pattern

E = TypeVar("E", bound=Entity)


class Rules(NamedTuple):
    """What of a viewer decides the statements that he reads by; his ids are their parameters."""

    role: Role
    is_system: bool
    defaults: tuple[tuple[str, Visibility], ...]

    @classmethod
    def of(cls, viewer: Viewer) -> Rules:
        return cls(viewer.role, viewer.user_id is None, tuple(viewer.defaults.items()))


@functools.lru_cache(maxsize=100)
def pattern_of(rules: Rules) -> Viewer:
    """The one who stands for all viewers with these rules, so that the conditions of the gate are built once."""
    return pattern(Viewer("", None if rules.is_system else "", rules.role, "", "", "", dict(rules.defaults)))


async def execute(
    session: AsyncSession, viewer: Viewer, statement: sa.Select[*tuple[Any, ...]], **values: Any
) -> Sequence[sa.Row[*tuple[Any, ...]]]:
    """The rows of a statement that was built for a viewer's rules, or for himself: without the ORM, which would keep
    each row to notice changes that nobody makes here."""
    connection = await session.connection()
    return (await connection.execute(statement, {**ids_of(viewer), **values})).all()


@functools.cache
def columns_of(model: type[Entity]) -> tuple[Any, ...]:
    """What has to be selected for a record."""
    return tuple(getattr(model, name) for name in _names(model))


def record_of(model: type[E], row: Iterable[Any]) -> E:
    """The record in a row that begins with the columns of its model. It is to be looked at only: there is no session
    that would notice a change."""
    record = model.__new__(model)
    vars(record).update(zip(_names(model), row, strict=False))  # what follows in the row is not the record's
    return record


@functools.cache
def _names(model: type[Entity]) -> tuple[str, ...]:
    return tuple(sa.inspect(model).column_attrs.keys())
