"""Kills servers and breaks connections while clients write and subscribe, and reports every wrong message."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from random import SystemRandom

from tests.support.chaos.cluster import has_redis
from tests.support.chaos.plan import Plan
from tests.support.chaos.report import figures, run_scenario

SERVERS = 3
MOST_SHOWN = 20


def main() -> None:
    """Run one scenario. The exit code is 0 if nothing was wrong, otherwise 1."""
    parser = argparse.ArgumentParser(prog="scripts/chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="how often a server is killed (20)")
    parser.add_argument("--seconds", type=float, help="how long it takes; otherwise 4 for each kill")
    parser.add_argument("--broadcast", choices=["redis", "postgres"], default="redis", help="what wakes the servers")
    parser.add_argument("--seed", type=int, help="to do the same again")
    parser.add_argument("--logs", type=Path, metavar="FOLDER", help="keep what the servers say here")
    parser.add_argument(
        "--database",
        metavar="URL",
        default=os.environ.get("CRM_GRAPH_TEST_POSTGRES_URL"),
        help="a PostgreSQL server, on which it makes a database of its own; otherwise CRM_GRAPH_TEST_POSTGRES_URL",
    )
    options = parser.parse_args()
    if options.database is None:
        parser.error("name a PostgreSQL server with --database")
    if options.broadcast == "redis" and not has_redis():
        parser.error("there is no redis-server on the PATH: install one, or take --broadcast postgres")
    if options.logs is not None:
        options.logs.mkdir(parents=True, exist_ok=True)
    seed = options.seed if options.seed is not None else SystemRandom().randrange(10**6)
    few = max(1, options.kills // 5)
    plan = Plan(
        seed=seed,
        seconds=options.seconds or 4.0 * options.kills,
        kills=options.kills,
        outages=few,
        cuts=few,
        stops=few,
        drops=3 * options.kills,
        changes_of_sight=few,
    )
    print(f"{plan}, behind {options.broadcast}", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))  # what was started is ended then, too
    begun = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - begun:6.1f} s  {text}", flush=True)

    with tempfile.TemporaryDirectory(prefix="crm-graph-chaos-") as folder:
        storm, faults = asyncio.run(
            run_scenario(
                plan, options.database, options.logs or Path(folder), options.broadcast, servers=SERVERS, say=say
            )
        )
    for fault in faults[:MOST_SHOWN]:
        print(f"FAULT  {fault}"[:1000])
    print()
    for name, value in figures(storm, faults).items():
        print(f"{name:45}{value:>12}")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
