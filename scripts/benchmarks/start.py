"""How soon `crm-graph serve` answers, against importing its dependencies alone, and what it holds when idle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time

from common import Client, database, environment, finish, options, prepare, running, say

MOST_TIMES, MOST_MEGABYTES = 1.5, 130
# At its end the server tells which modules of others it had loaded, in their order.
SERVE = """
import atexit, json, os, sys
def tell():
    loaded = list(sys.modules.items())
    names = [name for name, module in loaded if "site-packages" in (getattr(module, "__file__", "") or "")]
    open(os.environ["MODULES"], "w").write(json.dumps(names))
if "MODULES" in os.environ:
    atexit.register(tell)
from crm_graph.cli import main
main(sys.argv[1:])
"""
IMPORT = """
import importlib, json, os
for name in json.load(open(os.environ["MODULES"])):
    importlib.import_module(name)
"""


def serve(env: dict[str, str], token: str) -> tuple[float, float]:
    """Seconds to the first answer, and the megabytes of memory a second later."""
    begun = time.perf_counter()
    # Interrupted, since after SIGTERM it would die of that, without telling.
    with running([sys.executable, "-c", SERVE, "serve"], env, end=signal.SIGINT) as server:
        answer = Client(server.port, token).ask("{ accounts(first: 1) { totalCount } }")
        seconds = time.perf_counter() - begun
        assert answer == {"accounts": {"totalCount": 0}}
        time.sleep(1)
        return seconds, server.memory / 1e6


def main() -> None:
    parser = options(__doc__, quick="2 rounds")
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    rounds = 2 if chosen.quick else chosen.rounds
    imports, starts, sizes = [], [], []
    with database(chosen.database) as url, tempfile.TemporaryDirectory() as folder:
        env = environment(url)
        token = prepare(env)
        loaded = {**env, "MODULES": os.path.join(folder, "modules.json")}
        serve(loaded, token)
        for number in range(rounds):
            begun = time.perf_counter()
            subprocess.run([sys.executable, "-c", IMPORT], env=loaded, check=True)
            imports.append(time.perf_counter() - begun)
            seconds, size = serve(env, token)
            starts.append(seconds)
            sizes.append(size)
            say(f"round {number + 1}: dependencies {imports[-1]:.2f} s, first answer {seconds:.2f} s, {size:.0f} MB")
    # The best of each: what else the machine does can only slow them down.
    times, size = min(starts) / min(imports), max(sizes)
    summary = (
        f"start: first answer after {min(starts):.2f} s, {times:.2f} times the import of the dependencies "
        f"(at most {MOST_TIMES}); {size:.0f} MB when idle (below {MOST_MEGABYTES})"
    )
    figures = {"import_seconds": min(imports), "start_seconds": min(starts), "times": times, "megabytes": size}
    finish(times <= MOST_TIMES and size < MOST_MEGABYTES, summary, figures, chosen.json)


if __name__ == "__main__":
    main()
