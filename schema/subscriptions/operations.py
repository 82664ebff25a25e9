"""Parses subscription operations, without the part that differs between subscribers."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from graphql import (
    ArgumentNode,
    DocumentNode,
    FieldNode,
    GraphQLEnumType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    OperationDefinitionNode,
    TypeInfo,
    TypeInfoVisitor,
    VariableDefinitionNode,
    VariableNode,
    Visitor,
    get_named_type,
    is_abstract_type,
    print_ast,
    visit,
)

from schema.execution.executor import CompletionPlans, new_plans
from schema.execution.parsing import find_nodes, parse_document

MAX_CACHED = 200
MAX_CACHED_CHARACTERS = 5_000


@dataclass(frozen=True)
class SubscriptionOperation:
    """A subscription without its argument `after`, which differs between subscribers of the same payloads.

    `types` are the names of the types that the payload may depend on.
    """

    original: DocumentNode
    node: DocumentNode
    name: str | None
    digest: str
    declared: frozenset[str]
    types: frozenset[str]
    plans: CompletionPlans | None = field(compare=False, repr=False)

    def variables(self, sent: Mapping[str, object] | None) -> dict[str, object]:
        """The variables that the payload depends on: the declared ones, except `after`."""
        return {name: value for name, value in (sent or {}).items() if name in self.declared}

    def key(self, sent: Mapping[str, object] | None) -> tuple[str, str]:
        """Operations with equal keys select the same."""
        return self.digest, json.dumps(self.variables(sent), sort_keys=True)


def parse_subscription(schema: GraphQLSchema, text: str, name: str | None) -> SubscriptionOperation:
    """The subscription of a valid document. Short documents are cached."""
    read = _read_operation if len(text) <= MAX_CACHED_CHARACTERS else _read_operation.__wrapped__
    return read(schema, text, name)


@functools.lru_cache(maxsize=MAX_CACHED)
def _read_operation(schema: GraphQLSchema, text: str, name: str | None) -> SubscriptionOperation:
    document = parse_document(schema, text).without_incremental
    operation = document.operation(name)
    assert document.node is not None
    assert operation is not None
    after = _after(operation)
    variable = after.value.name.value if after is not None and isinstance(after.value, VariableNode) else None
    uses = [node for node in find_nodes(document.node, VariableNode) if node.name.value == variable]
    if len(uses) > 2:  # the payload depends on the variable, too
        variable = None
    stripped = visit(operation, _Without(after, variable))
    others = [node for node in document.node.definitions if not isinstance(node, OperationDefinitionNode)]
    node = DocumentNode(definitions=(stripped, *others))
    digest = hashlib.sha256(print_ast(node).encode()).hexdigest()
    declared = frozenset(each.variable.name.value for each in stripped.variable_definitions or ())
    return SubscriptionOperation(
        document.node, node, name, digest, declared, frozenset(_types(schema, node)), new_plans(node)
    )


def _after(operation: OperationDefinitionNode) -> ArgumentNode | None:
    """The argument `after` of the root field, if the field is not in a fragment."""
    for selection in operation.selection_set.selections:
        for argument in getattr(selection, "arguments", ()) or ():
            if argument.name.value == "after":
                return argument
    return None


class _Without(Visitor):
    """Removes an argument from an operation, and the definition of its variable."""

    def __init__(self, argument: ArgumentNode | None, variable: str | None) -> None:
        super().__init__()
        self.argument, self.variable = argument, variable

    def enter_argument(self, node: ArgumentNode, *rest: object) -> object:
        return self.REMOVE if node is self.argument else None

    def enter_variable_definition(self, node: VariableDefinitionNode, *rest: object) -> object:
        return self.REMOVE if node.variable.name.value == self.variable else None


def _types(schema: GraphQLSchema, document: DocumentNode) -> set[str]:
    """The names of the types of all fields. For types without an id, also the types of their fields."""
    found: set[str] = set()
    info = TypeInfo(schema)

    def reach(kind: GraphQLNamedType | None) -> None:
        if kind is None or isinstance(kind, (GraphQLScalarType, GraphQLEnumType)) or kind.name in found:
            return
        found.add(kind.name)
        if isinstance(kind, GraphQLObjectType) and not any(each.name == "Node" for each in kind.interfaces):
            for field in kind.fields.values():
                reach(get_named_type(field.type))
        if is_abstract_type(kind) and kind.name != "Node":
            for possible in schema.get_possible_types(kind):
                reach(possible)

    class Reach(Visitor):
        def enter_field(self, node: FieldNode, *rest: object) -> None:
            kind = info.get_type()
            if kind is not None:
                reach(get_named_type(kind))

    visit(document, TypeInfoVisitor(info, Reach()))
    return found
