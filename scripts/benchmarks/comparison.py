"""Servers that are measured with the same requests in turn, so that other load on the machine affects all alike."""

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
"""Enough deals that a slow commit of a move ends before the next move of the same deal."""


@dataclass(frozen=True)
class Effort:
    """Numbers of rounds and requests, and durations in seconds."""

    rounds: int
    seconds: int
    warm_up: int  # all at once
    steady: float
    answers: int  # compared for each operation, before anything is timed
    moves: bool


def same_answers(contenders: Sequence[ComparedServer], count: int) -> None:
    """Raises AssertionError if the answers of two servers differ."""
    first, *others = contenders
    for operation in READS:
        chance = random.Random(operation.name)
        given = [operation.variables(first.site.deals, chance) for _ in range(count)]
        nothing = {name: None if name == "after" else key("none", 0) for name in given[0]}
        for variables in [nothing, *given]:
            expected = first.ask(operation, variables)
            for other in others:
                found = other.ask(operation, variables)
                assert found == expected, f"{operation.name} {variables}: {other.name} has {found}, not {expected}"


def same_moves(contenders: Sequence[ComparedServer]) -> None:
    """Move a deal by one stage with each server in turn. Raises AssertionError if it does not arrive there."""
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
        """Measure all lanes, round after round, after a warm-up of each contender and `settle` seconds of each lane."""
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
        """Measure moves of deals, each several times. Each contender has its own deals, because the last moves of a
        storm may overlap the next one."""
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
                assert done.requests < count, "there were too few moves for this speed"

    def delays(self, operation: Operation, contenders: Sequence[ComparedServer], rate: float) -> list[float]:
        """The 99th percentile of each contender's delays at a rate, in milliseconds: the median of the rounds."""
        delays: list[list[float]] = [[] for _ in contenders]
        for _ in range(self.effort.rounds):
            for each, found in zip(contenders, delays, strict=True):
                bodies = each.bodies(operation)
                times = uvloop.run(steady(each.server.port, each.headers, bodies, rate, self.effort.steady))
                found.append(percentile(times, 99))
        return [percentile(each, 50) for each in delays]

    def found(self, name: str, contender: ComparedServer) -> LoadRun:
        """The median figures of an operation."""
        return middle(self._storms[name, contender])

    def times(self, name: str, one: ComparedServer, other: ComparedServer) -> float:
        """The ratio of two rates: the median over the rounds, in each of which both were measured within seconds."""
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
