"""Documents as clients send them, parsed and validated once for as long as they are asked again and again."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

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
    VariableNode,
    Visitor,
    get_operation_ast,
    parse,
    print_ast,
    specified_rules,
    validate,
    visit,
)
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule

from crm_graph.errors import RequestError
from schema.limits.document_limits import MOST, check_document
from schema.limits.field_merging import FieldMergingRule

if TYPE_CHECKING:
    from schema.execution.executor import Plans as ExecutorPlans
    from schema.execution.plan_cache import OperationPlan
    from schema.limits.cost import Cost

N = TypeVar("N", bound=Node)
MAX_ERRORS = 10
"""Told of a document at a time: for each, the schema is looked through for what may have been meant."""
RULES = (
    *(FieldMergingRule if rule is OverlappingFieldsCanBeMergedRule else rule for rule in specified_rules),
    MaybeNullValidationRule,
    OneOfInputValidationRule,
)
INCREMENTAL_DIRECTIVES = {"defer", "stream"}
"""The directives that ask for an answer in parts."""
INTROSPECTION = "introspection"
"""The key in a schema's extensions that says whether clients may ask what it is made of."""


@dataclass(frozen=True)
class ParsedDocument:
    """What a client's text says. With `errors` it cannot be executed, and `node` is None where it cannot be read.

    `costs` are those of its operations by their names, as far as they were asked, and `compiled` is what is known of
    compiling them, by who compiles. Whoever forgets the document forgets these.
    """

    text: str
    node: DocumentNode | None
    errors: tuple[GraphQLError, ...] = ()
    costs: dict[str | None, Cost] = field(default_factory=dict, compare=False, repr=False)
    compiled: dict[tuple[object, str | None], OperationPlan] = field(default_factory=dict, compare=False, repr=False)

    def operation(self, name: str | None) -> OperationDefinitionNode | None:
        """The operation of that name, or the only one; None where there is no telling which."""
        if name not in self._operations:
            found = None if self.node is None else get_operation_ast(self.node, name)
            if found is None:
                return None  # of the names that there are not, there is no end
            self._operations[name] = found
        return self._operations[name]

    @cached_property
    def _operations(self) -> dict[str | None, OperationDefinitionNode]:
        return {}

    @cached_property
    def without_incremental(self) -> ParsedDocument:
        """The same without what asks for an answer in parts: this one, where there is nothing of the kind."""
        node = None if self.node is None else visit(self.node, _Whole())
        return self if node is None or node is self.node else replace(self, text=print_ast(node), node=node)

    @cached_property
    def plans(self) -> ExecutorPlans | None:
        """As `plans_of`."""
        return None if self.node is None else plans_of(self.node)

    def operation_type(self, name: str | None) -> OperationType | None:
        operation = self.operation(name)
        return None if operation is None else operation.operation


def invalid_document(fault: RequestError) -> ParsedDocument:
    """What stands for a document that cannot be had."""
    return ParsedDocument("", None, (GraphQLError(fault.message, original_error=fault),))


class _Whole(Visitor):
    def enter_directive(self, node: DirectiveNode, *rest: object) -> Any:
        return self.REMOVE if node.name.value in INCREMENTAL_DIRECTIVES else None


class _Remembered:
    """The good documents that were asked last: as many as have ROOM characters, each with some more for itself, since
    what a document takes in memory goes by its length."""

    ROOM = 2_000_000
    EACH = 500

    def __init__(self) -> None:
        self._documents: OrderedDict[tuple[GraphQLSchema, str], ParsedDocument] = OrderedDict()
        self._length = 0

    def get(self, schema: GraphQLSchema, text: str) -> ParsedDocument | None:
        document = self._documents.get((schema, text))
        if document is not None:
            self._documents.move_to_end((schema, text))
        return document

    def put(self, schema: GraphQLSchema, document: ParsedDocument) -> None:
        self._documents[schema, document.text] = document  # not yet there: it would have been found
        self._length += self.EACH + len(document.text)
        while self._length > self.ROOM:
            (_, text), _ = self._documents.popitem(last=False)
            self._length -= self.EACH + len(text)


_remembered = _Remembered()


def cached_document(schema: GraphQLSchema, text: str) -> ParsedDocument | None:
    """The document of a text that need not be read anew."""
    return _remembered.get(schema, text)


def plans_of(node: DocumentNode) -> ExecutorPlans | None:
    """What the executor keeps of a document; None where variables decide what is selected."""
    return None if any(find_nodes(each, VariableNode) for each in find_nodes(node, DirectiveNode)) else {}


def find_nodes(node: Node, kind: type[N]) -> list[N]:
    """All nodes of a kind in another one."""
    found: list[N] = []

    class Collect(Visitor):
        def enter(self, each: Node, *rest: object) -> None:
            if isinstance(each, kind):
                found.append(each)

    visit(node, Collect())
    return found


def parse_document(schema: GraphQLSchema, text: str) -> ParsedDocument:
    """Parse and validate a client's text. A text nested too deeply to be read has an error like any other."""
    document = cached_document(schema, text)
    if document is None:
        document = _read(schema, text)
        if not document.errors:
            _remembered.put(schema, document)
    return document


def _read(schema: GraphQLSchema, text: str) -> ParsedDocument:
    told = schema.extensions.get(INTROSPECTION, True)
    rules = RULES if told else (*RULES, NoSchemaIntrospectionCustomRule)
    try:
        check_document(text)
        node = parse(text, max_tokens=MOST["tokens"])
        errors = validate(schema, node, rules, MAX_ERRORS, hide_suggestions=not told)
        return ParsedDocument(text, node, tuple(errors))
    except GraphQLError as error:
        return ParsedDocument(text, None, (error,))
    except RequestError as error:
        return invalid_document(error)
    except RecursionError:
        return ParsedDocument(text, None, (GraphQLError("The document is nested too deeply."),))
