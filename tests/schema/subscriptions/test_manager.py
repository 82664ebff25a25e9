"""A subscriber that is cancelled at any moment leaves no task, connection or group behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from graphql import GraphQLError
from sqlalchemy.ext.asyncio import AsyncSession
from strawberry.http import GraphQLRequestData

from crm_graph.changelog import log
from schema.core.context import Context
from schema.subscriptions.manager import SubscriptionManager
from schema.subscriptions.workspace import WorkspaceSubscriptions
from tests.schema.subscriptions.test_boards import Pipeline
from tests.schema.subscriptions.test_cases import CASE_UPDATES, do, now
from tests.support.customers import CUSTOMER_UPDATES
from tests.support.raw_rows import Row
from tests.support.subscribers import BOARD_UPDATES, Subscriber, following, settled
from tests.support.world import World

PATIENCE = 20.0
pytestmark = pytest.mark.usefixtures("complaints")


class Station:
    """A board subscription that starts more than a page of changes in the past."""

    def __init__(self, world: World, variables: Row) -> None:
        self.world, self.variables = world, variables
        self.manager: SubscriptionManager = world.application.state.service.manager

    @classmethod
    async def make(cls, world: World) -> Station:
        pipeline = await Pipeline.make(world)
        after = await now(world)
        for amount in range(12):
            await pipeline.deal(str(amount))
        return cls(world, {"pipelineId": pipeline.id, "after": after})

    async def serve(self, follower: Subscriber) -> asyncio.Task[None]:
        state = self.world.application.state
        context = Context(state.settings, state.database, state.changelog, viewer_or_none=await self.world.viewer())
        request = GraphQLRequestData(
            query=BOARD_UPDATES, variables=self.variables, operation_name=None, extensions=None
        )
        return asyncio.create_task(self.manager.serve(context, request, follower))

    def connections(self) -> int:
        """The number of database connections in use."""
        pools: list[Any] = [engine.pool for engine in self.world.database.engines]
        return sum(pool.checkedout() for pool in pools)

    async def empty(self, before: set[asyncio.Task[Any]]) -> None:
        """Wait until no connection or task of a subscription is left."""
        assert self.manager._workspaces == {}
        async with asyncio.timeout(PATIENCE):
            while self.connections() or self.manager._closing or asyncio.all_tasks() - before:  # noqa: ASYNC110  # no event for it
                await asyncio.sleep(0.001)
        assert self.world.workspace_id not in self.world.changelog.notifier._signals


@pytest.fixture
async def complaints() -> AsyncIterator[list[Row]]:
    """Reports to the event loop's exception handler, such as unretrieved exceptions. There must be none."""
    loop = asyncio.get_running_loop()
    found: list[Row] = []
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: found.append(context))
    yield found
    gc.collect()
    loop.set_exception_handler(before)
    assert found == []


@contextlib.asynccontextmanager
async def small_pages(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Pages of three rows, and six recent rows: catching up with twelve takes several steps."""
    monkeypatch.setattr(log, "MAX_PAGE", 3)
    monkeypatch.setattr(log, "MAX_RECENT", 6)
    monkeypatch.setattr(log.read, "__defaults__", (3,))
    yield


@pytest.mark.parametrize("first_comer", [True, False])
async def test_who_is_cancelled_at_any_moment_leaves_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, first_comer: bool
) -> None:
    station = await Station.make(world)
    before = asyncio.all_tasks()
    reached = set()
    async with small_pages(monkeypatch), contextlib.AsyncExitStack() as others:
        if not first_comer:
            await others.enter_async_context(following(world, CASE_UPDATES))
            await do(world, "createTeam", name="Somebody writes")
            await settled(world)
            before = asyncio.all_tasks()
        started, follower = time.monotonic(), Subscriber()
        task = await station.serve(follower)
        await follower.until(lambda: bool(follower.messages) and follower.messages[-1]["caughtUp"])
        takes = time.monotonic() - started
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        for k in range(60):
            follower = Subscriber()
            task = await station.serve(follower)
            if k < 25:
                for _ in range(k):
                    await asyncio.sleep(0)
            elif k < 55:
                await asyncio.sleep(takes * (k - 25) / 25)
            else:
                await follower.until(lambda f=follower, n=k - 54: len(f.messages) >= n)  # type: ignore[misc]
            reached.add(len(follower.messages))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert task.cancelled()
            if first_comer:
                await station.empty(before)
        if not first_comer:
            async with asyncio.timeout(PATIENCE):
                while station.connections() or asyncio.all_tasks() - before:  # noqa: ASYNC110  # no event for it
                    await asyncio.sleep(0.001)
            workspace, people, _ = station.manager._workspaces[world.workspace_id]
            assert (people, len(workspace.groups)) == (1, 1)
    assert {0, 5} < reached


async def test_who_is_cancelled_while_others_write_leaves_nothing(world: World) -> None:
    station = await Station.make(world)
    before = asyncio.all_tasks()
    done = asyncio.Event()

    async def write() -> None:
        place = 0
        while not done.is_set():
            place += 1
            await world.make("opportunity", name="Deal", stageId=await stage_of(world))

    writer = asyncio.create_task(write())
    for k in range(25):
        followers = [Subscriber() for _ in range(3)]
        followers[0].stick()
        tasks = [await station.serve(each) for each in followers]
        await asyncio.sleep(0.004 * k)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert all(task.cancelled() for task in tasks)
    done.set()
    await writer
    await station.empty(before)


async def stage_of(world: World) -> str:
    data = await world.data("{ pipelines { nodes { stages { nodes { id } } } } }")
    stage: str = data["pipelines"]["nodes"][0]["stages"]["nodes"][0]["id"]
    return stage


async def test_who_is_refused_leaves_nothing(world: World) -> None:
    station = await Station.make(world)
    before = asyncio.all_tasks()
    epoch = (await now(world)).partition(".")[0]
    for variables in (
        {"pipelineId": "pipe_none"},
        {**station.variables, "after": "nonsense"},
        {**station.variables, "after": f"{epoch}.999"},
        {**station.variables, "after": "another.1"},
    ):
        station.variables = variables
        with pytest.raises(GraphQLError):
            await (await station.serve(Subscriber()))
        await station.empty(before)


async def test_a_step_that_fails_when_nobody_waits_for_it_is_nobodys_trouble(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    station = await Station.make(world)
    before, begun, fail = asyncio.all_tasks(), asyncio.Event(), asyncio.Event()
    advance = WorkspaceSubscriptions._advance

    async def broken(workspace: WorkspaceSubscriptions, session: Any) -> None:
        begun.set()
        await fail.wait()
        await advance(workspace, session)
        raise OSError

    monkeypatch.setattr(WorkspaceSubscriptions, "_advance", broken)
    task = await station.serve(Subscriber())
    await begun.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    fail.set()
    await station.empty(before)


async def test_who_sits_down_while_another_like_him_leaves_is_told_what_follows(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    station = await Station.make(world)
    before, left = asyncio.all_tasks(), asyncio.Event()
    session_ends = AsyncSession.close

    async def close(session: AsyncSession) -> None:
        """Cancel the first subscriber when the snapshot ends in which the second one joins."""
        await session_ends(session)
        inside = station.manager._workspaces[world.workspace_id][1]
        if inside == 3 and workspace._lock.locked() and not left.is_set():
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
            left.set()

    second = Subscriber()
    async with following(world, CASE_UPDATES):
        workspace = station.manager._workspaces[world.workspace_id][0]
        sits = Subscriber()
        first = await station.serve(sits)
        await sits.until(
            lambda: len(workspace.groups) == 2 and all(group.subscribers for group in workspace.groups.values())
        )
        workspace._payloads.clear()  # the second does not reuse payloads of the first
        monkeypatch.setattr(AsyncSession, "close", close)
        second.task = await station.serve(second)
        await asyncio.wait_for(left.wait(), PATIENCE)
        monkeypatch.undo()
        async with workspace._lock:
            told = len(second.messages)
        await world.make("opportunity", name="Deal", stageId=await stage_of(world))
        await second.until(lambda: len(second.messages) > told)
        second.task.cancel()
        await asyncio.gather(second.task, return_exceptions=True)
    await station.empty(before)


async def test_the_room_is_there_as_long_as_anybody_is_in_it(world: World) -> None:
    station = await Station.make(world)
    before = asyncio.all_tasks()
    account = await world.make("account", name="Acme")
    workspaces = []
    async with following(world, CASE_UPDATES):
        workspaces.append(station.manager._workspaces[world.workspace_id][0])
        async with (
            following(world, CUSTOMER_UPDATES, accountId=account) as one,
            following(world, CUSTOMER_UPDATES, accountId=account) as two,
        ):
            workspace, people, _ = station.manager._workspaces[world.workspace_id]
            workspaces.append(workspace)
            assert (people, sorted(len(group.subscribers) for group in workspace.groups.values())) == (3, [1, 2])
            one.stick()  # a stuck subscriber leaves its group, but not the workspace
            await do(world, "updateAccount", id=account, industry="Rockets")
            await settled(world)
            assert sum(len(group.subscribers) for group in workspace.groups.values()) == 2
            await two.until(lambda: len(two.messages) == 2)
        assert len(workspace.groups) == 1
    await station.empty(before)
    async with following(world, CASE_UPDATES):
        workspaces.append(station.manager._workspaces[world.workspace_id][0])
    await station.empty(before)

    assert workspaces[0] is workspaces[1]
    assert workspaces[2] is not workspaces[0]


async def test_many_come_and_go_at_once(world: World) -> None:
    station = await Station.make(world)
    before = asyncio.all_tasks()
    for _ in range(3):
        followers = [Subscriber() for _ in range(40)]
        tasks = [await station.serve(each) for each in followers]
        for follower in followers[::2]:
            await follower.until(lambda f=follower: bool(f.messages) and f.messages[-1]["caughtUp"])  # type: ignore[misc]
        workspace = station.manager._workspaces[world.workspace_id][0]
        assert len(workspace.groups) == 1
        assert station.connections() <= world.database.reader.pool.size() * 2  # type: ignore[attr-defined]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await station.empty(before)
