"""Both executions give the same answer to generated operations of any viewer.

`CRM_GRAPH_TEST_LONG=1` runs 2,000 of each shape, different ones in each run; CRM_GRAPH_TEST_CASES sets another number.
"""

from __future__ import annotations

import gc
import os
from collections import Counter
from collections.abc import Iterator
from random import SystemRandom

import pytest

from tests.conftest import LONG_TESTS
from tests.support.differential.answers import difference
from tests.support.differential.engines import Pair
from tests.support.differential.operations import drawn
from tests.support.differential.shapes import SHAPES
from tests.support.differential.shrink import shrink

CASES = int(os.environ.get("CRM_GRAPH_TEST_CASES", "2_000" if LONG_TESTS else "0"))
USUAL = 60
# graphql-core leaves behind what is to be awaited beside a field that failed.
pytestmark = pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")


@pytest.fixture(scope="module", autouse=True)
def _collect() -> Iterator[None]:
    """Collect those coroutines while their warnings are ignored."""
    yield
    gc.collect()


@pytest.mark.parametrize("number", range(SHAPES))
async def test_both_executions_give_the_same_answer(pair: Pair, number: int) -> None:
    run = SystemRandom().randrange(10**6) if CASES else 0
    print("run", run)
    seen: Counter[str] = Counter()
    for case in drawn(number, CASES or USUAL, run):
        if pair.read(case).errors:  # selections that would have to be merged and cannot
            seen["invalid"] += 1
            continue
        one, other = await pair.answers(case)
        assert "INTERNAL" not in one.codes, f"{case}\n{one.text}"
        if difference(one, other):
            less = await shrink(case, pair.differ)
            answers = await pair.answers(less)
            pytest.fail(f"{difference(*answers)}\n{less}\n\nMade smaller from:\n{case}\n{difference(one, other)}")
        assert await pair.twins(case) == [other, other], str(case)
        seen["asked"] += 1
        seen[other.execution] += 1
        seen["found something"] += one.found_something
        seen["failed"] += bool(one.codes)
    print(dict(seen))

    assert seen["invalid"] <= 0.02 * seen["asked"]
    assert seen["found something"] >= 0.5 * seen["asked"]
    assert seen["failed"] <= 0.15 * seen["asked"]
    assert seen["compiled"] >= 0.5 * seen["asked"]
