"""Column types. Each knows its stored form and how a value from outside becomes it: `clean` returns the standard
form or raises Invalid, and both the API and the import go through it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import functools
import re
import unicodedata
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any, ClassVar
from urllib.parse import urlsplit

import email_validator
import phonenumbers
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from crm_graph.db import storable
from crm_graph.errors import Invalid, Required

AMOUNT_SCALE = 10_000
_PLAIN = {str, int, bool, type(None)}
AMOUNT_LIMIT = Decimal(10) ** 14
LONG_TEXT = 100_000
MOST_ITEMS = 50
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_LINE_BREAK = re.compile(r"[\n\r\t]")
_DOMAIN = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))+")


class Text(TypeDecorator[str]):
    """Text that sorts and compares by code point on both databases."""

    impl = sa.String
    cache_ok = True

    def __init__(self, limit: int = 200) -> None:
        super().__init__(limit)
        self.limit = limit

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        collation = "C" if dialect.name == "postgresql" else None
        return dialect.type_descriptor(sa.String(self.limit, collation=collation))

    def clean(self, value: object) -> str:
        if not isinstance(value, str):
            raise Invalid("Text is expected.")
        self._check_length(value)
        if _CONTROL.search(value) or (self.limit < LONG_TEXT and _LINE_BREAK.search(value)):
            raise Invalid("Control characters are not allowed.")
        if not storable(value):
            raise Invalid("Unpaired surrogates are not text.")
        text = unicodedata.normalize("NFC", value).strip()
        if not text:
            raise Required("The text is empty.")
        text = self.standard(text)
        self._check_length(text)  # a standard form may be longer than what it was made from
        return text

    def standard(self, text: str) -> str:
        """The standard form of a text without blanks at its ends. Raises Invalid where it has none."""
        return text

    def _check_length(self, text: str) -> None:
        if len(text) > self.limit:
            raise Invalid(f"At most {self.limit} characters are allowed, got {len(text)}.")


class Email(Text):
    """An address in standard form: the domain in lower case, checked for form and not for delivery."""

    cache_ok = True

    def __init__(self) -> None:
        super().__init__(254)

    def standard(self, text: str) -> str:
        try:
            return email_validator.validate_email(text, check_deliverability=False).normalized
        except email_validator.EmailNotValidError as error:
            raise Invalid(f"Not an email address: {error}") from None


class Phone(Text):
    """A number in E.164 form; one without a country code is read as of `region`."""

    cache_ok = True
    region: ClassVar[str] = "US"

    def __init__(self) -> None:
        super().__init__(40)

    def standard(self, text: str) -> str:
        try:
            number = phonenumbers.parse(text, self.region)
        except phonenumbers.NumberParseException as error:
            raise Invalid(f"Not a phone number: {error}") from None
        if not phonenumbers.is_possible_number(number):
            raise Invalid("Not a phone number: too long or too short for its country.")
        standard = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        return f"{standard};ext={number.extension}" if number.extension else standard


class Url(Text):
    """An http or https address; one without a scheme gets https."""

    cache_ok = True

    def __init__(self) -> None:
        super().__init__(2000)

    def standard(self, text: str) -> str:
        text = text if "://" in text else f"https://{text}"
        try:
            parts = urlsplit(text)
            host = parts.hostname if parts.port != 0 else None  # a port that is none raises too
        except ValueError:
            host = None
        if host is None or parts.scheme not in {"http", "https"} or " " in text:
            raise Invalid("Not a web address: it must start with http:// or https:// and name a host.")
        return text


class Domain(Text):
    """A host name in lower case, such as example.com; a web address is reduced to it."""

    cache_ok = True

    def __init__(self) -> None:
        super().__init__(253)

    def standard(self, text: str) -> str:
        text = text.lower().split("://", 1)[-1].split("/", 1)[0].removeprefix("www.")
        try:
            ascii_form = text.encode("idna").decode()
        except UnicodeError:
            ascii_form = ""
        if not _DOMAIN.fullmatch(ascii_form):
            raise Invalid("Not a domain name, such as example.com.")
        return text


class Currency(Text):
    """Three capital letters of ISO 4217."""

    cache_ok = True

    def __init__(self) -> None:
        super().__init__(3)

    def standard(self, text: str) -> str:
        text = text.upper()
        if not re.fullmatch("[A-Z]{3}", text):
            raise Invalid("A currency is three letters, such as USD.")
        return text


class Id(Text):
    """A TypeID, such as opp_01h455vb4pex5vsknk084sn02q. Looking for what no id can be finds nothing."""

    cache_ok = True

    def __init__(self) -> None:
        super().__init__(64)

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return value if value is None or storable(value) else ""


class Amount(TypeDecorator[Decimal]):
    """Money or a quantity, exact: stored as whole ten-thousandths, since SQLite's NUMERIC is a float."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> int | None:
        return None if value is None else int(value * AMOUNT_SCALE)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> Decimal | None:
        return None if value is None else plain(Decimal(int(value)).scaleb(-4))

    def clean(self, value: object) -> Decimal:
        try:
            amount = Decimal(value)  # type: ignore[arg-type]  # what Decimal refuses is caught
        except (InvalidOperation, TypeError, ValueError):
            raise Invalid("A decimal number is expected, such as 1250.50.") from None
        if not amount.is_finite():
            raise Invalid("A finite number is expected.")
        if amount.copy_abs() >= AMOUNT_LIMIT:
            raise Invalid("The amount is too large: at most 14 digits before the point.")
        if amount != amount.quantize(Decimal("0.0001")):
            raise Invalid("At most 4 digits after the point are kept.")
        return plain(amount)


def plain(number: Decimal) -> Decimal:
    """The number without exponent, trailing zeros or negative zero: 1E+3 and 1000.00 are both 1000."""
    number = number.normalize() + 0
    return number.quantize(Decimal(1)) if number.as_tuple().exponent > 0 else number  # type: ignore[operator]


@functools.lru_cache(1024)
def decimal_text(number: Decimal) -> str:
    """A number as clients read it: 1000, 0.5."""
    return format(plain(number), "f")


class Integer(TypeDecorator[int]):
    """A whole number between two bounds, both included."""

    impl = sa.Integer
    cache_ok = True

    def __init__(self, least: int = 0, most: int = 2_147_483_647) -> None:
        super().__init__()
        self.least = least
        self.most = most

    def clean(self, value: object) -> int:
        try:
            number = int(value)  # type: ignore[call-overload]  # what int refuses is caught
        except (TypeError, ValueError, OverflowError):
            raise Invalid("A whole number is expected.") from None
        if not self.least <= number <= self.most:
            raise Invalid(f"A number from {self.least} to {self.most} is expected.")
        return int(number)


class Boolean(TypeDecorator[bool]):
    impl = sa.Boolean
    cache_ok = True

    def clean(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise Invalid("True or false is expected.")
        return value


class Date(TypeDecorator[dt.date]):
    impl = sa.Date
    cache_ok = True

    def clean(self, value: object) -> dt.date:
        if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
            return value
        try:
            return dt.date.fromisoformat(str(value))
        except ValueError:
            raise Invalid("A date is expected as YYYY-MM-DD.") from None


class Time(TypeDecorator[dt.datetime]):
    """A moment in UTC with microseconds; on SQLite as the text that goes over the wire."""

    impl = sa.String
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        kind: TypeEngine[Any] = sa.TIMESTAMP(timezone=True) if dialect.name == "postgresql" else sa.String(27)
        return dialect.type_descriptor(kind)

    def process_bind_param(self, value: dt.datetime | None, dialect: Dialect) -> Any:
        return value if value is None or dialect.name == "postgresql" else time_text(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> dt.datetime | None:
        if isinstance(value, str):
            return dt.datetime.fromisoformat(value)
        return None if value is None else value.astimezone(dt.UTC)

    def clean(self, value: object) -> dt.datetime:
        try:
            moment = value if isinstance(value, dt.datetime) else dt.datetime.fromisoformat(str(value))
            if moment.tzinfo is None:
                raise Invalid("A time needs its offset, such as 2026-05-04T10:00:00Z.")
            return moment.astimezone(dt.UTC)
        except (ValueError, OverflowError):
            raise Invalid("A time is expected as in 2026-05-04T10:00:00Z.") from None


@functools.lru_cache(1024)  # all rows of a bulk insert have the same few
def time_text(moment: dt.datetime) -> str:
    """A moment as clients read it: 2026-05-04T10:00:00.000000Z."""
    return moment.astimezone(dt.UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


class Enum(TypeDecorator[Any]):
    """An enum by its name; names are the same in Python, in the database and in GraphQL."""

    impl = sa.String
    cache_ok = True

    def __init__(self, members: type[enum.StrEnum]) -> None:
        super().__init__(32)
        self.members = members

    def process_bind_param(self, value: Any | None, dialect: Dialect) -> str | None:
        return None if value is None else self.members(value).value

    def process_result_value(self, value: Any | None, dialect: Dialect) -> enum.StrEnum | None:
        return None if value is None else self.members(value)

    def clean(self, value: object) -> enum.StrEnum:
        try:
            return self.members(str(value))
        except ValueError:
            raise Invalid(f"One of {', '.join(self.members)} is expected.") from None


class Json(TypeDecorator[Any]):
    """Plain JSON, for what is read and written whole."""

    impl = sa.JSON
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(JSONB() if dialect.name == "postgresql" else sa.JSON(none_as_null=True))


class Value(Json):
    """One small record inside a row, such as an address, as a frozen dataclass whose fields are columns' types."""

    cache_ok = True

    def __init__(self, kind: type[Any]) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: Any | None, dialect: Dialect) -> Any:
        return None if value is None else dump(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> Any:
        return None if value is None else self.kind(**value)

    def clean(self, value: object) -> Any:
        return clean_value(self.kind, value)


class Values(Value):
    """A short list of such records, such as a contact's emails."""

    cache_ok = True

    def process_bind_param(self, value: Any | None, dialect: Dialect) -> Any:
        return [dump(item) for item in value or ()]

    def process_result_value(self, value: Any | None, dialect: Dialect) -> Any:
        return [self.kind(**item) for item in value or ()]

    def clean(self, value: object) -> Any:
        return clean_items(value, lambda item: clean_value(self.kind, item))


class TextList(Json):
    """A short list of texts, such as the competitors of a deal."""

    cache_ok = True
    item: ClassVar[Text] = Text()

    def process_result_value(self, value: Any | None, dialect: Dialect) -> list[str]:
        return list(value or ())

    def clean(self, value: object) -> list[str]:
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

    def process_result_value(self, value: Any | None, dialect: Dialect) -> list[enum.StrEnum]:
        return [self.members(name) for name in value or ()]

    def clean(self, value: object) -> list[enum.StrEnum]:
        return list(dict.fromkeys(clean_items(value, self.item.clean)))


def part(kind: Any, default: Any = dataclasses.MISSING) -> Any:
    """A field of a Value's dataclass, with the column type that cleans it."""
    return dataclasses.field(default=default, metadata={"type": kind})


def dump(value: Any) -> dict[str, Any]:
    return {key: time_text(item) if isinstance(item, dt.datetime) else item for key, item in vars(value).items()}


def clean_items(value: object, clean: Callable[[Any], Any]) -> list[Any]:
    """A short list, each item in standard form. Raises Invalid, naming the item by its place."""
    if not isinstance(value, (list, tuple)):
        raise Invalid("A list is expected.")
    if len(value) > MOST_ITEMS:
        raise Invalid(f"At most {MOST_ITEMS} entries are allowed.")
    cleaned = []
    for place, item in enumerate(value):
        try:
            cleaned.append(clean(item))
        except Invalid as fault:
            raise fault.inside(str(place)) from None
    return cleaned


def clean_value(kind: type[Any], value: Any) -> Any:
    cleaned = {}
    for each in dataclasses.fields(kind):
        item = value.get(each.name) if isinstance(value, dict) else getattr(value, each.name, None)
        try:
            if item is not None and "type" in each.metadata:
                item = each.metadata["type"].clean(item)
            elif item is None and each.default is dataclasses.MISSING:
                raise Required("A value is needed.")
        except Invalid as fault:
            raise fault.inside(each.name) from None
        cleaned[each.name] = each.default if item is None else item
    return kind(**cleaned)


def wire(value: Any) -> Any:
    """A column's value as JSON has it, for clients and for the change log."""
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
