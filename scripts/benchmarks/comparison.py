"""Contenders that are asked the same in turn, so that whatever else the machine does hits all alike."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import uvloop
from common import percentile
from dataset import key
from load import LoadRun, middle, steady, storm
from operations import READS, Deal, Operation
from servers import ComparedServer, Site

MOVE, MOVED_DEALS, MOST_MOVES_A_SECOND = "move", 20_000, 8_000
"""So many deals, if there are as many, that a move whose commit takes long is made before the same deal's next one."""


@dataclass(frozen=True)
class Effort:
    """How often, and for how many seconds."""

    rounds: int
    seconds: int
    warm_up: int  # all at once
    steady: float
    asked: int  # of each operation, before anything is timed
    moves: bool


def same_answers(contenders: Sequence[ComparedServer], asked: int) -> None:
    """Raises AssertionError where two of them answer differently."""
    first, *others = contenders
    for operation in READS:
        chance = random.Random(operation.name)
        given = [operation.variables(first.site.deals, chance) for _ in range(asked)]
        nothing = {name: None if name == "after" else key("none", 0) for name in given[0]}
        for variables in [nothing, *given]:
            expected = first.ask(operation, variables)
            for other in others:
                found = other.ask(operation, variables)
                assert found == expected, f"{operation.name} {variables}: {other.name} has {found}, not {expected}"


def same_moves(contenders: Sequence[ComparedServer]) -> None:
    """A deal goes on by a stage with each of them in turn. Raises AssertionError where it does not."""
    [deal] = asyncio.run(_as_they_stand(contenders[0].site, [1]))
    for place, each in enumerate(contenders):
        due = Deal(deal.number, deal.version + place)
        found = each.move(due)["moveOpportunity"]
        found["opportunity"]["stage"].pop("name")
        arrived = {"id": due.id, "version": due.version + 1, "stage": {"id": due.stage_id}}
        assert found == {"opportunity": arrived, "userErrors": []}, f"{each.name} has {found}, not {arrived}"


class Comparison:
    def __init__(self, effort: Effort, folder: Path) -> None:
        self.effort, self.folder = effort, folder
        self._storms: dict[tuple[str, ComparedServer], list[LoadRun]] = {}

    def race(self, lanes: Sequence[tuple[Operation, ComparedServer]], settle: int = 0) -> None:
        """All lanes, round after round, when each contender is warm, and each lane was raced for `settle` seconds."""
        warming: dict[ComparedServer, list[bytes]] = {}
        files = {}
        for operation, contender in lanes:
            bodies = contender.bodies(operation)
            files[operation, contender] = self._write(bodies)
            warming.setdefault(contender, []).extend(bodies[:500])
        for bodies in warming.values():
            random.Random(0).shuffle(bodies)
        warm_ups = {contender: self._write(bodies) for contender, bodies in warming.items()}
        with ThreadPoolExecutor() as pool:
            list(pool.map(_ask, warm_ups, warm_ups.values(), itertools.repeat(self.effort.warm_up)))
        for (_, contender), file in files.items() if settle else ():
            _ask(contender, file, settle)
        for _ in range(self.effort.rounds):
            for (operation, contender), file in files.items():
                self._storm(operation.name, contender, file)

    def race_moves(self, contenders: Sequence[ComparedServer]) -> None:
        """Deals go on by a stage, each several times. Each contender has deals of its own: the last moves of a storm
        may still be made when the next one begins."""
        site, count = contenders[0].site, MOST_MOVES_A_SECOND * self.effort.seconds
        for _ in range(self.effort.rounds):
            for place, contender in enumerate(contenders):
                own = range(1 + place, site.deals + 1, len(contenders))
                numbers = random.Random(0).sample(own, min(MOVED_DEALS, len(own)))
                deals = asyncio.run(_as_they_stand(site, numbers))
                turns = range(count // len(deals))
                moves = [
                    contender.move_body(Deal(each.number, each.version + turn)) for turn in turns for each in deals
                ]
                done = self._storm(MOVE, contender, self._write(moves))
                assert done.requests < count, "the moves came round to the first ones, which were made already"

    def delays(self, operation: Operation, contenders: Sequence[ComparedServer], rate: float) -> list[float]:
        """The 99th percentile of the milliseconds of each contender's answers at a rate: the middle of the rounds."""
        delays: list[list[float]] = [[] for _ in contenders]
        for _ in range(self.effort.rounds):
            for each, found in zip(contenders, delays, strict=True):
                bodies = each.bodies(operation)
                times = uvloop.run(steady(each.server.port, each.headers, bodies, rate, self.effort.steady))
                found.append(percentile(times, 99))
        return [percentile(each, 50) for each in delays]

    def found(self, name: str, contender: ComparedServer) -> LoadRun:
        """What came out for an operation: the middle of the rounds."""
        return middle(self._storms[name, contender])

    def times(self, name: str, one: ComparedServer, other: ComparedServer) -> float:
        """How many times as fast as the other one it is: the middle of the rounds, in each of which both had the same
        few seconds of the machine."""
        rounds = zip(self._storms[name, one], self._storms[name, other], strict=True)
        return percentile([mine.rate / others.rate for mine, others in rounds], 50)

    def _storm(self, name: str, contender: ComparedServer, file: Path) -> LoadRun:
        done = _ask(contender, file, self.effort.seconds)
        self._storms.setdefault((name, contender), []).append(done)
        return done

    def _write(self, bodies: Sequence[bytes]) -> Path:
        file = self.folder / str(len(list(self.folder.iterdir())))
        file.write_bytes(b"\n".join(bodies))
        return file


def _ask(contender: ComparedServer, file: Path, seconds: int) -> LoadRun:
    return storm(contender.server.port, contender.headers, file, seconds)


async def _as_they_stand(site: Site, numbers: Sequence[int]) -> list[Deal]:
    import asyncpg

    connection = await asyncpg.connect(site.url)
    try:
        statement = "SELECT id, version FROM opportunities WHERE id = ANY($1::text[])"
        rows = await connection.fetch(statement, [key("opp", number) for number in numbers])
    finally:
        await connection.close()
    return [Deal(int(row["id"].removeprefix("opp_")), row["version"]) for row in rows]
