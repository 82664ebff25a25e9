"""Column types: the stored form of values, and `clean`, which brings a value from outside into standard form.

`clean` raises Invalid, or Required for an empty text. The API and the import both call it.
"""

from __future__ import annotations

from crm_graph.models.types.scalars import (
    AMOUNT_SCALE,
    SPLIT,
    Amount,
    Boolean,
    Date,
    Enum,
    Integer,
    Time,
    decimal_text,
    plain,
    time_text,
)
from crm_graph.models.types.texts import LONG_TEXT, Currency, Domain, Email, Id, Phone, Text, Url
from crm_graph.models.types.values import (
    MAX_ITEMS,
    Enums,
    Json,
    TextList,
    Value,
    Values,
    clean_items,
    dump,
    part,
    wire,
)

__all__ = [
    "AMOUNT_SCALE", "LONG_TEXT", "MAX_ITEMS", "SPLIT", "Amount", "Boolean", "Currency", "Date", "Domain", "Email",
    "Enum", "Enums", "Id", "Integer", "Json", "Phone", "Text", "TextList", "Time", "Url", "Value", "Values",
    "clean_items", "decimal_text", "dump", "part", "plain", "time_text", "wire",
]  # fmt: skip
