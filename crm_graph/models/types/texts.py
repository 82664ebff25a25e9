"""Texts, and kinds of text with a standard form."""

from __future__ import annotations

import re
import unicodedata
from typing import Any, ClassVar
from urllib.parse import urlsplit

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from crm_graph.database import is_storable
from crm_graph.errors import Invalid, Required

LONG_TEXT = 100_000
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
        """A text in NFC, stripped, not empty, of at most `limit` characters and without control characters.

        Line breaks are allowed where `limit` is LONG_TEXT.
        """
        if not isinstance(value, str):
            raise Invalid("Text is expected.")
        self._check_length(value)
        if _CONTROL.search(value) or (self.limit < LONG_TEXT and _LINE_BREAK.search(value)):
            raise Invalid("Control characters are not allowed.")
        if not is_storable(value):
            raise Invalid("Unpaired surrogates are not text.")
        text = unicodedata.normalize("NFC", value).strip()
        if not text:
            raise Required("The text is empty.")
        text = self.standard(text)
        self._check_length(text)  # the standard form may be longer
        return text

    def standard(self, text: str) -> str:
        """The standard form of a stripped text. Raises Invalid."""
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
        import email_validator

        try:
            return email_validator.validate_email(text, check_deliverability=False).normalized
        except email_validator.EmailNotValidError as error:
            raise Invalid(f"Not an email address: {error}") from None


class Phone(Text):
    """A number in E.164 form; one without a country code belongs to `region`."""

    cache_ok = True
    region: ClassVar[str] = "US"

    def __init__(self) -> None:
        super().__init__(40)

    def standard(self, text: str) -> str:
        import phonenumbers

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
            host = parts.hostname if parts.port != 0 else None  # an invalid port raises ValueError too
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
    """A TypeID, such as opp_01h455vb4pex5vsknk084sn02q. A text that cannot be stored is looked up as an empty one,
    which no row has."""

    cache_ok = True

    def __init__(self) -> None:
        super().__init__(64)

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return value if value is None or is_storable(value) else ""
