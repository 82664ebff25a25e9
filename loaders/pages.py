"""Keyset pages: of one list, and of many lists at once, a list a parent, in one statement.

A page starts after (or ends before) a cursor, which holds the order's values of a row. So it is stable while rows come
and go, needs no offset, and nulls have their place in it like any value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from crm_graph.access import Viewer, visible
from crm_graph.db import among, fold
from crm_graph.errors import BadUserInput
from crm_graph.models import Entity
from crm_graph.models.types import Enum, Text
from loaders.cursors import decode, encode

LARGEST_PAGE = 100
USUAL_PAGE = 25
Where = Callable[[Any, Viewer], sa.ColumnElement[bool]]


@dataclass(frozen=True)
class Relation:
    """The records that belong to a parent: `by` a column of theirs with the parent's id, or through `pairs`, a select
    of distinct (parent, child) ids for the parents among the given ids."""

    child: type[Entity]
    by: str | None = None
    pairs: Callable[[Viewer, Sequence[str]], sa.Select[Any, Any]] | None = None


@dataclass(frozen=True)
class Order:
    """One column of an order. Text is compared without case, an enum in the order its members are declared in."""

    column: str
    descending: bool = False
    nulls_first: bool = False

    def key(self, model: Any) -> sa.ColumnElement[Any]:
        column = getattr(model, self.column)
        if isinstance(column.type, Enum):
            return sa.case({name: place for place, name in enumerate(column.type.members)}, value=column)
        plain = self.column == "id" or self.column == "rank" or not isinstance(column.type, Text)
        return column if plain else fold(column)

    def nullable(self, model: type[Entity]) -> bool:
        return bool(model.__table__.columns[self.column].nullable)


@dataclass(frozen=True)
class PageRequest:
    """Which rows, in which order, and which page of them. The order ends in the id, so that no two rows tie."""

    order: tuple[Order, ...] = (Order("id"),)
    first: int | None = None
    after: str | None = None
    last: int | None = None
    before: str | None = None
    where: Where | None = field(default=None, compare=False)
    deleted: bool = False

    def check(self) -> None:
        """Raises BadUserInput naming the argument."""
        if self.first is not None and self.last is not None:
            raise BadUserInput("Ask for the first or for the last rows, not for both.", "last")
        for name, size in (("first", self.first), ("last", self.last)):
            if size is not None and not 1 <= size <= LARGEST_PAGE:
                raise BadUserInput(f"{name} is a number from 1 to {LARGEST_PAGE}, not {size}.", name)

    @property
    def size(self) -> int:
        return self.first or self.last or USUAL_PAGE

    @property
    def backward(self) -> bool:
        return self.last is not None


@dataclass
class Page:
    """A page of rows with the cursor of each."""

    rows: list[Any]
    cursors: list[str]
    has_next: bool
    has_previous: bool


async def load_page(session: AsyncSession, viewer: Viewer, model: type[Entity], request: PageRequest) -> Page:
    keys = [order.key(model) for order in request.order]
    statement = (
        sa.select(model, *keys)
        .where(_condition(model, viewer, request), *_bounds(model, request, keys))
        .order_by(*_ordering(model, request, keys))
        .limit(request.size + 1)
    )
    return _page(model, request, [(row[0], row[1:]) for row in await session.execute(statement)])


async def load_total(session: AsyncSession, viewer: Viewer, model: type[Entity], request: PageRequest) -> int:
    statement = sa.select(sa.func.count()).select_from(model).where(_condition(model, viewer, request))
    return (await session.execute(statement)).scalar_one()


async def load_pages(
    session: AsyncSession, viewer: Viewer, relation: Relation, request: PageRequest, ids: list[str]
) -> Sequence[Page]:
    model = relation.child
    keys = [order.key(model) for order in request.order]
    parent, numbered = _children(relation, viewer, ids)
    position = sa.func.row_number().over(partition_by=parent, order_by=_ordering(model, request, keys))
    # Labels that no column has: a stage has a `position` of its own.
    labelled = [key.label(f"_key_{place}") for place, key in enumerate(keys)]
    inner = (
        numbered.with_only_columns(model, parent.label("_parent"), position.label("_position"), *labelled)
        .where(_condition(model, viewer, request), *_bounds(model, request, keys))
        .subquery()
    )
    row = aliased(model, inner)
    statement = (
        sa.select(row, inner.c["_parent"], *(inner.c[label.name] for label in labelled))
        .where(inner.c["_position"] <= request.size + 1)
        .order_by(inner.c["_parent"], inner.c["_position"])
    )
    found: dict[str, list[tuple[Any, Sequence[Any]]]] = {each: [] for each in ids}
    for each in await session.execute(statement):
        found[each[1]].append((each[0], each[2:]))
    return [_page(model, request, found[each]) for each in ids]


async def load_counts(
    session: AsyncSession, viewer: Viewer, relation: Relation, request: PageRequest, ids: list[str]
) -> Sequence[int]:
    parent, children = _children(relation, viewer, ids)
    statement = (
        children.with_only_columns(parent, sa.func.count())
        .where(_condition(relation.child, viewer, request))
        .group_by(parent)
    )
    found = {each[0]: each[1] for each in await session.execute(statement)}
    return [found.get(each, 0) for each in ids]


def _children(relation: Relation, viewer: Viewer, ids: list[str]) -> tuple[Any, sa.Select[Any]]:
    """The expression of the parent's id, and the select of the children to which columns and conditions are added."""
    model: Any = relation.child
    if relation.pairs is None:
        parent = getattr(model, relation.by or "")
        return parent, sa.select(model).where(among(parent, ids))
    pairs = relation.pairs(viewer, ids).distinct().subquery()
    parent, child = pairs.columns
    return parent, sa.select(model).join(pairs, child == model.id)


def _condition(model: Any, viewer: Viewer, request: PageRequest) -> sa.ColumnElement[bool]:
    gate = visible(model, viewer, deleted=request.deleted)
    return gate if request.where is None else sa.and_(gate, request.where(model, viewer))


def _ordering(model: type[Entity], request: PageRequest, keys: list[Any]) -> list[Any]:
    terms = []
    for order, key in zip(request.order, keys, strict=True):
        term = key.desc() if order.descending is not request.backward else key.asc()
        if order.nullable(model):
            term = term.nulls_first() if order.nulls_first is not request.backward else term.nulls_last()
        terms.append(term)
    return terms


def _bounds(model: type[Entity], request: PageRequest, keys: list[Any]) -> list[sa.ColumnElement[bool]]:
    bounds = []
    for name, cursor, backward in (("after", request.after, False), ("before", request.before, True)):
        if cursor is not None:
            values = decode(_list(model, request.order), [key.type for key in keys], cursor, name)
            bounds.append(_beyond(model, request.order, keys, values, backward))
    return bounds


def _beyond(
    model: type[Entity], orders: Sequence[Order], keys: list[Any], values: list[Any], backward: bool
) -> sa.ColumnElement[bool]:
    """The rows that come after the values in the order, or before them."""
    beyond: sa.ColumnElement[bool] = sa.false()
    for order, key, value in reversed(list(zip(orders, keys, values, strict=True))):
        nulls_ahead = order.nulls_first is not backward
        if value is None:
            further, same = (key.is_not(None) if nulls_ahead else sa.false()), key.is_(None)
        else:
            bound = sa.literal(value, key.type)
            further = key < bound if order.descending is not backward else key > bound
            same = key == bound
            if order.nullable(model) and not nulls_ahead:
                further = sa.or_(further, key.is_(None))
        beyond = sa.or_(further, sa.and_(same, beyond))
    return beyond


def _page(model: type[Entity], request: PageRequest, found: list[tuple[Any, Sequence[Any]]]) -> Page:
    more = len(found) > request.size
    found = found[: request.size]
    if request.backward:
        found.reverse()
    return Page(
        rows=[row for row, _ in found],
        cursors=[encode(_list(model, request.order), values) for _, values in found],
        has_next=request.before is not None if request.backward else more,
        has_previous=more if request.backward else request.after is not None,
    )


def _list(model: type[Entity], orders: Sequence[Order]) -> str:
    """What a cursor is of: the entity and the order."""
    return f"{model.__name__}{orders}"
