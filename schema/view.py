"""GraphQL over HTTP: one answer a request. What asks for an event stream is handed to that transport."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cross_web import AsyncHTTPRequestAdapter, HTTPException
from graphql import OperationType
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.http import GraphQLRequestData
from strawberry.types import ExecutionResult

from schema.context import Context
from schema.examples import EXAMPLES
from schema.execution import read_json, write_json
from schema.transports.endpoint import Endpoint
from schema.transports.sse import serve_events, wants_events

PAGE = Path(__file__).parent.parent / "crm_graph" / "templates" / "graphiql.html"


class GraphQLView(GraphQL[Context, None]):
    """The endpoint."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint.schema, graphql_ide="graphiql" if endpoint.settings.graphiql else None)
        self.endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if wants_events(scope):
            await serve_events(self.endpoint, self._parse, scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    async def _parse(self, request: Request) -> GraphQLRequestData | list[GraphQLRequestData]:
        """Raises HTTPException."""
        return await self.parse_http_body(self.request_adapter_class(request))

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> Context:
        return await self.endpoint.context(request)

    async def execute_single(
        self,
        request: Request,
        request_adapter: AsyncHTTPRequestAdapter,
        sub_response: Response,
        context: Context,
        root_value: None,
        request_data: GraphQLRequestData,
    ) -> ExecutionResult:
        if not request_data.query:
            raise HTTPException(400, "No GraphQL query found in the request")
        document = self.endpoint.schema.read(request_data.query)
        name = request_data.operation_name or None
        kind = document.type_of(name)
        if document.node is not None and kind is None:
            raise HTTPException(400, "The request names no operation of its document")
        if kind is OperationType.SUBSCRIPTION:
            raise HTTPException(400, "Subscriptions go over a websocket, or with Accept: text/event-stream")
        if kind is OperationType.MUTATION and request_adapter.method == "GET":
            raise HTTPException(400, "mutations are not allowed when using GET")
        answer = await self.endpoint.schema.answer(context, document, name, request_data.variables)
        return ExecutionResult(answer.data, answer.errors)

    def parse_json(self, data: str | bytes) -> Any:
        value = super().parse_json(data)
        if value is not None and not isinstance(value, (dict, list)):
            raise HTTPException(400, "A JSON object is expected")
        return value or {}

    def decode_json(self, data: str | bytes) -> object:
        return read_json(data)

    def encode_json(self, data: object) -> str:
        return write_json(data)

    async def render_graphql_ide(self, request: Request) -> Response:
        return HTMLResponse(graphiql_page(str(request.url.path), self.endpoint.settings.demo_token))


def graphiql_page(endpoint: str, token: str) -> str:
    """GraphiQL with example operations, signed in where there is a token to do so with."""
    config = json.dumps({"endpoint": endpoint, "token": token or None, "examples": EXAMPLES})
    return PAGE.read_text().replace("__CONFIG__", config.replace("<", "\\u003c"))
