"""Selections of an operation, from which declared fields compile their SQL."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import sqlalchemy as sa
from graphql import (
    FragmentDefinitionNode,
    GraphQLField,
    GraphQLObjectType,
    GraphQLSchema,
    OperationDefinitionNode,
    VariableValues,
    get_argument_values,
    get_named_type,
)
from graphql.execution.collect_fields import (
    CollectedFields,
    FieldDetailsList,
    FragmentDetails,
    collect_fields,
    collect_subfields,
)
from strawberry.schema.config import StrawberryConfig
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.arguments import convert_arguments
from strawberry.types.field import StrawberryField
from strawberry.types.scalar import ScalarDefinition, ScalarWrapper

from crm_graph.access import Viewer
from loaders.sql_json.expressions import Expression, JsonLiteral, JsonObject, as_json
from loaders.sql_json.pages import RowScope
from schema.core.declared import Arguments

DEFINITION = GraphQLCoreConverter.DEFINITION_BACKREF


class NotCompilable(Exception):
    """A selected field can only be resolved in Python."""


@runtime_checkable
class Compilable(Protocol):
    """A field that compiles to SQL."""

    def compile(self, selection: FieldSelection, scope: RowScope) -> Expression:
        """The SQL expression of the field's value for a record. Raises NotCompilable."""


Part = Expression | Callable[["FieldSelection"], Expression]
"""The expression of a field, or a function that builds it from the field's selection."""


@dataclass(frozen=True)
class OperationSelection:
    """The selection of an operation, and its viewer."""

    schema: GraphQLSchema
    node: OperationDefinitionNode
    fragments: Mapping[str, FragmentDefinitionNode]
    values: VariableValues
    viewer: Viewer
    scalars: Mapping[object, ScalarWrapper | ScalarDefinition]
    config: StrawberryConfig

    def write(self) -> Expression:
        """The SQL expression of the response's data. Raises NotCompilable."""
        root = self.schema.query_type
        assert root is not None
        found = collect_fields(self.schema, self._fragments, self.values, root, self.node)
        return self._object(root, found, lambda name, selection: selection.column(RowScope()))

    def fields_of(
        self, kind: GraphQLObjectType, details: FieldDetailsList, part: Callable[[str, FieldSelection], Expression]
    ) -> Expression:
        """Expression for a JSON object with the selected fields of a type; `part` builds each field."""
        found = collect_subfields(self.schema, self._fragments, self.values, self.node, kind, details)
        return self._object(kind, found, part)

    def _object(
        self, kind: GraphQLObjectType, found: CollectedFields, part: Callable[[str, FieldSelection], Expression]
    ) -> Expression:
        if found.new_defer_usages:
            raise NotCompilable
        members: dict[str, Expression] = {}
        for key, details in found.grouped_field_set.items():
            name = details[0].node.name.value
            if name == "__typename":
                members[key] = JsonLiteral(kind.name)
            elif name.startswith("__") or details[0].fragment_variable_values:
                raise NotCompilable
            else:
                members[key] = part(name, FieldSelection(self, kind.fields[name], details))
        return JsonObject(members)

    @functools.cached_property
    def _fragments(self) -> dict[str, FragmentDetails]:
        return {name: FragmentDetails(node) for name, node in self.fragments.items()}


@dataclass(frozen=True)
class FieldSelection:
    """A selected field: its arguments and its own selection."""

    operation: OperationSelection
    field: GraphQLField
    details: FieldDetailsList

    @property
    def viewer(self) -> Viewer:
        return self.operation.viewer

    @property
    def declaration(self) -> StrawberryField:
        """The field's declaration."""
        return self.field.extensions[DEFINITION]

    @property
    def arguments(self) -> Arguments:
        """The arguments as resolvers get them. A value from a variable is a `VariableRef`."""
        operation = self.operation
        values = get_argument_values(self.field, self.details[0].node, operation.values)
        return convert_arguments(values, self.declaration.arguments, operation.scalars, operation.config)

    @property
    def kind(self) -> GraphQLObjectType:
        """The object type of the field's value."""
        kind = get_named_type(self.field.type)
        assert isinstance(kind, GraphQLObjectType)
        return kind

    def subfields(self) -> list[tuple[str, FieldSelection]]:
        """The selected fields of the field's value, one entry per response key."""
        found: list[tuple[str, FieldSelection]] = []

        def note(name: str, selection: FieldSelection) -> Expression:
            found.append((name, selection))
            return JsonLiteral(None)

        self.operation.fields_of(self.kind, self.details, note)
        return found

    def column(self, scope: RowScope) -> Expression:
        """Expression for the field's value for a record."""
        declaration = self.declaration
        if isinstance(declaration, Compilable):
            return declaration.compile(self, scope)
        if declaration.is_basic_field and hasattr(scope.row, declaration.python_name):
            return as_json(getattr(scope.row, declaration.python_name))
        raise NotCompilable

    def record(self, scope: RowScope, kind: GraphQLObjectType | None = None) -> Expression:
        """Expression for a record as the field's value."""
        return self.operation.fields_of(
            kind or self.kind, self.details, lambda name, selection: selection.column(scope)
        )

    def write(self, parts: Mapping[str, Part]) -> Expression:
        """Expression for an object as the field's value, of parts by their GraphQL names."""

        def part(name: str, selection: FieldSelection) -> Expression:
            made = parts[name]
            return made(selection) if callable(made) and not isinstance(made, sa.ClauseElement) else made

        return self.operation.fields_of(self.kind, self.details, part)
