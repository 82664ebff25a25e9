"""Connections, compiled."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from crm_graph.models import Entity
from loaders.core.pages import PageRequest, Whose
from loaders.sql_json.expressions import Literal
from loaders.sql_json.pages import At, Rows, alone, rows_of, total_of
from schema.core.selection import Asked


def compile_list(asked: Asked, at: At, model: type[Entity], request: PageRequest, mine: Whose | None) -> Any:
    """The connection of those records of an entity that meet `mine`."""
    inner = asked.inner()
    names = {name for name, _ in inner}
    told = {name for each, page_info in inner if each == "pageInfo" for name, _ in page_info.inner()}
    more = ("hasPreviousPage" if request.backward else "hasNextPage") in told
    ends = not told.isdisjoint({"startCursor", "endCursor"})
    rows = rows_of(asked.viewer, model, request, mine, at, more=more, ends=ends)  # it refuses a wrong cursor
    parts = {
        "nodes": lambda asked: rows.list(asked.record(rows.at)),
        "edges": lambda asked: rows.list(_edge(asked, rows)),
        "pageInfo": lambda asked: _page_info(asked, rows),
        "totalCount": lambda asked: total_of(asked.viewer, model, request, mine, at),
    }
    page = asked.write(parts)
    if more or ends or not names.isdisjoint({"nodes", "edges"}):
        return alone(sa.select(page).select_from(rows.source), at)
    return page  # nothing in it is made of the rows


def _edge(asked: Asked, rows: Rows) -> Any:
    return asked.write({"cursor": lambda asked: rows.cursor(), "node": lambda asked: asked.record(rows.at)})


def _page_info(asked: Asked, rows: Rows) -> Any:
    request = rows.request
    return asked.write(
        {
            "hasNextPage": lambda asked: _told(request.before is not None if request.backward else rows.goes_on),
            "hasPreviousPage": lambda asked: _told(rows.goes_on if request.backward else request.after is not None),
            "startCursor": lambda asked: rows.end(last=False),
            "endCursor": lambda asked: rows.end(last=True),
        }
    )


def _told(condition: Any) -> Any:
    """A condition, or what is known of it."""
    return Literal(condition) if isinstance(condition, bool) else condition
