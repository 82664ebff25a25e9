"""Time and memory of an import, against one bare executemany of the rows that it wrote, log included.

Without arguments it imports files that it generates, in the form and size of the data for mappings/maven-crm.toml.
It measures SQLite, and PostgreSQL if --database or CRM_GRAPH_TEST_POSTGRES_URL names a server. Both sides write into
migrated, otherwise empty databases, with the same pragmas, in one transaction. Each import runs in its own process.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import ROOT, database, finish, options, say
from sales_files import write_sales_files

MAX_TIMES, MAX_MEGABYTES = 4, 150


async def prepare(url: str) -> str:
    """Migrate a database, add a workspace and return its id."""
    import sqlalchemy as sa

    from crm_graph import migrations
    from crm_graph.database import Database
    from crm_graph.models import Workspace

    database = Database(url)
    await migrations.upgrade(database.writer)
    async with database.write() as session:
        await session.execute(sa.insert(Workspace), [{"id": "ws_bench", "name": "Bench"}])
    await database.close()
    return "ws_bench"


async def run_import(url: str, mapping: Path, folder: Path) -> None:
    """Import in this process, and print the seconds and the peak memory as JSON."""
    from crm_graph.access import Viewer
    from crm_graph.changelog import ChangeLog
    from crm_graph.database import Database
    from crm_graph.models import Workspace
    from crm_graph.services.importing import import_folder

    database = Database(url)
    changelog = ChangeLog(database, "memory://")
    await changelog.open()
    async with database.read() as session:
        viewer = Viewer.of(await session.get_one(Workspace, "ws_bench"), None, "system")
    start = time.perf_counter()
    report = await import_folder(changelog, viewer, mapping, folder)
    seconds = time.perf_counter() - start
    await changelog.close()
    await database.close()
    assert report.revision is not None, report.rejected[:5]
    print(json.dumps({"seconds": seconds, "megabytes": peak()}))


def peak() -> float:
    """Peak memory of this process in MB. (getrusage would include that of its parent.)"""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


def tables() -> list[str]:
    from crm_graph.models import Base

    return [table.name for table in Base.metadata.sorted_tables if table.name != "workspaces"]


def bare_sqlite(source: Path, target: Path) -> tuple[int, float]:
    with sqlite3.connect(source) as connection:
        content = {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in tables()}
    connection.close()
    connection = sqlite3.connect(target, isolation_level=None)
    connection.create_function("fold", 1, str.lower, deterministic=True)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
    start = time.perf_counter()
    connection.execute("BEGIN IMMEDIATE")
    for name, rows in content.items():
        if rows:
            connection.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * len(rows[0]))})", rows)
    connection.execute("COMMIT")
    seconds = time.perf_counter() - start
    connection.close()
    return sum(map(len, content.values())), seconds


async def bare_postgresql(source: str, target: str) -> tuple[int, float]:
    import asyncpg

    connection = await asyncpg.connect(source.replace("+asyncpg", ""))
    content = {name: [tuple(row) for row in await connection.fetch(f'SELECT * FROM "{name}"')] for name in tables()}
    await connection.close()
    connection = await asyncpg.connect(target.replace("+asyncpg", ""))
    start = time.perf_counter()
    async with connection.transaction():
        for name, rows in content.items():
            if rows:
                places = ", ".join(f"${number + 1}" for number in range(len(rows[0])))
                await connection.executemany(f'INSERT INTO "{name}" VALUES ({places})', rows)
    seconds = time.perf_counter() - start
    await connection.close()
    return sum(map(len, content.values())), seconds


def imported(url: str, mapping: Path, folder: Path) -> dict[str, float]:
    command = [sys.executable, __file__, str(mapping), str(folder), "--into", url]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def one_round(server: str | None, mapping: Path, folder: Path) -> tuple[dict[str, float], int, float]:
    with database(server) as source, database(server) as target:
        for url in (source, target):
            asyncio.run(prepare(url))
        result = imported(source, mapping, folder)
        if server is None:
            files = [Path(url.removeprefix("sqlite:///")) for url in (source, target)]
            return result, *bare_sqlite(*files)
        return result, *asyncio.run(bare_postgresql(source, target))


def main() -> None:
    parser = options(__doc__, quick="one round")
    parser.add_argument(
        "mapping",
        nargs="?",
        type=Path,
        default=ROOT / "mappings" / "maven-crm.toml",
        help="the mapping of the files (default: mappings/maven-crm.toml)",
    )
    parser.add_argument("folder", nargs="?", type=Path, help="the files to import; generated by default")
    parser.add_argument(
        "--rounds", type=int, default=3, metavar="N", help="rounds to measure; the best counts (default: 3)"
    )
    parser.add_argument("--into", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.into:
        asyncio.run(run_import(chosen.into, chosen.mapping, chosen.folder))
        return
    with contextlib.ExitStack() as stack:
        folder = chosen.folder
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="crm-graph-files-")))
            write_sales_files(folder)
        measure(chosen, folder)


def measure(chosen: argparse.Namespace, folder: Path) -> None:
    """Run all rounds, print the figures and exit."""
    postgresql = chosen.database or os.environ.get("CRM_GRAPH_TEST_POSTGRES_URL")
    figures: dict[str, dict[str, float]] = {}
    for kind, server in {"sqlite": None, **({"postgresql": postgresql} if postgresql else {})}.items():
        count = 1 if chosen.quick else chosen.rounds
        rounds = [one_round(server, chosen.mapping, folder) for _ in range(count)]
        rows = rounds[0][1]
        seconds = min(done["seconds"] for done, _, _ in rounds)
        bare = min(alone for _, _, alone in rounds)
        memory = max(done["megabytes"] for done, _, _ in rounds)
        figures[kind] = {"rows": rows, "seconds": seconds, "bare": bare, "times": seconds / bare, "megabytes": memory}
        say(f"{kind}: {rows:,} rows; import {seconds:.2f} s, bare executemany {bare:.2f} s; {memory:.0f} MB")
    times = max(each["times"] for each in figures.values())
    memory = max(each["megabytes"] for each in figures.values())
    summary = (
        f"import: {times:.2f} times the bare executemany (at most {MAX_TIMES}), {memory:.0f} MB "
        f"(at most {MAX_MEGABYTES})"
    )
    finish(times <= MAX_TIMES and memory <= MAX_MEGABYTES, summary, figures, chosen.json)


if __name__ == "__main__":
    main()
