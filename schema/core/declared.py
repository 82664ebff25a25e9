"""Fields that are declared in Python rather than resolved by a function: what they share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Any

from strawberry.annotation import StrawberryAnnotation
from strawberry.types.arguments import StrawberryArgument
from strawberry.types.field import StrawberryField


class DeclaredField(StrawberryField):
    """A field that is more than an attribute. Subclasses resolve it in `get_result`.

    A `get_result` that is not a coroutine function returns a value, a future or a `DeferredValue`. It then gets the
    same `info` for all rows of a list, and this `info` has no path.
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
        # Made late: the inputs of other types may be among them.
        if self._arguments is None:
            self._arguments = self.declare_arguments()
        return self._arguments

    @arguments.setter
    def arguments(self, value: list[StrawberryArgument]) -> None:
        self._arguments = value

    def bind(self, info: Any, kwargs: dict[str, Any]) -> Callable[[Any], Any]:
        """What answers the field of any row, its arguments being the same for all."""
        return lambda source: self.get_result(source, info, [], kwargs)

    def declare_arguments(self) -> list[StrawberryArgument]:
        return []


def argument(name: str, annotation: Any, description: str, default: Any = None) -> StrawberryArgument:
    """An argument of such a field."""
    return StrawberryArgument(name, None, StrawberryAnnotation(annotation), description=description, default=default)


class DeferredValue:
    """What will be made of a value that is being loaded. Unlike a coroutine's, the loading has begun."""

    def __init__(self, value: asyncio.Future[Any], make: Callable[[Any], Any]) -> None:
        self.value, self.make, self.done = value, make, value.done

    def result(self) -> Any:
        return self.make(self.value.result())

    def __await__(self) -> Generator[Any, None, Any]:
        return self.make((yield from self.value))
