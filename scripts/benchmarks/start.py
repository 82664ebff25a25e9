"""Time until `crm-graph serve` answers, compared with the import of its dependencies, and its memory when idle.

The dependencies are the third-party modules that version d6c3f71 had loaded at its first answer, in that order, so
that importing fewer of them shows as a gain. Modules that are not installed any more are skipped.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from common import Client, database, environment, finish, options, prepare, say, serving

GOAL_TIMES, GOAL_MEGABYTES = 1.3, 90
MAX_TIMES, MAX_MEGABYTES = 1.5, 130
MODULES = Path(__file__).with_name("start_modules.txt")
IMPORT = """
import importlib, pathlib, sys
skipped = 0
for name in pathlib.Path(sys.argv[1]).read_text().split():
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        skipped += 1
print(skipped)
"""


def import_dependencies(env: dict[str, str]) -> tuple[float, int]:
    """Seconds to import the modules in a new process, and the number of modules that are not installed."""
    begun = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", IMPORT, MODULES], env=env, check=True, capture_output=True, text=True)
    return time.perf_counter() - begun, int(done.stdout)


def serve(env: dict[str, str], token: str) -> tuple[float, float]:
    """Seconds to the first answer, and the megabytes of memory a second later."""
    begun = time.perf_counter()
    with serving(env) as server:
        answer = Client(server.port, token).ask("{ accounts(first: 1) { totalCount } }")
        seconds = time.perf_counter() - begun
        assert answer == {"accounts": {"totalCount": 0}}
        time.sleep(1)
        return seconds, server.memory / 1e6


def verdict(value: float, goal: float) -> str:
    return f"goal {goal}: {'met' if value <= goal else 'missed'}"


def main() -> None:
    parser = options(__doc__, quick="2 rounds")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="rounds to measure (default: 5)")
    chosen = parser.parse_args()
    rounds = 2 if chosen.quick else chosen.rounds
    imports, starts, sizes = [], [], []
    with database(chosen.database) as url:
        env = environment(url)
        env.pop("PYTHONDONTWRITEBYTECODE", None)  # a server has its bytecode, which the first, unmeasured run writes
        token = prepare(env)
        serve(env, token)
        _, skipped = import_dependencies(env)
        if skipped:
            say(f"{skipped} modules of {MODULES.name} are not installed any more and are not imported")
        for number in range(rounds):
            imports.append(import_dependencies(env)[0])
            seconds, size = serve(env, token)
            starts.append(seconds)
            sizes.append(size)
            say(f"round {number + 1}: dependencies {imports[-1]:.2f} s, first answer {seconds:.2f} s, {size:.0f} MB")
    # The minimum of each: other processes can only slow them down.
    times, size = min(starts) / min(imports), max(sizes)
    summary = (
        f"start: first answer after {min(starts):.2f} s, {times:.2f} times the import of the dependencies "
        f"({verdict(times, GOAL_TIMES)}, maximum {MAX_TIMES}); "
        f"{size:.0f} MB when idle ({verdict(size, GOAL_MEGABYTES)}, maximum {MAX_MEGABYTES})"
    )
    figures = {"import_seconds": min(imports), "start_seconds": min(starts), "times": times, "megabytes": size}
    finish(times <= MAX_TIMES and size <= MAX_MEGABYTES, summary, figures, chosen.json)


if __name__ == "__main__":
    main()
