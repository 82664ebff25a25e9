"""Types that all areas use: nodes, money, connections."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Generic, TypeVar

import strawberry

from loaders import Page
from schema.core.context import Info
from schema.core.costs import FREE, TOTAL, costs
from schema.core.declared import Arguments, DeclaredField, declared
from schema.core.scalars import CurrencyCode

T = TypeVar("T")


@strawberry.interface(description="A record with an id. `node` finds it by that id.")
class Node:
    id: strawberry.ID = strawberry.field(description="Id, unique across all types and workspaces.")


@costs(FREE)
@strawberry.type(description="An amount in a currency. Amounts in different currencies are never added.")
class Money:
    amount: Decimal = strawberry.field(description="Exact amount.")
    currency: CurrencyCode = strawberry.field(description="Currency of the amount.")


@costs(FREE)
@strawberry.type(description="The position of a page in its list.")
class PageInfo:
    has_next_page: bool = strawberry.field(description="True if more rows follow.")
    has_previous_page: bool = strawberry.field(description="True if there are rows before.")
    start_cursor: str | None = strawberry.field(description="Cursor of the page's first row.")
    end_cursor: str | None = strawberry.field(description="Cursor of the page's last row.")


@costs(FREE)
@strawberry.type(description="A row of a list, with its cursor.")
class Edge(Generic[T]):
    cursor: str = strawberry.field(description="Cursor of the row in this order, for `after` and `before`.")
    node: T = strawberry.field(description="The row.")


class _Count(DeclaredField):
    """The length of a list."""

    cost = TOTAL

    def resolve(self, source: ConnectionPage, info: Info, arguments: Arguments) -> object:
        return source.count()


@costs(FREE)
@strawberry.type(description="A page of a list.")
class Connection(Generic[T]):
    edges: list[Edge[T]] = strawberry.field(description="The rows with their cursors.")
    nodes: list[T] = strawberry.field(description="The rows.")
    page_info: PageInfo = strawberry.field(description="The position of the page in its list.")
    total_count: int = declared(_Count, "Number of rows on all pages. Counted only if selected.")


@dataclass
class ConnectionPage:
    """The source of a connection's fields, each computed when it is read."""

    page: Page
    count: Callable[[], Awaitable[int]]

    @property
    def nodes(self) -> Sequence[object]:
        return self.page.rows

    @property
    def edges(self) -> list[Edge[object]]:
        return [Edge(cursor=cursor, node=row) for row, cursor in zip(self.page.rows, self.page.cursors, strict=True)]

    @property
    def page_info(self) -> PageInfo:
        cursors = self.page.cursors
        return PageInfo(
            has_next_page=self.page.has_next,
            has_previous_page=self.page.has_previous,
            start_cursor=cursors[0] if cursors else None,
            end_cursor=cursors[-1] if cursors else None,
        )
