"""uvicorn, for clients who take their time: requests have to arrive in some seconds, and a stop drops none of them."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import State

ARRIVAL_SECONDS = 20.0
"""How long a request may take to arrive, from its first byte, or from its connection."""
HEAD_BYTES = 65_536
"""Of a request, without its body."""
UNREAD_BYTES = 1_000_000
"""Of answers to pings, which are sent whether their reader reads them or not."""
MOST_FRAMES = 10_000
"""Of one message: its bytes are counted elsewhere, but there are frames without any."""
LET_IN_SECONDS = 0.25
"""How long those who were let in last have to say what they want, before connections where nothing runs are closed."""


class Server(uvicorn.Server):
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for each in sockets or []:
            each.close()
        await asyncio.sleep(LET_IN_SECONDS)
        await super().shutdown(sockets)


class BoundedHTTP(HttpToolsProtocol):
    """Ends connections whose requests do not come to an end: uvicorn would wait for ever, and keep all of it."""

    _arriving: asyncio.TimerHandle | None = None
    _begun = _is_websocket = False
    _head = _piece = 0
    """How many bytes of the request were no part of its body, and how many came last."""

    def connection_made(self, transport: Any) -> None:
        joined: Any = _Joined(transport, self.loop)
        super().connection_made(joined)
        self._await()

    def connection_lost(self, exc: Exception | None) -> None:
        self._arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._piece = len(data)
        self._head += self._piece
        super().data_received(data)
        # Bytes between requests end uvicorn's own patience.
        idle = self.cycle is None or self.cycle.response_complete
        if self._arriving is None and (self._begun or idle) and not self._is_websocket:
            self._await()
        if self._head > HEAD_BYTES and not self.transport.is_closing():
            self._refuse(431, "The head of the request is too long.")

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
        self._arriving = self.loop.call_later(ARRIVAL_SECONDS, self._refuse, 408, "The request took too long.")

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


class _Joined:
    """A transport that writes the head of an answer together with its body, where that is there at once: to write takes
    longer than most of what an answer is made with."""

    def __init__(self, plain: Any, loop: asyncio.AbstractEventLoop) -> None:
        self.plain = plain
        self.is_closing = plain.is_closing  # it is asked for each answer
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
    """Ends connections that make us keep more and more for them. What is sent goes past the state machine of frames,
    which takes longer than all else of it."""

    async def send(self, message: Any) -> None:
        text = message.get("text")
        is_plain = text is not None and self.conn.state is State.OPEN and not self.conn.extensions
        if is_plain and self.writable.is_set() and not self.disconnected:
            self.transport.write(_frame(text))
        else:
            await super().send(message)

    def handle_ping(self) -> None:
        super().handle_ping()
        if self.transport.get_write_buffer_size() > UNREAD_BYTES:
            self.transport.abort()

    def handle_cont(self, event: Any) -> None:
        super().handle_cont(event)
        if len(self.frames) > MOST_FRAMES:
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
