"""Notifications between processes that a workspace's log has grown.

They carry no data, and may come twice, late or not at all: readers of the log continue from the revision they have
reached, and a slow poll covers lost notifications.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
import uuid
from collections.abc import Iterator
from typing import Protocol

import sqlalchemy as sa

from crm_graph.changelog import broadcast
from crm_graph.database import Database, in_array
from crm_graph.models import Workspace

CHANNEL = "crm_graph.changes"
POLL_SECONDS = 5.0
HEARTBEAT_SECONDS = 2.0
HEARTBEAT_TIMEOUT_SECONDS = 3 * HEARTBEAT_SECONDS
MAX_BACKOFF_SECONDS = 5.0
log = logging.getLogger(__name__)


class _Message(Protocol):
    message: str


class _Subscription(Protocol):
    async def get(self) -> _Message: ...


class _Publisher(Protocol):
    async def publish(self, channel: str, message: str) -> None: ...


class RevisionSignal:
    """The revision that a workspace's log has reached, as far as is known."""

    def __init__(self) -> None:
        self.revision = 0
        self._grown = asyncio.Event()
        self._restored = False

    def advance_to(self, revision: int) -> None:
        """Wake those who wait for a revision below this one."""
        if revision > self.revision:
            self.revision = revision
            self._grown.set()

    def reset(self, revision: int) -> None:
        """Take the revision from the database. If it is lower than the known one, a backup was restored."""
        self._restored = revision < self.revision
        self.revision = revision
        self._grown.set()

    async def wait_past(self, revision: int) -> None:
        """Wait until the log has grown past a revision, or was restored.

        A revision ends only one wait: it may come from a log that a restored backup has replaced.
        """
        self.revision = max(self.revision, revision)
        while self.revision <= revision and not self._restored:
            self._grown.clear()
            await self._grown.wait()
        self.revision, self._restored = revision, False


class ChangeNotifier:
    """Publishes and receives notifications through a broadcast, and delivers those of its own process at once.

    A broadcast that fails is retried with backoff. Meanwhile, and for lost notifications, the poll reads every five
    seconds which revisions the logs of the watched workspaces have reached.
    """

    def __init__(self, database: Database, url: str) -> None:
        self.database, self.url = database, url
        self.connected = False
        self._signals: dict[str, tuple[RevisionSignal, int]] = {}
        self._unsent: dict[str, int] = {}
        self._send = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        # A heartbeat is a notification for a workspace that does not exist. If it does not come back to its sender,
        # the connection is dead.
        self._heartbeat = f"beat-{uuid.uuid4().hex}"
        self._received_at = 0.0

    async def open(self) -> None:
        """Start. Returns when the broadcast is connected or has failed for the first time."""
        tried = asyncio.Event()
        self._tasks = [asyncio.create_task(self._connect(tried)), asyncio.create_task(self._poll())]
        await tried.wait()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    def announce(self, workspace_id: str, revision: int) -> None:
        """Notify this process now, and all others as soon as possible. A newer revision replaces an unsent one."""
        self._advance(workspace_id, revision)
        self._unsent[workspace_id] = max(revision, self._unsent.get(workspace_id, 0))
        self._send.set()

    @contextlib.contextmanager
    def watch(self, workspace_id: str) -> Iterator[RevisionSignal]:
        """The revision of the workspace's log, kept up to date inside the block."""
        signal, watchers = self._signals.get(workspace_id, (RevisionSignal(), 0))
        self._signals[workspace_id] = signal, watchers + 1
        try:
            yield signal
        finally:
            signal, watchers = self._signals[workspace_id]
            if watchers == 1:
                del self._signals[workspace_id]
            else:
                self._signals[workspace_id] = signal, watchers - 1

    def _advance(self, workspace_id: str, revision: int) -> None:
        if workspace_id in self._signals:
            self._signals[workspace_id][0].advance_to(revision)

    async def poll_once(self) -> None:
        """Read the revisions of the watched workspaces from the database."""
        if not self._signals:
            return
        statement = sa.select(Workspace.id, Workspace.revision).where(in_array(Workspace.id, list(self._signals)))
        async with self.database.monitor() as session:
            for workspace_id, revision in await session.execute(statement):
                if workspace_id in self._signals:
                    self._signals[workspace_id][0].reset(revision)

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                await self.poll_once()
            except Exception:
                log.warning("The database does not answer; trying again in %s seconds.", POLL_SECONDS, exc_info=True)

    async def _connect(self, tried: asyncio.Event) -> None:
        pause = 0.1
        while True:
            try:
                async with broadcast.connect(self.url) as connected, connected.subscribe(CHANNEL) as subscription:
                    self.connected, self._received_at, pause = True, time.monotonic(), 0.1
                    tried.set()
                    await self.poll_once()  # for what was published before this process subscribed
                    await self._receive_and_publish(connected, subscription)
            except Exception as error:
                log.warning("The broadcast failed, trying again in %.1f seconds: %s", pause, error)
            self.connected = False
            tried.set()
            await asyncio.sleep(pause * random.uniform(0.5, 1))
            pause = min(2 * pause, MAX_BACKOFF_SECONDS)

    async def _receive_and_publish(self, publisher: _Publisher, subscription: _Subscription) -> None:
        """Do both until one of them fails. Raises its error."""
        # Not a TaskGroup: before Python 3.11.4 it leaves the task marked as cancelled, which then breaks timeouts.
        tasks = [asyncio.create_task(self._receive(subscription)), asyncio.create_task(self._publish(publisher))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _receive(self, subscription: _Subscription) -> None:
        while True:
            event = await subscription.get()
            workspace_id, _, revision = event.message.partition(" ")
            if workspace_id == self._heartbeat:
                self._received_at = time.monotonic()
            elif revision.isascii() and revision.isdigit():
                self._advance(workspace_id, int(revision))

    async def _publish(self, publisher: _Publisher) -> None:
        """Send notifications one after the other, and a heartbeat every HEARTBEAT_SECONDS. Raises TimeoutError when
        heartbeats no longer come back."""
        heartbeat_at = 0.0
        while True:
            if time.monotonic() >= heartbeat_at:
                self._unsent[self._heartbeat] = 0
                heartbeat_at = time.monotonic() + HEARTBEAT_SECONDS
            while self._unsent:
                workspace_id, revision = next(iter(self._unsent.items()))
                async with asyncio.timeout(broadcast.TIMEOUT_SECONDS):
                    await publisher.publish(CHANNEL, f"{workspace_id} {revision}")
                if self._unsent[workspace_id] == revision:
                    del self._unsent[workspace_id]
            if time.monotonic() > self._received_at + HEARTBEAT_TIMEOUT_SECONDS:
                raise TimeoutError("its heartbeats do not come back")
            self._send.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(asyncio.get_running_loop().time() + HEARTBEAT_SECONDS):
                    await self._send.wait()


async def check(url: str) -> None:
    """Raises what the broadcast raises where it cannot be connected to."""
    await broadcast.check(url, CHANNEL)
