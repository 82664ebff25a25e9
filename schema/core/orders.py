"""Orders of lists, derived from node types."""

from __future__ import annotations

import enum
from collections.abc import Sequence

from strawberry.types.base import get_object_definition
from strawberry.utils.str_converters import to_camel_case

from crm_graph.errors import BadUserInput
from loaders import SortKey
from schema.core.filters import input_type
from schema.core.registry import NodeType
from schema.core.scalars import enum_type

MAX_ORDER_TERMS = 50


@enum_type
class OrderDirection(enum.Enum):
    """Sort direction.

    ASC: smallest first.
    DESC: largest first.
    """

    ASC = "ASC"
    DESC = "DESC"


@enum_type
class NullsOrder(enum.Enum):
    """Position of rows without a value.

    FIRST: before all others.
    LAST: after all others.
    """

    FIRST = "FIRST"
    LAST = "LAST"


class SortInput:
    """A sort key of a list."""

    field: enum.Enum
    direction: OrderDirection
    nulls: NullsOrder


def order_type(name: str, columns: list[str]) -> None:
    """Make the sort input of a node type: a field, a direction and the position of nulls."""
    members = enum.Enum(f"{name}OrderField", {column.upper(): column for column in columns})  # type: ignore[misc]
    meanings = "\n".join(f"{column.upper()}: `{to_camel_case(column)}`." for column in columns)
    members.__doc__ = f"The fields by which {name} records can be sorted.\n\n{meanings}"
    field = enum_type(members)
    fields = {
        "field": (field, "Sort field."),
        "direction": (OrderDirection, "Sort direction."),
        "nulls": (NullsOrder, "Position of rows without a value."),
    }
    made = input_type(f"{name}Order", SortInput, fields, f"A sort key for {name} records.")
    defaults = {"direction": OrderDirection.ASC, "nulls": NullsOrder.LAST}
    for each in get_object_definition(made, strict=True).fields:
        if each.python_name in defaults:
            each.default = each.default_value = defaults[each.python_name]


def order_terms(target: NodeType, chosen: Sequence[SortInput] | None) -> tuple[SortKey, ...]:
    """The keys of an order. The id is the last one, so that the order is total. Raises BadUserInput."""
    if len(chosen or ()) > MAX_ORDER_TERMS:
        raise BadUserInput(f"Rows can be sorted by at most {MAX_ORDER_TERMS} fields.", "orderBy")
    terms = [
        SortKey(each.field.value, each.direction.value == "DESC", each.nulls.value == "FIRST") for each in chosen or ()
    ] or list(target.__order__)
    names = [term.column for term in terms]
    terms = [term for place, term in enumerate(terms) if term.column not in names[:place]]
    return (*terms, *(() if "id" in names else (SortKey("id"),)))
