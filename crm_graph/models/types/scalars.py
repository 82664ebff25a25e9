"""Numbers, dates, times and enums."""

from __future__ import annotations

import contextlib
import datetime as dt
import enum
import functools
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from crm_graph.errors import Invalid

AMOUNT_SCALE = 10_000
SPLIT = 1_000_000_000
"""Sums are stored as `high` x SPLIT + `low`: a plain sum of amounts would overflow 64 bits at ten of the largest.

In halves, ninety million amounts of the largest size fit, weighted by 100 percent.
"""
AMOUNT_LIMIT = Decimal(10) ** 14
FIRST, LAST = dt.datetime.min.replace(tzinfo=dt.UTC), dt.datetime.max.replace(tzinfo=dt.UTC)


class Amount(TypeDecorator[Decimal]):
    """Money or a quantity, exact: stored as whole ten-thousandths, since SQLite's NUMERIC is a float."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> int | None:
        return None if value is None else int(value * AMOUNT_SCALE)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Decimal | None]:
        return self._read

    def _read(self, value: Any | None) -> Decimal | None:
        if value is None:
            return None
        units, places = int(value), 4
        while places and units % 10 == 0:
            units, places = units // 10, places - 1
        return Decimal(units).scaleb(-places)

    def clean(self, value: object) -> Decimal:
        """A number, or its text such as "1250.50", with at most 14 digits before the point and 4 after it."""
        try:
            amount = Decimal(value)  # type: ignore[arg-type]  # Decimal raises what is caught
        except (InvalidOperation, OverflowError, TypeError, ValueError):
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
    """A number as clients get it: 1000, 0.5."""
    text = str(number)
    is_plain = "E" not in text and text != "-0" and not (text[-1] == "0" and "." in text)
    return text if is_plain else format(plain(number), "f")


class Integer(TypeDecorator[int]):
    """A whole number between two bounds, both included."""

    impl = sa.Integer
    cache_ok = True

    def __init__(self, minimum: int = 0, maximum: int = 2_147_483_647) -> None:
        super().__init__()
        self.minimum = minimum
        self.maximum = maximum

    def clean(self, value: object) -> int:
        """A whole number, or its text, within the bounds."""
        try:
            number = int(value)  # type: ignore[call-overload]  # int raises what is caught
        except (TypeError, ValueError, OverflowError):
            raise Invalid("A whole number is expected.") from None
        if not self.minimum <= number <= self.maximum:
            raise Invalid(f"A number from {self.minimum} to {self.maximum} is expected.")
        return int(number)


class Boolean(TypeDecorator[bool]):
    impl = sa.Boolean
    cache_ok = True

    def clean(self, value: object) -> bool:
        """True or False itself, not a number or a text."""
        if not isinstance(value, bool):
            raise Invalid("True or false is expected.")
        return value


class Date(TypeDecorator[dt.date]):
    """A date. Python's first and last date are excluded: PostgreSQL's driver stores them as infinite."""

    impl = sa.Date
    cache_ok = True

    def clean(self, value: object) -> dt.date:
        """A date, or its text YYYY-MM-DD."""
        day = value
        if not isinstance(day, dt.date) or isinstance(day, dt.datetime):
            try:
                day = dt.date.fromisoformat(str(value))
            except ValueError:
                raise Invalid("A date is expected as YYYY-MM-DD.") from None
        if not dt.date.min < day < dt.date.max:
            raise Invalid("A date from 0001-01-02 to 9999-12-30 is expected.")
        return day


class Time(TypeDecorator[dt.datetime]):
    """A time in UTC with microseconds; on SQLite the text that clients get. Python's first and last time are excluded:
    PostgreSQL's driver stores them as infinite."""

    impl = sa.String
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        kind: TypeEngine[Any] = sa.TIMESTAMP(timezone=True) if dialect.name == "postgresql" else sa.String(27)
        return dialect.type_descriptor(kind)

    def process_bind_param(self, value: dt.datetime | None, dialect: Dialect) -> object:
        return value if value is None or dialect.name == "postgresql" else time_text(value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[str | None], dt.datetime | None] | None:
        return None if dialect.name == "postgresql" else self._read  # whose driver answers in UTC

    def _read(self, value: str | None) -> dt.datetime | None:
        return None if value is None else dt.datetime.fromisoformat(value)

    def clean(self, value: object) -> dt.datetime:
        """A time with an offset, or its ISO 8601 text such as "2026-05-04T10:00:00Z"; returned in UTC."""
        try:
            moment = value if isinstance(value, dt.datetime) else dt.datetime.fromisoformat(str(value))
        except ValueError:
            raise Invalid("A time is expected as in 2026-05-04T10:00:00Z.") from None
        if moment.tzinfo is None:
            raise Invalid("A time needs its offset, such as 2026-05-04T10:00:00Z.")
        with contextlib.suppress(OverflowError):
            moment = moment.astimezone(dt.UTC)
            if FIRST < moment < LAST:
                return moment
        raise Invalid("A time after 0001-01-01T00:00:00Z and before 9999-12-31T23:59:59.999999Z is expected.")


@functools.lru_cache(1024)  # all rows of a bulk insert have the same few
def time_text(moment: dt.datetime) -> str:
    """A time as clients get it: 2026-05-04T10:00:00.000000Z."""
    return moment.astimezone(dt.UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


class Enum(TypeDecorator[enum.StrEnum]):
    """An enum by its name; names are the same in Python, in the database and in GraphQL."""

    impl = sa.String
    cache_ok = True

    def __init__(self, members: type[enum.StrEnum]) -> None:
        super().__init__(32)
        self.members = members
        self._by_name: dict[str | None, enum.StrEnum | None] = {None: None, **{each.value: each for each in members}}

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else self.members(value).value

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[str | None], enum.StrEnum | None]:
        return self._by_name.__getitem__

    def clean(self, value: object) -> enum.StrEnum:
        """A member, or its name."""
        try:
            return self.members(str(value))
        except ValueError:
            raise Invalid(f"One of {', '.join(self.members)} is expected.") from None
