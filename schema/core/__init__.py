"""Declarations of GraphQL types: columns, money, edges, connections. Filters, orders, inputs and SQL follow from them.

@node(models.Opportunity, "A deal in a pipeline.")
class Opportunity(Node):
    name: str = column("Name of the deal.")
    amount: Money | None = money("Value of the deal.")
    account: Account | None = edge("The buyer.", by="account_id")
    activities: Connection[Activity] = connection("Activities about the deal.", relation)
"""

from __future__ import annotations

from schema.core.connections import Connection, ConnectionPage, Edge, Money, Node, PageInfo
from schema.core.crud import crud, payload_type
from schema.core.declare import (
    by_id,
    column,
    computed,
    connection,
    edge,
    maybe,
    money,
    node,
    value_type,
)
from schema.core.fields import ToMany, compile_first, compile_one, compile_rows, compile_value, page_arguments
from schema.core.registry import TYPES

__all__ = [
    "TYPES",
    "Connection",
    "ConnectionPage",
    "Edge",
    "Money",
    "Node",
    "PageInfo",
    "ToMany",
    "by_id",
    "column",
    "compile_first",
    "compile_one",
    "compile_rows",
    "compile_value",
    "computed",
    "connection",
    "crud",
    "edge",
    "maybe",
    "money",
    "node",
    "page_arguments",
    "payload_type",
    "value_type",
]
