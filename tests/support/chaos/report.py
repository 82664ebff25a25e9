"""Runs a scenario and reports its figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from crm_graph.models import Role
from tests.support.chaos.cluster import cluster, database
from tests.support.chaos.invariants import judge
from tests.support.chaos.plan import Plan
from tests.support.chaos.scenario import Say, Scenario, company
from tests.support.subscribers import number_of


async def run_scenario(
    plan: Plan, server_url: str | None, folder: Path, broadcast: str, *, servers: int, say: Say = print
) -> tuple[Scenario, list[str]]:
    """Run a scenario on a new cluster and return its violations. It uses SQLite without a PostgreSQL server."""
    async with (
        database(server_url, folder) as url,
        cluster(url, folder, servers=servers, broadcast=broadcast) as made,
        company(made) as office,
    ):
        storm = Scenario(plan, made, office, say)
        await storm.run()
        return storm, await judge(storm)


def figures(storm: Scenario, faults: Sequence[str]) -> dict[str, str]:
    """The figures of a run."""
    done, clients, writes = storm.done, storm.clients, storm.acknowledged
    following = [board for board in storm.boards if board.person.role is Role.ADMIN and "filter" not in board.variables]
    on_board = [write for write in writes if "Opportunity" in write.mutation]
    delays = sorted(
        knew - write.at
        for write in on_board
        for board in following
        if (knew := board.knew(number_of(write.revision))) is not None
    )

    def delay(share: float) -> str:
        return f"{max(0.0, delays[int((len(delays) - 1) * share)]):.2f} s" if delays else "-"

    return {
        "servers killed": str(done["kill"]),
        "servers stopped in order": str(done["stop"]),
        "broadcast outages": str(done["outage"]),
        "connections to the database cut": str(done["connections cut"]),
        "client connections dropped": str(sum(each.dropped for each in clients)),
        "writes acknowledged": str(len(writes)),
        "  of them only when repeated": str(sum(write.tries > 1 for write in writes)),
        "writes refused": str(done["refused"]),
        "connections of clients": str(sum(each.connections for each in clients)),
        "messages": str(storm.messages),
        "changes read": str(sum(len(each.read) for each in storm.readers)),
        "received twice, dropped by revision": str(sum(each.duplicates for each in clients)),
        "subscriptions ended by an outage": str(sum(each.errors for each in clients)),
        "errors RESYNC": str(sum(len(each.resyncs) for each in clients)),
        "boards compared at one revision": str(sum(each.compared for each in storm.boards)),
        "  of boards queried": str(sum(each.asked for each in storm.boards)),
        "until a write is known, median": delay(0.5),
        "until a write is known, 99 of 100": delay(0.99),
        "until a write is known, at most": delay(1),
        "faults": str(len(faults)),
    }
