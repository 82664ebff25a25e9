"""From a query to the subscription after its revision, and through reconnects and outages, nothing is missed."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from random import Random, SystemRandom

import pytest

from tests import conftest
from tests.support.board_scenarios import Office
from tests.support.chaos.clients import Board
from tests.support.chaos.cluster import Cluster, cluster, database, has_redis
from tests.support.chaos.plan import A_FEW, Plan
from tests.support.chaos.report import figures, run_scenario
from tests.support.chaos.scenario import company
from tests.support.subscribers import number_of

CALM = Plan(
    0, 3, kills=0, crowd=A_FEW, writes=40, comparisons=6, outages=0, cuts=0, stops=0, drops=0, changes_of_sight=0
)
KNOWN_SECONDS = 20.0


def postgres_url() -> str:
    if conftest.POSTGRES_URL is None:
        conftest.skip("CRM_GRAPH_TEST_POSTGRES_URL is not set: nothing was followed through several servers.")
    assert conftest.POSTGRES_URL is not None
    return conftest.POSTGRES_URL


@pytest.mark.parametrize(("broadcast", "servers"), [("memory", 1), ("redis", 2), ("postgres", 2)])
async def test_no_gap_between_the_query_and_the_subscription_nor_through_reconnects(
    broadcast: str, servers: int, tmp_path: Path
) -> None:
    if broadcast == "redis" and not has_redis():
        conftest.skip("There is no redis-server on the PATH: nothing was followed behind Redis.")
    url = None if broadcast == "memory" else postgres_url()
    plan = replace(CALM, seed=SystemRandom().randrange(10**6), drops=8, lingering=3)
    print(plan)

    storm, faults = await run_scenario(plan, url, tmp_path, broadcast, servers=servers)

    print(figures(storm, faults))
    assert faults == []
    assert sum(client.connections for client in storm.clients) >= len(storm.clients) + 8
    assert len(storm.acknowledged) >= plan.writes
    assert [client.resyncs for client in storm.clients] == [[]] * len(storm.clients)


async def test_who_follows_hears_nothing_of_an_outage_of_the_database(tmp_path: Path) -> None:
    plan = replace(CALM, seed=SystemRandom().randrange(10**6), seconds=5, cuts=12)
    print(plan)

    storm, faults = await run_scenario(plan, postgres_url(), tmp_path, "postgres", servers=2)

    print(figures(storm, faults))
    assert faults == []
    assert storm.done["connections cut"] > 12
    assert {client.name: (client.connections, client.errors, client.resyncs) for client in storm.clients} == {
        client.name: (1, 0, []) for client in storm.clients
    }


async def test_without_redis_changes_come_by_the_poll_and_with_it_at_once_again(tmp_path: Path) -> None:
    if not has_redis():
        conftest.skip("There is no redis-server on the PATH: none was taken away.")
    async with (
        database(postgres_url(), tmp_path) as url,
        cluster(url, tmp_path, servers=2, broadcast="redis") as made,
        company(made) as office,
        following(office, made, made.addresses[0]) as here,
        following(office, made, made.addresses[1]) as there,
    ):
        assert made.redis is not None
        before = [await delays(office, here, there) for _ in range(3)]
        await made.redis.kill()
        down = time.monotonic()
        meanwhile = [await delays(office, here, there)]
        await made.until("degraded")
        while time.monotonic() < down + 10:
            meanwhile.append(await delays(office, here, there))
        states = [await made.ready(server) for server in made.servers]
        await made.redis.start()
        await made.until("ok")
        after = [await delays(office, here, there) for _ in range(3)]

    print(before, meanwhile, after)
    assert states == [{"status": "degraded", "database": "ok", "broadcast": "reconnecting"}] * 2
    assert statistics.median(near for near, _ in [*before, *meanwhile, *after]) < 1
    assert statistics.median(far for _, far in before) < 1
    assert max(far for _, far in meanwhile) > 1
    assert max(far for _, far in meanwhile) < 7
    assert statistics.median(far for _, far in after) < 1
    assert here.connections == there.connections == 1
    assert (here.board.cards, here.board.totals) == (there.board.cards, there.board.totals)


@contextlib.asynccontextmanager
async def following(office: Office, made: Cluster, address: str) -> AsyncIterator[Board]:
    """The board of the admin, followed at one server."""
    board = Board("Board", made, office.world.admin, "websocket", Random(0), pipelineId=office.pipeline_id)
    board.home = address
    running = asyncio.create_task(board.run())
    assert await board.live(KNOWN_SECONDS)
    yield board
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert board.faults == []


async def delays(office: Office, *boards: Board) -> list[float]:
    """The seconds from the answer to a write at the first server until each client has received it."""
    answer = await office.world.write("createOpportunity", "", name="Deal", stageId=office.stages[0])
    answered, number = time.time(), number_of(answer["revision"])
    assert all(await asyncio.gather(*(board.until(number, KNOWN_SECONDS) for board in boards)))
    return [max(0.0, (board.knew(number) or 0.0) - answered) for board in boards]
