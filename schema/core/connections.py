"""The types that all domains' types are made of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Generic, TypeVar

import strawberry

from loaders import Page
from schema.core.context import Info
from schema.core.costs import FREE, TOTAL, costs
from schema.core.declared import Arguments, DeclaredField, declared
from schema.core.scalars import CurrencyCode

T = TypeVar("T")


@strawberry.interface(description="Anything with an id of its own, to be fetched again by `node`.")
class Node:
    id: strawberry.ID = strawberry.field(description="Unique across all types and workspaces.")


@costs(FREE)
@strawberry.type(description="An amount in one currency. Amounts of different currencies are never added.")
class Money:
    amount: Decimal = strawberry.field(description="The exact amount.")
    currency: CurrencyCode = strawberry.field(description="The currency of the amount.")


@costs(FREE)
@strawberry.type(description="The position of a page in its list.")
class PageInfo:
    has_next_page: bool = strawberry.field(description="Whether rows follow.")
    has_previous_page: bool = strawberry.field(description="Whether rows stand before.")
    start_cursor: str | None = strawberry.field(description="The cursor of the page's first row.")
    end_cursor: str | None = strawberry.field(description="The cursor of the page's last row.")


@costs(FREE)
@strawberry.type(description="A row of a list, with its place in it.")
class Edge(Generic[T]):
    cursor: str = strawberry.field(description="The row's place in this order, for `after` and `before`.")
    node: T = strawberry.field(description="The row.")


class _Count(DeclaredField):
    """The length of a list."""

    cost = TOTAL

    def resolve(self, source: Any, info: Info, arguments: Arguments) -> object:
        return source.count()


@costs(FREE)
@strawberry.type(description="A page of a list.")
class Connection(Generic[T]):
    edges: list[Edge[T]] = strawberry.field(description="The rows with their cursors.")
    nodes: list[T] = strawberry.field(description="The rows.")
    page_info: PageInfo = strawberry.field(description="Where the page stands.")
    total_count: int = declared(_Count, "How many rows all pages have together. Counted only when asked for.")


@dataclass
class ConnectionPage:
    """What a connection's fields read, each made when it is asked for."""

    page: Page
    count: Callable[[], Awaitable[int]]

    @property
    def nodes(self) -> list[Any]:
        return self.page.rows

    @property
    def edges(self) -> list[Edge[Any]]:
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
