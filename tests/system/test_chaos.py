"""Servers are killed while clients write and subscribe. Nothing is lost, repeated or out of order, and every board is
right. `scripts/chaos` does it for longer."""

from __future__ import annotations

from pathlib import Path
from random import SystemRandom

import pytest

from tests import conftest
from tests.support.chaos.cluster import has_redis
from tests.support.chaos.plan import Plan
from tests.support.chaos.report import figures, run_scenario


@pytest.mark.parametrize("broadcast", ["redis", "postgres"])
async def test_clients_stay_right_while_servers_are_killed(broadcast: str, tmp_path: Path) -> None:
    if conftest.POSTGRES_URL is None:
        conftest.skip("CRM_GRAPH_TEST_POSTGRES_URL is not set: no server was killed.")
    if broadcast == "redis" and not has_redis():
        conftest.skip("There is no redis-server on the PATH: none was restarted.")
    plan = Plan(seed=SystemRandom().randrange(10**6), seconds=10, kills=3, drops=8)
    print(plan)

    storm, faults = await run_scenario(plan, conftest.POSTGRES_URL, tmp_path, broadcast, servers=2)

    print(figures(storm, faults))
    assert faults == []
    assert (storm.done["kill"], storm.done["outage"], storm.done["cut"], storm.done["stop"]) == (3, 1, 1, 1)
    assert sum(client.dropped for client in storm.clients) >= 8
    assert len(storm.acknowledged) >= plan.writes
