"""Counts `Any` per 1,000 lines of product code. Exits with 1 above MAX_PER_THOUSAND.

Imports and the migrations do not count. The files with the most are printed.
"""

from __future__ import annotations

import sys
import tokenize
from collections import Counter
from pathlib import Path

MAX_PER_THOUSAND = 12
SHOWN = 10
ROOT = Path(__file__).resolve().parents[1]
PRODUCT = ["crm_graph", "loaders", "schema"]
MIGRATIONS = ROOT / "crm_graph" / "migrations" / "versions"


def occurrences(file: Path) -> int:
    """Names `Any` in a file, those in import statements excepted."""
    count, statement = 0, []
    with file.open("rb") as opened:
        for token in tokenize.tokenize(opened.readline):
            if token.type == tokenize.NEWLINE:
                if statement[:1] not in (["from"], ["import"]):
                    count += statement.count("Any")
                statement = []
            elif token.type in (tokenize.NAME, tokenize.OP):
                statement.append(token.string)
    return count


def main() -> None:
    files = [file for folder in PRODUCT for file in (ROOT / folder).rglob("*.py") if MIGRATIONS not in file.parents]
    counts = Counter({file: occurrences(file) for file in files})
    lines = sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files)
    rate = 1000 * counts.total() / lines
    for file, count in counts.most_common(SHOWN):
        print(f"{count:5} {file.relative_to(ROOT)}")
    print(f"{counts.total()} Any in {lines:,} lines: {rate:.1f} per 1,000 (at most {MAX_PER_THOUSAND})")
    sys.exit(rate > MAX_PER_THOUSAND)


if __name__ == "__main__":
    main()
