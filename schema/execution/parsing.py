"""Parses and validates the documents that clients send, and caches the valid ones."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

from graphql import (
    DirectiveNode,
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    Node,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    OperationType,
    OverlappingFieldsCanBeMergedRule,
    Visitor,
    VisitorAction,
    get_operation_ast,
    parse,
    print_ast,
    specified_rules,
    validate,
    visit,
)
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule

from crm_graph.bounded_cache import BoundedCache
from crm_graph.errors import RequestError
from schema.limits.document_limits import LIMITS, check_document
from schema.limits.field_merging import FieldMergingRule

N = TypeVar("N", bound=Node)
MAX_ERRORS = 10
"""Validation errors reported for one document: each error searches the schema for suggestions."""
MAX_CACHED_CHARACTERS = 2_000_000
ENTRY_CHARACTERS = 500
"""Weight of a cached document in addition to its text."""
RULES = (
    *(FieldMergingRule if rule is OverlappingFieldsCanBeMergedRule else rule for rule in specified_rules),
    MaybeNullValidationRule,
    OneOfInputValidationRule,
)
INCREMENTAL_DIRECTIVES = {"defer", "stream"}
INTROSPECTION = "introspection"
"""Key of a schema's extensions: true if clients may query the schema itself."""


@dataclass(frozen=True)
class ParsedDocument:
    """A client's document. With `errors` it cannot be executed; `node` is None if it cannot be parsed.

    Other modules cache what they derive from the document in `memo`, under keys of their own.
    """

    text: str
    node: DocumentNode | None
    errors: tuple[GraphQLError, ...] = ()
    memo: dict[Hashable, Any] = field(default_factory=dict, init=False, compare=False, repr=False)

    def operation(self, name: str | None) -> OperationDefinitionNode | None:
        """The operation of that name, or the only one; None if there is no such operation."""
        if name not in self._operations:
            found = None if self.node is None else get_operation_ast(self.node, name)
            if found is None:
                return None  # not cached: clients can send any number of unknown names
            self._operations[name] = found
        return self._operations[name]

    @cached_property
    def _operations(self) -> dict[str | None, OperationDefinitionNode]:
        return {}

    @cached_property
    def without_incremental(self) -> ParsedDocument:
        """The document without @defer and @stream; the same object if it has none."""
        node = None if self.node is None else visit(self.node, _WithoutIncremental())
        return self if node is None or node is self.node else replace(self, text=print_ast(node), node=node)

    def operation_type(self, name: str | None) -> OperationType | None:
        operation = self.operation(name)
        return None if operation is None else operation.operation


def invalid_document(error: RequestError) -> ParsedDocument:
    """A document with only an error, for a text that is refused or cannot be found."""
    return ParsedDocument("", None, (GraphQLError(error.message, original_error=error),))


class _WithoutIncremental(Visitor):
    def enter_directive(self, node: DirectiveNode, *rest: object) -> VisitorAction:
        return self.REMOVE if node.name.value in INCREMENTAL_DIRECTIVES else None


_documents: BoundedCache[tuple[GraphQLSchema, str], ParsedDocument] = BoundedCache(MAX_CACHED_CHARACTERS)


def cached_document(schema: GraphQLSchema, text: str) -> ParsedDocument | None:
    """The document of a text that was parsed before, if it is still cached."""
    return _documents.get((schema, text))


def find_nodes(node: Node, kind: type[N]) -> list[N]:
    """All nodes of a kind in another node."""
    found: list[N] = []

    class Collect(Visitor):
        def enter(self, each: Node, *rest: object) -> None:
            if isinstance(each, kind):
                found.append(each)

    visit(node, Collect())
    return found


def parse_document(schema: GraphQLSchema, text: str) -> ParsedDocument:
    """Parse and validate a text. All errors, also of texts nested too deeply, are in the document's `errors`."""
    document = cached_document(schema, text)
    if document is None:
        document = _parse(schema, text)
        if not document.errors:
            _documents.set((schema, text), document, ENTRY_CHARACTERS + len(text))
    return document


def _parse(schema: GraphQLSchema, text: str) -> ParsedDocument:
    introspection = schema.extensions.get(INTROSPECTION, True)
    rules = RULES if introspection else (*RULES, NoSchemaIntrospectionCustomRule)
    try:
        check_document(text)
        node = parse(text, max_tokens=LIMITS["tokens"])
        errors = validate(schema, node, rules, MAX_ERRORS, hide_suggestions=not introspection)
        return ParsedDocument(text, node, tuple(errors))
    except GraphQLError as error:
        return ParsedDocument(text, None, (error,))
    except RequestError as error:
        return invalid_document(error)
    except RecursionError:
        return ParsedDocument(text, None, (GraphQLError("The document is nested too deeply."),))
