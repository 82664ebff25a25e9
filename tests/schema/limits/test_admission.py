"""The queue of operations: users take turns, and a full queue refuses the user with the most waiting operations."""

from __future__ import annotations

import asyncio

import pytest

from crm_graph.errors import Overloaded
from schema.limits import admission as queue
from schema.limits.admission import FairQueue


class Crowd:
    """Tasks that wait in the queue, and record the order in which they get a slot."""

    def __init__(self, queue: FairQueue) -> None:
        self.queue = queue
        self.served: list[str] = []

    async def come(self, *names: str) -> list[asyncio.Task[None]]:
        """Start tasks; the first letter of a name is the user."""
        tasks = [asyncio.create_task(self._work(name)) for name in names]
        await asyncio.sleep(0)
        return tasks

    async def _work(self, name: str) -> None:
        await self.queue.acquire(name[0])
        self.served.append(name)

    async def release(self, times: int = 1) -> None:
        for _ in range(times):
            self.queue.release()
            await asyncio.sleep(0)


async def test_users_are_served_in_turn_however_much_each_asks() -> None:
    crowd = Crowd(FairQueue(1, 10))
    tasks = await crowd.come("a1", "a2", "a3", "a4", "b1", "b2", "c1")
    assert crowd.served == ["a1"]
    await crowd.release(6)
    assert crowd.served == ["a1", "a2", "b1", "c1", "a3", "b2", "a4"]
    await asyncio.gather(*tasks)


async def test_who_comes_when_nobody_waits_is_served_at_once() -> None:
    crowd = Crowd(FairQueue(2, 0))
    tasks = await crowd.come("a1", "a2")
    with pytest.raises(Overloaded) as caught:
        await crowd.queue.acquire("b")
    assert caught.value.retry_after == 1
    await crowd.release(2)
    tasks += await crowd.come("b1", "b2")
    assert crowd.served == ["a1", "a2", "b1", "b2"]
    await asyncio.gather(*tasks)


async def test_a_full_queue_has_room_for_who_has_less_in_it() -> None:
    crowd = Crowd(FairQueue(1, 4))
    tasks = await crowd.come("a1", "a2", "a3", "a4", "a5")
    tasks += await crowd.come("a6")  # user a has the most waiting tasks
    tasks += await crowd.come("b1", "b2")  # displace a5 and a4
    tasks += await crowd.come("b3")  # would make b the user with the most
    await asyncio.sleep(0)
    await crowd.release(5)
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)

    assert crowd.served == ["a1", "a2", "b1", "a3", "b2"]
    refused = [
        name
        for name, each in zip(["a1", "a2", "a3", "a4", "a5", "a6", "b1", "b2", "b3"], outcomes, strict=True)
        if each
    ]
    assert refused == ["a4", "a5", "a6", "b3"]
    assert crowd.queue._waiting == crowd.queue._running == 0


async def test_who_goes_away_is_waited_for_by_nobody() -> None:
    crowd = Crowd(FairQueue(1, 2))
    [working] = await crowd.come("a1")
    [going, staying] = await crowd.come("b1", "c1")
    going.cancel()
    await asyncio.sleep(0)
    assert crowd.queue._waiting == 1
    await crowd.release()
    assert crowd.served == ["a1", "c1"]
    await asyncio.gather(working, staying)


async def test_a_place_that_nobody_takes_any_more_goes_to_the_next() -> None:
    crowd = Crowd(FairQueue(1, 2))
    [working] = await crowd.come("a1")
    [going, staying] = await crowd.come("b1", "c1")
    crowd.queue.release()  # b1 gets the slot, but has not run yet
    going.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert crowd.served == ["a1", "c1"]
    await crowd.release()
    assert crowd.queue._running == 0
    await asyncio.gather(working, staying)


async def test_nobody_waits_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "MAX_WAIT_SECONDS", 0.01)
    crowd = Crowd(FairQueue(1, 2))
    [working, waiting] = await crowd.come("a1", "b1")

    with pytest.raises(Overloaded):
        await waiting
    assert crowd.queue.waiting_count == 0
    await crowd.release()
    assert (crowd.served, crowd.queue.running_count) == (["a1"], 0)
    await working


async def test_who_is_about_to_go_makes_no_room_twice() -> None:
    crowd = Crowd(FairQueue(1, 1))
    [working, going] = await crowd.come("a1", "b1")
    going.cancel()  # b1 has not run yet, so it is still in the queue

    with pytest.raises(Overloaded):
        await crowd.queue.acquire("c")
    with pytest.raises(asyncio.CancelledError):
        await going
    await crowd.release()
    assert (crowd.queue.waiting_count, crowd.queue.running_count) == (0, 0)
    await working


async def test_who_goes_when_he_was_passed_over_goes_as_any_other() -> None:
    crowd = Crowd(FairQueue(1, 2))
    [working, going, staying] = await crowd.come("a1", "b1", "c1")
    going.cancel()
    crowd.queue.release()  # c1 gets the slot, since b1 is cancelled

    with pytest.raises(asyncio.CancelledError):
        await going
    assert crowd.queue.waiting_count == 0
    await asyncio.gather(working, staying)
    assert crowd.served == ["a1", "c1"]
