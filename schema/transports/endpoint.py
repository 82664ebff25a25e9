"""What every transport serves operations with."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphql import GraphQLError, OperationType
from starlette.requests import HTTPConnection
from strawberry.http import GraphQLRequestData

from crm_graph.db import OUTAGES, Database
from crm_graph.errors import Unauthenticated
from crm_graph.feed import Feed
from crm_graph.services import auth
from crm_graph.services.auth import Principal
from crm_graph.settings import Settings
from schema.context import Context
from schema.documents import Document
from schema.execution import CrmSchema, write_answer, write_json
from schema.live.hub import Hub, Outlet
from schema.transports.line import Gone
from schema.transports.sessions import Connections

log = logging.getLogger(__name__)


class Outage(Exception):
    """The database cannot be asked what to tell a subscriber, who is to come again."""


@dataclass(frozen=True)
class Request:
    """One operation as it was sent. `kind` is None where its document says no such operation."""

    document: Document
    kind: OperationType | None
    data: GraphQLRequestData


@dataclass
class Endpoint:
    """The schema, and all that its operations are executed with."""

    schema: CrmSchema
    settings: Settings
    database: Database
    feed: Feed
    hub: Hub
    connections: Connections

    def read(self, data: GraphQLRequestData) -> Request:
        """What a request asks for. It has a query."""
        document = self.schema.read(data.query or "")
        return Request(document, document.type_of(data.operation_name), data)

    async def context(self, connection: HTTPConnection) -> Context:
        """The context of a request that comes with its token, or without one."""
        context = self._context(connection)
        token = bearer(connection.headers.get("authorization", ""))
        if token:
            try:
                context.principal = await self.authenticate(token)
            except Unauthenticated as error:
                context.refusal = error.message
        return context

    async def context_of(self, connection: HTTPConnection, principal: Principal) -> Context:
        """The context of an operation on a connection that is somebody's, as he is now. Raises Unauthenticated."""
        context = self._context(connection)
        async with self.database.read() as session:
            context.principal = await auth.renew(session, principal)
        return context

    def _context(self, connection: HTTPConnection) -> Context:
        return Context(self.settings, self.database, self.feed, request=connection)

    async def authenticate(self, token: str) -> Principal:
        """Raises Unauthenticated."""
        async with self.database.read() as session:
            return await auth.authenticate(session, self.settings, token)

    async def serve(self, context: Context, request: Request, outlet: Outlet) -> Sequence[Mapping[str, Any]] | None:
        """Serve an operation: its answers go to the outlet. Answers the errors that keep it from being served, or end
        it. Raises Gone and Outage."""
        errors = self.refused(request)
        if errors is not None:
            return errors
        try:
            if request.kind is OperationType.SUBSCRIPTION:
                if context.signed_in is None:
                    raise Unauthenticated(context.refusal)
                await self.hub.follow(context, request.data, outlet)
            else:
                data = request.data
                result = await self.schema.answer(context, request.document, data.operation_name, data.variables)
                await outlet.send(write_json(write_answer(result.data, result.errors)))
        except Gone:
            raise
        except GraphQLError as error:
            return [error.formatted]
        except Exception as error:
            return self.failed(request, error)
        return None

    def failed(self, request: Request, error: Exception) -> Sequence[Mapping[str, Any]]:
        """What a failure means to the client. Raises Outage: a subscription is not to end while the database is out."""
        if request.kind is OperationType.SUBSCRIPTION and isinstance(error, OUTAGES):
            log.warning("The database cannot be read: %s", error)
            raise Outage from error
        return self.described(error)

    def refused(self, request: Request) -> Sequence[Mapping[str, Any]] | None:
        """The errors of a request that no operation can be told from, or a wrong one."""
        errors = list(request.document.errors)
        if not errors and request.kind is None:
            errors = [GraphQLError("The request names no operation of its document.")]
        self.schema.process_errors(errors)
        return [error.formatted for error in errors] or None

    def described(self, error: Exception) -> Sequence[Mapping[str, Any]]:
        """An exception as clients may read it."""
        described = GraphQLError(str(error), original_error=error)
        self.schema.process_errors([described])
        return [described.formatted]


def bearer(header: str) -> str:
    """The token in «Bearer …»; empty where there is none."""
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
