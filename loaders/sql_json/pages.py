"""A page of a list as a part of a statement that writes JSON."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import aliased

from crm_graph.access import Viewer
from crm_graph.models import Entity
from loaders.core.pages import PageRequest, Relation, Whose, bounds, condition, list_name, ordering
from loaders.sql_json.expressions import CursorText, List


class Columns:
    """The columns of a select's rows. It has only those that are asked for: a table has many, and each takes its time
    to be compiled, and to be carried by the database."""

    def __init__(self, find: Callable[[str], Any], rows: sa.Subquery) -> None:
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
class At:
    """A record in a statement: `row` has its columns; `around` are the rows it stands among, its own included."""

    row: Any = None
    around: tuple[Any, ...] = ()

    def alias(self, model: Any) -> Any:
        """An alias of a model, for rows within this record's."""
        return _alias(model, len(self.around))

    def inside(self, row: Any) -> At:
        """A row of a select within this record's."""
        return At(row, (*self.around, sa.inspect(row).selectable))

    def in_array(self, find: Callable[[str], Any], select: sa.Select[Any]) -> tuple[At, sa.Subquery]:
        """A row of a select within this record's, and what to select such rows from. `find` has the expressions of
        the row's columns in the select, by their names."""
        bare: sa.Select[Any] = select.with_only_columns(sa.literal_column("1").label("_"), maintain_column_froms=True)
        rows = bare.correlate(*self.around).subquery()
        return At(Columns(find, rows), (*self.around, rows)), rows


@functools.lru_cache(1000)
def _alias(model: Any, depth: int) -> Any:
    """Made once: an alias has all the columns of its table. Only rows within each other need different ones."""
    return aliased(model)


def alone(select: sa.Select[Any], at: At) -> sa.ScalarSelect[Any]:
    """A select of one value, to stand where the record does."""
    return select.correlate(*at.around).scalar_subquery()


@dataclass(frozen=True)
class Rows:
    """The rows of a page. With `more`, one row too many was read where the list goes on."""

    at: At
    request: PageRequest
    model: type[Entity]
    source: Any
    more: bool

    def list(self, value: Any) -> Any:
        """What is made of each row, in the page's order."""
        return List(value, self._place <= self.request.size if self.more else None)

    @property
    def goes_on(self) -> Any:
        """Whether there are rows beyond the page, in the direction that it was read in."""
        return sa.func.count() > self.request.size

    def cursor(self) -> Any:
        """The cursor of a row."""
        keys = [getattr(self.at.row, f"_key_{place}") for place in range(len(self.request.order))]
        return CursorText(list_name(self.model, self.request.order), keys)

    def end(self, *, last: bool) -> Any:
        """The cursor of the first or the last row of the page."""
        count, size = self.at.row._count, self.request.size
        farthest = sa.case((count > size, size), else_=count)
        place = farthest if last is not self.request.backward else sa.literal_column("1")
        return sa.func.max(self.cursor()).filter(self._place == place)

    @property
    def _place(self) -> Any:
        return self.at.row._place


def rows_of(
    viewer: Viewer, model: type[Entity], request: PageRequest, mine: Whose | None, at: At, *, more: bool, ends: bool
) -> Rows:
    """The page of a list whose records meet `mine`. `more` is to know whether the list goes on, `ends` to have the
    cursors of its ends."""
    row = at.alias(model)
    keys = [order.key(row) for order in request.order]
    named = {f"_key_{place}": key for place, key in enumerate(keys)}
    size: Any = sa.literal_column(str(request.size + more))
    page = (
        sa.select(row.id)
        .where(*_holds(viewer, row, request, mine), *bounds(model, request, keys))
        .order_by(*ordering(model, request, keys))
        .limit(size)
    )
    here, source = at.in_array(lambda name: named[name] if name in named else getattr(row, name), page)
    if more or ends or request.backward:
        read, place = here.row, sa.func.row_number().over()
        counted = {"_place": place, "_count": sa.func.count().over()}
        page = sa.select(read.id).order_by(place.desc()) if request.backward else sa.select(read.id)
        here, source = at.in_array(lambda name: counted[name] if name in counted else getattr(read, name), page)
    return Rows(here, request, model, source, more)


def total_of(viewer: Viewer, model: type[Entity], request: PageRequest, mine: Whose | None, at: At) -> Any:
    """How many rows all pages of a list have together."""
    row = at.alias(model)
    count = sa.select(sa.func.count()).select_from(row).where(*_holds(viewer, row, request, mine))
    return alone(count, at)


def belonging(viewer: Viewer, relation: Relation, at: At) -> Whose:
    """The condition on a row that it belongs to a record by a relation."""
    parent_id = at.row.id

    def belongs(row: Any) -> sa.ColumnElement[bool]:
        if relation.pairs is None:
            return getattr(row, relation.by or "") == parent_id  # type: ignore[no-any-return]
        pairs = relation.pairs(viewer, lambda column: column == parent_id)
        return row.id.in_(pairs.with_only_columns(list(pairs.selected_columns)[1]).correlate(*at.around))  # type: ignore[no-any-return]

    return belongs


def _holds(viewer: Viewer, row: Any, request: PageRequest, mine: Whose | None) -> Sequence[sa.ColumnElement[bool]]:
    return [condition(row, viewer, request), *([] if mine is None else [mine(row)])]
