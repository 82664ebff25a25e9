"""Wake-ups between processes: «this workspace's log has grown to there». They carry no data, may come twice, late or
not at all: whoever follows the log reads it from where he stands, and a slow poll covers what got lost."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import sqlalchemy as sa
from broadcaster import Broadcast

from crm_graph.database import Database, in_array
from crm_graph.models import Workspace

CHANNEL = "crm_graph.changes"
POLL_SECONDS = 5.0
BEAT_SECONDS = 2.0
SILENCE_SECONDS = 3 * BEAT_SECONDS
PATIENCE_SECONDS = 5.0
LONGEST_BACKOFF_SECONDS = 5.0
log = logging.getLogger(__name__)


class Signal:
    """How far a workspace's log is said to have grown."""

    def __init__(self) -> None:
        self.revision = 0
        self._grown = asyncio.Event()
        self._restored = False

    def advance_to(self, revision: int) -> None:
        if revision > self.revision:
            self.revision = revision
            self._grown.set()

    def reset(self, revision: int) -> None:
        """As `advance_to`, by the database itself: where it stands lower than was known, a backup was restored."""
        self._restored = revision < self.revision
        self.revision = revision
        self._grown.set()

    async def wait_past(self, revision: int) -> None:
        """Wait until the log is said to have grown beyond a revision, or to have been restored. What is said wakes
        once: other processes may have told of a log that is gone."""
        self.revision = max(self.revision, revision)
        while self.revision <= revision and not self._restored:
            self._grown.clear()
            await self._grown.wait()
        self.revision, self._restored = revision, False


class ChangeNotifier:
    """Sends and hears wake-ups through a broadcast, and hears those of its own process at once.

    A broadcast that fails is tried again with backoff. Meanwhile, and for whatever it loses, the poll looks every
    five seconds how far the logs of the watched workspaces have grown.
    """

    def __init__(self, database: Database, url: str) -> None:
        self.database, self.url = database, url
        self.connected = False
        self._signals: dict[str, tuple[Signal, int]] = {}
        self._unsent: dict[str, int] = {}
        self._send = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        # A beat is a wake-up for a workspace that nobody has: it comes back to its sender, or the line is dead.
        self._beat = f"beat-{uuid.uuid4().hex}"
        self._heard_at = 0.0

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
        """Wake this process's followers now, and all others' as soon as may be; the newest revision stands for all."""
        self._raise(workspace_id, revision)
        self._unsent[workspace_id] = max(revision, self._unsent.get(workspace_id, 0))
        self._send.set()

    @contextlib.contextmanager
    def watch(self, workspace_id: str) -> Iterator[Signal]:
        """How far the workspace's log has grown, kept up to date inside the block."""
        signal, watchers = self._signals.get(workspace_id, (Signal(), 0))
        self._signals[workspace_id] = signal, watchers + 1
        try:
            yield signal
        finally:
            signal, watchers = self._signals[workspace_id]
            if watchers == 1:
                del self._signals[workspace_id]
            else:
                self._signals[workspace_id] = signal, watchers - 1

    def _raise(self, workspace_id: str, revision: int) -> None:
        if workspace_id in self._signals:
            self._signals[workspace_id][0].advance_to(revision)

    async def poll_once(self) -> None:
        """Read how far the logs of the watched workspaces have grown."""
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
                async with _connected(self.url) as broadcast, broadcast.subscribe(CHANNEL) as heard:
                    self.connected, self._heard_at, pause = True, time.monotonic(), 0.1
                    tried.set()
                    await self.poll_once()  # what was said while nobody here listened
                    await self._hear_and_say(broadcast, heard)
            except Exception as error:
                log.warning("The broadcast failed, trying again in %.1f seconds: %s", pause, error)
            self.connected = False
            tried.set()
            await asyncio.sleep(pause * random.uniform(0.5, 1))
            pause = min(2 * pause, LONGEST_BACKOFF_SECONDS)

    async def _hear_and_say(self, broadcast: Broadcast, heard: Any) -> None:
        """Both, until one of them fails: raises what it raised."""
        # Not a TaskGroup: before Python 3.11.4 it leaves the task marked as cancelled, which then breaks timeouts.
        tasks = [asyncio.create_task(self._hear(heard)), asyncio.create_task(self._say(broadcast))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _hear(self, heard: Any) -> None:
        while True:
            event = await heard.get()
            workspace_id, _, revision = event.message.partition(" ")
            if workspace_id == self._beat:
                self._heard_at = time.monotonic()
            elif revision.isascii() and revision.isdigit():
                self._raise(workspace_id, int(revision))

    async def _say(self, broadcast: Broadcast) -> None:
        """Send what is to be sent, one after the other, and a beat when there is time. Raises TimeoutError when the
        own beats no longer come back."""
        beat_at = 0.0
        while True:
            if time.monotonic() >= beat_at:
                self._unsent[self._beat] = 0
                beat_at = time.monotonic() + BEAT_SECONDS
            while self._unsent:
                workspace_id, revision = next(iter(self._unsent.items()))
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await broadcast.publish(CHANNEL, f"{workspace_id} {revision}")
                if self._unsent[workspace_id] == revision:
                    del self._unsent[workspace_id]
            if time.monotonic() > self._heard_at + SILENCE_SECONDS:
                raise TimeoutError("it swallows what is sent")
            self._send.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(asyncio.get_running_loop().time() + BEAT_SECONDS):
                    await self._send.wait()


async def check(url: str) -> None:
    """Raises what the broadcast raises where it cannot be connected to."""
    async with _connected(url) as broadcast, broadcast.subscribe(CHANNEL):
        pass


@contextlib.asynccontextmanager
async def _connected(url: str) -> AsyncIterator[Broadcast]:
    broadcast = Broadcast(url)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await broadcast.connect()
        yield broadcast
    finally:
        # What is broken already need not break off in order; but the backend's own task has to end, to which the
        # broadcast does not come where it never connected.
        for disconnect in (broadcast.disconnect, broadcast._backend.disconnect):
            with contextlib.suppress(Exception):
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await disconnect()
