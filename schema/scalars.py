"""How single values look on the wire."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any, NewType

import strawberry
from strawberry.schema.config import StrawberryConfig
from strawberry.types.scalar import ScalarDefinition

from crm_graph.errors import Fault
from crm_graph.models import types
from crm_graph.models.types import wire

CurrencyCode = NewType("CurrencyCode", str)
JSON = NewType("JSON", object)


def _parse(kind: Any) -> Any:
    def parse(value: object) -> object:
        if not isinstance(value, str) and not (
            kind is amount and isinstance(value, (int, float)) and value is not True
        ):
            raise ValueError("A string is expected.")
        try:
            return kind.clean(str(value))
        except Fault as fault:
            raise ValueError(fault.message) from None

    return parse


amount, moment, day, currency = types.Amount(), types.Time(), types.Date(), types.Currency()

SCALARS: dict[object, ScalarDefinition] = {
    Decimal: strawberry.scalar(
        name="Decimal",
        description='An exact decimal number as a string, without exponent or trailing zeros: "1250.5".',
        serialize=wire,
        parse_value=_parse(amount),
    ),
    dt.datetime: strawberry.scalar(
        name="DateTime",
        description='A moment in UTC with microseconds: "2026-05-04T10:00:00.000000Z". Input may have any offset.',
        serialize=wire,
        parse_value=_parse(moment),
    ),
    dt.date: strawberry.scalar(
        name="Date", description='A day: "2026-05-04".', serialize=wire, parse_value=_parse(day)
    ),
    CurrencyCode: strawberry.scalar(
        name="CurrencyCode",
        description='Three letters of ISO 4217: "USD".',
        serialize=str,
        parse_value=_parse(currency),
    ),
    JSON: strawberry.scalar(name="JSON", description="Any JSON value.", serialize=lambda value: value),
}


def config(**options: Any) -> StrawberryConfig:
    return StrawberryConfig(scalar_map=SCALARS, **options)
