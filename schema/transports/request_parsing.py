"""Parses GraphQL requests over HTTP, from bodies and query strings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import parse_qsl

from graphql import OperationType
from starlette.types import Receive, Scope

from crm_graph.errors import BadUserInput
from crm_graph.settings import PersistedQueries, Settings
from schema.execution.schema import Response, parse_json
from schema.transports.asgi_sender import ClientDisconnected
from schema.transports.persisted_queries import GraphQLRequest, by_id

PREFLIGHTED = {b"apollo-require-preflight", b"x-apollo-operation-name", b"x-requested-with"}
"""Headers that browsers send to other origins only after a CORS preflight."""

Headers = Mapping[bytes, bytes]


class RequestRejected(Exception):
    """A request that is answered with an HTTP error status. `field` is the invalid parameter."""

    def __init__(self, status: int, message: str, field: str | None = None, *, allow: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.field, self.allow = status, message, field, allow

    @property
    def answer(self) -> Response:
        extensions = {"code": BadUserInput.code, **({"field": self.field} if self.field else {})}
        return {"errors": [{"message": self.message, "extensions": extensions}]}


async def read_content(settings: Settings, scope: Scope, headers: Headers, receive: Receive) -> object:
    """The request as JSON: one operation or a list. Raises RequestRejected and ClientDisconnected."""
    if scope["method"] == "POST":
        return _parsed(await _body(settings.body_bytes, headers, receive))
    stored = settings.persisted_queries is not PersistedQueries.OFF
    content = _address(scope["query_string"]) if scope["method"] == "GET" else {}
    if not (settings.get_queries or (stored and by_id(content))) or scope["method"] != "GET":
        allowed = "GET, POST" if settings.get_queries else "POST"
        raise RequestRejected(405, f"Send operations with {allowed.replace(',', ' or')}.", allow=allowed)
    # Otherwise links and forms on any page could send requests from browsers inside our network.
    if not settings.get_without_header and PREFLIGHTED.isdisjoint(headers) and not _is_json(headers):
        raise RequestRejected(400, "Send the header Apollo-Require-Preflight with GET.")
    return content


def parse_request(content: object) -> GraphQLRequest:
    """Validate the parameters of one operation. Raises RequestRejected."""
    if not isinstance(content, dict):
        raise RequestRejected(400, "An operation is a JSON object with a query.")
    query, name = content.get("query"), content.get("operationName")
    named = by_id(content)
    if (query is None or query == "") and not named:
        raise RequestRejected(400, "query is missing.", "query")
    if query is not None and not isinstance(query, str):
        raise RequestRejected(400, "query is not a string.", "query")
    if name is not None and not isinstance(name, str):
        raise RequestRejected(400, "operationName is not a string.", "operationName")
    if name and not (name.isascii() and name.isidentifier()):
        raise RequestRejected(400, "operationName is not a GraphQL name.", "operationName")
    variables, extensions = _object(content, "variables"), _object(content, "extensions")
    return GraphQLRequest(
        query, variables, name or None, extensions, by_id=named, document_id=content.get("documentId")
    )


def check_method(scope: Scope, kind: OperationType | None) -> None:
    """Raises RequestRejected for a mutation by GET."""
    if kind is OperationType.MUTATION and scope["method"] == "GET":
        raise RequestRejected(405, "Send mutations with POST.", allow="POST")


async def _body(most: int, headers: Headers, receive: Receive) -> bytearray:
    if not _is_json(headers):
        raise RequestRejected(415, "Send operations as application/json.")
    declared = headers.get(b"content-length", b"")
    length, body, more = int(declared) if declared.isdigit() else 0, bytearray(), True
    while more and length <= most:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        body += message.get("body", b"")
        length, more = max(length, len(body)), message.get("more_body", False)
    if length > most:
        raise RequestRejected(413, f"A request has at most {most} bytes.")
    return body


def _is_json(headers: Headers) -> bool:
    return headers.get(b"content-type", b"").partition(b";")[0].strip().lower() == b"application/json"


def _parsed(text: str | bytearray, field: str | None = None) -> object:
    try:
        return parse_json(text)
    except json.JSONDecodeError:
        what = field or "The body"
        raise RequestRejected(400, f"{what} is not JSON in UTF-8, or is nested too deeply.", field) from None


def _address(query_string: bytes) -> dict[str, object]:
    """The parameters in a query string."""
    try:
        content: dict[str, object] = dict(parse_qsl(query_string.decode("ascii"), errors="strict"))
    except ValueError:
        raise RequestRejected(400, "The query string is not percent-encoded UTF-8.") from None
    for name in ("variables", "extensions"):
        text = content.get(name)
        if isinstance(text, str):
            content[name] = _parsed(text, name)
    return content


def _object(of: Mapping[str, object], name: str) -> dict[str, object] | None:
    """The value of an optional parameter that is an object."""
    value = of.get(name)
    if value is not None and not isinstance(value, dict):
        raise RequestRejected(400, f"{name} is not an object.", name)
    return value
