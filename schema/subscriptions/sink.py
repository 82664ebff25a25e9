"""The interface between subscriptions and the transports that deliver them."""

from __future__ import annotations

from typing import Protocol


class Sink(Protocol):
    """Receives the payloads of one subscription: JSON texts of responses."""

    def try_send(self, payload: str) -> bool:
        """Send a payload if the client can take it without waiting; otherwise send nothing and return False."""

    async def send(self, payload: str) -> None:
        """Send a payload, and wait until the client can take it. Raises ClientDisconnected."""
