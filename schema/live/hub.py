"""Where subscriptions come together."""

from __future__ import annotations

from typing import Protocol

from strawberry.http import GraphQLRequestData

from schema.context import Context


class Outlet(Protocol):
    """Where the answers to one subscription go: a transport has one for each."""

    def offer(self, payload: str) -> bool:
        """Send a payload, the JSON text of an answer, if that takes no waiting. Otherwise nothing is sent: False."""

    async def send(self, payload: str) -> None:
        """Send a payload, however long the client takes to read what was sent before."""


class Hub:
    """The subscriptions of one process."""

    async def open(self) -> None:
        """Start to follow the log."""

    async def close(self) -> None:
        """End every subscription."""

    async def follow(self, context: Context, request: GraphQLRequestData, outlet: Outlet) -> None:
        """Serve one subscription, until it is cancelled.

        `request` has a valid subscription operation, whose viewer is the context's. Raises GraphQLError where the
        client has to be told that it ends: the errors of a bad argument, RESYNC.
        """
        raise NotImplementedError
