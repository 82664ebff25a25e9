"""Reads numbers as people and programs write them, by a grammar: a number is read in full or refused.

A number is digits, perhaps in groups, perhaps with decimals: `1250`, `1,250.50`, `1.250,50`, `1 250,50`, `1'250.50`.
A group separator has exactly three digits after it, stands before the decimal separator, and is the same throughout.
So a wrong decimal separator in a mapping is an error and no other value: with `decimal = ","`, `1250.50` is refused.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from crm_graph.errors import Invalid

SYMBOLS = ("$", "€", "£", "¥")
"""Currency symbols that may stand before or after any number, as the currency is a column of its own."""
GROUP_SIGNS = " \u00a0\u202f\u2009'\u2019"
"""Group separators in either convention: spaces and apostrophes, as typed and as CLDR has them."""
MINUS_SIGNS = "-\u2212"
MEANINGS: Mapping[str, tuple[str, ...]] = {
    "percent": ("number", "fraction"),
    "dash": ("blank", "zero"),
    "parentheses": ("negative",),
}
"""The marks that a mapping can give a meaning, and the meanings."""
MAX_NUMBER = Decimal(10) ** 18

_PLAIN = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)


@dataclass(frozen=True)
class NumberFormat:
    """The number format of a file.

    `decimal` is its decimal separator; None for numbers as programs write them, without groups and symbols.
    `affixes` are texts that may stand before or after a number and add nothing to it, such as "EUR".
    `percent`: `65%` is 65 as "number" and 0.65 as "fraction"; without it, a percent sign is refused.
    `dash`: a lone dash is no value as "blank" and 0 as "zero"; without it, it is refused.
    `parentheses`: `(500)` is -500 as "negative"; without it, it is refused.
    """

    decimal: str | None = None
    affixes: tuple[str, ...] = ()
    percent: str | None = None
    dash: str | None = None
    parentheses: str | None = None

    def read(self, text: str) -> Decimal | None:
        """The number in `text`, exact; None for a dash that is no value. Raises Invalid."""
        text = text.strip()
        if self.dash is not None and text in ("-", "\u2013", "\u2014", "\u2212"):
            return Decimal(0) if self.dash == "zero" else None
        negative = False
        if self.parentheses is not None and text.startswith("(") and text.endswith(")"):
            text, negative = text[1:-1].strip(), True
        bare = self._strip_affix(text)
        sign, digits = self._split_sign(bare)
        text = self._strip_affix(digits) if bare == text else digits  # "-€ 5" as well as "€ -5"
        if negative and sign:
            raise self._refused()
        divisor = 1
        if self.percent is not None and text.endswith("%"):
            text, divisor = text[:-1].rstrip(), 100 if self.percent == "fraction" else 1
        number = self._digits(text) / divisor
        if abs(number) >= MAX_NUMBER:
            raise Invalid("The number is too large.")
        return -number if negative or sign == "-" else number

    def _digits(self, text: str) -> Decimal:
        if self.decimal is None:
            if not _PLAIN.fullmatch(text) or text[0] in "+-":
                raise self._refused()
            return Decimal(text)
        match = _grouped(self.decimal).fullmatch(text)
        if match is None or not text:
            raise self._refused()
        whole = re.sub(r"\D", "", match["whole"])
        return Decimal(f"{whole or '0'}.{match['fraction'] or '0'}")

    def _split_sign(self, text: str) -> tuple[str, str]:
        if text[:1] and text[0] in MINUS_SIGNS:
            return "-", text[1:].lstrip()
        return ("+", text[1:].lstrip()) if text.startswith("+") else ("", text)

    def _strip_affix(self, text: str) -> str:
        """The text without one affix; letters need not match in case."""
        for affix in (*self.affixes, *(SYMBOLS if self.decimal is not None else ())):
            if text[: len(affix)].casefold() == affix.casefold():
                return text[len(affix) :].lstrip()
            if text[-len(affix) :].casefold() == affix.casefold():
                return text[: -len(affix)].rstrip()
        return text

    def _refused(self) -> Invalid:
        example = {None: "1250.50", ".": "1,250.50", ",": "1.250,50"}[self.decimal]
        return Invalid(f"A number such as {example} is expected.")


PLAIN_NUMBERS = NumberFormat()
"""Numbers as programs and mappings write them."""


def number_format(decimal: object, marks: Mapping[str, object], key: str) -> NumberFormat:
    """The format that a step of a mapping declares: its `decimal`, and its table `numbers`.

    Raises Invalid, which names the key within `key`.
    """
    if decimal not in (None, ".", ","):
        raise Invalid(f'{key}.decimal: "." or "," is expected.')
    for name in marks:
        if name not in ("affixes", *MEANINGS):
            raise Invalid(f"{key}.numbers: there is no key '{name}' here. There are affixes, {', '.join(MEANINGS)}.")
    affixes = marks.get("affixes", [])
    if not isinstance(affixes, list) or not all(isinstance(each, str) and each.strip() for each in affixes):
        raise Invalid(f"{key}.numbers.affixes: a list of texts is expected.")
    for name, meanings in MEANINGS.items():
        if marks.get(name) not in (None, *meanings):
            expected = " or ".join(f'"{each}"' for each in meanings)
            raise Invalid(f"{key}.numbers.{name}: {expected} is expected.")
    chosen = {name: str(marks[name]) for name in MEANINGS if name in marks}
    return NumberFormat(None if decimal is None else str(decimal), tuple(each.strip() for each in affixes), **chosen)


@functools.cache
def _grouped(decimal: str) -> re.Pattern[str]:
    """Digits in groups or not, with decimals or not, by the decimal separator."""
    signs = re.escape(GROUP_SIGNS + ("," if decimal == "." else "."))
    whole = rf"\d{{1,3}}(?:(?P<sign>[{signs}])\d{{3}}(?:(?P=sign)\d{{3}})*)|\d+"
    point = re.escape(decimal)
    return re.compile(rf"(?!{point}$)(?P<whole>{whole}|)(?:{point}(?P<fraction>\d*))?", re.ASCII)
