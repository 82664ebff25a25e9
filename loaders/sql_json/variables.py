"""References to the variables of a request, so that one compiled statement serves all values."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

Variables = Mapping[str, object]
Read = Callable[[Variables], Any]
T = TypeVar("T")
_SCALARS = (str, int, float, Decimal, dt.date)


@dataclass
class Parameters:
    """Parameters of a statement that is being compiled. The values read by `specialized_on` are baked into its SQL: a
    request with other values there needs another statement."""

    variables: Variables
    """The variables of the request that triggers the compilation."""
    reads: dict[str, Read] = field(default_factory=dict)
    specialized_on: list[Read] = field(default_factory=list)

    def placeholders(self) -> dict[str, object]:
        """The variables, with a `VariableRef` for each value that the SQL does not depend on."""
        return {name: self._placeholder(value, _variable(name)) for name, value in self.variables.items()}

    def _placeholder(self, value: object, read: Read) -> object:
        if isinstance(value, dict):
            return {name: self._placeholder(each, _part(read, name)) for name, each in value.items()}
        if isinstance(value, list):
            if _are_scalars(value):
                return [VariableRef(self, read, many=True)]
            return [self._placeholder(each, _part(read, place)) for place, each in enumerate(value)]
        return VariableRef(self, read) if _is_scalar(value) else value

    def bind(self, read: Read, kind: TypeEngine[T]) -> sa.BindParameter[T]:
        """A new parameter of the statement, of a column's type."""
        name = f"given_{len(self.reads)}"
        self.reads[name] = read
        return sa.bindparam(name, type_=kind)


@dataclass(frozen=True)
class VariableRef:
    """A reference to a variable, or to a part of one. With `many`, it is all items of the list in which it stands."""

    parameters: Parameters
    read: Read
    many: bool = False

    def then(self, make: Callable[[Any], object]) -> VariableRef:
        """A reference to the result of `make`, applied to the value."""
        read = self.read
        return VariableRef(self.parameters, lambda variables: make(read(variables)))

    def bind(self, kind: TypeEngine[T]) -> sa.BindParameter[T]:
        return self.parameters.bind(self.read, kind)

    def specialize(self) -> Any:
        """The value of the current request. It is baked into the SQL, so other values need another statement."""
        self.parameters.specialized_on.append(self.read)
        return self.read(self.parameters.variables)


def as_bind(value: object, kind: TypeEngine[T]) -> sa.BindParameter[T]:
    """A value or reference as a bind parameter."""
    if isinstance(value, sa.BindParameter):
        return value
    return value.bind(kind) if isinstance(value, VariableRef) else sa.literal(value, kind)


def specialized(value: object) -> Any:
    return value.specialize() if isinstance(value, VariableRef) else value


def merge_list(values: list[T]) -> list[T] | VariableRef:
    """A list of values and references as one reference; the list itself if it has no reference."""
    givens = [each for each in values if isinstance(each, VariableRef)]
    if not givens:
        return values

    def read(variables: Variables) -> list[object]:
        items: list[object] = []
        for each in values:
            if isinstance(each, VariableRef):
                items.extend(each.read(variables) if each.many else [each.read(variables)])
            else:
                items.append(each)
        return items

    return VariableRef(givens[0].parameters, read)


def variable_shape(value: object) -> Hashable:
    """A variable's value without its scalars: requests with equal shapes can share a statement."""
    if isinstance(value, dict):
        return tuple([(name, variable_shape(each)) for name, each in value.items()])
    if isinstance(value, list):
        return "list" if _are_scalars(value) else tuple([variable_shape(each) for each in value])
    return "scalar" if _is_scalar(value) else value


def _are_scalars(values: Sequence[object]) -> bool:
    """False for an empty list: the type of its items is unknown."""
    return bool(values) and all(_is_scalar(each) for each in values)


def _is_scalar(value: object) -> bool:
    return isinstance(value, _SCALARS) and not isinstance(value, (bool, enum.Enum))


def _variable(name: str) -> Read:
    return lambda variables: variables[name]


def _part(read: Read, key: str | int) -> Read:
    return lambda variables: read(variables)[key]
