"""Declared fields, in both executions: `resolve` reads the value with loaders, `compile` builds an SQL expression."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import sqlalchemy as sa
import strawberry
from graphql import GraphQLObjectType
from strawberry import UNSET
from strawberry.types.arguments import StrawberryArgument
from strawberry.types.base import StrawberryContainer
from strawberry.types.field import StrawberryField
from strawberry.types.lazy_type import LazyType

from crm_graph.access import visible
from crm_graph.models import Entity, WorkspaceRow, types
from loaders import Loaders, PageRequest, Relation, Values
from loaders.sql_json.expressions import ITEM, Expression, IsObject, JsonArray, JsonMember, JsonRows, as_json
from loaders.sql_json.pages import RowScope, belonging, scalar
from loaders.sql_json.variables import as_bind, specialized
from schema.core.connections import ConnectionPage, Money
from schema.core.context import Info
from schema.core.declared import Arguments, DeclaredField, DeferredValue, argument
from schema.core.filters import INPUT_TYPES
from schema.core.lists import compile_list
from schema.core.orders import order_terms
from schema.core.registry import TYPES, NodeType
from schema.core.scalars import CurrencyCode
from schema.core.selection import FieldSelection

Writable = bool | Literal["create"]
"""True if clients may write a field, `create` if only on creation."""


class RelationField(DeclaredField):
    """A field that leads to node types, or reads other columns than its own."""

    write: Writable
    by: str

    @functools.cached_property
    def target(self) -> NodeType:
        """The node type of the field's value."""
        return TYPES[_inner(self.type).__name__]


class Column(StrawberryField):
    """A column of the model with the field's name."""

    write: Writable
    sortable: bool

    def compile(self, selection: FieldSelection, scope: RowScope) -> Expression:
        value = getattr(scope.row, self.python_name)
        match value.type:
            case types.Values():
                return JsonArray(value, _members(selection, ITEM))
            case types.Value():
                return sa.case((IsObject(value), _members(selection, value)))
        return as_json(value)


class MoneyColumn(RelationField):
    """An amount in the column with the field's name, in the currency of the column `currency`."""

    def resolve(self, source: Any, info: Info, arguments: Arguments) -> object:
        amount = getattr(source, self.python_name)
        return None if amount is None else Money(amount=amount, currency=CurrencyCode(source.currency))

    def compile(self, selection: FieldSelection, scope: RowScope) -> Expression:
        amount = getattr(scope.row, self.python_name)
        return sa.case((amount.is_not(None), selection.write({"amount": amount, "currency": scope.row.currency})))


class ToOne(RelationField):
    """The record that the column `by` refers to; null if the viewer may not see it."""

    optional: bool

    def resolve(self, source: object, info: Info, arguments: Arguments) -> object:
        key = getattr(source, self.by)
        return None if key is None else info.context.loaders.by_key(self.target.__model__).load(key)

    def compile(self, selection: FieldSelection, scope: RowScope) -> Expression:
        return compile_one(selection, scope, self.target.__model__, getattr(scope.row, self.by))


class ComputedField(DeclaredField):
    """A value computed in SQL, in one batch for all records of a level."""

    load: Values[str, object]
    compile_expression: Callable[[FieldSelection, RowScope], Expression]

    def resolve(self, source: Entity, info: Info, arguments: Arguments) -> object:
        return info.context.loaders.by_parent_ids(self.load).load(source.id)

    def compile(self, selection: FieldSelection, scope: RowScope) -> Expression:
        return self.compile_expression(selection, scope)


class ById(RelationField):
    """A root field: one record by its id."""

    def declare_arguments(self) -> list[StrawberryArgument]:
        return [argument("id", strawberry.ID, "Id of the record.", UNSET)]

    def resolve(self, source: object, info: Info, arguments: Arguments) -> object:
        return info.context.loaders.by_key(self.target.__model__).load(arguments["id"])

    def compile(self, selection: FieldSelection, scope: RowScope) -> Expression:
        model = self.target.__model__
        return compile_one(selection, scope, model, as_bind(selection.arguments["id"], model.id.type))


class ToMany(RelationField):
    """A connection of all records of a type, or of those that `relation` ties to the parent."""

    relation: Relation | None = None

    def declare_arguments(self) -> list[StrawberryArgument]:
        name = self.target.__name__
        order: Any = INPUT_TYPES[f"{name}Order"]
        return [
            *page_arguments(),
            argument("filter", INPUT_TYPES[f"{name}Filter"] | None, "Only rows that meet this condition."),
            argument("order_by", list[order] | None, "Sort order, most significant field first."),
        ]

    def resolve(self, source: Entity, info: Info, arguments: Arguments) -> object:
        return self.bind(info, arguments)(source)

    def bind(self, info: Any, arguments: Arguments) -> Callable[[Entity], object]:
        context = info.context
        if self.relation is None:  # a root field
            return lambda source: self._all(context.loaders, self._request(arguments))
        key = (self.origin, self.python_name, repr(arguments))
        relation, request = self.relation, context.loaders.memoize(key, lambda: self._request(arguments))

        def read(source: Entity) -> DeferredValue:
            loaders, parent = context.loaders, source.id
            count = lambda: loaders.counts(key, relation, request).load(parent)  # noqa: E731
            return DeferredValue(
                loaders.pages(key, relation, request).load(parent), lambda page: ConnectionPage(page, count)
            )

        return read

    def _request(self, arguments: Arguments) -> PageRequest:
        request, linked = page_request(self.target, arguments), self.relation is not None and self.relation.linked
        return dataclasses.replace(request, linked=True) if linked else request

    async def _all(self, loaders: Loaders, request: PageRequest) -> ConnectionPage:
        model = self.target.__model__
        total = lambda: asyncio.ensure_future(loaders.total(model, request))  # noqa: E731
        return ConnectionPage(await loaders.page(model, request), total)

    def compile(self, selection: FieldSelection, scope: RowScope) -> Expression:
        request = self._request(selection.arguments)
        belongs = None if self.relation is None else belonging(selection.viewer, self.relation, scope)
        return compile_list(selection, scope, self.target.__model__, request, belongs)


def page_request(target: NodeType, arguments: Arguments) -> PageRequest:
    """The page request of a connection's arguments. Raises BadUserInput."""
    condition = arguments.get("filter")
    request = PageRequest(
        order=order_terms(target, arguments.get("order_by")),
        first=specialized(arguments.get("first")),
        after=arguments.get("after"),
        last=specialized(arguments.get("last")),
        before=arguments.get("before"),
        where=condition and condition.where,
        deleted=condition is not None and condition.mentions("deleted_at"),
    )
    request.check()
    return request


def page_arguments() -> list[StrawberryArgument]:
    """The paging arguments of every list."""
    return [
        argument("first", int | None, "Number of rows from the start or from `after`: 1 to 100; 25 if omitted."),
        argument("after", str | None, "Only rows after this cursor."),
        argument("last", int | None, "Number of rows from the end or from `before`: 1 to 100."),
        argument("before", str | None, "Only rows before this cursor."),
    ]


def compile_one(
    selection: FieldSelection, scope: RowScope, model: type[Entity], key: object, kind: GraphQLObjectType | None = None
) -> Expression:
    """Expression for the record with an id; null if the viewer may not see it.

    `kind` is its type if the field's type is abstract.
    """
    row = scope.alias(model)
    record = selection.record(scope.within(row), kind)
    return scalar(sa.select(record).select_from(row).where(row.id == key, visible(row, selection.viewer)), scope)


def compile_first(
    selection: FieldSelection, scope: RowScope, model: type[Entity], select: sa.Select[Entity]
) -> Expression:
    """Expression for the first record of a select, or null."""
    row, rows = scope.from_select(partial(getattr, model), select.limit(sa.literal_column("1")))
    return scalar(sa.select(selection.record(row)).select_from(rows), scope)


def compile_rows(
    selection: FieldSelection, scope: RowScope, model: type[WorkspaceRow], select: sa.Select[WorkspaceRow]
) -> Expression:
    """Expression for the list of a select's records."""
    row, rows = scope.from_select(partial(getattr, model), select)
    return scalar(sa.select(JsonRows(selection.record(row))).select_from(rows), scope)


def compile_value(
    scope: RowScope, select: sa.Select[*tuple[object, ...]], make: Callable[..., Expression]
) -> Expression:
    """Expression made of a select's columns: of its only row, or of all rows by aggregates."""
    row = select.correlate(*scope.enclosing).subquery()
    return scalar(sa.select(make(*row.c)).select_from(row), scope)


def _members(selection: FieldSelection, value: Expression) -> Expression:
    """Expression for the selected fields of a value type in a column."""
    return selection.operation.fields_of(
        selection.kind, selection.details, lambda name, selection: JsonMember(value, selection.declaration.python_name)
    )


def _inner(kind: Any) -> type:
    while True:
        if isinstance(kind, StrawberryContainer):
            kind = kind.of_type
        elif isinstance(kind, LazyType):
            kind = kind.resolve_type()
        elif (arguments := getattr(kind, "__strawberry_definition__", None)) and arguments.type_var_map:
            kind = arguments.type_var_map["T"]
        else:
            return kind
