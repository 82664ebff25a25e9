"""Who is served when there is more to do than can be done at a time: each in turn, whoever asks how much."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque

from crm_graph.errors import Overloaded

RETRY_SECONDS = 1.0
MAX_WAIT_SECONDS = 5.0
"""How long one waits: an answer that comes later is seldom for anybody."""


class FairQueue:
    """At most `max_running` operations run at a time, and at most `max_waiting` wait. A place that becomes free goes to
    the one who waits longest of whoever's turn it is: a user who sends a hundred waits behind none of the others' for
    more than one of his."""

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
        """Of the queue."""
        return self._waiting

    async def acquire(self, key: str) -> None:
        """Wait for a place to work at, which is to be left again. Raises Overloaded, at once or after some seconds."""
        if self._running < self.max_running:
            self._running += 1
        else:
            await self._wait(key)

    async def _wait(self, key: str) -> None:
        if self._waiting >= self.max_waiting:
            self._make_room(key)
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.setdefault(key, deque()).append(place)
        self._waiting += 1
        try:
            async with asyncio.timeout(MAX_WAIT_SECONDS):
                await place
        except (asyncio.CancelledError, TimeoutError) as gone:
            if place.cancelled():
                self._forget(key, place)
            elif place.exception() is None:
                self.release()  # the place was given, and nobody takes it
            if isinstance(gone, TimeoutError):
                raise Overloaded(RETRY_SECONDS) from None
            raise

    def _make_room(self, key: str) -> None:
        """Send away the last of whoever has most waiting, rather than one who has less. Raises Overloaded."""
        longest = max(self._queue, key=lambda each: len(self._queue[each]), default=key)
        if len(self._queue.get(longest, ())) <= len(self._queue.get(key, ())) + 1:
            raise Overloaded(RETRY_SECONDS)
        last = next((each for each in reversed(self._queue[longest]) if not each.done()), None)
        if last is None:  # all of them are about to leave
            raise Overloaded(RETRY_SECONDS)
        self._forget(longest, last)
        last.set_exception(Overloaded(RETRY_SECONDS))

    def _forget(self, key: str, place: asyncio.Future[None]) -> None:
        places = self._queue.get(key)
        if places is None or place not in places:
            return  # it was passed over already
        places.remove(place)
        self._waiting -= 1
        if not places:
            del self._queue[key]

    def release(self) -> None:
        """Give a place that became free to the next who waits."""
        if not self._queue:
            self._running -= 1
            return
        key, places = self._queue.popitem(last=False)
        place = places.popleft()
        self._waiting -= 1
        if places:
            self._queue[key] = places  # behind all others
        if place.cancelled():
            self.release()
        else:
            place.set_result(None)
