"""A real server on a free port, and clients of its websockets and event streams, with short timeouts."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from crm_graph.server.uvicorn_protocols import BoundedHTTP, BoundedWebSocket
from tests.support.world import Person

PROTOCOL = "graphql-transport-ws"
PATIENCE = 10.0
Message = dict[str, Any]


class WebSocketClient:
    """A client of graphql-transport-ws. Messages about other operations than the awaited one are kept."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self._kept: dict[str | None, deque[Message]] = defaultdict(deque)
        self._number = 0

    async def send(self, message: object) -> None:
        """Send a message, or a raw text or bytes."""
        await self.connection.send(message if isinstance(message, (str, bytes)) else json.dumps(message))

    async def receive(self) -> Message:
        """The next message. Raises ConnectionClosed."""
        async with asyncio.timeout(PATIENCE):
            message: Message = json.loads(await self.connection.recv())
        return message

    async def init(self, token: str | None) -> None:
        """Sign in, which must succeed."""
        await self.send({"type": "connection_init", "payload": {"authorization": f"Bearer {token}"} if token else None})
        assert await self.receive() == {"type": "connection_ack"}

    async def start(
        self, query: str, *, operation_id: str | None = None, operation_name: str | None = None, **variables: Any
    ) -> str:
        """Begin an operation, and return its id."""
        if operation_id is None:
            self._number += 1
            operation_id = str(self._number)
        payload = {"query": query, "variables": variables, "operationName": operation_name}
        await self.send({"id": operation_id, "type": "subscribe", "payload": payload})
        return operation_id

    async def about(self, operation_id: str) -> Message:
        """The next message about an operation."""
        async with asyncio.timeout(PATIENCE):
            while not self._kept[operation_id]:
                message = await self.receive()
                self._kept[message.get("id")].append(message)
        return self._kept[operation_id].popleft()

    async def next(self, operation_id: str) -> Message:
        """The next answer to an operation: {"data": …, "errors": …}."""
        message = await self.about(operation_id)
        assert message["type"] == "next", message
        payload: Message = message["payload"]
        return payload

    async def error(self, operation_id: str) -> list[Message]:
        """The errors that an operation ends with."""
        message = await self.about(operation_id)
        assert message["type"] == "error", message
        errors: list[Message] = message["payload"]
        return errors

    async def completed(self, operation_id: str) -> None:
        """Wait until the server completes an operation."""
        assert await self.about(operation_id) == {"id": operation_id, "type": "complete"}

    async def stop(self, operation_id: str) -> None:
        """End an operation."""
        await self.send({"id": operation_id, "type": "complete"})

    async def ask(self, query: str, **variables: Any) -> Message:
        """The only answer to a query or mutation."""
        operation_id = await self.start(query, **variables)
        answer = await self.next(operation_id)
        await self.completed(operation_id)
        return answer

    async def closed(self, within: float = PATIENCE) -> tuple[int, str]:
        """The code and the reason with which the server closes; messages before that are ignored."""
        with contextlib.suppress(ConnectionClosed):
            async with asyncio.timeout(within):
                while True:
                    await self.connection.recv()
        code, reason = self.connection.close_code, self.connection.close_reason
        assert code is not None
        return code, reason or ""


class EventClient:
    """Reads one event stream."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.comments = 0
        self._lines = response.aiter_lines()

    async def event(self, within: float = PATIENCE) -> tuple[str, str] | None:
        """The next event and its data as text; None at the end of the stream. Comments are counted."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(within):
            async for line in self._lines:
                if line.startswith(":"):
                    self.comments += 1
                elif line:
                    name, _, value = line.partition(":")
                    fields[name] = value.removeprefix(" ")
                elif fields:
                    return fields["event"], fields["data"]
        return None

    async def next(self, within: float = PATIENCE) -> Message:
        """The next answer to the operation."""
        event = await self.event(within)
        assert event is not None, "The stream has ended."
        assert event[0] == "next", event
        payload: Message = json.loads(event[1])
        return payload

    async def completed(self) -> None:
        """Wait until the server completes the operation and ends the stream."""
        assert await self.event() == ("complete", "")
        assert await self.event() is None


@dataclass
class Server:
    """The address of the application, over real sockets."""

    address: str
    application: Starlette = field(repr=False)
    client: httpx.AsyncClient = field(repr=False)

    @property
    def url(self) -> str:
        return f"http://{self.address}/graphql"

    @contextlib.asynccontextmanager
    async def websocket(
        self, by: Person | None = None, *, protocols: Sequence[str] = (PROTOCOL,), **options: Any
    ) -> AsyncIterator[WebSocketClient]:
        """A websocket, signed in if there is a token. `options` are those of websockets' connect()."""
        offered = [Subprotocol(each) for each in protocols] or None
        url = options.pop("url", f"ws://{self.address}/graphql")
        async with connect(url, subprotocols=offered, compression=None, proxy=None, **options) as connection:
            client = WebSocketClient(connection)
            if by is not None:
                await client.init(by.token)
            yield client

    @contextlib.asynccontextmanager
    async def events(
        self, query: str, *, by: Person | None = None, operation_name: str | None = None, **variables: Any
    ) -> AsyncIterator[EventClient]:
        """The event stream that answers an operation."""
        body = {"query": query, "variables": variables, "operationName": operation_name}
        headers = {"Accept": "text/event-stream", **({"Authorization": f"Bearer {by.token}"} if by else {})}
        async with self.client.stream("POST", self.url, json=body, headers=headers) as response:
            assert response.status_code == 200, await response.aread()
            yield EventClient(response)


@contextlib.asynccontextmanager
async def serving(application: Starlette, **options: Any) -> AsyncIterator[Server]:
    """Serve a running application in this event loop. `options` are uvicorn's."""
    settings: dict[str, Any] = {"ws_max_size": application.state.settings.socket_message_bytes, **options}
    config = uvicorn.Config(
        application,
        http=BoundedHTTP,
        ws=BoundedWebSocket,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=5,
        **settings,
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        await server.startup(sockets=[listening])
        host, port = listening.getsockname()
        # A connection is not used again when the server may be about to close it: it does so after five seconds.
        limits = httpx.Limits(keepalive_expiry=1)
        async with httpx.AsyncClient(timeout=PATIENCE, limits=limits) as client:
            yield Server(f"{host}:{port}", application, client)
        await server.shutdown()
