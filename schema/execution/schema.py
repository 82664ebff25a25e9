"""Executes queries and mutations for all transports, and formats their errors for clients."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, TypedDict

import orjson
import strawberry
from graphql import (
    ExecutionResult,
    GraphQLError,
    GraphQLErrorExtensions,
    GraphQLFormattedError,
    OperationType,
    experimental_execute_incrementally,
)
from graphql.execution.types import FormattedCompletedResult, FormattedIncrementalResult, FormattedPendingResult
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.types import ExecutionContext
from strawberry.utils.await_maybe import await_maybe

from crm_graph.errors import (
    BadUserInput,
    CostExceeded,
    LimitExceeded,
    Overloaded,
    RequestError,
    ResyncRequired,
    Throttled,
)
from crm_graph.observability import metrics, tracing
from schema.core.context import Context
from schema.execution.executor import Executor, completion_plans
from schema.execution.parsing import INTROSPECTION, ParsedDocument, cached_document, parse_document
from schema.execution.plan_cache import PlanCache
from schema.limits.cost import Cost

_READS_REVISION = re.compile(r"\b(revision|pipelineBoard)\b")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
log = logging.getLogger(__name__)


class Response(TypedDict, total=False):
    """A response of the GraphQL specification, or a part of an incremental one."""

    data: object
    errors: Sequence[GraphQLFormattedError]
    extensions: dict[str, object]
    pending: Sequence[FormattedPendingResult]
    incremental: Sequence[FormattedIncrementalResult]
    completed: Sequence[FormattedCompletedResult]
    hasNext: bool


class CrmSchema(strawberry.Schema):
    """A schema whose errors have a code. Unexpected errors are masked: clients get an id, which is also in the log."""

    def __init__(self, *, introspection: bool, compiled: bool, **options: Any) -> None:
        super().__init__(execution_context_class=Executor, **options)
        self._schema.extensions[INTROSPECTION] = introspection
        self.hide_suggestions = not introspection
        self._plans = PlanCache(self) if compiled else None

    def cached_document(self, text: str) -> ParsedDocument | None:
        """The document of a text that was parsed before, if it is still cached."""
        return cached_document(self._schema, text)

    def parse(self, text: str) -> ParsedDocument:
        """Parse and validate a client's document."""
        return parse_document(self._schema, text)

    def cost(self, document: ParsedDocument, name: str | None) -> Cost:
        """The cost of an operation of a valid document."""
        cost: Cost | None = document.memo.get((Cost, name))
        if cost is None:
            operation = document.operation(name)
            assert document.node is not None
            assert operation is not None
            cost = document.memo[Cost, name] = Cost(self._schema, document.node, operation)
        return cost

    async def execute_document(
        self, context: Context, document: ParsedDocument, name: str | None, variables: dict[str, object] | None
    ) -> ExecutionResult:
        """Execute a query or a mutation, without incremental delivery. A query for a revision reads one snapshot.

        Errors are formatted for clients. An invalid document returns its errors.
        """
        document = document.without_incremental
        if document.node is None or document.errors:
            result = ExecutionResult(None, list(document.errors))
        elif (text := await self._compiled(context, document, name, variables)) is not None:
            return ExecutionResult(orjson.Fragment(text))  # type: ignore[arg-type]  # already JSON
        else:
            executor = {"executor_class": self.execution_context_class, "plans": completion_plans(document)}
            try:
                async with _snapshot(context, document, name):
                    result = await self._execute(context, document, name, variables, **executor)
            except Exception as error:
                result = ExecutionResult(None, [GraphQLError(str(error), original_error=error)])
            context.forget()
        self.process_errors(result.errors or [])
        return result

    async def execute_incrementally(
        self, context: Context, document: ParsedDocument, name: str | None, variables: dict[str, object] | None
    ) -> AsyncGenerator[Response]:
        """Execute a query of a valid document with @defer and @stream. Yields the response's parts, each executed when
        it is requested, from the same snapshot as `execute_document` would read."""
        await context.verify()
        _record_execution(context, "executed")
        async with _snapshot(context, document, name):
            result = await self._execute(
                context, document, name, variables, executor_class=StrawberryGraphQLCoreExecutionContext
            )
            if isinstance(result, ExecutionResult):
                self.process_errors(result.errors or [])
                yield format_response(result.data, result.errors)
                return
            first, rest = result
            self.process_errors(first.errors or [])
            yield first.formatted
            async for part in rest:
                for each in (*(part.incremental or ()), *(part.completed or ())):
                    self.process_errors(each.errors or [])
                yield part.formatted
        context.forget()

    async def _execute(
        self,
        context: Context,
        document: ParsedDocument,
        name: str | None,
        variables: dict[str, object] | None,
        **options: Any,
    ) -> Any:
        """Execute an operation in Python: an ExecutionResult, or the initial and subsequent incremental results."""
        assert document.node is not None
        return await await_maybe(
            experimental_execute_incrementally(
                self._schema,
                document.node,
                context_value=context,
                variable_values=variables,
                operation_name=name,
                hide_suggestions=self.hide_suggestions,
                **options,
            )
        )

    async def _compiled(
        self, context: Context, document: ParsedDocument, name: str | None, variables: dict[str, object] | None
    ) -> str | None:
        """The data as JSON, if the operation compiles to one SQL statement."""
        text = None
        if self._plans is not None and context.viewer_or_none is not None:
            text = await self._plans.execute(context, document, name, variables)
        if text is None:
            await context.verify()
        _record_execution(context, "executed" if text is None else "compiled")
        return text

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        for error in errors:
            cause = error.original_error
            while isinstance(cause, GraphQLError):
                cause = cause.original_error
            described = _error_extensions(error, cause)
            error.extensions = {**(error.extensions or {}), **described}
            metrics.record_error(described["code"])
            tracing.record_error(described["code"])


def _error_extensions(error: GraphQLError, cause: BaseException | None) -> GraphQLErrorExtensions:
    match cause:
        case Throttled(status=dict()):
            return {"code": cause.code, "retryAfter": cause.retry_after, "throttleStatus": cause.status}
        case Throttled(retry_after=float()) | Overloaded():
            return {"code": cause.code, "retryAfter": cause.retry_after}
        case LimitExceeded():
            return {"code": cause.code, "limit": cause.unit, "most": cause.maximum}
        case CostExceeded():
            return {"code": cause.code, "cost": cause.cost, "maxCost": cause.maximum}
        case BadUserInput(field=str()):
            return {"code": cause.code, "field": cause.field}
        case ResyncRequired():
            return {"code": cause.code, "revision": cause.revision}
        case RequestError():
            return {"code": cause.code}
        case None:
            return {"code": BadUserInput.code}
    error_id = uuid.uuid4().hex
    log.error("Error %s at %s", error_id, error.path, exc_info=cause)
    error.message = "Something went wrong on our side."
    return {"code": "INTERNAL", "id": error_id}


def _record_execution(context: Context, execution: str) -> None:
    """Record an operation as "compiled" or "executed"; the response has it, too, if the setting `explain` is on."""
    context.execution = execution
    if context.settings.explain:
        context.extensions["execution"] = execution


def _snapshot(context: Context, document: ParsedDocument, name: str | None) -> AbstractAsyncContextManager[None]:
    """Inside the block, a query that may select a revision reads from one snapshot."""
    is_query = document.operation_type(name) is OperationType.QUERY
    if is_query and context.viewer_or_none is not None and _READS_REVISION.search(document.text):
        return context.loaders.snapshot()
    return contextlib.nullcontext()


def format_response(data: object, errors: Sequence[GraphQLError] | None) -> Response:
    """A response of the GraphQL specification. If nothing was executed, no error has a path, and `data` is missing."""
    answer: Response = {}
    if data is not None or not errors or any(error.path for error in errors):
        answer["data"] = data
    if errors:
        answer["errors"] = [error.formatted for error in errors]
    return answer


def encode_json(value: object) -> bytes:
    """JSON in UTF-8."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value).encode()  # a message quotes an unpaired surrogate of the client's


def dump_json(value: object) -> str:
    return encode_json(value).decode()


def parse_json(text: str | bytes | bytearray) -> object:
    """Raises JSONDecodeError for text that is not JSON or is nested too deeply."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        if not _SURROGATE.search(text.encode() if isinstance(text, str) else text):
            raise
    # Half of an emoji: parse the values anyway, so that validation can name the wrong one.
    try:
        return json.loads(text)
    except (RecursionError, ValueError):
        raise json.JSONDecodeError("Not readable", "", 0) from None
