"""Queries and mutations, executed alike by every transport, and errors that clients can read."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import orjson
import strawberry
from graphql import ExecutionResult, GraphQLError, OperationType, experimental_execute_incrementally
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
from schema.execution.documents import INTROSPECTION, ParsedDocument, cached_document, parse_document
from schema.execution.executor import Executor
from schema.execution.plan_cache import PlanCache
from schema.limits.cost import Cost

_READS_REVISION = re.compile(r"\b(revision|pipelineBoard)\b")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
log = logging.getLogger(__name__)


class CrmSchema(strawberry.Schema):
    """A schema whose errors carry a code; what nobody foresaw is masked, under an id that the log has too."""

    def __init__(self, *, introspection: bool, compiled: bool, **options: Any) -> None:
        super().__init__(execution_context_class=Executor, **options)
        self._schema.extensions[INTROSPECTION] = introspection
        self.hide_suggestions = not introspection
        self._plans = PlanCache(self) if compiled else None

    def cached_document(self, text: str) -> ParsedDocument | None:
        """The document of a text that need not be read anew."""
        return cached_document(self._schema, text)

    def parse(self, text: str) -> ParsedDocument:
        """A client's text, parsed and validated."""
        return parse_document(self._schema, text)

    def cost(self, document: ParsedDocument, name: str | None) -> Cost:
        """What an operation of a valid document costs."""
        cost = document.costs.get(name)
        if cost is None:
            operation = document.operation(name)
            assert document.node is not None
            assert operation is not None
            cost = document.costs[name] = Cost(self._schema, document.node, operation)
        return cost

    async def execute_document(
        self, context: Context, document: ParsedDocument, name: str | None, variables: dict[str, Any] | None
    ) -> ExecutionResult:
        """Execute a query or a mutation, and answer it as a whole. One that asks at which revision its answer stands is
        read from one snapshot.

        Errors are ready to be sent. The document may be an invalid one, whose errors are then the answer.
        """
        document = document.without_incremental
        if document.node is None or document.errors:
            result = ExecutionResult(None, list(document.errors))
        elif (text := await self._compiled(context, document, name, variables)) is not None:
            return ExecutionResult(orjson.Fragment(text))  # type: ignore[arg-type]  # it is written as it is
        else:
            executor = {"executor_class": self.execution_context_class, "plans": document.plans}
            try:
                async with _snapshot(context, document, name):
                    result = await self._execute(context, document, name, variables, **executor)
            except Exception as error:
                result = ExecutionResult(None, [GraphQLError(str(error), original_error=error)])
            context.forget()
        self.process_errors(result.errors or [])
        return result

    async def execute_incrementally(
        self, context: Context, document: ParsedDocument, name: str | None, variables: dict[str, Any] | None
    ) -> AsyncGenerator[dict[str, Any]]:
        """Execute a query of a valid document, and answer it in the parts that it asks for, as they are sent: each is
        made when it is asked for, and all are read as `execute_document` reads."""
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
            yield {**first.formatted}
            async for part in rest:
                for each in (*(part.incremental or ()), *(part.completed or ())):
                    self.process_errors(each.errors or [])
                yield {**part.formatted}
        context.forget()

    async def _execute(
        self,
        context: Context,
        document: ParsedDocument,
        name: str | None,
        variables: dict[str, Any] | None,
        **options: Any,
    ) -> Any:
        """What GraphQL's own execution makes of an operation: an answer, or where its document asks for it the first
        part of one with the others to come."""
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
        self, context: Context, document: ParsedDocument, name: str | None, variables: dict[str, Any] | None
    ) -> str | None:
        """The data as JSON, where the operation is one that the database can answer as a whole."""
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


def _error_extensions(error: GraphQLError, cause: BaseException | None) -> dict[str, Any]:
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
    """Keep how an operation is answered, and tell it where that is explained."""
    context.execution = execution
    if context.settings.explain:
        context.extensions["execution"] = execution


def _snapshot(context: Context, document: ParsedDocument, name: str | None) -> AbstractAsyncContextManager[None]:
    """Inside the block, a query that may ask at which revision its answer stands reads from one snapshot."""
    stands = document.operation_type(name) is OperationType.QUERY and _READS_REVISION.search(document.text) is not None
    return context.loaders.snapshot() if stands and context.viewer_or_none is not None else contextlib.nullcontext()


def format_response(data: object, errors: Sequence[GraphQLError] | None) -> dict[str, Any]:
    """An answer as it is written in JSON. Where nothing was executed, no error has a path, and there is no data."""
    answer: dict[str, Any] = {}
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
        return json.dumps(value).encode()  # a message cites an unpaired surrogate of the client's


def dump_json(value: object) -> str:
    return encode_json(value).decode()


def parse_json(text: str | bytes | bytearray) -> Any:
    """Raises JSONDecodeError for what is not JSON, or nested too deeply to be read."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        if not _SURROGATE.search(text.encode() if isinstance(text, str) else text):
            raise
    # An emoji that a client cut in two: the values are all there, and the wrong one is to be named.
    try:
        return json.loads(text)
    except (RecursionError, ValueError):
        raise json.JSONDecodeError("This cannot be read", "", 0) from None
