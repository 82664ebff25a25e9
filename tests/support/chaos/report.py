"""A storm from its beginning to its figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.support.chaos.cluster import cluster, database
from tests.support.chaos.storm import Company, Plan, Say, Storm
from tests.support.chaos.verdict import judge
from tests.support.followers import number_of


async def weather(
    plan: Plan, server_url: str, folder: Path, broadcast: str, servers: int, say: Say
) -> tuple[Storm, list[str]]:
    """A storm over a cluster of its own on a PostgreSQL server, and what is wrong after it."""
    async with (
        database(server_url, folder) as url,
        cluster(url, folder, servers=servers, broadcast=broadcast) as made,
    ):
        company = await Company.open(made)
        try:
            storm = Storm(plan, made, company, say)
            await storm.run()
            return storm, await judge(storm)
        finally:
            await company.close()


def figures(storm: Storm, faults: Sequence[str]) -> dict[str, str]:
    """What happened, in numbers."""
    done, clients, writes = storm.done, storm.clients, storm.acknowledged
    delays = sorted(
        knew - write.at
        for write in writes
        for board in storm.boards
        if "filter" not in board.variables and (knew := board.knew(number_of(write.revision))) is not None
    )

    def delay(share: float) -> str:
        return f"{max(0.0, delays[int((len(delays) - 1) * share)]):.2f} s"

    return {
        "servers killed": str(done["kill"]),
        "servers stopped in order": str(done["stop"]),
        "broadcast outages": str(done["outage"]),
        "cuts of database connections": str(done["cut"]),
        "client connections dropped": str(sum(each.dropped for each in clients)),
        "writes acknowledged": str(len(writes)),
        "  of them only when repeated": str(sum(write.tries > 1 for write in writes)),
        "writes refused": str(done["refused"]),
        "connections of clients": str(sum(each.connections for each in clients)),
        "messages": str(sum(each.messages for each in clients)),
        "  delivered twice, dropped by revision": str(sum(each.duplicates for each in clients)),
        "changes read": str(sum(len(each.read) for each in storm.readers)),
        "  delivered twice, dropped by revision": str(sum(each.repeated for each in storm.readers)),
        "subscriptions ended by an outage": str(sum(each.errors for each in clients)),
        "told to read everything again": str(sum(len(each.resyncs) for each in clients)),
        "boards compared at one revision": str(sum(each.compared for each in storm.boards)),
        "  of boards queried": str(sum(each.asked for each in storm.boards)),
        "until a write is known, median": delay(0.5),
        "until a write is known, 99 of 100": delay(0.99),
        "until a write is known, at most": delay(1),
        "faults": str(len(faults)),
    }
