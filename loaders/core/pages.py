"""Keyset pages of one list, or of the lists of many parents in one statement.

A page starts after, or ends before, a cursor, which holds a row's sort values. So pages stay stable while rows are
added and removed, and need no offset. Nulls sort like any value.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from crm_graph.access import Viewer, visible
from crm_graph.database import Database, casefolded, in_array
from crm_graph.database.internals import new_record
from crm_graph.database.prepared import Connectable, fetch_records
from crm_graph.errors import BadUserInput
from crm_graph.models import Entity
from crm_graph.models.types import Enum, Text
from loaders.core.cursors import decode, encode
from loaders.core.records import AccessProfile, columns_of, execute, names_of, profile_viewer
from loaders.sql_json.expressions import Expression
from loaders.sql_json.statement import viewer_parameters
from loaders.sql_json.variables import VariableRef, as_bind

MAX_PAGE_SIZE = 100
DEFAULT_PAGE_SIZE = 25
Where = Callable[[Any, Viewer], sa.ColumnElement[bool]]
ParentCondition = Callable[[sa.SQLColumnExpression[object]], sa.ColumnElement[bool]]
"""The condition on a column that it holds the id of a requested parent."""
_IDS: sa.BindParameter[Sequence[str]] = sa.bindparam("ids")
_LIMIT: sa.BindParameter[int] = sa.bindparam("limit", type_=sa.Integer())
"""Parameters: the ids of the parents, and the number of rows to read: one more than a page has."""


@dataclass(frozen=True)
class Relation:
    """The records that belong to a parent, by the column `by`, which holds the parent's id, or by `pairs`: a select of
    (parent id, child id). `linked` is true if the pairs are links of activities."""

    child: type[Entity]
    by: str | None = None
    pairs: Callable[[Viewer, ParentCondition], sa.Select[object, object]] | None = None
    linked: bool = False


@dataclass(frozen=True)
class SortKey:
    """One column to sort by. Text sorts without case, an enum in the order in which its members are declared."""

    column: str
    descending: bool = False
    nulls_first: bool = False

    def key(self, model: type[Entity]) -> Expression:
        column = getattr(model, self.column)
        if isinstance(column.type, Enum):
            return sa.case({name: place for place, name in enumerate(column.type.members)}, value=column)
        plain = self.column == "id" or self.column == "rank" or not isinstance(column.type, Text)
        return column if plain else casefolded(column)

    def nullable(self, model: type[Entity]) -> bool:
        return bool(model.__table__.columns[self.column].nullable)


@dataclass(frozen=True)
class CursorParameters:
    """A cursor whose values are parameters of the statement: `name_0`, `name_1`, …"""

    name: str
    nulls: tuple[bool, ...]

    def values(self, keys: Sequence[Expression]) -> list[object]:
        return [
            None if null else sa.bindparam(f"{self.name}_{place}", type_=key.type)
            for place, (key, null) in enumerate(zip(keys, self.nulls, strict=True))
        ]


@dataclass(frozen=True)
class PageRequest:
    """One page of a list: a condition, an order and a range.

    The order ends with the id, so that no two rows tie. `linked` is passed to `visible`. A request is a cache key;
    conditions are equal only if they are the same function.
    """

    order: tuple[SortKey, ...] = (SortKey("id"),)
    first: int | None = None
    after: str | VariableRef | CursorParameters | None = None
    last: int | None = None
    before: str | VariableRef | CursorParameters | None = None
    where: Where | None = None
    deleted: bool = False
    linked: bool = False

    def check(self) -> None:
        """Raises BadUserInput, naming the argument."""
        if self.first is not None and self.last is not None:
            raise BadUserInput("Use `first` or `last`, not both.", "last")
        for name, size in (("first", self.first), ("last", self.last)):
            if size is not None and not 1 <= size <= MAX_PAGE_SIZE:
                raise BadUserInput(f"{name} is a number from 1 to {MAX_PAGE_SIZE}, not {size}.", name)

    @property
    def size(self) -> int:
        return self.first or self.last or DEFAULT_PAGE_SIZE

    @property
    def backward(self) -> bool:
        return self.last is not None


S = TypeVar("S", bound=type[Entity] | Relation)
Build = Callable[[Viewer, S, PageRequest], sa.Select[*tuple[object, ...]]]


class Cursors(Sequence[str]):
    """The cursors of rows, encoded on access: most are never requested."""

    def __init__(self, of: str, values: list[Sequence[object]]) -> None:
        self._of, self._values = of, values

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, place: Any) -> Any:
        return encode(self._of, self._values[place])


@dataclass
class Page:
    """A page of rows with the cursor of each."""

    rows: list[Any]
    cursors: Sequence[str]
    has_next: bool
    has_previous: bool


async def load_page(link: Connectable, viewer: Viewer, model: type[Entity], request: PageRequest) -> Page:
    rows = await _records(link, viewer, model, _page_of, model, request, limit=request.size + 1)
    return _page(model, request, [(record, keys) for record, *keys in rows])


def _page_of(viewer: Viewer, model: type[Entity], request: PageRequest) -> sa.Select[*tuple[object, ...]]:
    keys = [order.key(model) for order in request.order]
    return (
        sa.select(*columns_of(model), *keys)
        .where(condition(model, viewer, request), *bounds(model, request, keys))
        .order_by(*ordering(model, request, keys))
        .limit(_LIMIT)
    )


async def load_total(session: AsyncSession, viewer: Viewer, model: type[Entity], request: PageRequest) -> int:
    statement = sa.select(sa.func.count()).select_from(model).where(condition(model, viewer, request))
    return (await session.execute(statement)).scalar_one()


async def load_pages(
    link: Connectable, viewer: Viewer, relation: Relation, request: PageRequest, ids: list[str]
) -> Sequence[Page]:
    model = relation.child
    found: dict[str, list[tuple[object, Sequence[object]]]] = {each: [] for each in ids}
    rows = await _records(link, viewer, model, _pages_of, relation, request, ids=ids, limit=request.size + 1)
    for record, parent, *keys in rows:
        found[parent].append((record, keys))
    return [_page(model, request, found[each]) for each in ids]


def _pages_of(viewer: Viewer, relation: Relation, request: PageRequest) -> sa.Select[*tuple[object, ...]]:
    model = relation.child
    keys = [order.key(model) for order in request.order]
    parent, numbered = _children(relation, viewer)
    position = sa.func.row_number().over(partition_by=parent, order_by=ordering(model, request, keys))
    # No column has such a label; a stage has its own `position`.
    labelled = [key.label(f"_key_{place}") for place, key in enumerate(keys)]
    inner = (
        numbered.with_only_columns(*columns_of(model), parent.label("_parent"), *labelled, position.label("_position"))
        .where(condition(model, viewer, request), *bounds(model, request, keys))
        .subquery()
    )
    *columns, place = inner.c
    return sa.select(*columns).where(place <= _LIMIT).order_by(inner.c["_parent"], place)


async def load_counts(
    session: AsyncSession, viewer: Viewer, relation: Relation, request: PageRequest, ids: list[str]
) -> Sequence[int]:
    statement, values = _statement(_counts_of, viewer, relation, request)
    found = {each[0]: each[1] for each in await execute(session, viewer, statement, ids=ids, **values)}
    return [found.get(each, 0) for each in ids]


def _counts_of(viewer: Viewer, relation: Relation, request: PageRequest) -> sa.Select[*tuple[object, ...]]:
    parent, children = _children(relation, viewer)
    return (
        children.with_only_columns(parent, sa.func.count())
        .where(condition(relation.child, viewer, request))
        .group_by(parent)
    )


def _children(relation: Relation, viewer: Viewer) -> tuple[Expression, sa.Select[Entity]]:
    """The expression of the parent's id, and a select of the children; columns and conditions are added to it."""
    model = relation.child
    if relation.pairs is None:
        parent = getattr(model, relation.by or "")
        return parent, sa.select(model).where(in_array(parent, _IDS))
    pairs = relation.pairs(viewer, lambda column: in_array(column, _IDS)).distinct().subquery()
    parent, child = pairs.columns
    return parent, sa.select(model).join(pairs, child == model.id)


def _statement(
    build: Build[S], viewer: Viewer, of: S, request: PageRequest
) -> tuple[sa.Select[*tuple[object, ...]], dict[str, object]]:
    """The statement of a page and the values of its cursors' parameters. A statement without a condition is built once
    and cached."""
    if request.where is not None:
        return build(viewer, of, request), {}
    model = of.child if isinstance(of, Relation) else of
    keys = [order.key(model) for order in request.order]
    edges, values = dict[str, CursorParameters](), dict[str, object]()
    for name, cursor in (("after", request.after), ("before", request.before)):
        if cursor is not None:
            content = _values(model, request, keys, cursor, name)
            edges[name] = CursorParameters(name, tuple(each is None for each in content))
            values |= {f"{name}_{place}": value for place, value in enumerate(content)}
    default = PageRequest(
        request.order,
        after=edges.get("after"),
        last=request.last and 1,
        before=edges.get("before"),
        deleted=request.deleted,
        linked=request.linked,
    )
    return _cached_statement(build, AccessProfile.of(viewer), of, default), values


@functools.lru_cache(maxsize=500)
def _cached_statement(
    build: Build[S], profile: AccessProfile, of: S, request: PageRequest
) -> sa.Select[*tuple[object, ...]]:
    return build(profile_viewer(profile), of, request)


async def _records(
    link: Connectable,
    viewer: Viewer,
    model: type[Entity],
    build: Build[S],
    of: S,
    request: PageRequest,
    **parameters: object,
) -> list[tuple[Any, ...]]:
    """Rows of a record and the other selected values."""
    statement, values = _statement(build, viewer, of, request)
    values |= parameters
    if request.where is None:
        return await fetch_records(link, model, statement, {**viewer_parameters(viewer), **values})
    async with link.read() if isinstance(link, Database) else contextlib.nullcontext(link) as session:
        rows, names = await execute(session, viewer, statement, **values), names_of(model)
    return [(new_record(model, names, row), *row[len(names) :]) for row in rows]


def condition(model: type[Entity], viewer: Viewer, request: PageRequest) -> sa.ColumnElement[bool]:
    allowed = visible(model, viewer, deleted=request.deleted, linked=request.linked)
    return allowed if request.where is None else sa.and_(allowed, request.where(model, viewer))


def ordering(model: type[Entity], request: PageRequest, keys: Sequence[Expression]) -> list[Expression]:
    terms: list[Expression] = []
    for order, key in zip(request.order, keys, strict=True):
        term = key.desc() if order.descending is not request.backward else key.asc()
        if order.nullable(model):
            term = term.nulls_first() if order.nulls_first is not request.backward else term.nulls_last()
        terms.append(term)
    return terms


def bounds(model: type[Entity], request: PageRequest, keys: Sequence[Expression]) -> list[sa.ColumnElement[bool]]:
    found = []
    for name, cursor, backward in (("after", request.after, False), ("before", request.before, True)):
        if cursor is not None:
            values = _values(model, request, keys, cursor, name)
            found.append(_after_keys(model, request.order, keys, values, backward))
            found.extend(_index_bound(model, request.order[0], keys[0], values[0], backward))
    return found


def _index_bound(
    model: type[Entity], order: SortKey, key: Expression, value: object, backward: bool
) -> list[sa.ColumnElement[bool]]:
    """The part of `_after_keys` that bounds the first column alone, where an index scan can start."""
    if value is None or (order.nullable(model) and order.nulls_first is backward):
        return []
    edge = as_bind(value, key.type)
    return [key <= edge if order.descending is not backward else key >= edge]


def _values(
    model: type[Entity],
    request: PageRequest,
    keys: Sequence[Expression],
    cursor: str | VariableRef | CursorParameters,
    name: str,
) -> list[object]:
    """The sort values in a cursor. The SQL depends on which of them are null."""
    if isinstance(cursor, CursorParameters):
        return cursor.values(keys)
    of, kinds = list_name(model, request.order), [key.type for key in keys]

    def read(text: str) -> list[object]:
        return decode(of, kinds, text, name)

    if not isinstance(cursor, VariableRef):
        return read(cursor)
    values = cursor.then(read)
    nulls = values.then(lambda found: tuple(each is None for each in found)).specialize()
    return [None if null else values.then(itemgetter(place)) for place, null in enumerate(nulls)]


def _after_keys(
    model: type[Entity], orders: Sequence[SortKey], keys: Sequence[Expression], values: Sequence[object], backward: bool
) -> sa.ColumnElement[bool]:
    """The condition that a row sorts after these values, or before them if `backward`."""
    beyond: sa.ColumnElement[bool] = sa.false()
    for order, key, value in reversed(list(zip(orders, keys, values, strict=True))):
        nulls_ahead = order.nulls_first is not backward
        if value is None:
            further: sa.ColumnElement[bool] = key.is_not(None) if nulls_ahead else sa.false()
            same: sa.ColumnElement[bool] = key.is_(None)
        else:
            edge = as_bind(value, key.type)
            further = key < edge if order.descending is not backward else key > edge
            same = key == edge
            if order.nullable(model) and not nulls_ahead:
                further = sa.or_(further, key.is_(None))
        beyond = sa.or_(further, sa.and_(same, beyond))
    return beyond


def _page(model: type[Entity], request: PageRequest, found: list[tuple[object, Sequence[object]]]) -> Page:
    more = len(found) > request.size
    found = found[: request.size]
    if request.backward:
        found.reverse()
    return Page(
        rows=[row for row, _ in found],
        cursors=Cursors(list_name(model, request.order), [values for _, values in found]),
        has_next=request.before is not None if request.backward else more,
        has_previous=more if request.backward else request.after is not None,
    )


def list_name(model: type[Entity], orders: Sequence[SortKey]) -> str:
    """The name of a list in its cursors: the entity and the order."""
    return f"{model.__name__}{orders}"
