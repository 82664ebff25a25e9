"""A wake-up comes after its commit, through whatever broadcast; and one that was lost is made up for."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import itertools
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import sqlalchemy as sa
from broadcaster import Broadcast
from sqlalchemy.engine import make_url

from crm_graph import records
from crm_graph.access import Viewer
from crm_graph.changelog import CHANNEL, ChangeLog, advance, broadcast, notifier
from crm_graph.models import Account, Workspace
from tests import conftest
from tests.support.chaos.cluster import Redis, has_redis
from tests.support.world import World

PATIENCE = 20.0
NEVER = 3600.0


@pytest.fixture
def swift(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beats that follow each other fast, and no poll: what comes has come through the broadcast."""
    monkeypatch.setattr(notifier, "POLL_SECONDS", NEVER)
    monkeypatch.setattr(notifier, "HEARTBEAT_SECONDS", 0.05)


@pytest.fixture
async def redis() -> AsyncIterator[Redis]:
    """A Redis that may be killed."""
    if not has_redis():
        conftest.skip("There is no redis-server: no broadcast was killed.")
    redis = Redis()
    await redis.start()
    yield redis
    await redis.kill()


def broadcast_url(kind: str) -> str:
    """The URL of a broadcast of this class; other URLs keep their broadcast."""
    if kind == "memory":
        return "memory://"
    url = conftest.REDIS_URL if kind == "redis" else conftest.POSTGRES_URL
    if url is None:
        conftest.skip(f"No test URL of {kind} is set: wake-ups were not tested with it.")
    return make_url(url or "").set(drivername=kind).render_as_string(hide_password=False)


@contextlib.asynccontextmanager
async def opened(world: World, url: str) -> AsyncIterator[ChangeLog]:
    """A change log of the world's database, as another process would have it."""
    changelog = ChangeLog(world.database, url)
    await changelog.open()
    try:
        yield changelog
    finally:
        await changelog.close()


def broken(monkeypatch: pytest.MonkeyPatch, kind: type[Broadcast]) -> str:
    """The URL of a broadcast of this kind, which only those who ask for it get."""
    url = "memory://broken"
    monkeypatch.setattr(broadcast, "Broadcast", lambda asked: (kind if asked == url else Broadcast)(asked))
    return url


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110  # nobody tells when it does
            await asyncio.sleep(0.005)


async def write(changelog: ChangeLog, viewer: Viewer, *names: str) -> None:
    async with changelog.transaction(viewer, "test") as session:
        for name in names:
            await records.create(session, viewer, Account, values={"name": name})


async def break_off(changelog: ChangeLog, viewer: Viewer) -> None:
    """A transaction that fails when its log is written already."""
    async with changelog.transaction(viewer, "test") as session:
        await records.create(session, viewer, Account, values={"name": "Lost"})
        await advance(session)
        raise RuntimeError


# Through a broadcast that works


@pytest.mark.parametrize("kind", ["memory", "redis", "postgresql"])
async def test_a_wake_up_comes_after_the_commit_and_only_then(
    world: World, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(notifier, "POLL_SECONDS", NEVER)
    viewer = await world.viewer()
    told: list[int] = []

    async with opened(world, broadcast_url(kind)) as sender, contextlib.AsyncExitStack() as others:
        # A broadcast in memory reaches only its own process.
        hearer = sender if kind == "memory" else await others.enter_async_context(opened(world, broadcast_url(kind)))
        with hearer.notifier.watch(world.workspace_id) as signal:
            advance_to = signal.advance_to

            def tell(number: int) -> None:
                told.append(number)
                advance_to(number)

            monkeypatch.setattr(signal, "advance_to", tell)
            with pytest.raises(RuntimeError):
                await break_off(sender, viewer)
            async with sender.transaction(viewer, "test"):
                pass  # nothing was written, so nothing is announced
            async with sender.transaction(viewer, "test") as session:
                for name in ("One", "Two"):
                    await records.create(session, viewer, Account, values={"name": name})
                assert await advance(session) == 2
                before = list(told)
            await asyncio.wait_for(signal.wait_past(0), PATIENCE)
            changes = await world.changes()

    assert before == []
    assert set(told) == {2}
    assert [(change["revision"], change["action"]) for change in changes] == [(1, "CREATED"), (2, "CREATED")]


async def test_wake_ups_are_for_those_who_watch_the_workspace(world: World, other_world: World) -> None:
    viewer = await world.viewer()
    async with opened(world, "memory://") as changelog:
        with (
            changelog.notifier.watch(world.workspace_id) as signal,
            changelog.notifier.watch(other_world.workspace_id) as other,
        ):
            with changelog.notifier.watch(world.workspace_id) as second:
                assert second is signal
            await write(changelog, viewer, "One")
            await write(changelog, viewer, "Two")

    assert (signal.revision, other.revision) == (2, 0)
    assert changelog.notifier._signals == {}


async def test_what_is_announced_while_the_line_is_busy_is_sent_once(
    world: World, monkeypatch: pytest.MonkeyPatch, swift: None
) -> None:
    sent: list[str] = []
    free = asyncio.Event()

    class Slow(Broadcast):
        async def publish(self, channel: str, message: Any) -> None:
            if message.startswith("ws_"):
                sent.append(message)
                await free.wait()
            await super().publish(channel, message)

    url = broken(monkeypatch, Slow)
    async with opened(world, url) as changelog:
        changelog.notifier.announce("ws_one", 1)
        await until(lambda: sent == ["ws_one 1"])
        for number in range(2, 100):
            changelog.notifier.announce("ws_one", number)
            changelog.notifier.announce("ws_two", 100 - number)
        free.set()
        await until(lambda: not [each for each in changelog.notifier._unsent if each.startswith("ws_")])

    assert sent == ["ws_one 1", "ws_one 99", "ws_two 98"]


async def test_nonsense_on_the_channel_is_ignored(world: World, swift: None) -> None:
    url = broadcast_url("redis")
    ours = world.workspace_id
    nonsense = ["", " ", "x", ours, f"{ours} ", f"{ours} x", f"{ours} -5", f"{ours} 1.5", f"{ours} ²", f"{ours} 9 9"]
    async with opened(world, url) as changelog, Broadcast(url) as stranger:
        with changelog.notifier.watch(ours) as signal:
            for message in [*nonsense, "nobody 7", "beat-of-another 0"]:
                await stranger.publish(CHANNEL, message)
            await stranger.publish(CHANNEL, f"{ours} 3")
            await asyncio.wait_for(signal.wait_past(2), PATIENCE)
            assert changelog.notifier.connected


async def test_who_was_woken_for_more_than_there_is_sleeps_on() -> None:
    """A restored backup: other processes have announced revisions that no longer exist."""
    signal = notifier.RevisionSignal()
    signal.advance_to(1000)
    await asyncio.wait_for(signal.wait_past(5), PATIENCE)
    asleep = asyncio.ensure_future(signal.wait_past(5))
    await asyncio.sleep(0)
    assert not asleep.done()
    signal.advance_to(6)
    await asyncio.wait_for(asleep, PATIENCE)


async def test_who_watches_is_woken_where_the_database_stands_lower_than_before(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifier, "POLL_SECONDS", 0.02)
    viewer = await world.viewer()
    async with opened(world, "memory://") as changelog:
        await write(changelog, viewer, "One", "Two", "Three")
        with changelog.notifier.watch(world.workspace_id) as signal:
            asleep = asyncio.ensure_future(signal.wait_past(3))
            await changelog.notifier.poll_once()
            await asyncio.sleep(0)
            assert not asleep.done()
            async with world.raw() as connection:
                here = sa.update(Workspace).where(Workspace.id == world.workspace_id)
                await connection.execute(here.values(revision=1, epoch="restored"))
            await asyncio.wait_for(asleep, PATIENCE)


# Through one that fails


async def test_a_broadcast_that_is_down_at_the_start_is_connected_to_when_it_comes(
    world: World, redis: Redis, swift: None
) -> None:
    viewer = await world.viewer()
    await redis.kill()
    async with opened(world, redis.url) as sender, opened(world, redis.url) as hearer:
        assert (sender.notifier.connected, hearer.notifier.connected) == (False, False)
        with hearer.notifier.watch(world.workspace_id) as signal:
            await write(sender, viewer, "Written meanwhile")
            assert signal.revision == 0
            await redis.start()
            await asyncio.wait_for(signal.wait_past(0), PATIENCE)
            await until(lambda: sender.notifier.connected and hearer.notifier.connected)
            await write(sender, viewer, "Written after")
            await asyncio.wait_for(signal.wait_past(1), PATIENCE)


async def test_a_broadcast_that_fails_is_connected_to_again_and_again(world: World, redis: Redis, swift: None) -> None:
    viewer = await world.viewer()
    async with opened(world, redis.url) as sender, opened(world, redis.url) as hearer:
        with hearer.notifier.watch(world.workspace_id) as signal:
            for round_ in range(3):
                await write(sender, viewer, "Through the line")
                await asyncio.wait_for(signal.wait_past(2 * round_), PATIENCE)
                await redis.kill()
                await until(lambda: not sender.notifier.connected and not hearer.notifier.connected)
                await write(sender, viewer, "Past the line")
                assert signal.revision < 2 * round_ + 2
                await redis.start()
                await asyncio.wait_for(signal.wait_past(2 * round_ + 1), PATIENCE)
                await until(lambda: sender.notifier.connected and hearer.notifier.connected)


async def test_it_is_tried_again_with_longer_and_longer_pauses(
    world: World, monkeypatch: pytest.MonkeyPatch, swift: None
) -> None:
    tried = []

    class Down(Broadcast):
        async def connect(self) -> None:
            tried.append(time.monotonic())
            raise ConnectionRefusedError

        async def disconnect(self) -> None:
            raise AttributeError("there is nothing to disconnect")

    url = broken(monkeypatch, Down)
    monkeypatch.setattr(notifier, "MAX_BACKOFF_SECONDS", 0.4)
    async with opened(world, url) as changelog:
        await until(lambda: len(tried) == 6)
        assert not changelog.notifier.connected

    pauses = [later - earlier for earlier, later in itertools.pairwise(tried)]
    for pause, (least, most) in zip(pauses, [(0.05, 0.1), (0.1, 0.2), (0.2, 0.4), (0.2, 0.4), (0.2, 0.4)], strict=True):
        assert least <= pause < most + 1.0


async def test_a_broadcast_that_swallows_what_is_sent_is_left_for_a_new_one(
    world: World, monkeypatch: pytest.MonkeyPatch, swift: None
) -> None:
    lines: list[Broadcast] = []

    class Deaf(Broadcast):
        async def connect(self) -> None:
            lines.append(self)
            await super().connect()

        async def publish(self, channel: str, message: Any) -> None:
            if len(lines) > 2:
                await super().publish(channel, message)

    url = broken(monkeypatch, Deaf)
    monkeypatch.setattr(notifier, "HEARTBEAT_TIMEOUT_SECONDS", 0.5)
    async with opened(world, url) as changelog:
        assert changelog.notifier.connected
        await until(lambda: not changelog.notifier.connected)
        await until(lambda: len(lines) == 3 and changelog.notifier.connected)
        line, heard = lines[-1], changelog.notifier._received_at
        await until(lambda: changelog.notifier._received_at > heard)
        assert (lines[-1], changelog.notifier.connected) == (line, True)


async def test_a_line_that_hangs_does_not_hold_up_the_close(
    world: World, monkeypatch: pytest.MonkeyPatch, swift: None
) -> None:
    class Hanging(Broadcast):
        async def publish(self, channel: str, message: Any) -> None:
            await asyncio.Event().wait()

        async def disconnect(self) -> None:
            await super().disconnect()
            await asyncio.Event().wait()

    url = broken(monkeypatch, Hanging)
    monkeypatch.setattr(broadcast, "TIMEOUT_SECONDS", 0.2)
    async with opened(world, url) as changelog:
        await until(lambda: not changelog.notifier.connected)
        started = time.monotonic()

    assert time.monotonic() - started < 5


async def test_the_poll_finds_what_no_wake_up_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifier, "POLL_SECONDS", 0.02)
    viewer = await world.viewer()
    async with opened(world, "memory://") as elsewhere, opened(world, "memory://") as changelog:
        with changelog.notifier.watch(world.workspace_id) as signal:
            await write(elsewhere, viewer, "One")  # two memories: the wake-up is lost
            await asyncio.wait_for(signal.wait_past(0), PATIENCE)


async def test_the_poll_outlives_a_database_that_does_not_answer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifier, "POLL_SECONDS", 0.02)
    viewer, failures = await world.viewer(), []
    async with opened(world, "memory://") as elsewhere, opened(world, "memory://") as changelog:
        look = changelog.notifier.poll_once

        async def fail() -> None:
            failures.append(1)
            if len(failures) < 3:
                raise OSError
            await look()

        monkeypatch.setattr(changelog.notifier, "poll_once", fail)
        with changelog.notifier.watch(world.workspace_id) as signal:
            await write(elsewhere, viewer, "One")
            await asyncio.wait_for(signal.wait_past(0), PATIENCE)


@pytest.mark.parametrize("kind", ["memory", "redis", "postgresql", "down", "killed"])
async def test_nothing_is_left_running(world: World, redis: Redis, swift: None, kind: str) -> None:
    before = asyncio.all_tasks()
    url = {"down": "redis://127.0.0.1:1", "killed": redis.url}.get(kind) or broadcast_url(kind)
    async with opened(world, url) as changelog:
        await write(changelog, await world.viewer(), "One")
        assert changelog.notifier.connected is (kind != "down")
        if kind == "killed":
            await redis.kill()
            await until(lambda: not changelog.notifier.connected)
    # A backend's own task, which was cancelled, may still be on its way out.
    await until(lambda: not asyncio.all_tasks() - before)


async def test_a_broadcast_can_be_checked_before_the_start(world: World) -> None:
    await notifier.check(broadcast_url("redis"))
    with pytest.raises(Exception, match=r"127\.0\.0\.1:1"):
        await notifier.check("redis://127.0.0.1:1")


def test_the_private_parts_of_the_broadcaster_are_those_of_this_version() -> None:
    """`broadcast.connect` ends the task of `Broadcast._backend` itself: check it with another version."""
    assert importlib.metadata.version("broadcaster") == "0.3.1"
    assert callable(Broadcast("memory://")._backend.disconnect)
