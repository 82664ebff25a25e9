"""The subscriptions of one workspace in this process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine, Hashable, Sequence
from typing import Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from crm_graph.bounded_cache import BoundedCache
from crm_graph.changelog import ChangeRow, RecentChanges, log
from crm_graph.changelog.notifier import RevisionSignal
from crm_graph.database import CONNECTION_ERRORS, Database
from crm_graph.errors import ResyncRequired
from crm_graph.models import now
from crm_graph.observability import metrics
from loaders.live.audience import Audience, access_changes, load_audience
from loaders.live.events import ChangeBatch
from schema.subscriptions.group import Group, Position, RenderPayload, Subscriber, build_update

CHECKPOINT_SECONDS = 30.0
FIRST_PAUSE_SECONDS = 0.1
MAX_CACHED_PAYLOADS = 100
MAX_CATCHING_UP = 3
"""Each subscriber that catches up occupies a connection of the pool."""
MAX_PAUSE_SECONDS = 5.0
T = TypeVar("T")
logger = logging.getLogger(__name__)


class WorkspaceSubscriptions:
    """One task reads the workspace's log and advances every group from the same snapshot. A subscriber who is behind
    catches up in a private snapshot, then joins a group."""

    def __init__(
        self, workspace_id: str, database: Database, signal: RevisionSignal, render_payload: RenderPayload
    ) -> None:
        self.workspace_id, self.database, self.signal, self.render_payload = (
            workspace_id,
            database,
            signal,
            render_payload,
        )
        self.groups: dict[tuple[object, ...], Group] = {}
        self._epoch = ""
        self._tail = RecentChanges(workspace_id, 0)
        self._lock = asyncio.Lock()
        self._catching_up = asyncio.Semaphore(MAX_CATCHING_UP)
        self._payloads: BoundedCache[Hashable, str] = BoundedCache(MAX_CACHED_PAYLOADS)
        """Payloads of recent joins, by key, start and end: many subscribers join at the same revision."""
        self._running = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Stop reading the log, between two steps."""
        async with self._lock:
            self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)

    async def _run(self) -> None:
        """Read the log. After a failure, try again with exponential backoff."""
        pause, behind, checkpoint_at = FIRST_PAUSE_SECONDS, False, time.monotonic() + CHECKPOINT_SECONDS
        rest_until = 0.0
        while True:
            if not behind:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, checkpoint_at - time.monotonic())):
                        await self.signal.wait_past(
                            min((each.at for each in self.groups.values()), default=self._tail.at)
                        )
            # Rest half as long as the last round took: under load, several changes form one payload, and writers get
            # their share of the database.
            await asyncio.sleep(max(0.0, rest_until - time.monotonic()))
            begun = time.monotonic()
            try:
                async with self._lock, self.database.snapshot() as session:
                    await self._advance(session)
                    if time.monotonic() >= checkpoint_at:
                        await self._checkpoint(session)
                        checkpoint_at = time.monotonic() + CHECKPOINT_SECONDS
                pause, behind = FIRST_PAUSE_SECONDS, False
                rest_until = time.monotonic() + (time.monotonic() - begun) / 2
            except Exception:
                logger.exception("Could not read the change log; trying again in %.1f seconds.", pause)
                await asyncio.sleep(pause)
                pause, behind = min(2 * pause, MAX_PAUSE_SECONDS), True

    async def serve(self, subscriber: Subscriber) -> None:
        """Send one subscriber updates until cancelled. Raises ResyncRequired, Unauthenticated, GraphQLError."""
        pause = FIRST_PAUSE_SECONDS
        try:
            while True:
                subscriber.detached.clear()
                try:
                    await self._join(subscriber)
                except CONNECTION_ERRORS:
                    logger.warning("A subscriber could not catch up; trying again.", exc_info=True)
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, MAX_PAUSE_SECONDS)
                    continue
                pause = FIRST_PAUSE_SECONDS
                await subscriber.detached.wait()
                if subscriber.failure is not None:
                    raise subscriber.failure
        finally:
            subscriber.gone = True
            self._leave(subscriber)

    def _leave(self, subscriber: Subscriber) -> None:
        group = self.groups.get(subscriber.key)
        if group is not None:
            group.subscribers.discard(subscriber)
            if not group.subscribers:
                del self.groups[group.key]

    async def _join(self, subscriber: Subscriber) -> None:
        joined = False
        while not joined:
            while not self._is_recent(subscriber):
                payload = await shielded(self._catch_up(subscriber))
                if payload is not None:
                    await subscriber.sink.send(payload)
            joined, payload = await shielded(self._try_join(subscriber))
            if payload is not None:
                await subscriber.sink.send(payload)

    def _is_recent(self, subscriber: Subscriber) -> bool:
        """True if the rows that the subscriber missed are in memory and fit into one page."""
        rows = self._tail.after(subscriber.number) if self._epoch else []
        return rows is not None and len(rows) < log.MAX_PAGE

    async def _catch_up(self, subscriber: Subscriber) -> str | None:
        """Advance a subscriber by one page of the log. Returns the payload, which the caller must send."""
        async with self._catching_up, self.database.snapshot() as session:
            end = await log.current_revision(session, self.workspace_id)
            rows = await log.read(session, self.workspace_id, subscriber.number, end.number)
            if end.epoch != subscriber.epoch or end.epoch != self._epoch or not rows:
                raise ResyncRequired(log.UNKNOWN_REVISION, str(end))
            number = rows[-1].revision
            payload = await self._build_payload(
                session, subscriber, rows, Position(end.epoch, number, number == end.number)
            )
        subscriber.number = number
        return payload

    async def _try_join(self, subscriber: Subscriber) -> tuple[bool, str | None]:
        """Send a subscriber the payload up to the position of its group, and add it to the group. Returns True if it
        joined, and a payload that the caller must send before it tries again."""
        async with self._lock:
            if subscriber.gone:
                return True, None
            key = subscriber.key
            group = self.groups.get(key)
            payload = None
            if group is not None and group.at >= subscriber.looked_up_at and not self._has_moved(subscriber):
                payload = self._payloads.get((key, subscriber.number, group.at))
            if group is None or payload is None:
                async with self.database.snapshot() as session:
                    await self._advance(session)
                    end = Position(self._epoch, self._tail.at, True)
                    if end.epoch != subscriber.epoch or end.number < subscriber.number:
                        raise ResyncRequired(log.UNKNOWN_REVISION, end.revision)
                    rows = self._tail.after(subscriber.number)
                    if rows is None:
                        return False, None
                    payload = await self._build_payload(session, subscriber, rows, end) if rows else None
                    if payload is None:
                        payload = await self.render_payload(session, subscriber.viewer, subscriber.request, (), end)
                    group = self.groups.get(key)
                    if group is None:
                        members = await subscriber.request.source.live_list.load_members(session, subscriber.viewer)
                        group = Group(subscriber.viewer, subscriber.request, members, end.number)
                self._payloads.set((key, subscriber.number, group.at), payload)
            subscriber.number = group.at
            sent = not subscriber.gone and subscriber.sink.try_send(payload)
            if sent:
                self.groups[key] = group  # the group may be new, or all others may have left it meanwhile
                group.subscribers.add(subscriber)
            return sent or subscriber.gone, None if sent or subscriber.gone else payload

    def _has_moved(self, subscriber: Subscriber) -> bool:
        """True if the visibility may have changed since the viewer was loaded; then a cached payload does not apply."""
        rows = self._tail.after(subscriber.number)
        if rows is None or subscriber.epoch != self._epoch:
            return True
        return bool(access_changes(rows, subscriber.sight, {subscriber.viewer.user_id}))

    async def _build_payload(
        self, session: AsyncSession, subscriber: Subscriber, rows: Sequence[ChangeRow], end: Position
    ) -> str | None:
        batch = ChangeBatch(rows, access_changes(rows, subscriber.sight, {subscriber.viewer.user_id}))
        update = await build_update(
            session, subscriber.viewer, subscriber.request, None, batch, end, self.render_payload
        )
        return update.payload

    async def _advance(self, session: AsyncSession) -> None:
        """Advance the recent changes and all groups to the current revision of a snapshot."""
        end = await log.current_revision(session, self.workspace_id)
        if end.epoch != self._epoch or end.number < self._tail.at:
            for group in self.groups.values():
                group.detach_all(ResyncRequired(log.UNKNOWN_REVISION, str(end)))
            self._epoch, self._tail = end.epoch, RecentChanges(self.workspace_id, end.number)
            self._payloads.clear()
        while True:
            rows: Sequence[ChangeRow] = ()
            if self._tail.at < end.number:
                rows = await self._tail.extend(session, end.number)
                self._payloads.clear()
            stand = Position(end.epoch, self._tail.at, self._tail.at == end.number)
            await self._advance_groups(session, stand)
            if rows and self.groups:
                metrics.record_lag((now() - rows[0].recorded_at).total_seconds())
            if stand.caught_up:
                return

    async def _advance_groups(self, session: AsyncSession, stand: Position) -> None:
        split_groups: list[Group] = []
        audiences: dict[int, Audience] = {}
        try:
            for group in list(self.groups.values()):
                rows = self._tail.after(group.at)
                audience = None
                if rows and group.sight.user_id is not None:
                    if group.at not in audiences:
                        audiences[group.at] = await load_audience(session, group.viewer, rows)
                    audience = audiences[group.at]
                if rows is None:
                    group.detach_all()
                elif rows:
                    await group.advance(session, rows, stand, self.render_payload, audience, split_groups)
                if not group.subscribers:
                    self.groups.pop(group.key, None)
        finally:  # they have left their groups, even if the database failed after that
            for group in split_groups:
                group.subscribers = {each for each in group.subscribers if not each.gone}
                there = self.groups.setdefault(group.key, group) if group.subscribers else group
                if there.at == group.at:
                    there.subscribers |= group.subscribers
                else:
                    group.detach_all()

    async def _checkpoint(self, session: AsyncSession) -> None:
        """Send groups whose list did not change their current revision."""
        for group in list(self.groups.values()):
            if group.sent_at < group.at:
                end = Position(self._epoch, group.at, True)
                group.send(await self.render_payload(session, group.viewer, group.request, (), end))


async def shielded(step: Coroutine[Any, Any, T]) -> T:
    """Run a step to its end even if the subscriber's task is cancelled: otherwise a statement would still run on a
    closed session."""
    task = asyncio.ensure_future(step)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())  # no one may await the result
    return await asyncio.shield(task)
