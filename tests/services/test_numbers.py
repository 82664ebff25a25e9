"""Numbers as files write them: read in full or refused, never another value."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_graph.errors import Invalid
from crm_graph.services.importing.numbers import NumberFormat

# How locales of CLDR write a number: group separator, decimal separator, digits in the groups after the first.
CONVENTIONS = {
    "en": (",", ".", 3),
    "de": (".", ",", 3),
    "fr": ("\u202f", ",", 3),
    "pl": ("\u00a0", ",", 3),
    "sv, as typed": (" ", ",", 3),
    "de-CH": ("\u2019", ".", 3),
    "de-CH, as typed": ("'", ".", 3),
    "es, ungrouped": ("", ",", 3),
    "en, ungrouped": ("", ".", 3),
    "hi": (",", ".", 2),
}


@pytest.mark.parametrize(
    ("decimal", "text", "value"),
    [
        (",", "1.250,50", "1250.50"),
        (",", "1.250.000", "1250000"),
        (",", "1 250,50", "1250.50"),
        (",", "4,25", "4.25"),
        (",", ",5", "0.5"),
        (",", "\u2212500", "-500"),
        (",", "€ -1.250", "-1250"),
        (".", "1,250.50", "1250.50"),
        (".", "1'250.50", "1250.50"),
        (".", "$1,250", "1250"),
        (".", "1,250.00 €", "1250"),
        (None, "1250.50", "1250.50"),
        (None, "-1250", "-1250"),
        (None, "1.5E+06", "1500000"),
    ],
)
def test_a_number_is_read_by_its_decimal_separator(decimal: str | None, text: str, value: str) -> None:
    assert NumberFormat(decimal=decimal).read(text) == Decimal(value)


@pytest.mark.parametrize(
    ("decimal", "text"),
    [
        (",", "1250.50"),
        (",", "1,250.50"),
        (",", "1.25.000"),
        (",", "1.2505"),
        (",", "1 250.000"),
        (",", "1.250 000,5"),
        (",", ","),
        (".", "4,25"),
        (".", "1.250,50"),
        (".", "1,00,000.50"),
        (".", "1,250,00"),
        (".", "1_000"),
        (".", "\uff11\uff12"),
        (".", "EUR 1.50"),
        (".", "65%"),
        (".", "(500)"),
        (".", "-"),
        (".", "5-"),
        (".", "--5"),
        (None, "1,250"),
        (None, "$5"),
        (None, "NaN"),
        (None, "Infinity"),
        (None, "1_000"),
    ],
)
def test_anything_else_is_refused(decimal: str | None, text: str) -> None:
    with pytest.raises(Invalid, match="A number such as"):
        NumberFormat(decimal=decimal).read(text)


def test_a_mapping_names_what_other_marks_mean() -> None:
    form = NumberFormat(",", affixes=("EUR", "Kč"), percent="fraction", dash="blank", parentheses="negative")
    texts = ["EUR 1,50", "1,50 eur", "1.250 Kč", "65%", "65 %", "-", "\u2013", "(500)", "(EUR 1.500,25)"]
    values = ["1.50", "1.50", "1250", "0.65", "0.65", None, None, "-500", "-1500.25"]
    assert [form.read(text) for text in texts] == [None if each is None else Decimal(each) for each in values]
    assert NumberFormat(",", percent="number").read("65%") == 65
    assert NumberFormat(",", dash="zero").read("-") == 0
    for text in ("(-500)", "EUR", "()", "%"):
        with pytest.raises(Invalid):
            form.read(text)


def test_a_number_beyond_all_columns_is_refused() -> None:
    assert NumberFormat().read("999999999999999999") == 10**18 - 1
    with pytest.raises(Invalid, match="too large"):
        NumberFormat().read("1000000000000000000")


@given(
    units=st.integers(-(10**14), 10**14),
    places=st.integers(0, 4),
    convention=st.sampled_from(sorted(CONVENTIONS)),
    currency=st.sampled_from(["", "€ ", " €", "$"]),
)
def test_any_way_to_write_an_amount_is_read_back_or_refused(
    units: int, places: int, convention: str, currency: str
) -> None:
    amount = Decimal(units).scaleb(-places)
    group, decimal, size = CONVENTIONS[convention]
    text = write(amount, places, group, decimal, size)
    text = f"{currency}{text}" if not currency.startswith(" ") else f"{text}{currency}"

    assert read(text, decimal) in (amount, None)
    if size == 3:
        assert read(text, decimal) == amount
    other = "," if decimal == "." else "."
    if read(text, other) is not None:  # then nothing in it says that the separator is the other one
        assert places in (0, 3)


def write(amount: Decimal, places: int, group: str, decimal: str, size: int) -> str:
    """The amount by a convention, written without the code under test."""
    whole, _, fraction = f"{abs(amount):.{places}f}".partition(".")
    head, tail = whole[:-3], [whole[-3:]]
    while head:
        head, tail = head[:-size], [head[-size:], *tail]
    return ("-" if amount < 0 else "") + group.join(tail) + (decimal + fraction if fraction else "")


def read(text: str, decimal: str) -> Decimal | None:
    try:
        return NumberFormat(decimal=decimal).read(text)
    except Invalid:
        return None
