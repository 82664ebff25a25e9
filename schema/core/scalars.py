"""Scalars and enums."""

from __future__ import annotations

import datetime as dt
import enum
import inspect
import re
from decimal import Decimal
from typing import NewType, TypeVar

import strawberry
from graphql import FloatValueNode, GraphQLError, IntValueNode, Node, StringValueNode, ValueNode
from strawberry.schema.config import StrawberryConfig
from strawberry.types.enum import StrawberryEnumDefinition
from strawberry.types.scalar import ScalarDefinition

from crm_graph.errors import DomainError
from crm_graph.models import types
from crm_graph.models.types import wire

T = TypeVar("T", bound=enum.EnumType)
_MEANING = re.compile(r"^(\w+): (.+)$", re.MULTILINE)
CurrencyCode = NewType("CurrencyCode", str)
JSON = NewType("JSON", object)
Representation = NewType("Representation", object)


def _scalar(
    name: str, description: str, kind: types.Amount | types.Time | types.Date | types.Currency
) -> ScalarDefinition:
    """A scalar whose input a column type cleans. An amount may also be a number."""
    numbers = isinstance(kind, types.Amount)

    def parse(value: object, node: Node | None = None) -> object:
        if not isinstance(value, (str, int, float) if numbers else str):
            raise GraphQLError("A string is expected.", node)
        try:
            return kind.clean(str(value))
        except DomainError as error:
            raise GraphQLError(error.message, node) from None

    def parse_literal(node: ValueNode, variables: object = None) -> object:
        # Read the text of a number; a float would lose digits.
        plain = isinstance(node, (StringValueNode, IntValueNode, FloatValueNode) if numbers else StringValueNode)
        return parse(node.value if plain else None, node)  # type: ignore[attr-defined]  # these three have one

    return strawberry.scalar(
        name=name, description=description, serialize=wire, parse_value=parse, parse_literal=parse_literal
    )


def enum_type(members: T, name: str | None = None) -> T:
    """The GraphQL enum of an enum. Its docstring has the descriptions, those of members in lines such as `WON: …`."""
    if "__strawberry_definition__" not in vars(members):  # Strawberry makes one where it meets the enum first
        strawberry.enum(members, name=name)
    about, _, rest = (inspect.getdoc(members) or "").partition("\n")
    meanings = dict(_MEANING.findall(rest))
    definition: StrawberryEnumDefinition = vars(members)["__strawberry_definition__"]
    definition.description = about
    for value in definition.values:
        value.description = meanings.get(value.name)
    return members


SCALARS: dict[object, ScalarDefinition] = {
    Decimal: _scalar(
        "Decimal",
        'An exact decimal number as a string, without exponent or trailing zeros: "1250.5".',
        types.Amount(),
    ),
    dt.datetime: _scalar(
        "DateTime",
        'A time in UTC with microseconds: "2026-05-04T10:00:00.000000Z". Input may have any offset.',
        types.Time(),
    ),
    dt.date: _scalar("Date", 'A date: "2026-05-04".', types.Date()),
    CurrencyCode: _scalar("CurrencyCode", 'A currency code of ISO 4217: "USD".', types.Currency()),
    JSON: strawberry.scalar(name="JSON", description="Any JSON value.", serialize=lambda value: value),
    Representation: strawberry.scalar(
        name="_Any", description="An entity in a gateway's request: its `__typename` and a key."
    ),
}


def config(*, incremental: bool = False) -> StrawberryConfig:
    """The configuration of a schema, with @defer and @stream if `incremental`."""
    return StrawberryConfig(scalar_map=SCALARS, enable_experimental_incremental_execution=incremental)
