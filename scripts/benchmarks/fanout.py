"""Messages per second and delay for 1,000 subscribers of a board, compared with a graphql-ws server in the same run.

The peer (scripts/benchmarks/fanout_peer) sends the same bytes to as many subscribers, from memory. Neither side
compresses. The messages of every socket are checked against the moves. Each delivery is timed twice: from the moment
the move was recorded, right before its commit (by the peer: published), and from the moment it was sent.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from boards import USERS, Move, Ours, Peer, Run, compare, number_of
from common import (
    ROOT,
    database,
    environment,
    finish,
    options,
    percentile,
    prepare,
    raise_file_limit,
    running,
    say,
    serving,
)
from subscribers import Subscribers

LEAST_TIMES, MOST_MILLISECONDS, MOST_KILOBYTES = 2.0, 300, 100
MOST_MEGABYTES, MOST_TIMES_AS_LATE = 10, 1.5
"""Limits for subscribers that do not read: their memory in all, and the slowdown of the other subscribers."""
MOVES_A_SECOND, WRITERS, STUCK = 20, 4, 10
PEER = ROOT / "scripts" / "benchmarks" / "fanout_peer"


class Watched:
    """A board with its subscribers."""

    def __init__(self, side: Ours | Peer, crowd: Subscribers, size: int, own: Sequence[str] | None = None) -> None:
        self.side, self.crowd, self.size, self.own = side, crowd, size, own
        self.moved = 0

    def one_by_one(self, count: int) -> Run:
        """Moves, each after the previous one has reached all subscribers: one message per move."""

        def make() -> list[Move]:
            moves = []
            for number in self._next(count):
                moves.append(self.side.move(number))
                self._await(moves[-1:])
            return moves

        run = self._observe(make)
        assert run.messages == count * self.size, f"{run.messages} messages for {count} moves"
        return run

    def paced(self, count: int, per_second: float) -> Run:
        """Moves at a steady rate, however long they take."""

        def make() -> list[Move]:
            begun = time.monotonic()
            with ThreadPoolExecutor(4 * WRITERS) as writers:
                sent = []
                for place, number in enumerate(self._next(count)):
                    time.sleep(max(0.0, begun + place / per_second - time.monotonic()))
                    sent.append(writers.submit(self.side.move, number))
                return [each.result() for each in sent]

        return self._observe(make)

    def at_once(self, count: int) -> Run:
        """Moves at the full speed of a few writers."""

        def make() -> list[Move]:
            with ThreadPoolExecutor(WRITERS) as writers:
                return list(writers.map(self.side.move, self._next(count)))

        return self._observe(make)

    def _next(self, count: int) -> range:
        self.moved += count
        return range(self.moved - count, self.moved)

    def _observe(self, make: Callable[[], list[Move]]) -> Run:
        since = self.side.revision()
        self.crowd.take()
        moves = make()
        self._await(moves)
        chunks, logs = self.crowd.take()
        self.side.date(moves, since)
        return compare(moves, number_of(since), chunks, logs, self.own)

    def _await(self, moves: Sequence[Move]) -> None:
        if self.own is None:
            self.crowd.reach([max(move.revision for move in moves)] * self.size)
        else:
            last: dict[str, int] = {}
            for move in moves:
                last[move.opportunity_id] = max(move.revision, last.get(move.opportunity_id, 0))
            self.crowd.reach([last.get(its, 0) for its in self.own])


def recorded(move: Move) -> float:
    return move.recorded


def sent(move: Move) -> float:
    return move.sent


def delays(run: Run) -> dict[str, float]:
    """Percentiles of the delays in milliseconds, from recording and from sending."""
    figures: dict[str, float] = {}
    for name, since in {"recorded": recorded, "sent": sent}.items():
        values = run.delays(since)
        figures |= {f"{name}_p50": percentile(values, 50), f"{name}_p99": percentile(values, 99)}
    return figures


def delay_text(figures: dict[str, float]) -> str:
    return (
        f"{figures['recorded_p50']:.0f} ms p50, {figures['recorded_p99']:.0f} ms p99; "
        f"with the write {figures['sent_p50']:.0f} and {figures['sent_p99']:.0f} ms"
    )


def throughput(sides: Sequence[Watched], blocks: int, moves: int) -> dict[str, dict[str, float]]:
    """Messages per second. The sides alternate block by block; the first block of each is a warm-up."""
    totals = {each.side.name: {"messages": 0.0, "recorded": 0.0, "sent": 0.0} for each in sides}
    for block in range(blocks + 1):
        for each in sides:
            run = each.one_by_one(moves)
            rates = {"recorded": run.messages / run.seconds(recorded), "sent": run.messages / run.seconds(sent)}
            say(
                f"  block {block or 'to warm up'}: {each.side.name} {rates['recorded']:,.0f} messages/s, "
                f"with the write {rates['sent']:,.0f}"
            )
            if block:
                total = totals[each.side.name]
                total["messages"] += run.messages
                total["recorded"] += run.seconds(recorded)
                total["sent"] += run.seconds(sent)
    return {
        name: {
            "messages_a_second": total["messages"] / total["recorded"],
            "with_the_write": total["messages"] / total["sent"],
        }
        for name, total in totals.items()
    }


def private(ours: Ours, size: int, moves: int, burst: int) -> dict[str, float]:
    """Figures if each user sees only their own deal."""
    ours.make_private()
    own = [ours.deals[number % USERS].id for number in range(size)]
    with Subscribers(ours.server.port) as crowd:
        crowd.join([ours.subscription(number) for number in range(size)])
        watched = Watched(ours, crowd, size, own)
        watched.at_once(WRITERS)
        run = watched.at_once(burst)
        took = max(map(max, run.received)) - min(move.sent for move in run.moves)
        figures = delays(watched.paced(moves, MOVES_A_SECOND))
    return {"messages_a_second": run.messages / took, **figures}


def stuck(watched: Watched, moves: int, fill: int) -> dict[str, float]:
    """Figures with more subscribers that do not read. In the end they read, and must have missed nothing."""
    ours = watched.side
    before, since = ours.server.memory, number_of(ours.revision())
    with Subscribers(ours.server.port) as sleepers:
        sleepers.join([ours.subscription(number) for number in range(STUCK)], stuck=True)
        sleepers.take()
        filled = watched.at_once(fill)
        run = watched.paced(moves, MOVES_A_SECOND)
        growth = ours.server.memory - before
        sleepers.unstick()
        everything = filled.moves + run.moves
        sleepers.reach([everything[-1].revision] * STUCK)
        late = compare(everything, since, *sleepers.take())
    return {
        **delays(run),
        "megabytes": growth / 1e6,
        "messages": late.messages / STUCK,
        "messages_of_others": (filled.messages + run.messages) / watched.size,
    }


def node() -> str:
    """Install the peer if necessary, and return the path of Node."""
    found = shutil.which("node")
    if found is None or shutil.which("npm") is None:
        raise SystemExit("fanout: the peer needs Node 20 or newer with npm. Install it and run this again.")
    if not (PEER / "node_modules").is_dir():
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--silent"], cwd=PEER, check=True)
    return found


def first_update(ours: Ours) -> dict[str, Any]:
    """The first update of our server about a move."""
    with Subscribers(ours.server.port) as crowd:
        crowd.join([ours.subscription(0)])
        crowd.take()
        move = ours.move(0)
        crowd.reach([move.revision])
        chunks, _ = crowd.take()
    [[update]] = chunks
    return update


def measure(ours: Ours, peer: Peer, size: int, quick: bool) -> dict[str, Any]:
    blocks, block, moves, burst, fill = (3, 8, 50, 60, 200) if quick else (10, 20, 300, 400, 600)
    idle = [ours.server.memory, peer.server.memory]
    with Subscribers(ours.server.port) as our_crowd, Subscribers(peer.server.port) as its_crowd:
        watched = [Watched(ours, our_crowd, size), Watched(peer, its_crowd, size)]
        for each in watched:
            begun = time.monotonic()
            each.crowd.join([each.side.subscription(number) for number in range(size)])
            say(f"{size:,} subscribers of {each.side.name} after {time.monotonic() - begun:.1f} s")
        say("Throughput, one move after the other:")
        rates = throughput(watched, blocks, block)
        say(f"Delay at {MOVES_A_SECOND} moves a second:")
        waits = {}
        for each, count in zip(watched, (moves, moves // 4), strict=True):
            waits[each.side.name] = delays(each.paced(count, MOVES_A_SECOND))
            say(f"  {each.side.name}: {delay_text(waits[each.side.name])}")
        memory = {
            each.side.name: (each.side.server.memory - before) / size / 1000
            for each, before in zip(watched, idle, strict=True)
        }
        say("Memory: " + ", ".join(f"{name} {kilobytes:.0f} KB a subscriber" for name, kilobytes in memory.items()))
        with_stuck = stuck(watched[0], moves, fill)
        say(
            f"With {STUCK} more that do not read: {delay_text(with_stuck)}; the server grew by "
            f"{with_stuck['megabytes']:.1f} MB; they caught up with {with_stuck['messages']:.0f} messages; the others "
            f"got {with_stuck['messages_of_others']:.0f}"
        )
    alone = private(ours, size, moves, burst)
    say(
        f"{USERS} users of private records: {alone['messages_a_second']:,.0f} messages/s with the writes; "
        f"{delay_text(alone)}"
    )
    return {
        "subscribers": size,
        "throughput": rates,
        "delay": waits,
        "kilobytes_a_subscriber": memory,
        "stuck": with_stuck,
        "private": alone,
    }


def main() -> None:
    parser = options(__doc__, quick="fewer moves: under a minute")
    parser.add_argument(
        "--subscribers", type=int, default=1000, metavar="N", help="subscribers of each server (default: 1000)"
    )
    chosen = parser.parse_args()
    raise_file_limit()
    program = node()
    say("Making a company")
    with database(chosen.database) as url:
        env = environment(url)
        token = prepare(env)
        with serving(env) as server:
            ours = Ours(server, env, token)
            alike = {**os.environ, "NODE_ENV": "production"}
            with running([program, str(PEER / "server.mjs")], alike) as other:
                figures = measure(ours, Peer(other, first_update(ours)), chosen.subscribers, chosen.quick)

    rates = figures["throughput"]
    times = rates[Ours.name]["messages_a_second"] / rates[Peer.name]["messages_a_second"]
    waits = [figures["delay"][Ours.name]["sent_p99"], figures["stuck"]["sent_p99"], figures["private"]["sent_p99"]]
    kilobytes = figures["kilobytes_a_subscriber"][Ours.name]
    summary = (
        f"fanout: {times:.2f} times the peer (at least {LEAST_TIMES}), p99 {waits[0]:.0f} ms, {waits[1]:.0f} ms beside "
        f"stuck clients, {waits[2]:.0f} ms of private records (at most {MOST_MILLISECONDS}), "
        f"{kilobytes:.0f} KB a subscriber (below {MOST_KILOBYTES})"
    )
    stuck_ones = figures["stuck"]
    were_stuck = stuck_ones["messages"] < stuck_ones["messages_of_others"]
    changed_nothing = stuck_ones["megabytes"] < MOST_MEGABYTES and waits[1] <= MOST_TIMES_AS_LATE * waits[0]
    if not (were_stuck and changed_nothing):
        fault = "made the others late, or cost memory" if were_stuck else "were not stuck"
        say(f"The subscribers that do not read {fault}.")
    kept = times >= LEAST_TIMES and max(waits) <= MOST_MILLISECONDS and kilobytes < MOST_KILOBYTES
    kept = kept and were_stuck and changed_nothing
    finish(kept, summary, {"times_the_peer": times, **figures}, chosen.json)


if __name__ == "__main__":
    main()
