"""How a type declares what its fields are: columns, money, edges, connections. Everything else follows from that:
how a field is resolved, filtered and ordered by, and what the inputs that write it look like.

    @node(models.Opportunity, "A deal that may close.")
    class Opportunity(Node):
        name: str = column("What the deal is called.")
        amount: Money | None = money("What it is worth.")
        account: Account | None = edge("Who buys.", by="account_id")
        activities: Connection[Activity] = connection("What was done about it.", relation)
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
