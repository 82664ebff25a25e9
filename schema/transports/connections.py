"""The open connections of a process: whose they are, for how long they may be, and how much each user runs on them."""

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
"""The ids of a workspace and of a user; the latter is None for the system."""
log = logging.getLogger(__name__)


class CloseReason(enum.Enum):
    """Why the server ends a connection, in words for its client."""

    EXPIRED = "token expired"
    REVOKED = "token revoked"
    RESTART = "the server restarts"

    @property
    def message(self) -> str:
        """The same in a sentence that says what to do."""
        return MESSAGES[self]


MESSAGES = {
    CloseReason.EXPIRED: "The token has expired. Get a new one, and follow on.",
    CloseReason.REVOKED: "The token was revoked. Sign in again.",
    CloseReason.RESTART: "The server restarts: try again.",
}


class ClientConnection(Protocol):
    """A socket or an event stream. It is nobody's as long as nobody has signed in on it."""

    principal: Principal | None

    def end(self, why: CloseReason) -> None:
        """Begin to end it, without waiting."""


class ConnectionRegistry:
    """Looks every two seconds whether those whose connections are open may still have them."""

    def __init__(self, database: Database, user_operations: int) -> None:
        self.database, self.user_operations = database, user_operations
        self.draining = False
        self._open: set[ClientConnection] = set()
        self._operations: Counter[User] = Counter()
        self._sockets: Counter[User] = Counter()
        self._tasks: list[asyncio.Task[None]] = []
        self._all_closed = asyncio.Event()

    def open(self) -> None:
        # Two tasks: what the clock says is not to wait for a database that hangs.
        self._tasks = [asyncio.create_task(self._watch_clock()), asyncio.create_task(self._watch_database())]

    def count(self) -> int:
        return len(self._open)

    async def close(self) -> None:
        """Part with everybody and stop."""
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
        """Ask all clients to connect anew, to another process or to the next one here; whoever comes now as well. With
        seconds, not all at once: whom they come to next is not to be overrun."""
        self.draining = True
        loop = asyncio.get_running_loop()
        for connection in list(self._open):
            if seconds:
                loop.call_later(random.uniform(0, seconds), connection.end, CloseReason.RESTART)
            else:
                connection.end(CloseReason.RESTART)

    @contextlib.contextmanager
    def connected(self, connection: ClientConnection) -> Iterator[None]:
        """Inside the block the connection is open."""
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
        """Inside the block an operation of a user is running. Raises Throttled where the user has too many."""
        user = (viewer.workspace_id, viewer.user_id) if viewer else ("", None)
        with self._one_more(self._operations, user, "operations of one user may run"):
            yield

    @contextlib.contextmanager
    def signed_in(self, viewer: Viewer) -> Iterator[None]:
        """Inside the block a user has one more socket. Raises Throttled where there are too many."""
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
        """End the connections whose tokens have expired."""
        for connection in list(self._open):
            if connection.principal is not None and connection.principal.has_expired:
                connection.end(CloseReason.EXPIRED)

    async def end_revoked(self) -> None:
        """End the connections whose sessions and API tokens no longer stand, or whose users may no longer sign in."""
        asked = {each: each.principal for each in self._open if each.principal is not None}
        if not asked:
            return
        async with self.database.monitor() as session:
            standing = await auth.still_valid(session, {each.key: each for each in asked.values()}.values())
        for connection, principal in asked.items():
            # One that goes on by another token meanwhile is asked about the next time.
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
            except Exception as error:  # whatever a driver raises: nobody is to be ended by an outage
                log.warning("The database does not tell which tokens are good, asking again: %s", error)
