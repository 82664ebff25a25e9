"""Sends ASGI messages to a client, without waiting or with a timeout."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.types import Message, Receive, Send

SEND_TIMEOUT_SECONDS = 60.0
"""Then a client that reads nothing is disconnected."""

CLOSED = (OSError, RuntimeError)
"""Raised by ASGI servers on sending to a closed connection."""


class ClientDisconnected(Exception):
    """The client closed the connection, or does not read."""


class AsgiSender:
    """Sends whole messages, so that several tasks can share a connection."""

    def __init__(self, send: Send) -> None:
        self._send = send

    def try_send(self, message: Message) -> bool:
        """Send a message if the client can take it without waiting. Returns False if nothing was sent.

        The server's send() waits until its buffer has room, then writes without waiting again. So the coroutine is
        advanced by one step: if it does not finish, nothing was written.
        """
        sending: Any = self._send(message)
        try:
            sending.send(None)
        except StopIteration:
            return True
        except CLOSED:
            return False
        sending.close()
        return False

    async def send(self, message: Message) -> None:
        """Send a message. Raises ClientDisconnected."""
        if self.try_send(message):
            return
        try:
            async with asyncio.timeout(SEND_TIMEOUT_SECONDS):
                await self._send(message)
        except (*CLOSED, TimeoutError) as error:
            raise ClientDisconnected from error


async def wait_for_disconnect(receive: Receive) -> None:
    """Wait until the client closes an HTTP connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


def body_chunk(text: str, *, more: bool = True) -> Message:
    """An ASGI message with a part of a response body."""
    return {"type": "http.response.body", "body": text.encode(), "more_body": more}
