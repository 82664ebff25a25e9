"""uvicorn with limits for slow and hostile clients, and a stop that drops no request (decision 0019)."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.protocol import State

REQUEST_TIMEOUT_SECONDS = 20.0
"""A request must arrive within this time, counted from its first byte or from the connection."""
MAX_HEAD_BYTES = 65_536
"""Of a request, without its body."""
MAX_UNREAD_BYTES = 1_000_000
"""Of pongs that the client has not read."""
MAX_FRAMES = 10_000
"""Of one message. Its bytes are limited elsewhere, but frames can be empty."""
STOP_GRACE_SECONDS = 0.25
"""A stopping server waits this long for requests on connections it has just accepted."""


class Server(uvicorn.Server):
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for each in sockets or []:
            each.close()
        await asyncio.sleep(STOP_GRACE_SECONDS)
        await super().shutdown(sockets)


class BoundedHTTP(HttpToolsProtocol):
    """Closes connections whose request does not arrive in time. uvicorn would wait, and buffer, without a limit."""

    _arriving: asyncio.TimerHandle | None = None
    _begun = _is_websocket = False
    _head = _piece = 0
    """Bytes of the request outside its body, and bytes received last."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        joined: Any = _HeadAndBodyTransport(transport, self.loop)
        super().connection_made(joined)
        self._await()

    def connection_lost(self, exc: Exception | None) -> None:
        self._arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._piece = len(data)
        self._head += self._piece
        super().data_received(data)
        # uvicorn stops its own keep-alive timer when bytes arrive between requests.
        idle = self.cycle is None or self.cycle.response_complete
        if self._arriving is None and (self._begun or idle) and not self._is_websocket:
            self._await()
        if self._head > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refuse(431, "The request head is too long.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head, self._begun = self._piece, True

    def on_body(self, body: bytes) -> None:
        self._head -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._arrived()
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        self._arrived()
        self._is_websocket = True
        joined: Any = self.transport
        joined.flush()
        self.transport = joined.plain
        super().handle_websocket_upgrade()

    def _await(self) -> None:
        self._arriving = self.loop.call_later(
            REQUEST_TIMEOUT_SECONDS, self._refuse, 408, "The request did not arrive in time."
        )

    def _arrived(self) -> None:
        self._begun = False
        if self._arriving is not None:
            self._arriving.cancel()
            self._arriving = None

    def _refuse(self, status: int, reason: str) -> None:
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            head = b"content-type: text/plain\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(reason)
            self.transport.write(STATUS_LINE[status] + head + reason.encode())
        self.transport.close()


class _HeadAndBodyTransport:
    """A transport that sends the head and the body of a response with one system call, if both are written in one turn
    of the event loop."""

    def __init__(self, plain: Any, loop: asyncio.AbstractEventLoop) -> None:
        self.plain = plain
        self.is_closing = plain.is_closing  # called for each response
        self._loop, self._held = loop, b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plain, name)

    def write(self, data: bytes) -> None:
        if self._held:
            self.plain.write(self._held + data)
            self._held = b""
        else:
            self._held = data
            self._loop.call_soon(self.flush)

    def close(self) -> None:
        self.flush()
        self.plain.close()

    def flush(self) -> None:
        held, self._held = self._held, b""
        if held and not self.plain.is_closing():
            self.plain.write(held)


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """Closes connections that make the server buffer without a limit. Plain text messages bypass the state machine for
    frames."""

    async def send(self, message: Any) -> None:
        text = message.get("text")
        is_plain = text is not None and self.conn.state is State.OPEN and not self.conn.extensions
        if is_plain and self.writable.is_set() and not self.disconnected:
            self.transport.write(_frame(text))
        else:
            await super().send(message)

    def handle_ping(self) -> None:
        super().handle_ping()
        if self.transport.get_write_buffer_size() > MAX_UNREAD_BYTES:
            self.transport.abort()

    def handle_cont(self, event: Frame) -> None:
        super().handle_cont(event)
        if len(self.frames) > MAX_FRAMES:
            self.transport.abort()


def _frame(text: str) -> bytes:
    """A text as one frame (RFC 6455, 5.2)."""
    payload = text.encode()
    length = len(payload)
    if length < 126:
        return b"\x81%c%b" % (length, payload)
    if length < 65_536:
        return b"\x81\x7e%b%b" % (length.to_bytes(2), payload)
    return b"\x81\x7f%b%b" % (length.to_bytes(8), payload)
