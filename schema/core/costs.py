"""Costs of types and fields, declared beside them. `schema.limits.cost` adds up an operation's costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

FREE = 0
"""The cost of an object that is part of a record or of a list, such as an amount, a page or a payload."""
RECORD = 1
"""The cost of any other object."""
TOTAL = 5
"""The cost of a value that is computed over many records."""


def costs(points: int) -> Callable[[type[T]], type[T]]:
    """Class decorator: the cost of an object of a type, and of the types that inherit from it; RECORD if omitted."""

    def declare(cls: type[T]) -> type[T]:
        cls.__cost__ = points  # type: ignore[attr-defined]
        return cls

    return declare


def cost_of(cls: object) -> int:
    """The declared cost of a type."""
    points: int = getattr(cls, "__cost__", RECORD)
    return points
