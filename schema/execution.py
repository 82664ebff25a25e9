"""Queries and mutations, executed alike by every transport, and errors that clients can read."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import strawberry
from graphql import ExecutionResult, GraphQLError, OperationType, execute
from strawberry.execution import optimized_is_awaitable
from strawberry.types import ExecutionContext
from strawberry.utils.await_maybe import await_maybe

from crm_graph.errors import BadUserInput, RequestError, Resync, Throttled
from schema.context import Context
from schema.documents import INTROSPECTION, Document, read_document

_STANDS_AT = re.compile(r"\b(revision|pipelineBoard)\b")
log = logging.getLogger(__name__)


class CrmSchema(strawberry.Schema):
    """A schema whose errors carry a code; what nobody foresaw is masked, under an id that the log has too."""

    def __init__(self, *, introspection: bool, **options: Any) -> None:
        super().__init__(**options)
        self._schema.extensions[INTROSPECTION] = introspection

    def read(self, text: str) -> Document:
        """A client's text, parsed and validated."""
        return read_document(self._schema, text)

    async def answer(
        self, context: Context, document: Document, name: str | None, variables: dict[str, Any] | None
    ) -> ExecutionResult:
        """Execute a query or a mutation. One that asks at which revision its answer stands is read from one snapshot.

        Errors are ready to be sent. The document may be an invalid one, whose errors are then the answer.
        """
        if document.node is None or document.errors:
            result = ExecutionResult(None, list(document.errors))
        else:
            snapshot = context.signed_in is not None and _stands_at_a_revision(document, name)
            try:
                async with context.loaders.freeze() if snapshot else contextlib.nullcontext():
                    result = await await_maybe(
                        execute(
                            self._schema,
                            document.node,
                            context_value=context,
                            variable_values=variables,
                            operation_name=name,
                            executor_class=self.execution_context_class,
                            is_awaitable=optimized_is_awaitable,  # type: ignore[arg-type]  # it tells the same
                        )
                    )
            except Exception as error:
                result = ExecutionResult(None, [GraphQLError(str(error), original_error=error)])
        self.process_errors(result.errors or [])
        return result

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        for error in errors:
            cause = error.original_error
            while isinstance(cause, GraphQLError):
                cause = cause.original_error
            error.extensions = {**(error.extensions or {}), **_describe(error, cause)}


def _describe(error: GraphQLError, cause: BaseException | None) -> dict[str, Any]:
    match cause:
        case Throttled(retry_after=float()):
            return {"code": cause.code, "retryAfter": cause.retry_after}
        case BadUserInput(field=str()):
            return {"code": cause.code, "field": cause.field}
        case Resync():
            return {"code": cause.code, "revision": cause.revision}
        case RequestError():
            return {"code": cause.code}
        case None:
            return {"code": BadUserInput.code}
    error_id = uuid.uuid4().hex
    log.error("Error %s at %s", error_id, error.path, exc_info=cause)
    error.message = "Something went wrong on our side."
    return {"code": "INTERNAL", "id": error_id}


def _stands_at_a_revision(document: Document, name: str | None) -> bool:
    """Whether the operation is a query that may ask at which revision its answer stands."""
    return document.type_of(name) is OperationType.QUERY and _STANDS_AT.search(document.text) is not None


def write_answer(data: object, errors: Sequence[GraphQLError] | None) -> Mapping[str, Any]:
    """An answer as it is written in JSON."""
    return {"data": data, **({"errors": [error.formatted for error in errors]} if errors else {})}


def write_json(value: object) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return json.dumps(value)  # a message cites an unpaired surrogate of the client's


def read_json(text: str | bytes) -> Any:
    """Raises JSONDecodeError for what is not JSON, or nested too deeply to be read."""
    try:
        return json.loads(text)
    except (RecursionError, UnicodeDecodeError):
        raise json.JSONDecodeError("This cannot be read", "", 0) from None
