"""Sending to one client without waiting for him, or only so long."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.types import Message, Receive, Send

SEND_TIMEOUT_SECONDS = 60.0
"""How long a client may take nothing of what is sent before he is let go."""

CLOSED = (OSError, RuntimeError)
"""What servers raise when something is sent on a connection that is closed already."""


class ClientDisconnected(Exception):
    """The client takes no more."""


class AsgiSender:
    """Whoever sends on it sends whole messages, so that several tasks may."""

    def __init__(self, send: Send) -> None:
        self._send = send

    def try_send(self, message: Message) -> bool:
        """Send a message if that takes no waiting.

        The server's send() waits until there is room, and then writes without waiting again. So one step of it tells:
        if it does not end there, nothing was written.
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
        """Send a message, or raise Gone."""
        if self.try_send(message):
            return
        try:
            async with asyncio.timeout(SEND_TIMEOUT_SECONDS):
                await self._send(message)
        except (*CLOSED, TimeoutError) as error:
            raise ClientDisconnected from error


async def wait_for_disconnect(receive: Receive) -> None:
    """Wait until the client goes."""
    while (await receive())["type"] != "http.disconnect":
        pass


def body_chunk(text: str, *, more: bool = True) -> Message:
    """A piece of an answer's body."""
    return {"type": "http.response.body", "body": text.encode(), "more_body": more}
