"""The scenario: servers are killed, the broadcast and the database fail, and sockets break, while clients write and
subscribe."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import httpx

from crm_graph import app
from crm_graph.settings import Settings
from tests.support.board_scenarios import Office, open_office
from tests.support.chaos.clients import Board, Client, Reader
from tests.support.chaos.cluster import Cluster
from tests.support.chaos.http_client import insist
from tests.support.chaos.plan import Plan
from tests.support.chaos.writer import WRITE, Acknowledged, Orders
from tests.support.servers import SECRET, ServerProcess
from tests.support.subscribers import number_of
from tests.support.world import build_world

ROOT = Path(__file__).parents[3]
PATIENCE = 30.0
ENOUGH_SECONDS = 120.0
DEALS = 24
Say = Callable[[str], None]


@contextlib.asynccontextmanager
async def company(cluster: Cluster) -> AsyncIterator[Office]:
    """A new office on a cluster. Its world sends requests to the first server, and reads the database directly."""
    settings = Settings(database_url=cluster.database_url, secret_key=SECRET, pool_size=1)
    world = await build_world(app.build(settings))
    await world.client.aclose()
    world.client = httpx.AsyncClient(base_url=f"http://{cluster.addresses[0]}", timeout=PATIENCE)
    try:
        yield await open_office(world)
    finally:
        await world.close()
        await world.database.close()


@dataclass
class Scenario:
    """One run. `faults` are the violations; `done` counts the events."""

    plan: Plan
    cluster: Cluster
    office: Office
    say: Say
    done: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    acknowledged: list[Acknowledged] = field(default_factory=list)
    clients: list[Client] = field(default_factory=list)
    begun: int = 0

    def __post_init__(self) -> None:
        self.chance = Random(self.plan.seed)
        self._mending: set[asyncio.Task[None]] = set()
        self._reports_to_manager = False
        self._over = False

    @property
    def messages(self) -> int:
        return sum(client.messages for client in self.clients)

    @property
    def boards(self) -> list[Board]:
        return [each for each in self.clients if isinstance(each, Board)]

    @property
    def readers(self) -> list[Reader]:
        return [each for each in self.clients if isinstance(each, Reader)]

    async def run(self) -> None:
        """Run it, and wait until all clients have caught up. `judge` then returns the violations."""
        office, world = self.office, self.office.world
        for number in range(DEALS):
            owner = self.chance.choice([office.people["owner"], office.people["stranger"]])
            stage = office.stages[number % len(office.stages)]
            await world.make("opportunity", name="Deal", stageId=stage, ownerId=owner.id)
        self.begun = (await world.changes())[-1]["revision"]
        await world.engine.dispose()  # its connections are not to be among those that are cut
        self.clients = [self._follower(*each) for each in self.plan.crowd]
        async with self._running(client.run() for client in self.clients):
            async with self._writing(), self._running(self._compare(board) for board in self.boards):
                live = await asyncio.gather(*(client.live(PATIENCE) for client in self.clients))
                assert all(live), [client.name for client in self.clients if not client.messages]
                await self._rage()
            self._over = True
            self.say("The storm is over: everybody catches up.")
            await asyncio.gather(*self._mending)
            await self.cluster.until("ok")
            await self._mark()
            await asyncio.gather(*(board.compare_now() for board in self.boards))

    @contextlib.asynccontextmanager
    async def _running(self, work: Iterable[Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
        """Inside the block, all tasks are running."""
        tasks = [asyncio.create_task(each) for each in work]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            self.faults += [repr(each) for each in ended if isinstance(each, Exception)]

    def _follower(self, who: str, transport: str, what: str) -> Client:
        variables: dict[str, Any] = {} if what == "changes" else {"pipelineId": self.office.pipeline_id}
        if what == "large deals":
            variables["filter"] = {"amount": {"gte": "300"}}
        name = f"{who}, who follows {what} by {transport},"
        chance, kind = Random(self.chance.random()), Reader if what == "changes" else Board
        client = kind(name, self.cluster, self.office.people[who], transport, chance, **variables)
        client.linger = self._linger
        return client

    async def _linger(self) -> None:
        """Wait for some more writes, while any writer is running."""
        enough = len(self.acknowledged) + self.plan.lingering
        await _when(lambda: self._over or len(self.acknowledged) >= enough)

    # Writers

    @contextlib.asynccontextmanager
    async def _writing(self) -> AsyncIterator[None]:
        """Inside the block, processes write. At its end they finish their current writes."""
        processes: list[Process] = []
        try:
            for number in range(self.plan.writing_processes):
                processes.append(await self._writer(number))
            hearing = [asyncio.create_task(self._hear(process)) for process in processes]
            yield
            for process in processes:
                assert process.stdin is not None
                process.stdin.close()
            await asyncio.gather(*hearing)
        finally:
            for process in processes:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()

    async def _writer(self, number: int) -> Process:
        office = self.office
        orders = Orders(
            addresses=self.cluster.addresses,
            people={name: office.people[name].token for name in ("admin", "manager", "owner")},
            pipeline_id=office.pipeline_id,
            stages=office.stages,
            owners=[office.people[name].id for name in ("owner", "stranger", "manager")],
            seed=self.plan.seed * 100 + number,
            writers=self.plan.writers,
            pause=self.plan.pause,
        )
        command = [sys.executable, "-m", "tests.support.chaos.writer"]
        process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=PIPE, cwd=ROOT)
        assert process.stdin is not None
        process.stdin.write(json.dumps(asdict(orders)).encode() + b"\n")
        return process

    async def _hear(self, process: Process) -> None:
        """Record the acknowledged writes in a process's output line."""
        assert process.stdout is not None
        assert process.stderr is not None
        complaints = asyncio.create_task(process.stderr.read())
        async for line in process.stdout:
            told = json.loads(line)
            if "refused" in told:
                self.done["refused"] += told["refused"]
            else:
                self.acknowledged.append(Acknowledged(**told))
        if await process.wait() != 0:
            self.faults.append(f"A writer failed: {(await complaints).decode()}")

    async def _own(self, mutation: str, action: str, after: dict[str, Any], **values: Any) -> int:
        """A write of the scenario itself. Returns its revision."""
        key = f"storm-{len(self.acknowledged)}-{action}"
        document = WRITE % (f"{mutation[0].upper()}{mutation[1:]}Input", mutation, "")
        admin = self.office.people["admin"]
        data, tries = await insist(
            self.office.world.client,
            lambda: self.cluster.somewhere(self.chance),
            self.chance,
            admin.token,
            document,
            input={**values, "idempotencyKey": key},
        )
        answer = data["answer"]
        assert answer["userErrors"] == [], answer
        self.acknowledged.append(
            Acknowledged(key, mutation, values.get("id"), answer["revision"], action, after, tries, time.time())
        )
        return number_of(answer["revision"])

    # Events

    async def _rage(self) -> None:
        do = {
            "kill": self._kill,
            "stop": self._stop,
            "outage": self._outage,
            "cut": self._cut,
            "drop": self._drop,
            "sight": self._change_sight,
        }
        deeds = self.plan.deeds(self.chance)
        end = time.monotonic() + self.plan.seconds
        for place, deed in enumerate(deeds):
            await asyncio.sleep(max(0.0, (end - time.monotonic()) / (len(deeds) - place)))
            await do[deed]()
            self.done[deed] += 1
            self.say(f"{deed:6} {len(self.acknowledged):6} writes, {self.messages:6} messages")
        async with asyncio.timeout(ENOUGH_SECONDS):
            await _when(lambda: time.monotonic() >= end and self._is_enough)

    @property
    def _is_enough(self) -> bool:
        compared = sum(board.compared for board in self.boards)
        return len(self.acknowledged) >= self.plan.writes and compared >= self.plan.comparisons

    async def _kill(self) -> None:
        server = await self._victim()
        await self.cluster.kill(server)
        self._mend(self.cluster.start(server))

    async def _stop(self) -> None:
        server = await self._victim()
        await self.cluster.stop(server)
        self._mend(self.cluster.start(server))

    async def _victim(self) -> ServerProcess:
        """A running server; usually another one keeps running."""
        others = 0 if self.chance.random() < 0.15 else 1
        await _when(lambda: len(self.cluster.up) > others)
        return self.chance.choice(self.cluster.up)

    async def _outage(self) -> None:
        redis = self.cluster.redis
        if redis is None:
            self.done["connections cut"] += await self.cluster.cut(listening=True)
            return
        await redis.kill()
        await asyncio.sleep(self.chance.uniform(0.2, 2.5))
        await redis.start()

    async def _cut(self) -> None:
        self.done["connections cut"] += await self.cluster.cut(share=self.chance.choice([0.3, 1.0]))

    async def _drop(self) -> None:
        for client in self.chance.sample(self.clients, 3):
            client.drop()

    async def _change_sight(self) -> None:
        self._reports_to_manager = not self._reports_to_manager
        manager = self.office.people["manager"].id if self._reports_to_manager else None
        stranger = self.office.people["stranger"].id
        await self._own("updateUser", "UPDATED", {"manager_id": manager}, id=stranger, managerId=manager)

    def _mend(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._mending.add(task)
        task.add_done_callback(self._mending.discard)

    async def _compare(self, board: Board) -> None:
        while True:
            await asyncio.sleep(board.chance.uniform(0.3, 1.0))
            await board.compare(PATIENCE)

    async def _mark(self) -> None:
        """Make a write that concerns every list, and wait until each client has applied it."""
        office = self.office
        marks = {}
        for name in ("stranger", "owner"):
            owner, stage = office.people[name].id, office.stages[0]
            money = {"amount": "100000", "currency": "USD"}
            marks[name] = await self._own(
                "createOpportunity",
                "CREATED",
                {"owner_id": owner, "stage_id": stage, "amount": "100000"},
                **{"name": "Last", "stageId": stage, "ownerId": owner, "amount": money},
            )
        await asyncio.gather(*(self._await(client, marks) for client in self.clients))

    async def _await(self, client: Client, marks: Mapping[str, int]) -> None:
        mark = marks["stranger" if client.person is self.office.people["stranger"] else "owner"]
        if not await client.until(mark, PATIENCE):
            self.faults.append(f"{client.name} stays at {client.number} and does not come to {mark}")


async def _when(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    while True:
        if holds():
            return
        await asyncio.sleep(0.01)
