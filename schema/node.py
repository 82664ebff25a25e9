"""How a type declares what its fields are: columns, money, edges, connections. Everything else follows from that:
how a field is resolved, filtered and ordered by, and what the inputs that write it look like.

    @node(models.Opportunity, "A deal that may close.")
    class Opportunity(Node):
        name: str = column("What the deal is called.")
        amount: Money | None = money("What it is worth.")
        account: Account | None = edge("Who buys.", by="account_id")
        activities: Connection[Activity] = connection("What was done about it.", relation)
"""

from __future__ import annotations

import datetime as dt
import enum
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Generic, Literal, Optional, TypeVar

import strawberry
from strawberry import UNSET
from strawberry.types.arguments import StrawberryArgument
from strawberry.types.base import StrawberryContainer, StrawberryList, StrawberryOptional
from strawberry.types.field import StrawberryField
from strawberry.types.lazy_type import LazyType

from crm_graph.models import Entity
from crm_graph.services.records import label
from loaders import Order, Page, Relation, Values
from schema.context import Info
from schema.declared import Declared, argument
from schema.filters import NAMES, comparison_of, filter_type, input_type, order_type, page_request
from schema.scalars import CurrencyCode, enum_type
from schema.writes import VERSION, MoneyInput, write_input

T = TypeVar("T")
Write = bool | Literal["create"]
"""Whether clients may set a field: always, never, or only when they create the record."""
TYPES: dict[str, Any] = {}
"""The node types by name. The modules of domains refer to each other's types, and find them here."""


@strawberry.interface(description="Anything with an id of its own, to be fetched again by `node`.")
class Node:
    id: strawberry.ID = strawberry.field(description="Unique across all types and workspaces.")


@strawberry.type(description="An amount in one currency. Amounts of different currencies are never added.")
class Money:
    amount: Decimal = strawberry.field(description="The exact amount.")
    currency: CurrencyCode = strawberry.field(description="The currency of the amount.")


@strawberry.type(description="Where a page stands in its list.")
class PageInfo:
    has_next_page: bool = strawberry.field(description="Whether rows follow.")
    has_previous_page: bool = strawberry.field(description="Whether rows stand before.")
    start_cursor: str | None = strawberry.field(description="The cursor of the page's first row.")
    end_cursor: str | None = strawberry.field(description="The cursor of the page's last row.")


@strawberry.type(description="A row of a list, with its place in it.")
class Edge(Generic[T]):
    cursor: str = strawberry.field(description="The row's place in this order, for `after` and `before`.")
    node: T = strawberry.field(description="The row.")


@strawberry.type(description="A page of a list.")
class Connection(Generic[T]):
    edges: list[Edge[T]] = strawberry.field(description="The rows with their cursors.")
    nodes: list[T] = strawberry.field(description="The rows.")
    page_info: PageInfo = strawberry.field(description="Where the page stands.")
    total_count: int = strawberry.field(
        description="How many rows all pages have together. Counted only when asked for."
    )


@dataclass
class Listed:
    """What a connection's fields read, each made when it is asked for."""

    page: Page
    count: Callable[[], Awaitable[int]]

    @property
    def nodes(self) -> list[Any]:
        return self.page.rows

    @property
    def edges(self) -> list[Edge[Any]]:
        return [Edge(cursor=cursor, node=row) for row, cursor in zip(self.page.rows, self.page.cursors, strict=True)]

    @property
    def page_info(self) -> PageInfo:
        cursors = self.page.cursors
        return PageInfo(
            has_next_page=self.page.has_next,
            has_previous_page=self.page.has_previous,
            start_cursor=cursors[0] if cursors else None,
            end_cursor=cursors[-1] if cursors else None,
        )

    @property
    def total_count(self) -> Awaitable[int]:
        return self.count()


class Leading(Declared):
    """A field that leads to node types, or reads columns other than its own."""

    write: Write
    by: str

    @property
    def target(self) -> Any:
        """The node type that the field leads to."""
        return _inner(self.type)


class Column(StrawberryField):
    """A column of the model with the field's name."""

    write: Write
    sortable: bool


class MoneyColumn(Leading):
    """An amount in a column with the field's name, in the currency of the model's column `currency`."""

    def get_result(self, source: Any, info: Info | None, args: list[Any], kwargs: dict[str, Any]) -> Any:
        amount = getattr(source, self.python_name)
        return None if amount is None else Money(amount=amount, currency=CurrencyCode(source.currency))


class ToOne(Leading):
    """The record that column `by` points to; null where the viewer may not see it."""

    optional: bool

    def get_result(self, source: Any, info: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        key = getattr(source, self.by)
        return None if key is None else info.context.loaders.one(self.target.__model__).load(key)


class Figure(Declared):
    """A value computed in SQL, for all records of a level at once."""

    load: Values

    def get_result(self, source: Any, info: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        return info.context.loaders.values(self.load).load(source.id)


class ById(Leading):
    """A root field: one record by its id."""

    def declare_arguments(self) -> list[StrawberryArgument]:
        return [argument("id", strawberry.ID, "Its id.", UNSET)]

    def get_result(self, source: Any, info: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        return info.context.loaders.one(self.target.__model__).load(kwargs["id"])


class ToMany(Leading):
    """A connection: of all records of a type, or of those that `relation` ties to the parent."""

    relation: Relation | None = None

    def declare_arguments(self) -> list[StrawberryArgument]:
        name = self.target.__name__
        order: Any = NAMES[f"{name}Order"]
        return [
            *page_arguments(),
            argument("filter", NAMES[f"{name}Filter"] | None, "Only rows for which this holds."),
            argument("order_by", list[order] | None, "What the rows are sorted by, first things first."),
        ]

    async def get_result(self, source: Any, info: Any, args: list[Any], kwargs: dict[str, Any]) -> Listed:
        loaders = info.context.loaders
        if self.relation is None:
            request = page_request(self.target, kwargs)
            model = self.target.__model__
            return Listed(await loaders.page(model, request), lambda: loaders.total(model, request))
        key = (self.origin, self.python_name, repr(kwargs))
        relation, request = self.relation, loaders.remember(key, lambda: page_request(self.target, kwargs))
        page = await loaders.pages(key, relation, request).load(source.id)
        return Listed(page, lambda: loaders.counts(key, relation, request).load(source.id))


def page_arguments() -> list[StrawberryArgument]:
    """What every list can be asked for."""
    return [
        argument("first", int | None, "How many rows from the start or from `after`: 1 to 100; 25 if omitted."),
        argument("after", str | None, "Only rows after this cursor."),
        argument("last", int | None, "How many rows from the end or from `before`: 1 to 100."),
        argument("before", str | None, "Only rows before this cursor."),
    ]


COMMON = {
    "version": (int, "Counts up with every change; send it back to change only what you have seen."),
    "created_at": (dt.datetime, "When the record was made."),
    "updated_at": (dt.datetime, "When the record was last changed."),
    "deleted_at": (dt.datetime | None, "When the record was deleted; null unless it was."),
}


def column(description: str, *, write: Write = True, sortable: bool = True) -> Any:
    """A column of the model, under the same name."""
    field = Column(description=description)
    field.write, field.sortable = write, sortable
    return field


def money(description: str, *, write: Write = True) -> Any:
    """An amount of the model, under the same name."""
    field = MoneyColumn(description=description)
    field.write = write
    return field


def edge(description: str, *, by: str, write: Write = True, optional: bool = False) -> Any:
    """The one record that a column points to. `optional` for a column that the service fills where clients do not."""
    field = ToOne(description=description)
    field.by, field.write, field.optional = by, write, optional
    return field


def figure(description: str, load: Values) -> Any:
    """What `load` answers for the record's id, one value an id, in their order."""
    field = Figure(description=description)
    field.load = load
    return field


def by_id(description: str) -> Any:
    """The record with the id that the client names; null where there is none or the viewer may not see it."""
    return ById(description=description)


def connection(description: str, relation: Relation | None = None) -> Any:
    """The records that belong to this one; without a relation, all records of the type."""
    field = ToMany(description=description)
    field.relation = relation
    return field


def node(
    model: type[Entity], description: str, *, order: tuple[Order, ...] = (Order("id"),)
) -> Callable[[type[T]], type[T]]:
    """Declare the type of a model. `order` is how lists of it are sorted when nobody asks otherwise."""

    def declare(cls: type[T]) -> type[T]:
        for attribute in model.__table__.columns:
            members = getattr(attribute.type, "members", None)
            if members is not None:
                enum_type(members)
        for name, (kind, meaning) in COMMON.items():
            cls.__annotations__[name] = kind
            setattr(cls, name, column(meaning, write=False))
        cls.is_type_of = lambda value, info: isinstance(value, model)  # type: ignore[attr-defined]
        declared: Any = strawberry.type(cls, description=description)
        declared.__model__, declared.__order__ = model, order
        TYPES[cls.__name__] = declared
        derive(declared)
        return declared

    return declare


def derive(declared: Any) -> None:
    """Make the filter, the order and the inputs of a node type."""
    name, model = declared.__name__, declared.__model__
    fields = declared.__strawberry_definition__.fields
    kinds: dict[str, Any] = {}
    edges: dict[str, tuple[str, str]] = {}
    inputs: dict[str, tuple[Any, str, Write]] = {}
    optional = {field.by for field in fields if isinstance(field, ToOne) and field.optional}
    for field in fields:
        if isinstance(field, ToOne):
            target = str(field.type_annotation and field.type_annotation.raw_annotation).partition("|")[0].strip()
            edges[field.python_name] = (field.by, target)
            inputs[field.by] = (strawberry.ID, f"The id of `{field.python_name}`.", field.write)
        elif isinstance(field, MoneyColumn):
            kinds[field.python_name] = Decimal
            inputs[field.python_name] = (MoneyInput, field.description or "", field.write)
        elif isinstance(field, Column):
            kind = field.type.of_type if isinstance(field.type, StrawberryOptional) else field.type
            kind = getattr(kind, "wrapped_cls", kind)
            kinds[field.python_name] = kind
            inputs[field.python_name] = (input_kind(kind), field.description or "", field.write)
    kinds["id"] = strawberry.ID
    filter_type(name, model, kinds, edges)
    long = {field.python_name for field in fields if isinstance(field, Column) and not field.sortable}
    order_type(name, [each for each, kind in kinds.items() if comparison_of(kind) and each not in long])
    writable = {each: entry for each, entry in inputs.items() if entry[2]}
    create: dict[str, tuple[Any, str]] = {}
    update: dict[str, tuple[Any, str]] = {}
    for each, (kind, meaning, when) in writable.items():
        column = model.__table__.columns[each]
        needed = not column.nullable and column.default is None and each not in optional
        create[each] = (kind if needed else maybe(kind), meaning)
        if when is True:
            update[each] = (maybe(kind), meaning)
    if create:
        write_input(f"Create{name}Input", f"A new {label(model)}.", {}, create)
        known = {"id": (strawberry.ID, "Which one."), "expected_version": VERSION}
        write_input(f"Update{name}Input", f"Changes of a {label(model)}; null empties a field.", known, update)


def value_type(description: str) -> Callable[[type[T]], type[T]]:
    """Declare a small record inside others, such as an address, and the input that writes it."""

    def declare(cls: type[T]) -> type[T]:
        declared: Any = strawberry.type(cls, description=description)
        fields = {
            field.python_name: (field.type, field.description or "")
            for field in declared.__strawberry_definition__.fields
        }
        made = input_type(f"{cls.__name__}Input", (), fields, description, left_out=None)
        for field in made.__strawberry_definition__.fields:
            if not isinstance(field.type, StrawberryOptional):
                field.default = field.default_value = UNSET
        return declared

    return declare


def input_kind(kind: Any) -> Any:
    """The type that writes what a field of type `kind` reads."""
    if isinstance(kind, StrawberryList):
        return list[input_kind(kind.of_type)]  # type: ignore[misc]  # a type made at run time
    return (
        NAMES[f"{kind.__name__}Input"]
        if hasattr(kind, "__strawberry_definition__") and not isinstance(kind, enum.EnumType)
        else kind
    )


def maybe(kind: Any) -> Any:
    """The input annotation of a value that may be left out, or be null to empty the field."""
    return strawberry.Maybe[Optional[kind]]  # type: ignore[misc]  # a type made at run time


def connect_modules() -> None:
    """Give the modules of domains each other's types, which their annotations name. Once, when all are imported."""
    for module in [each for name, each in sys.modules.items() if name.startswith("schema.")]:
        for name, value in TYPES.items():
            vars(module).setdefault(name, value)


def _inner(kind: Any) -> Any:
    while True:
        if isinstance(kind, StrawberryContainer):
            kind = kind.of_type
        elif isinstance(kind, LazyType):
            kind = kind.resolve_type()
        elif (arguments := getattr(kind, "__strawberry_definition__", None)) and arguments.type_var_map:
            kind = arguments.type_var_map["T"]
        else:
            return kind
