"""Values that come with a request. A statement is compiled once, with parameters in their place."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

Variables = Mapping[str, Any]
Read = Callable[[Variables], Any]
_SCALARS = (str, int, float, Decimal, dt.date)


@dataclass
class Parameters:
    """Parameters of a statement that is being compiled. The values read by `specialized_on` are baked into its SQL: a
    request with other values there needs another statement."""

    variables: Variables
    """Those of the request that it is compiled for."""
    reads: dict[str, Read] = field(default_factory=dict)
    specialized_on: list[Read] = field(default_factory=list)

    def placeholders(self) -> dict[str, Any]:
        """The variables, with what may differ from request to request as `VariableRef`."""
        return {name: self._placeholder(value, _variable(name)) for name, value in self.variables.items()}

    def _placeholder(self, value: Any, read: Read) -> Any:
        if isinstance(value, dict):
            return {name: self._placeholder(each, _part(read, name)) for name, each in value.items()}
        if isinstance(value, list):
            if _are_scalars(value):
                return [VariableRef(self, read, many=True)]
            return [self._placeholder(each, _part(read, place)) for place, each in enumerate(value)]
        return VariableRef(self, read) if _is_scalar(value) else value

    def bind(self, read: Read, kind: Any) -> sa.BindParameter[Any]:
        """A parameter of the statement, of a column's type."""
        name = f"given_{len(self.reads)}"
        self.reads[name] = read
        return sa.bindparam(name, type_=kind)


@dataclass(frozen=True)
class VariableRef:
    """A value that comes with a request; `many` stands in a list for all of its items."""

    parameters: Parameters
    read: Read
    many: bool = False

    def then(self, make: Callable[[Any], Any]) -> VariableRef:
        """What is made of the value."""
        read = self.read
        return VariableRef(self.parameters, lambda variables: make(read(variables)))

    def bind(self, kind: Any) -> sa.BindParameter[Any]:
        return self.parameters.bind(self.read, kind)

    def specialize(self) -> Any:
        """The value itself. It becomes a part of the statement."""
        self.parameters.specialized_on.append(self.read)
        return self.read(self.parameters.variables)


def as_bind(value: Any, kind: Any) -> Any:
    """A value as a part of an SQL expression."""
    if isinstance(value, sa.BindParameter):
        return value
    return value.bind(kind) if isinstance(value, VariableRef) else sa.literal(value, kind)


def specialized(value: Any) -> Any:
    return value.specialize() if isinstance(value, VariableRef) else value


def merge_list(values: list[Any]) -> list[Any] | VariableRef:
    """A list, as one given value where any of its items is."""
    givens = [each for each in values if isinstance(each, VariableRef)]
    if not givens:
        return values

    def read(variables: Variables) -> list[Any]:
        items: list[Any] = []
        for each in values:
            item = each.read(variables) if isinstance(each, VariableRef) else each
            items.extend(item if isinstance(each, VariableRef) and each.many else [item])
        return items

    return VariableRef(givens[0].parameters, read)


def variable_shape(value: Any) -> Hashable:
    """What of a variable's value decides which statement answers: not the scalars in it, unless they are pinned."""
    if isinstance(value, dict):
        return tuple([(name, variable_shape(each)) for name, each in value.items()])
    if isinstance(value, list):
        return "list" if _are_scalars(value) else tuple([variable_shape(each) for each in value])
    return "scalar" if _is_scalar(value) else value


def _are_scalars(values: list[Any]) -> bool:
    """Of an empty list there is no telling what it is a list of."""
    return bool(values) and all(_is_scalar(each) for each in values)


def _is_scalar(value: Any) -> bool:
    return isinstance(value, _SCALARS) and not isinstance(value, (bool, enum.Enum))


def _variable(name: str) -> Read:
    return lambda variables: variables[name]


def _part(read: Read, key: Any) -> Read:
    return lambda variables: read(variables)[key]
