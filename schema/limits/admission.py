"""Limits the operations that run at a time, and queues the rest fairly."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque

from crm_graph.errors import Overloaded

RETRY_SECONDS = 1.0
MAX_WAIT_SECONDS = 5.0
"""Clients have seldom waited longer for a response."""


class FairQueue:
    """Runs at most `max_running` operations at a time; at most `max_waiting` wait.

    Round-robin by user: a free slot goes to the next user's oldest operation, so a user with 100 queued operations
    delays each other user by at most one.
    """

    def __init__(self, max_running: int, max_waiting: int) -> None:
        self.max_running, self.max_waiting = max_running, max_waiting
        self._running = 0
        self._queue: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._waiting = 0

    @property
    def running_count(self) -> int:
        return self._running

    @property
    def waiting_count(self) -> int:
        return self._waiting

    async def acquire(self, key: str) -> None:
        """Wait for a slot; `release` it. Raises Overloaded if the queue is full, or after MAX_WAIT_SECONDS."""
        if self._running < self.max_running:
            self._running += 1
        else:
            await self._wait(key)

    async def _wait(self, key: str) -> None:
        if self._waiting >= self.max_waiting:
            self._make_room(key)
        slot: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.setdefault(key, deque()).append(slot)
        self._waiting += 1
        try:
            async with asyncio.timeout(MAX_WAIT_SECONDS):
                await slot
        except (asyncio.CancelledError, TimeoutError) as error:
            if slot.cancelled():
                self._forget(key, slot)
            elif slot.exception() is None:
                self.release()  # the slot was assigned just now
            if isinstance(error, TimeoutError):
                raise Overloaded(RETRY_SECONDS) from None
            raise

    def _make_room(self, key: str) -> None:
        """Reject the newest operation of the user with the longest queue. Raises Overloaded if that is this user."""
        longest = max(self._queue, key=lambda each: len(self._queue[each]), default=key)
        if len(self._queue.get(longest, ())) <= len(self._queue.get(key, ())) + 1:
            raise Overloaded(RETRY_SECONDS)
        last = next((each for each in reversed(self._queue[longest]) if not each.done()), None)
        if last is None:  # all of them are being assigned or cancelled
            raise Overloaded(RETRY_SECONDS)
        self._forget(longest, last)
        last.set_exception(Overloaded(RETRY_SECONDS))

    def _forget(self, key: str, slot: asyncio.Future[None]) -> None:
        slots = self._queue.get(key)
        if slots is None or slot not in slots:
            return  # removed already
        slots.remove(slot)
        self._waiting -= 1
        if not slots:
            del self._queue[key]

    def release(self) -> None:
        """Pass the slot on to the next operation."""
        if not self._queue:
            self._running -= 1
            return
        key, slots = self._queue.popitem(last=False)
        slot = slots.popleft()
        self._waiting -= 1
        if slots:
            self._queue[key] = slots  # last in turn
        if slot.cancelled():
            self.release()
        else:
            slot.set_result(None)
