"""Reads per second, compared with PostGraphile 5, stock Strawberry and handwritten SQL, on PostgreSQL.

Each server is one process on the same database, with a connection pool of the same size. They are measured in turn over
16 connections. This server runs as in production, with a signed-in user, access rules and limits; the others have none
of these. All must give the same answers before they are timed. The median round counts. A ratio is computed within
each round, and its median counts. Moves are reported without a limit, because those of the others are a bare UPDATE.

Delays are compared at one rate, 60 % of PostGraphile's maximum. Requests are sent at that rate even if earlier ones are
unanswered, and each is timed from the moment it is due.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import at_once, database, environment, finish, options, prepare, say, tokens
from comparison import MOVE, Comparison, Effort, same_answers, same_moves
from dataset import EMAIL, fill
from load import check_wrk, rounded, storm
from operations import BOARD, CUSTOMER, DEEP_PAGE, LIST, READS, RECORD, Operation
from picture import draw
from postgres_server import postgres_server
from rich.console import Console
from rich.table import Table
from servers import POOL, ComparedServer, Site, both_ours, install, ours, peers
from sqlalchemy.engine import make_url

SIZES = [10_000, 100_000, 1_000_000]
FULL = Effort(rounds=5, seconds=3, warm_up=12, steady=3, answers=20, moves=True)
QUICK = Effort(rounds=1, seconds=1, warm_up=2, steady=1.5, answers=3, moves=False)
LEAST_OF_PEER = {CUSTOMER.name: 2.0, LIST.name: 2.5, BOARD.name: 2.0, RECORD.name: 1.5}
LEAST_OF_BOUND, LEAST_OF_STOCK, LEAST_ON_SQLITE, MOST_SLOWER, MOST_DELAY, MOST_GROWTH = 0.7, 2.0, 5.0, 1.3, 1.0, 1.1
SHARE = 0.6
SETTLING_SECONDS, SETTLED_ROUNDS = 20, 7
DOCUMENTS, FIRST_SECONDS, LATER_SECONDS = 1_000, 60, 600


@dataclass(frozen=True)
class Promise:
    """A ratio with its minimum or maximum."""

    what: str
    ratio: float
    bound: float
    least: bool = True

    @property
    def kept(self) -> bool:
        return self.ratio >= self.bound if self.least else self.ratio <= self.bound

    def __str__(self) -> str:
        return f"{self.what} {self.ratio:.2f} (at {'least' if self.least else 'most'} {self.bound})"


@contextlib.contextmanager
def company(server: str, deals: int, visibility: str) -> Iterator[Site]:
    """A company of this size, and a token of a REP who manages all other users."""
    with database(server) as url:
        env = environment(url, pool_size=POOL)
        prepare(env)
        workspace_id = fill(url, deals, visibility)
        say(f"Made a company with {deals:,} deals")
        yield Site(url, deals, workspace_id, env, tokens(env, [EMAIL])[0])


def compare(site: Site, node: str, effort: Effort, folder: Path, timed: Sequence[Operation]) -> dict[str, Any]:
    """Figures of all servers on one company, with the delays of the `timed` operations. Raises AssertionError if the
    answers of the servers differ, or if this one does not compile an operation."""
    with at_once([both_ours(site), peers(site, node)]) as ((crm, plain), others):
        peer, stock, bound = others
        same_answers([crm, plain, *others], effort.answers)
        same_moves([crm, *others])
        say(f"All give the same answers about {site.deals:,} deals")
        course = Comparison(effort, folder)
        course.race([(operation, each) for operation in READS for each in (crm, *others)] + [(LIST, plain)])
        memory = {each.name: each.server.memory / 1e6 for each in (crm, *others)}
        delays = {}
        for operation in timed:
            rate = SHARE * course.found(operation.name, peer).rate
            found = course.delays(operation, [crm, peer], rate)
            delays[operation.name] = {
                "requests_a_second": rate,
                **{each.name: delay for each, delay in zip((crm, peer), found, strict=True)},
            }
        execution = compiled(crm, READS)
        names = [operation.name for operation in READS]
        if effort.moves and site.deals > SIZES[0]:  # enough deals, so that none moves twice too soon
            course.race_moves([crm, *others])
            names.append(MOVE)
        show(site, course, [crm, *others], names, memory, execution)
        for name, found in delays.items():
            found_text = ", ".join(f"{each.name} {found[each.name]:.1f} ms" for each in (crm, peer))
            say(f"p99 of the {name} at {found['requests_a_second']:,.0f} requests/s: {found_text}")
        return {
            "deals": site.deals,
            "operations": {
                name: {each.name: course.found(name, each).figures() for each in (crm, *others)} for name in names
            },
            "execution": execution,
            "megabytes": memory,
            "p99_at_one_rate": delays,
            "times_postgraphile": {name: course.times(name, crm, peer) for name in names},
            "of_by_hand": {name: course.times(name, crm, bound) for name in names},
            "list_not_compiled": course.found(LIST.name, plain).figures(),
            "times_strawberry_not_compiled": course.times(LIST.name, plain, stock),
        }


def compiled(crm: ComparedServer, operations: Sequence[Operation]) -> dict[str, str]:
    """The execution of each operation: {name: "compiled"}. Raises AssertionError if one was not compiled."""
    execution = {operation.name: crm.execution(operation) for operation in operations}
    assert set(execution.values()) == {"compiled"}, execution
    return execution


def show(
    site: Site,
    course: Comparison,
    contenders: Sequence[ComparedServer],
    names: Sequence[str],
    memory: Mapping[str, float],
    execution: Mapping[str, str],
) -> None:
    """The figures of a company as a table."""
    table = Table(title=f"{site.deals:,} deals: requests a second (p50, p99 in ms)", title_justify="left")
    crm, peer, _, bound = contenders
    for heading in ("", *(each.name for each in contenders), f"times {peer.name}", f"of {bound.name}", "execution"):
        table.add_column(heading, justify="left" if heading in {"", "execution"} else "right")
    for name in names:
        found = [course.found(name, each) for each in contenders]
        ratios = [f"{course.times(name, crm, other):.2f}" for other in (peer, bound)]
        cells = [f"{rounded(each.rate)} ({each.p50:.1f}, {each.p99:.1f})" for each in found]
        table.add_row(name, *cells, *ratios, execution.get(name, ""))
    table.add_row("memory", *(f"{memory[each.name]:.0f} MB" for each in contenders), "", "", "")
    console = Console()
    console.print(table) if console.is_terminal else Console(width=150).print(table)


def slower(small: Site, large: Site, effort: Effort, folder: Path) -> dict[str, float]:
    """Slowdown of each operation from the small company to the large one, as a factor."""
    operations = [CUSTOMER, BOARD, DEEP_PAGE]
    with ours(small) as before, ours(large) as after:
        # Warmed up for longer: a connection's first read of a page of a large database takes longer.
        course = Comparison(dataclasses.replace(effort, rounds=SETTLED_ROUNDS), folder)
        course.race([(operation, each) for operation in operations for each in (before, after)], SETTLING_SECONDS)
        for each in (before, after):
            compiled(each, operations)
        return {each.name: course.times(each.name, before, after) for each in operations}


def on_sqlite(site: Site, effort: Effort, folder: Path) -> float:
    """Speed of the compiled 360, as a multiple of the executed one, on SQLite with the same rows."""
    with database() as url:
        env = {**site.env, "CRM_GRAPH_DATABASE_URL": url}
        asyncio.run(copy(site.url, url))
        small = Site(url, site.deals, site.workspace_id, env, site.token)
        with both_ours(small) as (crm, plain):
            same_answers([crm, plain], effort.answers)
            course = Comparison(dataclasses.replace(effort, seconds=max(2, effort.seconds)), folder)  # it is slow
            course.race([(CUSTOMER, each) for each in (crm, plain)])
            rates = [rounded(course.found(CUSTOMER.name, each).rate) for each in (crm, plain)]
            say(f"The 360 on SQLite: {rates[0]} requests/s compiled, {rates[1]} otherwise")
            return course.times(CUSTOMER.name, crm, plain)


async def copy(source: str, target: str) -> None:
    """Copy the rows of a database to a new one."""
    import sqlalchemy as sa

    from crm_graph import migrations
    from crm_graph.database import Database
    from crm_graph.models.base import Base

    one, other = Database(source), Database(target)
    await migrations.upgrade(other.writer)
    async with one.snapshots.begin() as reading, other.writer.begin() as writing:
        await writing.execute(sa.text("PRAGMA defer_foreign_keys = ON"))
        for table in Base.metadata.tables.values():
            if rows := [dict(row) for row in (await reading.execute(sa.select(table))).mappings()]:
                await writing.execute(table.insert(), rows)
        await writing.execute(sa.text("ANALYZE"))
    await one.close()
    await other.close()


def soak(site: Site, folder: Path) -> float:
    """Growth of the server's memory in ten minutes of many different documents, after a first minute, as a factor."""
    with ours(site) as crm:
        documents = [CUSTOMER.renamed(f"a{number}") for number in range(DOCUMENTS)]
        file = folder / "soak"
        file.write_bytes(b"\n".join(body for each in documents for body in crm.bodies(each, 10)))
        storm(crm.server.port, crm.headers, file, FIRST_SECONDS)
        before = crm.server.memory
        storm(crm.server.port, crm.headers, file, LATER_SECONDS)
        say(f"Memory: {before / 1e6:.0f} MB after a minute, {crm.server.memory / 1e6:.0f} MB after eleven")
        return crm.server.memory / before


def promises(figures: Mapping[str, Any]) -> list[Promise]:
    """The limits, with the worst figure of all sizes."""
    sizes = figures["sizes"]
    made = [
        Promise(f"{name} times PostGraphile", min(each["times_postgraphile"][name] for each in sizes), least)
        for name, least in LEAST_OF_PEER.items()
    ]
    of_bound = min(each["of_by_hand"][name] for each in sizes for name in LEAST_OF_PEER)
    made.append(Promise("of the SQL by hand", of_bound, LEAST_OF_BOUND))
    delays = [each for size in sizes for each in size["p99_at_one_rate"].values()]
    made.append(
        Promise(
            "p99 of PostGraphile's", max(each["crm-graph"] / each["PostGraphile"] for each in delays), MOST_DELAY, False
        )
    )
    if figures["slower"]:
        made.append(Promise(f"slower at {SIZES[-1]:,} deals", max(figures["slower"].values()), MOST_SLOWER, False))
    ordinary = min(each["times_strawberry_not_compiled"] for each in sizes)
    made.append(Promise("list not compiled times Strawberry", ordinary, LEAST_OF_STOCK))
    made.append(Promise("on SQLite times not compiled", figures["times_on_sqlite"], LEAST_ON_SQLITE))
    if figures["growth"]:
        made.append(Promise("memory after ten minutes", figures["growth"], MOST_GROWTH, False))
    return made


def main() -> None:
    parser = options(
        __doc__, quick="the smallest company only, less of everything, and no moves: under a minute", database=False
    )
    parser.add_argument(
        "--database", metavar="URL", help="a PostgreSQL server; otherwise the bench starts one of its own"
    )
    parser.add_argument("--private", action="store_true", help="make records PRIVATE instead of PUBLIC_READ")
    parser.add_argument("--soak", action="store_true", help="also send many different documents for eleven minutes")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw the rates, as an SVG")
    chosen = parser.parse_args()
    check_wrk()
    node = install()
    effort, sizes = (QUICK, SIZES[:1]) if chosen.quick else (FULL, SIZES)
    visibility = "PRIVATE" if chosen.private else "PUBLIC_READ"
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="crm-graph-requests-")))
        server = chosen.database or stack.enter_context(postgres_server())
        server = make_url(server).set(drivername="postgresql").render_as_string(hide_password=False)
        sites = [stack.enter_context(company(server, deals, visibility)) for deals in sizes]
        # Before anything is moved.
        growth = soak(sites[0], folder) if chosen.soak else None
        slowdown = slower(sites[0], sites[-1], effort, folder) if len(sites) > 1 else {}
        for name, ratio in slowdown.items():
            say(f"The {name} is {ratio:.2f} times slower at {sites[-1].deals:,} deals than at {sites[0].deals:,}")
        on_lite = on_sqlite(sites[0], effort, folder)
        timed = READS[:1] if chosen.quick else READS
        found = [compare(site, node, effort, folder, timed) for site in sites]
    figures = {"sizes": found, "slower": slowdown, "times_on_sqlite": on_lite, "growth": growth}
    if chosen.picture:
        rates = {
            name: {server: each["requests_a_second"] for server, each in servers.items()}
            for name, servers in found[-1]["operations"].items()
            if name != MOVE
        }
        note = f"One process each, {sites[-1].deals:,} deals on PostgreSQL, 16 connections. Longer is better."
        chosen.picture.write_text(draw("Requests a second", note, rates))
    made = promises(figures)
    finish(all(each.kept for each in made), "reads: " + ", ".join(map(str, made)), figures, chosen.json)


if __name__ == "__main__":
    main()
