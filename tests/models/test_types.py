"""The accepted values of each column type, and their stored form."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from crm_graph.database import casefold_text, casefolded, is_storable
from crm_graph.errors import Invalid, Required
from crm_graph.models import AccountType, Contact, EmailAddress, RequiredField
from crm_graph.models.types import (
    LONG_TEXT,
    MAX_ITEMS,
    Amount,
    Boolean,
    Currency,
    Date,
    Domain,
    Email,
    Enum,
    Enums,
    Id,
    Integer,
    Phone,
    Text,
    TextList,
    Time,
    Url,
    Values,
    plain,
    wire,
)
from tests.support.raw_rows import RawRows
from tests.support.world import World

TEXTS = [Text(), Text(LONG_TEXT), Email(), Phone(), Url(), Domain(), Currency(), Id()]
UTC = dt.UTC
DAYS = "A date from 0001-01-02 to 9999-12-30 is expected."
MOMENTS = "A time after 0001-01-01T00:00:00Z and before 9999-12-31T23:59:59.999999Z is expected."
EDGES = [
    ("birthday", Date(), "0001-01-02"),
    ("birthday", Date(), "9999-12-30"),
    ("email_opt_out_at", Time(), "0001-01-01T00:00:00.000001Z"),
    ("email_opt_out_at", Time(), "9999-12-31T23:59:59.999998Z"),
]
"""The first and the last that are stored."""


@pytest.mark.parametrize(
    ("kind", "given", "stored"),
    [
        (Text(), "  Acme \u00a0", "Acme"),
        (Text(), "Cafe\u0301", "Caf\u00e9"),
        (Text(3), "\ufb2c", "\u05e9\u05bc\u05c1"),
        (Text(LONG_TEXT), "one\n\ttwo", "one\n\ttwo"),
        (Email(), "Ada.Lovelace@EXAMPLE.com", "Ada.Lovelace@example.com"),
        (Phone(), "(415) 555-2671", "+14155552671"),
        (Phone(), "+47 22 12 34 56 ext. 7", "+4722123456;ext=7"),
        (Url(), "example.com/x", "https://example.com/x"),
        (Url(), "http://example.com:8080", "http://example.com:8080"),
        (Domain(), "https://WWW.Example.com/x", "example.com"),
        (Domain(), "münchen.example", "münchen.example"),
        (Currency(), "nok", "NOK"),
        (Amount(), "1250000.50", Decimal("1250000.5")),
        (Amount(), "1e3", Decimal(1000)),
        (Amount(), "-0.00", Decimal(0)),
        (Amount(), "99999999999999.9999", Decimal("99999999999999.9999")),
        (Integer(minimum=-5, maximum=5), "-5", -5),
        (Boolean(), False, False),
        (Date(), "2028-02-29", dt.date(2028, 2, 29)),
        (Time(), "2026-05-04T12:00:00+02:00", dt.datetime(2026, 5, 4, 10, tzinfo=UTC)),
        (Time(), "2026-05-04T10:00:00.123456Z", dt.datetime(2026, 5, 4, 10, 0, 0, 123456, tzinfo=UTC)),
        (Enum(AccountType), "PARTNER", AccountType.PARTNER),
        (Enums(RequiredField), ["AMOUNT", "ACCOUNT", "AMOUNT"], [RequiredField.AMOUNT, RequiredField.ACCOUNT]),
        (TextList(), [" Globex ", "Initech"], ["Globex", "Initech"]),
        (Values(EmailAddress), [{"address": "a@EXAMPLE.com"}], [EmailAddress("a@example.com", None)]),
    ],
)
def test_a_value_gets_its_standard_form(kind: Any, given: object, stored: object) -> None:
    cleaned = kind.clean(given)
    assert (cleaned, str(cleaned)) == (stored, str(stored))


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        (Text(), 5, "Text is expected."),
        (Text(3), "four", "At most 3 characters are allowed, got 4."),
        (Text(2), "\ufb2c", "At most 2 characters are allowed, got 3."),
        (Text(), "a\x00b", "Control characters are not allowed."),
        (Text(), "two\nlines", "Control characters are not allowed."),
        (Text(), "\ud800", "Unpaired surrogates are not text."),
        (Text(), "x" * 10_000_000, "At most 200 characters are allowed, got 10000000."),
        (Phone(), "12", "Not a phone number: too long or too short for its country."),
        (Url(), "ftp://example.com", "Not a web address: it must start with http:// or https:// and name a host."),
        (Url(), "https://", "Not a web address: it must start with http:// or https:// and name a host."),
        (Url(), "javascript:alert(1)", "Not a web address: it must start with http:// or https:// and name a host."),
        (Url(), "x" * 1990 + ".com", "At most 2000 characters are allowed, got 2002."),
        (Domain(), "no_such_name", "Not a domain name, such as example.com."),
        (Domain(), "example..com", "Not a domain name, such as example.com."),
        (Currency(), "US", "A currency is three letters, such as USD."),
        (Amount(), "1" * 30, "The amount is too large: at most 14 digits before the point."),
        (Amount(), "1" * 10_000_000, "The amount is too large: at most 14 digits before the point."),
        (Amount(), "1e9999999", "The amount is too large: at most 14 digits before the point."),
        (Amount(), "1e-9999999", "At most 4 digits after the point are kept."),
        (Amount(), "0.00001", "At most 4 digits after the point are kept."),
        (Amount(), "NaN", "A finite number is expected."),
        (Amount(), "sNaN", "A finite number is expected."),
        (Amount(), float("inf"), "A finite number is expected."),
        (Amount(), "1e99999999999999999999", "A decimal number is expected, such as 1250.50."),
        (Amount(), None, "A decimal number is expected, such as 1250.50."),
        (Integer(), 2**31, "A number from 0 to 2147483647 is expected."),
        (Integer(), float("inf"), "A whole number is expected."),
        (Integer(), "9" * 5000, "A whole number is expected."),
        (Boolean(), 1, "True or false is expected."),
        (Date(), "2026-02-30", "A date is expected as YYYY-MM-DD."),
        (Date(), "0001-01-01", DAYS),
        (Date(), dt.date.max, DAYS),
        (Time(), "2026-05-04T10:00:00", "A time needs its offset, such as 2026-05-04T10:00:00Z."),
        (Time(), "10000-01-01T00:00:00Z", "A time is expected as in 2026-05-04T10:00:00Z."),
        (Time(), "0001-01-01T00:00:00+14:00", MOMENTS),
        (Time(), "0001-01-01T00:00:00Z", MOMENTS),
        (Time(), "9999-12-31T23:59:59.999999Z", MOMENTS),
        (Time(), "9999-12-31T22:59:59.999999-01:00", MOMENTS),
        (Enums(RequiredField), "AMOUNT", "A list is expected."),
        (TextList(), ["x"] * (MAX_ITEMS + 1), "At most 50 entries are allowed."),
    ],
)
def test_what_a_value_cannot_be(kind: Any, given: object, message: str) -> None:
    with pytest.raises(Invalid) as caught:
        kind.clean(given)
    assert caught.value.message == message


@pytest.mark.parametrize("blank", ["", "   ", "\u3000"])
def test_blank_text_is_a_missing_value(blank: str) -> None:
    with pytest.raises(Required):
        Text().clean(blank)


@pytest.mark.parametrize(
    ("kind", "given", "field"),
    [
        (TextList(), ["fine", "\x00"], "1"),
        (Enums(RequiredField), ["AMOUNT", "NOTHING"], "1"),
        (Values(EmailAddress), [{"address": "a@example.com"}, {"address": "nobody"}], "1.address"),
        (Values(EmailAddress), [{"label": "work"}], "0.address"),
    ],
)
def test_a_fault_in_a_list_names_the_item(kind: Any, given: object, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        kind.clean(given)
    assert caught.value.field == field


@pytest.mark.parametrize("kind", TEXTS, ids=lambda kind: type(kind).__name__)
@given(text=st.text(st.characters(codec=None), max_size=80))
def test_any_text_is_refused_or_has_a_form_that_stays(kind: Text, text: str) -> None:
    try:
        stored = kind.clean(text)
    except Invalid:
        return
    assert is_storable(stored)
    assert len(stored) <= kind.limit
    assert kind.clean(stored) == stored


@given(number=st.decimals(-(10**14) + 1, 10**14 - 1, places=4))
def test_amounts_are_stored_exactly(number: Decimal) -> None:
    kind: Any = Amount()
    stored = kind.process_bind_param(kind.clean(str(number)), None)
    back = kind.result_processor(None, None)(stored)
    assert (stored, back) == (int(number.scaleb(4)), number)
    assert wire(back) == format(plain(number), "f")
    assert "e" not in wire(back).lower()


@given(moment=st.datetimes(dt.datetime(1, 1, 2), dt.datetime(9999, 12, 30), timezones=st.timezones()))
def test_times_sort_as_text_on_the_wire(moment: dt.datetime) -> None:
    kind = Time()
    assert kind.clean(wire(moment)) == moment.astimezone(UTC)
    assert (wire(moment) < wire(dt.datetime(2026, 1, 1, tzinfo=UTC))) is (moment < dt.datetime(2026, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(("column", "kind", "edge"), EDGES)
async def test_the_first_and_last_days_and_moments_are_stored(world: World, column: str, kind: Any, edge: str) -> None:
    value = kind.clean(edge)
    planted = await RawRows(world).plant(Contact, **{column: value})

    [row] = await world.rows(Contact)

    assert (row["id"], row[column]) == (planted, value)


async def test_text_is_folded_alike_by_python_and_by_the_database(world: World) -> None:
    words = ["ÄRGER", "Ιησούς ΙΗΣΟΥΣ ς Σ", "İI\u0131", "STRASSE straße", "ЁЛКА", "ǅ", "\u212a", "ﬁ", "\u13a0", "🅰"]
    async with world.database.read() as session:
        folded = [await session.scalar(sa.select(casefolded(sa.literal(word)))) for word in words]
    assert folded == [casefold_text(word) for word in words]
    assert casefold_text("Ιησούς") == casefold_text("ΙΗΣΟΎΣ")
