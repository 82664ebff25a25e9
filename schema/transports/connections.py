"""The open connections of a process: their principals, their ends, and the operations of each user."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
import random
from collections import Counter
from collections.abc import Iterator
from typing import Protocol

from crm_graph import auth
from crm_graph.access import Viewer
from crm_graph.auth import Principal
from crm_graph.database import Database
from crm_graph.errors import Throttled

REVOCATION_POLL_SECONDS = 2.0
CLOSE_TIMEOUT_SECONDS = 3.0
User = tuple[str, str | None]
"""Ids of a workspace and of a user; the latter is None for the system."""
log = logging.getLogger(__name__)


class CloseReason(enum.Enum):
    """Reason of the server to close a connection; the value is sent to the client."""

    EXPIRED = "token expired"
    REVOKED = "token revoked"
    RESTART = "the server restarts"

    @property
    def message(self) -> str:
        """The reason and what to do, in a sentence."""
        return MESSAGES[self]


MESSAGES = {
    CloseReason.EXPIRED: "The token has expired. Get a new one, and subscribe again.",
    CloseReason.REVOKED: "The token was revoked. Sign in again.",
    CloseReason.RESTART: "The server restarts. Reconnect.",
}


class ClientConnection(Protocol):
    """A websocket or an event stream; `principal` is None until its client signs in."""

    principal: Principal | None

    def end(self, why: CloseReason) -> None:
        """Start closing it, without waiting."""


class ConnectionRegistry:
    """All open connections. Closes those whose tokens have expired or were revoked, within REVOCATION_POLL_SECONDS."""

    def __init__(self, database: Database, user_operations: int) -> None:
        self.database, self.user_operations = database, user_operations
        self.draining = False
        self._open: set[ClientConnection] = set()
        self._operations: Counter[User] = Counter()
        self._sockets: Counter[User] = Counter()
        self._tasks: list[asyncio.Task[None]] = []
        self._all_closed = asyncio.Event()

    def open(self) -> None:
        # Two tasks, so that tokens expire even if the database hangs.
        self._tasks = [asyncio.create_task(self._watch_clock()), asyncio.create_task(self._watch_database())]

    def count(self) -> int:
        return len(self._open)

    async def close(self) -> None:
        """Close all connections and stop."""
        self.drain()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                while self._open:
                    self._all_closed.clear()
                    await self._all_closed.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    def drain(self, seconds: float = 0) -> None:
        """Close all connections, also those opened from now on, so that their clients reconnect. The closes are spread
        over `seconds`, so that the clients do not overload the next process."""
        self.draining = True
        loop = asyncio.get_running_loop()
        for connection in list(self._open):
            if seconds:
                loop.call_later(random.uniform(0, seconds), connection.end, CloseReason.RESTART)
            else:
                connection.end(CloseReason.RESTART)

    @contextlib.contextmanager
    def connected(self, connection: ClientConnection) -> Iterator[None]:
        """Inside the block, the connection is registered."""
        self._open.add(connection)
        if self.draining:
            connection.end(CloseReason.RESTART)
        try:
            yield
        finally:
            self._open.discard(connection)
            if not self._open:
                self._all_closed.set()

    @contextlib.contextmanager
    def operation(self, viewer: Viewer | None) -> Iterator[None]:
        """Inside the block, an operation of a user is running. Raises Throttled if the user has too many."""
        user = (viewer.workspace_id, viewer.user_id) if viewer else ("", None)
        with self._one_more(self._operations, user, "operations of one user may run"):
            yield

    @contextlib.contextmanager
    def signed_in(self, viewer: Viewer) -> Iterator[None]:
        """Inside the block, a user has one more socket. Raises Throttled if there are too many."""
        with self._one_more(self._sockets, (viewer.workspace_id, viewer.user_id), "sockets of one user may be open"):
            yield

    @contextlib.contextmanager
    def _one_more(self, counts: Counter[User], user: User, what: str) -> Iterator[None]:
        if counts[user] >= self.user_operations:
            raise Throttled(f"At most {self.user_operations} {what} here at a time.")
        counts[user] += 1
        try:
            yield
        finally:
            counts[user] -= 1
            if not counts[user]:
                del counts[user]

    def end_expired(self) -> None:
        """Close the connections whose tokens have expired."""
        for connection in list(self._open):
            if connection.principal is not None and connection.principal.has_expired:
                connection.end(CloseReason.EXPIRED)

    async def end_revoked(self) -> None:
        """Close the connections with revoked sessions or API tokens, and those of users who can no longer sign in."""
        checked = {each: each.principal for each in self._open if each.principal is not None}
        if not checked:
            return
        async with self.database.monitor() as session:
            standing = await auth.still_valid(session, {each.key: each for each in checked.values()}.values())
        for connection, principal in checked.items():
            # A connection that changed its token meanwhile is checked the next time.
            if principal.key not in standing and connection.principal is principal:
                connection.end(CloseReason.EXPIRED if principal.has_expired else CloseReason.REVOKED)

    async def _watch_clock(self) -> None:
        while True:
            await asyncio.sleep(REVOCATION_POLL_SECONDS)
            self.end_expired()

    async def _watch_database(self) -> None:
        while True:
            await asyncio.sleep(REVOCATION_POLL_SECONDS)
            try:
                await self.end_revoked()
            except Exception as error:  # drivers may raise anything; an outage closes no connection
                log.warning("Could not check tokens for revocation; trying again: %s", error)
