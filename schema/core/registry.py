"""The declarations of all areas: node types, and the parts of Query, Mutation and Subscription.

The areas' modules register what they declare; `schema.build` imports them and puts the schema together.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Protocol, TypeVar

import strawberry
from strawberry.types.base import StrawberryObjectDefinition

from crm_graph.models import Entity
from loaders import SortKey

T = TypeVar("T")


class NodeType(Protocol):
    """The type of a model, which `node` declares."""

    __name__: str
    __model__: type[Entity]
    __order__: tuple[SortKey, ...]
    __strawberry_definition__: StrawberryObjectDefinition


TYPES: dict[str, NodeType] = {}
"""The node types by name."""
INTERFACE_TYPES: list[type] = []
"""Types that only appear as members of an interface, in no field of their own type."""
_named: dict[str, object] = {}
"""Other types that are made from declarations, by name."""
_derived: dict[str, Callable[[], object]] = {}
"""Functions that make types of all node types, by the types' names."""
_parts: dict[str, list[tuple[float, str, type]]] = {"Query": [], "Mutation": [], "Subscription": []}


def query_fields(position: float = math.inf) -> Callable[[type[T]], type[T]]:
    """Class decorator: its fields are fields of Query.

    Parts are put in the order of `position`, which keeps the order of the released schema; parts without one follow in
    the order of their modules.
    """
    return _part("Query", position)


def mutation_fields(position: float = math.inf) -> Callable[[type[T]], type[T]]:
    """Class decorator: its fields are fields of Mutation, in the same order as those of Query."""
    return _part("Mutation", position)


def subscription_fields(position: float = math.inf) -> Callable[[type[T]], type[T]]:
    """Class decorator: its fields are fields of Subscription, in the same order as those of Query."""
    return _part("Subscription", position)


def _part(root: str, position: float) -> Callable[[type[T]], type[T]]:
    def register(cls: type[T]) -> type[T]:
        part = strawberry.type(cls)
        _parts[root].append((position, cls.__module__, part))
        return part

    return register


def root_type(name: str, description: str) -> type:
    """Query, Mutation or Subscription, with the fields of all its parts."""
    parts = sorted(_parts[name], key=lambda part: part[:2])
    return strawberry.type(type(name, tuple(part for _, _, part in parts), {}), description=description)


def interface_type(cls: type[T]) -> type[T]:
    """Class decorator: the schema has the type, although no field is of it, but only of an interface of its."""
    INTERFACE_TYPES.append(cls)
    return cls


def named_type(cls: type[T]) -> type[T]:
    """Register a type that was made from a declaration, so that annotations can name it."""
    _named[cls.__name__] = cls
    return cls


def derived_type(name: str) -> Callable[[Callable[[], T]], Callable[[], T]]:
    """Function decorator: it makes the type `name` of all node types, once they are declared."""

    def register(make: Callable[[], T]) -> Callable[[], T]:
        _derived[name] = cached = functools.cache(make)
        return cached

    return register


def link_type_names() -> None:
    """Define the names of all registered types in the modules that declare types, whose annotations use them.

    Raises TypeError for a module that has something else under such a name.
    """
    types = {**TYPES, **_named, **{name: make() for name, make in _derived.items()}}
    for module in [each for name, each in sys.modules.items() if name.startswith("schema.") and _declares_types(each)]:
        for name, value in types.items():
            if vars(module).setdefault(name, value) is not value:
                raise TypeError(f"{module.__name__}.{name} hides the GraphQL type {name}; import it otherwise.")


def _declares_types(module: ModuleType) -> bool:
    return any(
        "__strawberry_definition__" in vars(each) and each.__module__ == module.__name__
        for each in vars(module).values()
        if isinstance(each, type)
    )
