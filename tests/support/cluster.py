"""Two servers behind nginx, with a PostgreSQL database and a Redis of their own, like compose.yaml but without
containers. All data is deleted when it stops."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import tempfile
from pathlib import Path

from tests.support.chaos.cluster import cluster, database, has_redis
from tests.support.chaos.scenario import company
from tests.support.proxies import proxy


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/cluster", description=__doc__)
    parser.add_argument("--port", type=int, default=8080, help="what the proxy listens at (8080)")
    parser.add_argument(
        "--database",
        metavar="URL",
        default=os.environ.get("CRM_GRAPH_TEST_POSTGRES_URL"),
        help="a PostgreSQL server, on which it makes a database of its own; otherwise CRM_GRAPH_TEST_POSTGRES_URL",
    )
    parser.add_argument("--logs", type=Path, metavar="FOLDER", help="keep what the servers say here")
    options = parser.parse_args()
    if options.database is None:
        parser.error("name a PostgreSQL server with --database")
    if not has_redis():
        parser.error("there is no redis-server on the PATH: install one")
    with tempfile.TemporaryDirectory(prefix="crm-graph-cluster-") as parent:
        folder = options.logs or Path(parent)
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(run(options.database, folder, options.port))


async def run(server_url: str, folder: Path, port: int) -> None:
    """Run it until a signal arrives."""
    asked = asyncio.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(each, asked.set)
    shown = {"metrics": 1, "graphiql": 1, "introspection": 1, "drain_seconds": 2}
    async with (
        database(server_url, folder) as url,
        cluster(url, folder, servers=2, broadcast="redis", **shown) as made,
        proxy(made.addresses, folder, port) as address,
        company(made) as office,
    ):
        print(f"CRM Graph:  http://{address}/graphql")
        print(f"Servers:    {', '.join(f'http://{each}' for each in made.addresses)} (with /readyz and /metrics)")
        print(f"API token:  {office.people['admin'].token}")
        print(f"Logs:       {folder}")
        print("Ctrl+C stops it.", flush=True)
        await asked.wait()


if __name__ == "__main__":
    main()
