"""A server with four times the load that it can handle: its answers are right, it refuses the rest quickly, users with
few requests are still served, and afterwards it recovers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests import conftest
from tests.support.chaos.cluster import cluster, database
from tests.support.chaos.scenario import company
from tests.support.subscribers import CARD, TOTALS
from tests.support.world import Person

BOARD = f"pipelineBoard(pipelineId: $id) {{ stages {{ {TOTALS} cards(first: 100) {{ nodes {{ {CARD} }} }} }} }}"
QUERY = f"query Boards($id: ID!) {{ {' '.join(f'b{number}: {BOARD}' for number in range(40))} }}"
RUNNING, WAITING = 2, 6
TIMES = 4
MEASURED_SECONDS, LOADED_SECONDS, RECOVERED_SECONDS = 1.5, 3.0, 5.0
SOON_SECONDS = 1.0


@dataclass
class Asker:
    """Asks for the same, and keeps what came of it."""

    client: httpx.AsyncClient
    url: str
    person: Person
    body: dict[str, Any]
    right: Any = None
    served: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    async def ask(self) -> None:
        begun = time.monotonic()
        headers = {"Authorization": f"Bearer {self.person.token}"}
        response = await self.client.post(self.url, json=self.body, headers=headers)
        took, answer = time.monotonic() - begun, response.json()
        if response.status_code == 503:
            codes = [error["extensions"]["code"] for error in answer["errors"]]
            if codes == ["OVERLOADED"] and response.headers["retry-after"] == "1":
                self.refused.append(took)
                return
        if response.status_code == 200 and answer == self.right:
            self.served.append(took)
        else:
            self.wrong.append(f"{response.status_code} {response.text[:300]}")

    async def at_a_rate(self, rate: float, seconds: float) -> None:
        """Ask so often, whether the ones before were answered or not."""
        begun = time.monotonic()
        tasks = []
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, begun + number / rate - time.monotonic()))
            tasks.append(asyncio.create_task(self.ask()))
        await asyncio.gather(*tasks)

    async def capacity(self, seconds: float) -> float:
        """The answers per second with the maximum of concurrent requests."""
        end = time.monotonic() + seconds

        async def again() -> None:
            while time.monotonic() < end:
                await self.ask()

        begun = time.monotonic()
        await asyncio.gather(*(again() for _ in range(RUNNING)))
        return len(self.served) / (time.monotonic() - begun)


async def test_four_times_as_much_as_can_be_served(tmp_path: Path) -> None:
    settings = {"compiled": 0, "operation_cost": 0, "running_operations": RUNNING, "waiting_operations": WAITING}
    limits = httpx.Limits(max_connections=None)
    async with (
        database(conftest.POSTGRES_URL, tmp_path) as url,
        cluster(url, tmp_path, servers=1, broadcast="memory", **settings) as made,
        company(made) as office,
        httpx.AsyncClient(timeout=30, limits=limits) as client,
    ):
        for stage in office.stages * 10:
            await office.world.make("opportunity", name="Deal", stageId=stage)
        body = {"query": QUERY, "variables": {"id": office.pipeline_id}}
        one, many, few = [
            Asker(client, made.servers[0].url, office.people[name], body) for name in ("chief", "admin", "chief")
        ]
        many.right = await office.world.ask(QUERY, id=office.pipeline_id)
        one.right = few.right = await office.world.ask(QUERY, by=office.people["chief"], id=office.pipeline_id)
        assert many.right["data"]["b0"] != one.right["data"]["b0"]

        rate = await one.capacity(MEASURED_SECONDS)
        usual = sorted(one.served)[len(one.served) // 2]
        await asyncio.gather(many.at_a_rate(TIMES * rate, LOADED_SECONDS), few.at_a_rate(rate / 10, LOADED_SECONDS))
        over = time.monotonic()
        after = Asker(client, made.servers[0].url, office.people["chief"], body, one.right)
        while time.monotonic() < over + RECOVERED_SECONDS and middle(after.served[-3:]) > 2 * usual:
            await after.ask()

    took = late(many.refused)
    print(f"{rate:.0f}/s in {usual:.3f} s; {len(many.served)} served, {len(many.refused)} refused in {took:.3f} s")
    assert one.wrong + many.wrong + few.wrong + after.wrong == []
    assert len(many.refused) > len(many.served) / 2
    assert took < SOON_SECONDS
    assert few.refused == after.refused == []
    assert len(few.served) == int(rate / 10 * LOADED_SECONDS)
    assert middle(after.served[-3:]) <= 2 * usual


def late(times: Sequence[float]) -> float:
    """The 90th percentile."""
    return sorted(times)[int(0.9 * len(times))]


def middle(times: Sequence[float]) -> float:
    """The median of three; without as many, longer than anything."""
    return sorted(times)[1] if len(times) == 3 else float("inf")
