"""GraphQL over HTTP: who asks, one snapshot where an answer names its revision, and errors that clients can read."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import uuid
from pathlib import Path
from typing import Any

import orjson
import strawberry
from cross_web import AsyncHTTPRequestAdapter, HTTPException
from graphql import GraphQLError, OperationType, get_operation_ast, parse
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.http import GraphQLRequestData
from strawberry.types import ExecutionContext, ExecutionResult

from crm_graph.db import Database
from crm_graph.errors import BadUserInput, RequestError, Throttled, Unauthenticated
from crm_graph.feed import Feed
from crm_graph.services import auth
from crm_graph.settings import Settings
from schema.context import Context
from schema.examples import EXAMPLES

PAGE = Path(__file__).parent.parent / "crm_graph" / "templates" / "graphiql.html"
_STANDS_AT = re.compile(r"\b(revision|pipelineBoard)\b")
log = logging.getLogger(__name__)


class CrmSchema(strawberry.Schema):
    """A schema whose errors carry a code; what nobody foresaw is masked, under an id that the log has too."""

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        for error in errors:
            cause = error.original_error
            while isinstance(cause, GraphQLError):
                cause = cause.original_error
            error.extensions = {**(error.extensions or {}), **_describe(error, cause)}


def _describe(error: GraphQLError, cause: BaseException | None) -> dict[str, Any]:
    match cause:
        case Throttled():
            return {"code": cause.code, "retryAfter": cause.retry_after}
        case BadUserInput(field=str()):
            return {"code": cause.code, "field": cause.field}
        case RequestError():
            return {"code": cause.code}
        case None:
            return {"code": BadUserInput.code}
    error_id = uuid.uuid4().hex
    log.error("Error %s at %s", error_id, error.path, exc_info=cause)
    error.message = "Something went wrong on our side."
    return {"code": "INTERNAL", "id": error_id}


def _stands_at_a_revision(request: GraphQLRequestData) -> bool:
    """Whether the operation is a query that may ask at which revision its answer stands: all of it is then read from
    one snapshot."""
    if not _STANDS_AT.search(request.query or ""):
        return False
    try:
        operation = get_operation_ast(parse(request.query or ""), request.operation_name)
    except (GraphQLError, RecursionError):
        return False
    return operation is not None and operation.operation is OperationType.QUERY


class GraphQLView(GraphQL[Context, None]):
    """The endpoint."""

    def __init__(self, schema: strawberry.Schema, settings: Settings, database: Database, feed: Feed) -> None:
        super().__init__(schema, graphql_ide="graphiql" if settings.graphiql else None)
        self.settings, self.database, self.feed = settings, database, feed

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> Context:
        context = Context(self.settings, self.database, self.feed, request=request)
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if token and scheme.lower() == "bearer":
            try:
                async with self.database.read() as session:
                    context.principal = await auth.authenticate(session, self.settings, token.strip())
            except Unauthenticated as error:
                context.refusal = error.message
        return context

    async def execute_single(
        self,
        request: Request,
        request_adapter: AsyncHTTPRequestAdapter,
        sub_response: Response,
        context: Context,
        root_value: None,
        request_data: GraphQLRequestData,
    ) -> ExecutionResult:
        if not (request_data.operation_name or "").isascii():
            raise HTTPException(400, "The operation name is not a GraphQL name")
        snapshot = context.signed_in is not None and _stands_at_a_revision(request_data)
        async with context.loaders.freeze() if snapshot else contextlib.nullcontext():
            return await super().execute_single(
                request, request_adapter, sub_response, context, root_value, request_data
            )

    def decode_json(self, data: str | bytes) -> object:
        try:
            return super().decode_json(data)
        except RecursionError:
            raise HTTPException(400, "The request body is nested too deeply") from None

    def encode_json(self, data: object) -> str:
        try:
            return orjson.dumps(data).decode()
        except TypeError:
            return json.dumps(data)  # a message cites an unpaired surrogate of the client's

    async def render_graphql_ide(self, request: Request) -> Response:
        return HTMLResponse(graphiql_page(str(request.url.path), self.settings.demo_token))


def graphiql_page(endpoint: str, token: str) -> str:
    """GraphiQL with example operations, signed in where there is a token to do so with."""
    config = json.dumps({"endpoint": endpoint, "token": token or None, "examples": EXAMPLES})
    return PAGE.read_text().replace("__CONFIG__", config.replace("<", "\\u003c"))
