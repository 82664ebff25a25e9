"""Documents as clients send them, parsed and validated once for as long as they are asked again and again."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    get_operation_ast,
    parse,
    validate,
)

REMEMBERED = 1000


@dataclass(frozen=True)
class Document:
    """What a client's text says. With `errors` it cannot be executed, and `node` is None where it cannot be read."""

    text: str
    node: DocumentNode | None
    errors: tuple[GraphQLError, ...] = ()

    def operation(self, name: str | None) -> OperationDefinitionNode | None:
        """The operation of that name, or the only one; None where there is no telling which."""
        return None if self.node is None else get_operation_ast(self.node, name)

    def type_of(self, name: str | None) -> OperationType | None:
        operation = self.operation(name)
        return operation and operation.operation


@functools.lru_cache(maxsize=REMEMBERED)
def read_document(schema: GraphQLSchema, text: str) -> Document:
    """Parse and validate a client's text. A text nested too deeply to be read has an error like any other."""
    try:
        node = parse(text, max_tokens=20_000)
        return Document(text, node, tuple(validate(schema, node)))
    except GraphQLError as error:
        return Document(text, None, (error,))
    except RecursionError:
        return Document(text, None, (GraphQLError("The document is nested too deeply."),))
