"""A page of a list inside a statement that returns JSON."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, aliased

from crm_graph.access import Viewer
from crm_graph.models import Entity
from loaders.core.pages import PageRequest, Relation, bounds, condition, list_name, ordering
from loaders.sql_json.expressions import CursorText, Expression, JsonRows

R = TypeVar("R", bound=DeclarativeBase)
T = TypeVar("T")
RowCondition = Callable[[Any], sa.ColumnElement[bool]]
"""The condition on a row, an alias of its model, that it belongs to a list."""


class Columns:
    """The columns of a select's rows. A column is added to the select on first access."""

    def __init__(self, find: Callable[[str], Expression], rows: sa.Subquery) -> None:
        self._find = find
        self._rows = rows

    def __getattr__(self, name: str) -> Any:
        found = self._find(name)
        self._rows.element = self._rows.element.add_columns(found.label(name))  # type: ignore[attr-defined]  # a select
        column: Any = sa.column(name, found.type)
        column.table, column.nullable = self._rows, getattr(found, "nullable", True)
        setattr(self, name, column)
        return column


@dataclass(frozen=True)
class RowScope:
    """A record in a statement. `row` has its columns; `enclosing` are the row sources around it, its own included."""

    row: Any = None
    enclosing: tuple[sa.FromClause, ...] = ()

    def alias(self, model: type[R]) -> type[R]:
        """An alias of a model for rows nested in this record."""
        return _alias(model, len(self.enclosing))

    def within(self, row: type[DeclarativeBase]) -> RowScope:
        """The scope of a row nested in this record."""
        return RowScope(row, (*self.enclosing, sa.inspect(row).selectable))

    def from_select(
        self, find: Callable[[str], Expression], select: sa.Select[*tuple[object, ...]]
    ) -> tuple[RowScope, sa.Subquery]:
        """The scope of a select's row nested in this record, and the subquery of these rows. `find` returns the
        expression of a column in the select, by name."""
        bare: sa.Select[int] = select.with_only_columns(sa.literal_column("1").label("_"), maintain_column_froms=True)
        rows = bare.correlate(*self.enclosing).subquery()
        return RowScope(Columns(find, rows), (*self.enclosing, rows)), rows


@functools.lru_cache(1000)
def _alias(model: type[R], depth: int) -> type[R]:
    """Cached, since an alias copies all columns of its table. Only nested rows need different aliases."""
    return aliased(model)


def scalar(select: sa.Select[T], scope: RowScope) -> sa.ScalarSelect[T]:
    """A select of one value as an expression in the scope of a record."""
    return select.correlate(*scope.enclosing).scalar_subquery()


@dataclass(frozen=True)
class PageRows:
    """The rows of a page. With `more`, they include one row beyond the page, if there is one."""

    scope: RowScope
    request: PageRequest
    model: type[Entity]
    source: sa.FromClause
    more: bool

    def list(self, value: Expression) -> Expression:
        """The JSON array of an expression for each row, in the page's order."""
        return JsonRows(value, self._place <= self.request.size if self.more else None)

    @property
    def goes_on(self) -> sa.ColumnElement[bool]:
        """True if there are rows beyond the page, in the direction of reading."""
        return sa.func.count() > self.request.size

    def cursor(self) -> sa.ColumnElement[str]:
        """The cursor of a row."""
        keys = [getattr(self.scope.row, f"_key_{place}") for place in range(len(self.request.order))]
        return CursorText(list_name(self.model, self.request.order), keys)

    def end(self, *, last: bool) -> sa.ColumnElement[str]:
        """The cursor of the first or the last row of the page."""
        count, size = self.scope.row._count, self.request.size
        farthest = sa.case((count > size, size), else_=count)
        place = farthest if last is not self.request.backward else sa.literal_column("1")
        return sa.func.max(self.cursor()).filter(self._place == place)

    @property
    def _place(self) -> sa.ColumnElement[int]:
        place: sa.ColumnElement[int] = self.scope.row._place
        return place


def select_page(
    viewer: Viewer,
    model: type[Entity],
    request: PageRequest,
    belongs: RowCondition | None,
    scope: RowScope,
    *,
    more: bool,
    ends: bool,
) -> PageRows:
    """The page of a list whose records meet `belongs`. `more` is needed for `goes_on`, `ends` for the cursors of the
    first and the last row."""
    row = scope.alias(model)
    keys = [order.key(row) for order in request.order]
    named = {f"_key_{place}": key for place, key in enumerate(keys)}
    size: sa.ColumnElement[int] = sa.literal_column(str(request.size + more))
    page = (
        sa.select(row.id)
        .where(*_holds(viewer, row, request, belongs), *bounds(model, request, keys))
        .order_by(*ordering(model, request, keys))
        .limit(size)
    )
    here, source = scope.from_select(lambda name: named[name] if name in named else getattr(row, name), page)
    if more or ends or request.backward:
        read, place = here.row, sa.func.row_number().over()
        counted = {"_place": place, "_count": sa.func.count().over()}
        page = sa.select(read.id).order_by(place.desc()) if request.backward else sa.select(read.id)
        here, source = scope.from_select(lambda name: counted[name] if name in counted else getattr(read, name), page)
    return PageRows(here, request, model, source, more)


def count_rows(
    viewer: Viewer, model: type[Entity], request: PageRequest, belongs: RowCondition | None, scope: RowScope
) -> sa.ScalarSelect[int]:
    """The number of rows of all pages of a list."""
    row = scope.alias(model)
    count = sa.select(sa.func.count()).select_from(row).where(*_holds(viewer, row, request, belongs))
    return scalar(count, scope)


def belonging(viewer: Viewer, relation: Relation, scope: RowScope) -> RowCondition:
    """The condition that a row belongs to the record of a scope by a relation."""
    parent_id = scope.row.id

    def belongs(row: type[Entity]) -> sa.ColumnElement[bool]:
        if relation.pairs is None:
            return getattr(row, relation.by or "") == parent_id  # type: ignore[no-any-return]
        pairs = relation.pairs(viewer, lambda column: column == parent_id)
        return row.id.in_(pairs.with_only_columns(list(pairs.selected_columns)[1]).correlate(*scope.enclosing))

    return belongs


def _holds(
    viewer: Viewer, row: type[Entity], request: PageRequest, belongs: RowCondition | None
) -> Sequence[sa.ColumnElement[bool]]:
    return [condition(row, viewer, request), *([] if belongs is None else [belongs(row)])]
