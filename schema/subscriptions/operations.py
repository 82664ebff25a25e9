"""Subscription operations, as far as they are the same for all who send them."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    ArgumentNode,
    DocumentNode,
    GraphQLEnumType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    OperationDefinitionNode,
    TypeInfo,
    TypeInfoVisitor,
    VariableNode,
    Visitor,
    get_named_type,
    is_abstract_type,
    print_ast,
    visit,
)

from schema.execution.executor import CompletionPlans, new_plans
from schema.execution.parsing import find_nodes, parse_document

REMEMBERED = 200
LONGEST_REMEMBERED = 5_000


@dataclass(frozen=True)
class SubscriptionOperation:
    """A subscription without its `after`, which says only where its sender stands.

    `types` are the names of the types that the answer may be made from.
    """

    original: DocumentNode
    node: DocumentNode
    name: str | None
    digest: str
    declared: frozenset[str]
    types: frozenset[str]
    plans: CompletionPlans | None = field(compare=False, repr=False)

    def variables(self, sent: Mapping[str, Any] | None) -> dict[str, Any]:
        """Those that the answer depends on: the declared ones, but for `after`."""
        return {name: value for name, value in (sent or {}).items() if name in self.declared}

    def key(self, sent: Mapping[str, Any] | None) -> tuple[str, str]:
        """Operations with equal keys ask for the same."""
        return self.digest, json.dumps(self.variables(sent), sort_keys=True)


def parse_subscription(schema: GraphQLSchema, text: str, name: str | None) -> SubscriptionOperation:
    """The subscription in a valid document. Those that are short are remembered."""
    read = _read_operation if len(text) <= LONGEST_REMEMBERED else _read_operation.__wrapped__
    return read(schema, text, name)


@functools.lru_cache(maxsize=REMEMBERED)
def _read_operation(schema: GraphQLSchema, text: str, name: str | None) -> SubscriptionOperation:
    document = parse_document(schema, text).without_incremental
    operation = document.operation(name)
    assert document.node is not None
    assert operation is not None
    after = _after(operation)
    variable = after.value.name.value if after is not None and isinstance(after.value, VariableNode) else None
    uses = [node for node in find_nodes(document.node, VariableNode) if node.name.value == variable]
    if len(uses) > 2:  # beside its definition and this use: the answer depends on it, too
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
    """The `after` of the root field; one in a fragment of the root is left alone."""
    for selection in operation.selection_set.selections:
        for argument in getattr(selection, "arguments", ()) or ():
            if argument.name.value == "after":
                return argument
    return None


class _Without(Visitor):
    """Takes an argument out of an operation, and the variable that it came from."""

    def __init__(self, argument: ArgumentNode | None, variable: str | None) -> None:
        super().__init__()
        self.argument, self.variable = argument, variable

    def enter_argument(self, node: Any, *rest: Any) -> Any:
        return self.REMOVE if node is self.argument else None

    def enter_variable_definition(self, node: Any, *rest: Any) -> Any:
        return self.REMOVE if node.variable.name.value == self.variable else None


def _types(schema: GraphQLSchema, document: DocumentNode) -> set[str]:
    """The names of the types of all fields, and of what those without an id of their own are made from."""
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
        def enter_field(self, node: Any, *rest: Any) -> None:
            kind = info.get_type()
            if kind is not None:
                reach(get_named_type(kind))

    visit(document, TypeInfoVisitor(info, Reach()))
    return found
