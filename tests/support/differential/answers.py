"""Answers as they are sent, and their first difference; the order of keys and the text of numbers count."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    """The JSON of an answer, and its execution: compiled or executed."""

    text: str
    execution: str

    @property
    def found_something(self) -> bool:
        """True if any value in it is neither null nor empty, nor true of an empty list."""
        return _says(json.loads(self.text)["data"])

    @property
    def codes(self) -> list[str]:
        return [error["extensions"]["code"] for error in json.loads(self.text).get("errors", ())]


class Number(str):
    """A number with its text."""


class Object(list[tuple[str, Any]]):
    """An object with its keys in order, repeated ones included."""


def difference(one: Answer, other: Answer) -> str | None:
    """The first path at which two answers differ, with both values. Errors must have the same codes. A compiled answer
    has no errors; of several in one place, Python reports the first."""
    first, second = (_read(each.text) for each in (one, other))
    errors = [sorted(set(each.codes)) for each in (one, other)]
    if errors[0] != errors[1]:
        return f"errors: {errors[0]} and {errors[1]}"
    return _differ(first, second, "data")


def _read(text: str) -> Any:
    answer = json.loads(text, object_pairs_hook=Object, parse_int=Number, parse_float=Number, parse_constant=Number)
    return dict(answer)["data"]


def _differ(one: Any, other: Any, path: str) -> str | None:
    if type(one) is not type(other):
        return f"{path}: {_shown(one)} and {_shown(other)}"
    if isinstance(one, Object):
        keys, others = [key for key, _ in one], [key for key, _ in other]
        if keys != others:
            return f"{path}: keys {keys} and {others}"
        return next(
            filter(None, (_differ(a, b, f"{path}.{key}") for (key, a), (_, b) in zip(one, other, strict=True))), None
        )
    if isinstance(one, list):
        pairs = enumerate(zip(one, other, strict=False))
        inside = next(filter(None, (_differ(a, b, f"{path}[{place}]") for place, (a, b) in pairs)), None)
        return inside or (f"{path}: {len(one)} and {len(other)} items" if len(one) != len(other) else None)
    return None if one == other else f"{path}: {_shown(one)} and {_shown(other)}"


def _shown(value: Any) -> str:
    return f"{type(value).__name__} {value!r}"[:300]


def _says(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_says(each) for key, each in value.items())
    if isinstance(value, list):
        return any(_says(each) for each in value)
    return value not in (None, False, 0)
