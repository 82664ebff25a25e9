"""Declarations of types. Filters, orders and inputs are derived from them."""

from __future__ import annotations

import datetime as dt
import enum
import re
import types
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Optional, TypeVar

import strawberry
from strawberry import UNSET
from strawberry.types.base import StrawberryList, StrawberryOptional, get_object_definition

from crm_graph.models import Entity
from crm_graph.records import label
from loaders import Relation, SortKey, Values
from loaders.sql_json.expressions import Expression
from loaders.sql_json.pages import RowScope
from schema.core.costs import FREE, costs
from schema.core.fields import ById, Column, ComputedField, MoneyColumn, ToMany, ToOne, Writable
from schema.core.filters import INPUT_TYPES, comparison_of, filter_type, input_type
from schema.core.mutations import VERSION, MoneyInput, write_input
from schema.core.orders import order_type
from schema.core.registry import TYPES, NodeType
from schema.core.scalars import enum_type
from schema.core.selection import FieldSelection

T = TypeVar("T")
COMMON = {
    "version": (
        int,
        "Version, counted up by every change. Send it as `expectedVersion` to change only what you have seen.",
    ),
    "created_at": (dt.datetime, "Time of creation."),
    "updated_at": (dt.datetime, "Time of the last change."),
    "deleted_at": (dt.datetime | None, "Time of deletion; null if not deleted."),
}


def column(description: str, *, write: Writable = True, sortable: bool = True) -> Any:
    """A column of the model with the same name."""
    field = Column(description=description)
    field.write, field.sortable = write, sortable
    return field


def money(description: str, *, write: Writable = True) -> Any:
    """An amount of the model with the same name."""
    field = MoneyColumn(description=description)
    field.write = write
    return field


def edge(description: str, *, by: str, write: Writable = True, optional: bool = False) -> Any:
    """The record that a column refers to. `optional` if the service fills the column when clients do not."""
    field = ToOne(description=description)
    field.by, field.write, field.optional = by, write, optional
    return field


def computed(
    description: str,
    load: Values[str, object],
    write: Callable[[FieldSelection, RowScope], Expression],
    *,
    cost: int | None = None,
) -> Any:
    """A value per record, in both executions: `load` returns it in Python, one value for each id, in their order;
    `write` returns the SQL expression. `cost` replaces the one of its type."""
    field = ComputedField(description=description)
    field.load, field.compile_expression, field.cost = load, write, cost
    return field


def by_id(description: str) -> Any:
    """The record with a given id; null if it does not exist or the viewer may not see it."""
    return ById(description=description)


def connection(description: str, relation: Relation | None = None) -> Any:
    """The records of a relation; without one, all records of the type."""
    field = ToMany(description=description)
    field.relation = relation
    return field


def node(
    model: type[Entity], description: str, *, order: tuple[SortKey, ...] = (SortKey("id"),)
) -> Callable[[type[T]], type[T]]:
    """Declare the type of a model. `order` is the default order of its lists."""

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
        derive_inputs(declared)
        return declared

    return declare


def derive_inputs(declared: NodeType) -> None:
    """Derive the filter, the order and the inputs of a node type."""
    name, model = declared.__name__, declared.__model__
    fields = declared.__strawberry_definition__.fields
    kinds: dict[str, object] = {}
    edges: dict[str, tuple[str, str]] = {}
    inputs: dict[str, tuple[object, str, Writable]] = {}
    optional = {field.by for field in fields if isinstance(field, ToOne) and field.optional}
    for field in fields:
        if isinstance(field, ToOne):
            target = str(field.type_annotation and field.type_annotation.raw_annotation).partition("|")[0].strip()
            edges[field.python_name] = (field.by, target)
            inputs[field.by] = (strawberry.ID, f"Id of `{field.python_name}`.", field.write)
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
    create: dict[str, tuple[object, str]] = {}
    update: dict[str, tuple[object, str]] = {}
    for each, (annotation, meaning, when) in writable.items():
        column = model.__table__.columns[each]
        needed = not column.nullable and column.default is None and each not in optional
        create[each] = (annotation if needed else maybe(annotation), meaning)
        if when is True:
            update[each] = (maybe(annotation), meaning)
    if create:
        write_input(f"Create{name}Input", f"A new {label(model)}.", {}, create)
        known = {"id": (strawberry.ID, "Id of the record."), "expected_version": VERSION}
        write_input(f"Update{name}Input", f"Changes to a {label(model)}. Null clears a field.", known, update)


def value_type(description: str) -> Callable[[type[T]], type[T]]:
    """Declare a value inside records, such as an address, and its input type."""

    def declare(cls: type[T]) -> type[T]:
        declared = costs(FREE)(strawberry.type(cls, description=description))
        fields = {
            field.python_name: (field.type, field.description or "")
            for field in get_object_definition(declared, strict=True).fields
        }
        made = input_type(f"{cls.__name__}Input", object, fields, description, left_out=None)
        for field in get_object_definition(made, strict=True).fields:
            if not isinstance(field.type, StrawberryOptional):
                field.default = field.default_value = UNSET
        return declared

    return declare


def input_kind(kind: Any) -> object:
    """The input type for a field of type `kind`."""
    if isinstance(kind, StrawberryList):
        return list[input_kind(kind.of_type)]  # type: ignore[misc]  # a type made at run time
    return (
        INPUT_TYPES[f"{kind.__name__}Input"]
        if hasattr(kind, "__strawberry_definition__") and not isinstance(kind, enum.EnumType)
        else kind
    )


def maybe(kind: Any) -> object:
    """The input annotation of a value that may be omitted, or be null to clear the field."""
    return strawberry.Maybe[Optional[kind]]  # type: ignore[misc]  # a type made at run time


def declared_class(name: str, module: str, fields: Mapping[str, tuple[object, object]], *bases: type) -> type[Any]:
    """A class of {name: (annotation, field)}, as if it were written in a module."""
    body = {each: value for each, (_, value) in fields.items()}
    body["__annotations__"] = {each: annotation for each, (annotation, _) in fields.items()}
    body["__module__"] = module
    return types.new_class(name, bases, {}, lambda namespace: namespace.update(body))


def snake_case(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
