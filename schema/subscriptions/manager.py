"""The subscriptions of a process: the interface for transports."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence

from graphql import DocumentNode, ExecutionResult, Executor, GraphQLError
from graphql.execution import create_source_event_stream, execute_subscription_event
from sqlalchemy.ext.asyncio import AsyncSession
from strawberry.http import GraphQLRequestData
from strawberry.utils.await_maybe import await_maybe

from crm_graph.access import Viewer
from crm_graph.changelog import ChangeLog, Revision, log
from crm_graph.database import CONNECTION_ERRORS, Database
from crm_graph.errors import RequestError, TimedOut, Unauthenticated
from crm_graph.settings import Settings
from loaders.live.audience import load_viewers
from loaders.live.events import RecordEvent
from schema.core import TYPES
from schema.core.context import Context
from schema.execution.executor import CompletionPlans
from schema.execution.schema import CrmSchema, dump_json, format_response
from schema.subscriptions.group import Position, Subscriber, SubscriptionRequest
from schema.subscriptions.operations import parse_subscription
from schema.subscriptions.sink import Sink
from schema.subscriptions.source import SubscriptionSource
from schema.subscriptions.workspace import WorkspaceSubscriptions, shielded


class SubscriptionManager:
    """The subscriptions of one process, by workspace."""

    def __init__(self, schema: CrmSchema, settings: Settings, database: Database, changelog: ChangeLog) -> None:
        self.schema, self.settings, self.database, self.changelog = schema, settings, database, changelog
        self._workspaces: dict[str, tuple[WorkspaceSubscriptions, int, contextlib.ExitStack]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def subscribers(self) -> int:
        return sum(count for _, count, _ in self._workspaces.values())

    async def close(self) -> None:
        """Wait for workspaces that are closing. All `serve` tasks must have been cancelled before."""
        await asyncio.gather(*self._closing)

    async def serve(self, context: Context, request: GraphQLRequestData, sink: Sink) -> None:
        """Serve one subscription until the task is cancelled.

        `request` is a valid subscription operation; its viewer is that of the context. Raises GraphQLError, formatted
        for clients, if the subscription has to end.
        """
        try:
            await self._follow(context, request, sink)
        except RequestError as error:
            raise self._formatted(GraphQLError(error.message, original_error=error)) from None
        except GraphQLError as error:
            raise self._formatted(error) from None

    async def _follow(self, context: Context, request: GraphQLRequestData, sink: Sink) -> None:
        operation = parse_subscription(self.schema._schema, request.query or "", request.operation_name)
        watch = await self._source(context, operation.original, request)
        kinds = {TYPES[name].__model__ for name in operation.types & TYPES.keys()}
        subscription = SubscriptionRequest(operation, request.variables or {}, watch, frozenset({*kinds, *watch.kinds}))
        viewer, after, at = await shielded(self._beginning(context, watch))
        with self._room(viewer.workspace_id) as workspace:
            await workspace.serve(Subscriber(viewer, subscription, sink, after.number, after.epoch, at.number))

    async def _beginning(self, context: Context, watch: SubscriptionSource) -> tuple[Viewer, Revision, Revision]:
        """The current viewer, the revision to start after, and the current revision. Raises
        Unauthenticated and ResyncRequired."""
        async with self.database.snapshot() as session:
            viewers, at = await load_viewers(session, context.viewer, [context.viewer.user_id or ""])
            if at is None:
                raise Unauthenticated("You may no longer sign in.")
            [viewer] = viewers.values()
            after = watch.after or at
            await log.require_replayable(session, viewer.workspace_id, after, at, self.settings.retention)
            return viewer, after, at

    async def _source(
        self, context: Context, document: DocumentNode, request: GraphQLRequestData
    ) -> SubscriptionSource:
        executor = self._executor(document, request.variables, request.operation_name, context, None)
        source = await await_maybe(create_source_event_stream(executor))
        if isinstance(source, ExecutionResult):
            assert source.errors
            raise source.errors[0]
        assert isinstance(source, SubscriptionSource)
        return source

    @contextlib.contextmanager
    def _room(self, workspace_id: str) -> Iterator[WorkspaceSubscriptions]:
        """Inside the block, the workspace has one more subscription. The first one opens it, the last one closes it."""
        workspace, count, stack = self._workspaces.get(workspace_id) or self._open(workspace_id)
        self._workspaces[workspace_id] = workspace, count + 1, stack
        try:
            yield workspace
        finally:
            workspace, count, stack = self._workspaces[workspace_id]
            if count > 1:
                self._workspaces[workspace_id] = workspace, count - 1, stack
            else:
                del self._workspaces[workspace_id]
                stack.close()
                closing = asyncio.create_task(workspace.close())
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)

    def _open(self, workspace_id: str) -> tuple[WorkspaceSubscriptions, int, contextlib.ExitStack]:
        stack = contextlib.ExitStack()
        signal = stack.enter_context(self.changelog.notifier.watch(workspace_id))
        return WorkspaceSubscriptions(workspace_id, self.database, signal, self.render_payload), 0, stack

    async def render_payload(
        self,
        session: AsyncSession,
        viewer: Viewer,
        subscription: SubscriptionRequest,
        occurrences: Sequence[RecordEvent],
        end: Position,
    ) -> str:
        """The payload of events for a viewer, as JSON. Raises GraphQLError if the payload cannot be made, and the
        database's connection errors."""
        context = Context(self.settings, self.database, self.changelog, viewer_or_none=viewer)
        if self.settings.query_seconds:  # the other groups wait for this payload
            context.until = asyncio.get_running_loop().time() + self.settings.query_seconds
        for each in occurrences:
            if each.record is not None:
                context.loaders.by_key(each.model).prime(each.record_id, each.record)
        operation, value = (
            subscription.operation,
            subscription.source.make_value(occurrences, end.revision, end.caught_up),
        )
        variables = operation.variables(subscription.variables)
        executor = self._executor(operation.node, variables, operation.name, context, value, operation.plans)
        async with context.loaders.use_session(session):
            result = await await_maybe(execute_subscription_event(executor))
        context.forget()
        errors = result.errors or []
        for error in errors:
            if isinstance(error.original_error, CONNECTION_ERRORS):
                raise error.original_error
            if isinstance(error.original_error, TimedOut):
                raise error
        if result.data is None:
            raise errors[0]
        self.schema.process_errors(errors)
        return dump_json(format_response(result.data, errors))

    def _executor(
        self,
        document: DocumentNode,
        variables: dict[str, object] | None,
        name: str | None,
        context: Context,
        root: object,
        plans: CompletionPlans | None = None,
    ) -> Executor[Context]:
        """Raises GraphQLError for invalid variables."""
        made = self.schema.execution_context_class.build(
            self.schema._schema,
            document,
            root_value=root,
            context_value=context,
            raw_variable_values=variables,
            operation_name=name,
            plans=plans,
            hide_suggestions=self.schema.hide_suggestions,
        )
        if isinstance(made, list):
            raise made[0]
        return made

    def _formatted(self, error: GraphQLError) -> GraphQLError:
        self.schema.process_errors([error])
        return error
