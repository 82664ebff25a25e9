"""JSON columns: small records and short lists that are read and written whole."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
from collections.abc import Callable
from decimal import Decimal
from typing import Any, ClassVar, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from crm_graph.errors import Invalid, Required
from crm_graph.models.types.scalars import Enum, decimal_text, time_text
from crm_graph.models.types.texts import Text

T = TypeVar("T")
MAX_ITEMS = 50
_PLAIN = {str, int, bool, type(None)}


class Json(TypeDecorator[Any]):
    """Plain JSON, read and written whole."""

    impl = sa.JSON
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name != "postgresql":
            return dialect.type_descriptor(sa.JSON(none_as_null=True))
        from sqlalchemy.dialects.postgresql import JSONB

        return dialect.type_descriptor(JSONB())


class Value(Json):
    """One small record inside a row, such as an address, as a frozen dataclass whose fields are columns' types."""

    cache_ok = True

    def __init__(self, kind: type[Any]) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: object, dialect: Dialect) -> object:
        return None if value is None else dump(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return None if value is None else self.kind(**value)

    def clean(self, value: object) -> Any:
        """A dict, or an object with the fields of `kind` as attributes. Missing fields get their defaults."""
        return clean_value(self.kind, value)


class Values(Value):
    """A short list of such records, such as a contact's emails."""

    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> object:
        return [dump(item) for item in value or ()]

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return [self.kind(**item) for item in value or ()]

    def clean(self, value: object) -> Any:
        """A list of what `Value` accepts."""
        return clean_items(value, lambda item: clean_value(self.kind, item))


class TextList(Json):
    """A short list of texts, such as the competitors of a deal."""

    cache_ok = True
    item: ClassVar[Text] = Text()

    def process_result_value(self, value: Any, dialect: Dialect) -> list[str]:
        return list(value or ())

    def clean(self, value: object) -> list[str]:
        """A list of texts."""
        return clean_items(value, self.item.clean)


class Enums(Json):
    """A short list of members of an enum, by name."""

    cache_ok = True

    def __init__(self, members: type[enum.StrEnum]) -> None:
        super().__init__()
        self.item = Enum(members)

    @property
    def members(self) -> type[enum.StrEnum]:
        return self.item.members

    def process_result_value(self, value: Any, dialect: Dialect) -> list[enum.StrEnum]:
        return [self.members(name) for name in value or ()]

    def clean(self, value: object) -> list[enum.StrEnum]:
        """A list of members or their names; repeated ones count once."""
        return list(dict.fromkeys(clean_items(value, self.item.clean)))


def part(kind: TypeEngine[Any], default: Any = dataclasses.MISSING) -> Any:
    """A field of a Value's dataclass, with the column type that cleans it."""
    return dataclasses.field(default=default, metadata={"type": kind})


def dump(value: object) -> dict[str, object]:
    return {key: time_text(item) if isinstance(item, dt.datetime) else item for key, item in vars(value).items()}


def clean_items(value: object, clean: Callable[[object], T]) -> list[T]:
    """A list of at most MAX_ITEMS, each item in standard form. Raises Invalid, naming the item by its position."""
    if not isinstance(value, (list, tuple)):
        raise Invalid("A list is expected.")
    if len(value) > MAX_ITEMS:
        raise Invalid(f"At most {MAX_ITEMS} entries are allowed.")
    cleaned = []
    for place, item in enumerate(value):
        try:
            cleaned.append(clean(item))
        except Invalid as error:
            raise error.prefixed(str(place)) from None
    return cleaned


def clean_value(kind: type[Any], value: object) -> Any:
    cleaned = {}
    for each in dataclasses.fields(kind):
        item = value.get(each.name) if isinstance(value, dict) else getattr(value, each.name, None)
        try:
            if item is not None and "type" in each.metadata:
                item = each.metadata["type"].clean(item)
            elif item is None and each.default is dataclasses.MISSING:
                raise Required("A value is needed.")
        except Invalid as error:
            raise error.prefixed(each.name) from None
        cleaned[each.name] = each.default if item is None else item
    return kind(**cleaned)


def wire(value: object) -> Any:
    """A column's value as JSON, for clients and for the change log."""
    if type(value) in _PLAIN:
        return value
    match value:
        case enum.StrEnum():
            return value.value
        case Decimal():
            return decimal_text(value)
        case dt.datetime():
            return time_text(value)
        case dt.date():
            return value.isoformat()
        case list():
            return [wire(item) for item in value]
        case _ if dataclasses.is_dataclass(value):
            return dump(value)
    return value
