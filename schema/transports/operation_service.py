"""Prepares and executes operations for all transports."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from graphql import GraphQLError, GraphQLFormattedError, OperationType
from graphql.execution.types import FormattedCompletedResult

from crm_graph import auth
from crm_graph.auth import Principal
from crm_graph.bounded_cache import BoundedCache
from crm_graph.changelog import ChangeLog
from crm_graph.database import CONNECTION_ERRORS, Database
from crm_graph.errors import CostExceeded, LimitExceeded, Overloaded, RequestError, TimedOut, Unauthenticated
from crm_graph.observability import metrics, tracing
from crm_graph.observability.logs import OPERATION
from crm_graph.settings import PersistedQueries, Settings
from schema.core.caller import Caller
from schema.core.context import Context
from schema.execution.parsing import ParsedDocument, invalid_document
from schema.execution.schema import CrmSchema, Response, dump_json, format_response
from schema.limits.admission import FairQueue
from schema.limits.cost import Cost
from schema.limits.document_limits import check_variables
from schema.limits.rate_limiter import Charge, RateLimiter, bucket_key
from schema.subscriptions.manager import SubscriptionManager
from schema.subscriptions.sink import Sink
from schema.transports.asgi_sender import ClientDisconnected
from schema.transports.connections import ConnectionRegistry
from schema.transports.persisted_queries import GraphQLRequest, PersistedQueryStore

MAX_PRINCIPALS = 10_000
CHARACTERS = 50
"""Of a document that is parsed for the first time, valid or not, that cost 1 point."""
COST_HEADER = b"x-crm-graph-cost"
log = logging.getLogger(__name__)


class DatabaseUnavailable(Exception):
    """The database is down, so a subscription cannot continue; the client reconnects."""


@dataclass(slots=True)
class OperationRequest:
    """One operation of a client. `kind` is None if the document has no such operation; `error` is set if a valid
    operation exceeds a limit."""

    document: ParsedDocument
    kind: OperationType | None
    name: str | None
    data: GraphQLRequest
    cost: Cost | None = None
    requested: int = 0
    fault: RequestError | None = None
    read_at: float = field(default_factory=time.perf_counter)

    @property
    def is_refused(self) -> bool:
        return bool(self.document.errors) or self.kind is None or self.fault is not None

    @property
    def has_parts(self) -> bool:
        """True for a query with @defer or @stream."""
        return (
            not self.is_refused
            and self.kind is OperationType.QUERY
            and self.document.without_incremental is not self.document
        )


class Admission:
    """Inside the block, an operation has a slot. Raises Overloaded, and refunds the charge then."""

    __slots__ = ("_bill", "_turns")

    def __init__(self, queue: FairQueue, charge: Charge) -> None:
        self._turns, self._bill = queue, charge

    async def __aenter__(self) -> None:
        try:
            await self._turns.acquire(self._bill.payer)
        except Overloaded:
            await self._bill.refund_to(0)
            raise

    async def __aexit__(self, *error: object) -> None:
        self._turns.release()


@dataclass
class OperationService:
    """The schema, and everything that executing its operations needs."""

    schema: CrmSchema
    settings: Settings
    database: Database
    changelog: ChangeLog
    manager: SubscriptionManager
    connections: ConnectionRegistry
    rate_limiter: RateLimiter
    queue: FairQueue
    persisted_queries: PersistedQueryStore
    _principals: BoundedCache[str, Principal] = field(default_factory=lambda: BoundedCache(MAX_PRINCIPALS), repr=False)
    """Principals by token, as of their last request."""

    async def prepare(
        self, data: GraphQLRequest, caller: Caller, principal: Principal | None = None
    ) -> OperationRequest:
        """Parse and validate a request, which has a query or the id of one. Errors are in the result."""
        mode = self.settings.persisted_queries
        if mode is PersistedQueries.ONLY or data.by_id:
            try:
                _, payer = self._payer(caller, principal)
                data = await self.persisted_queries.resolve(data, mode, payer)
            except RequestError as fault:
                return OperationRequest(invalid_document(fault), None, None, data)
        text, operation_name = data.query or "", data.operation_name
        document = self.schema.cached_document(text)
        if document is None:
            try:
                _, payer = self._payer(caller, principal)
                await self.rate_limiter.charge(payer, len(text) // CHARACTERS)
            except RequestError as fault:
                return OperationRequest(invalid_document(fault), None, None, data)
            document = self.schema.parse(text)
        operation = document.operation(operation_name)
        kind = None if operation is None else operation.operation
        name = None if operation is None or operation.name is None else operation.name.value
        OPERATION.set(name or "-")
        if kind is None or document.errors:
            return OperationRequest(document, kind, name, data)
        try:
            check_variables(data.variables)
        except LimitExceeded as fault:
            return OperationRequest(document, kind, name, data, fault=fault)
        cost, most = self.schema.cost(document, operation_name), self.settings.operation_cost
        requested = cost.requested(data.variables)
        exceeded = CostExceeded(requested, most) if most and requested > most else None
        return OperationRequest(document, kind, name, data, cost, requested, exceeded)

    def traced(self, request: OperationRequest, caller: Caller | None) -> AbstractContextManager[None]:
        """Inside the block, the operation has a span in its trace. The operation must be valid."""
        assert request.kind is not None
        return tracing.operation(request.kind.value, request.name, request.document.text, caller)

    async def charge(self, request: OperationRequest, caller: Caller, principal: Principal | None = None) -> Charge:
        """Charge the sender of an operation. A sender whose token is not cached pays the minimum for now; a refused
        operation costs nothing. Raises Throttled."""
        is_sure, payer = self._payer(caller, principal)
        charge = Charge(self.rate_limiter, request.cost, request.requested, payer)
        if not request.is_refused:
            await (charge.pay() if is_sure else charge.reserve())
        return charge

    def _payer(self, caller: Caller, principal: Principal | None) -> tuple[bool, str]:
        """True if the sender is known, and the key of the bucket that pays."""
        token = "" if principal else caller.token
        principal = principal or self._principals.get(token)
        return not token or principal is not None, bucket_key(principal, caller.address)

    async def execute(self, context: Context, request: OperationRequest, charge: Charge) -> Response:
        """Execute a query or a mutation; a query, within its time limit. Raises Throttled."""
        self._set_deadline(context, request)
        name, variables = request.data.operation_name, request.data.variables
        await charge.transfer_to(bucket_key(context.principal_or_none, context.address))
        try:
            async with asyncio.timeout_at(context.until) as timer:
                result = await self.schema.execute_document(context, request.document, name, variables)
        except TimeoutError:
            if not timer.expired():
                raise
            self._count(context, request, charge, "ended")
            return {"errors": self.format_error(TimedOut())}
        await charge.refund_to_actual(result.data)
        self._count(context, request, charge, context.execution or "refused")
        await self._persist(context, request)
        return self._with_extensions(format_response(result.data, result.errors), context, request, charge)

    async def execute_incrementally(
        self, context: Context, request: OperationRequest, charge: Charge
    ) -> AsyncGenerator[Response]:
        """Execute a query with incremental delivery. Yields each part when it is ready, at least one.

        Execution does not wait for the consumer, so that a slow client does not occupy a slot. Raises Throttled and
        Overloaded, before the first part.
        """
        made: asyncio.Queue[Response | None] = asyncio.Queue()
        making = asyncio.create_task(self._make(context, request, charge, made.put_nowait))
        making.add_done_callback(lambda _: made.put_nowait(None))
        try:
            while (part := await made.get()) is not None:
                yield part
            await making
        finally:
            making.cancel()
            await asyncio.gather(making, return_exceptions=True)

    async def _make(
        self, context: Context, request: OperationRequest, charge: Charge, put: Callable[[Response], None]
    ) -> None:
        """Put the parts into the queue. They cost what was requested: their actual cost is not computed."""
        pending: set[str] | None = None
        with self.traced(request, context.caller):
            async with Admission(self.queue, charge):
                self._set_deadline(context, request)
                await charge.transfer_to(bucket_key(context.principal_or_none, context.address))
                name, variables = request.data.operation_name, request.data.variables
                results = self.schema.execute_incrementally(context, request.document, name, variables)
                making = contextlib.aclosing(results)
                try:
                    async with asyncio.timeout_at(context.until) as timer, making as parts:
                        async for part in parts:
                            if pending is None:
                                pending, part = set(), self._with_extensions(part, context, request, charge)
                            pending |= {each["id"] for each in part.get("pending", ())}
                            pending -= {each["id"] for each in part.get("completed", ())}
                            put(part)
                except TimeoutError:
                    if not timer.expired():
                        raise
                    errors = self.format_error(TimedOut())
                    failed: list[FormattedCompletedResult] = [
                        {"id": each, "errors": errors} for each in sorted(pending or ())
                    ]
                    put({"errors": errors} if pending is None else {"completed": failed, "hasNext": False})
                self._count(context, request, charge, "ended" if timer.expired() else context.execution or "refused")
                await self._persist(context, request)

    def _set_deadline(self, context: Context, request: OperationRequest) -> None:
        seconds = self.settings.query_seconds if request.kind is OperationType.QUERY else 0
        if seconds:
            context.until = asyncio.get_running_loop().time() + seconds

    def _with_extensions(
        self, answer: Response, context: Context, request: OperationRequest, charge: Charge
    ) -> Response:
        if self._wants_cost(context, request):
            context.extensions["cost"] = charge.formatted()
        return {**answer, "extensions": context.extensions} if context.extensions else answer

    async def _persist(self, context: Context, request: OperationRequest) -> None:
        """Save the document as a persisted query, if its sender is authenticated."""
        if request.data.save_as is not None and context.viewer_or_none is not None:
            await self.persisted_queries.save(request.data, bucket_key(context.principal_or_none, context.address))

    def _count(self, context: Context, request: OperationRequest, charge: Charge, execution: str) -> None:
        assert request.kind is not None
        name = metrics.ANONYMOUS if context.viewer_or_none is None else request.name
        metrics.record_operation(
            name, request.kind.value, execution, time.perf_counter() - request.read_at, charge.paid
        )

    def _wants_cost(self, context: Context, request: OperationRequest) -> bool:
        by_header = context.caller is not None and context.caller.header(COST_HEADER) == b"1"
        return by_header or self.settings.explain or (request.data.extensions or {}).get("cost") is True

    async def context(self, caller: Caller) -> Context:
        """The context of a request, with or without a token."""
        context = self._context(caller)
        token = caller.token
        if token:
            known = self._principals.get(token)
            if known is not None and not known.has_expired:
                context.assume_cached(known, lambda: self.authenticate(token))
            else:
                try:
                    context.principal = await self.authenticate(token)
                except Unauthenticated as error:
                    context.auth_error = error.message
        return context

    async def context_for(self, caller: Caller, principal: Principal) -> Context:
        """The context of an operation on a connection; reloads its principal. Raises Unauthenticated."""
        context = self._context(caller)
        async with self.database.read() as session:
            context.principal = await auth.reload(session, principal)
        return context

    def _context(self, caller: Caller) -> Context:
        return Context(self.settings, self.database, self.changelog, caller)

    async def authenticate(self, token: str) -> Principal:
        """The principal of a token. The cached one stays in use meanwhile. Raises Unauthenticated."""
        try:
            principal = await auth.authenticate(self.database, self.settings, token)
        except Unauthenticated:
            self._principals.pop(token)
            raise
        self._principals.set(token, principal)
        return principal

    async def serve(
        self, context: Context, request: OperationRequest, charge: Charge, sink: Sink, *, in_parts: bool = False
    ) -> list[GraphQLFormattedError] | None:
        """Execute an operation and send its results to the sink, incrementally if the client accepts that. Returns the
        errors that prevent or end it. Raises ClientDisconnected and DatabaseUnavailable."""
        errors = self.rejection_errors(request)
        if errors is not None:
            return errors
        try:
            if request.kind is OperationType.SUBSCRIPTION:
                await context.verify()
                if context.viewer_or_none is None:
                    raise Unauthenticated(context.auth_error)
                await self._persist(context, request)
                metrics.record_subscription(request.name)
                await self.manager.serve(context, request.data, sink)
            elif in_parts and request.has_parts:
                async with contextlib.aclosing(self.execute_incrementally(context, request, charge)) as parts:
                    async for part in parts:
                        await sink.send(dump_json(part))
            else:
                with self.traced(request, context.caller):
                    async with Admission(self.queue, charge):
                        answer = await self.execute(context, request, charge)
                await sink.send(dump_json(answer))
        except ClientDisconnected:
            raise
        except GraphQLError as error:
            return [error.formatted]
        except Exception as error:
            return self.format_failure(request, error)
        return None

    def format_failure(self, request: OperationRequest, error: Exception) -> list[GraphQLFormattedError]:
        """An exception as client errors. Raises DatabaseUnavailable for a subscription: an outage does not end it."""
        if request.kind is OperationType.SUBSCRIPTION and isinstance(error, CONNECTION_ERRORS):
            log.warning("The database is unavailable: %s", error)
            raise DatabaseUnavailable from error
        return self.format_error(error)

    def rejection_errors(self, request: OperationRequest) -> list[GraphQLFormattedError] | None:
        """The errors of a request that is invalid or exceeds a limit; None if it can be executed."""
        if not request.is_refused:
            return None
        errors, fault = list(request.document.errors), request.fault
        if not errors and request.kind is None:
            errors = [GraphQLError("operationName matches no operation in the document.")]
        elif fault is not None:
            errors = [GraphQLError(fault.message, original_error=fault)]
        self.schema.process_errors(errors)
        return [error.formatted for error in errors]

    def format_error(self, error: Exception) -> list[GraphQLFormattedError]:
        """An exception as client errors."""
        described = GraphQLError(str(error), original_error=error)
        self.schema.process_errors([described])
        return [described.formatted]
