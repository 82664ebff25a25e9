"""The base of fields that are declared by classes rather than resolved by functions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Any

from strawberry.annotation import StrawberryAnnotation
from strawberry.types.arguments import StrawberryArgument
from strawberry.types.field import StrawberryField

from schema.core.context import Info

Arguments = dict[str, Any]
"""The values of a field's arguments, by name."""


class DeclaredField(StrawberryField):
    """A field that is more than an attribute.

    A `resolve` that is not a coroutine function returns a value, a future or a `DeferredValue`. It then gets the same
    `info` for all rows of a list, and this `info` has no path.
    """

    cost: int | None = None
    """The cost of each object of the field, where it is not the one of its type."""
    page_sizes: tuple[int, int] | None = None
    """The default and the maximum of `first`, where they differ from other lists'."""

    @property
    def is_basic_field(self) -> bool:
        return False

    @property
    def arguments(self) -> list[StrawberryArgument]:
        # Declared when the schema is built: the inputs of other types may be among them.
        if self._arguments is None:
            self._arguments = self.declare_arguments()
        return self._arguments

    @arguments.setter
    def arguments(self, value: list[StrawberryArgument]) -> None:
        self._arguments = value

    def get_result(self, source: object, info: Any, args: list[Any], kwargs: Arguments) -> object:
        return self.resolve(source, info, kwargs)

    def resolve(self, source: Any, info: Info, arguments: Arguments) -> object:
        """The field's value for a record, or for what else its parent field returned."""
        raise NotImplementedError

    def bind(self, info: Info, arguments: Arguments) -> Callable[[Any], object]:
        """A function from a record to the field's value, with the same arguments for all records."""
        return lambda source: self.resolve(source, info, arguments)

    def declare_arguments(self) -> list[StrawberryArgument]:
        """The arguments of the field. The types of all inputs exist when this is called."""
        return []


def declared(kind: type[DeclaredField], description: str, **attributes: object) -> Any:
    """A field of a class, with these attributes."""
    field = kind(description=description)
    for name, value in attributes.items():
        setattr(field, name, value)
    return field


def argument(name: str, annotation: object, description: str, default: object = None) -> StrawberryArgument:
    """An argument of a declared field."""
    return StrawberryArgument(name, None, StrawberryAnnotation(annotation), description=description, default=default)


class DeferredValue:
    """A value derived from one that is being loaded. Unlike with a coroutine, the load has already started."""

    def __init__(self, value: asyncio.Future[Any], make: Callable[[Any], object]) -> None:
        self.value, self.make, self.done = value, make, value.done

    def result(self) -> object:
        return self.make(self.value.result())

    def __await__(self) -> Generator[object, None, object]:
        return self.make((yield from self.value))
