"""Cursors: the sort values of a row and a mark of its list, as JSON in URL-safe base64."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from crm_graph.database import is_storable
from crm_graph.errors import BadUserInput, DomainError
from crm_graph.models.types import Text, wire


def encode(of: str, values: Sequence[object]) -> str:
    """The cursor of a row; `of` names the list and its order."""
    return text_of([mark(of), *(wire(value) for value in values)])


def text_of(content: list[object]) -> str:
    """The cursor of a mark and values in JSON's types."""
    return base64.urlsafe_b64encode(json.dumps(content, ensure_ascii=False).encode()).decode()


def decode(of: str, kinds: Sequence[object], cursor: str, argument: str) -> list[object]:
    """The values in a cursor, of the given column types. Raises BadUserInput, naming the argument, for a malformed
    cursor or one of another list."""
    try:
        known, *values = json.loads(base64.urlsafe_b64decode(cursor.encode()))
    except (binascii.Error, ValueError, TypeError, RecursionError):
        raise BadUserInput(f"{argument} is not a cursor of this server.", argument) from None
    if known != mark(of) or len(values) != len(kinds):
        raise BadUserInput(f"{argument} is a cursor of another list or of another order.", argument)
    return [_value(kind, value, argument) for kind, value in zip(kinds, values, strict=True)]


def mark(of: str) -> str:
    """Eight hex digits of a list's name, so that a cursor of another list or order is rejected."""
    return hashlib.sha256(of.encode()).hexdigest()[:8]


def _value(kind: Any, value: object, argument: str) -> object:
    if value is None:
        return None
    if isinstance(kind, (Text, sa.String)):
        known = isinstance(value, str) and is_storable(value)
    elif isinstance(kind, sa.Integer):
        known = type(value) is int and abs(value) < (2**63 if isinstance(kind, sa.BigInteger) else 2**31)
    else:
        try:
            return kind.clean(value)
        except DomainError:
            known = False
    if not known:
        raise BadUserInput(f"{argument} is not a cursor of this server.", argument)
    return value
