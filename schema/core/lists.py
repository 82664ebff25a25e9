"""Connections as SQL expressions."""

from __future__ import annotations

import sqlalchemy as sa

from crm_graph.models import Entity
from loaders.core.pages import PageRequest
from loaders.sql_json.expressions import Expression, JsonLiteral
from loaders.sql_json.pages import PageRows, RowCondition, RowScope, count_rows, scalar, select_page
from schema.core.selection import FieldSelection


def compile_list(
    selection: FieldSelection,
    scope: RowScope,
    model: type[Entity],
    request: PageRequest,
    belongs: RowCondition | None,
) -> Expression:
    """Expression for a connection: the records of an entity that meet `belongs`."""
    subfields = selection.subfields()
    names = {name for name, _ in subfields}
    selected = {name for each, page_info in subfields if each == "pageInfo" for name, _ in page_info.subfields()}
    more = ("hasPreviousPage" if request.backward else "hasNextPage") in selected
    ends = not selected.isdisjoint({"startCursor", "endCursor"})
    rows = select_page(
        selection.viewer, model, request, belongs, scope, more=more, ends=ends
    )  # raises BadUserInput for a wrong cursor
    parts = {
        "nodes": lambda selection: rows.list(selection.record(rows.scope)),
        "edges": lambda selection: rows.list(_edge(selection, rows)),
        "pageInfo": lambda selection: _page_info(selection, rows),
        "totalCount": lambda selection: count_rows(selection.viewer, model, request, belongs, scope),
    }
    page = selection.write(parts)
    if more or ends or not names.isdisjoint({"nodes", "edges"}):
        return scalar(sa.select(page).select_from(rows.source), scope)
    return page  # no field needs the rows


def _edge(selection: FieldSelection, rows: PageRows) -> Expression:
    return selection.write(
        {"cursor": lambda selection: rows.cursor(), "node": lambda selection: selection.record(rows.scope)}
    )


def _page_info(selection: FieldSelection, rows: PageRows) -> Expression:
    request = rows.request
    return selection.write(
        {
            "hasNextPage": lambda selection: _known(request.before is not None if request.backward else rows.goes_on),
            "hasPreviousPage": lambda selection: _known(
                rows.goes_on if request.backward else request.after is not None
            ),
            "startCursor": lambda selection: rows.end(last=False),
            "endCursor": lambda selection: rows.end(last=True),
        }
    )


def _known(condition: Expression | bool) -> Expression:
    """A condition, or its known value."""
    return JsonLiteral(condition) if isinstance(condition, bool) else condition
