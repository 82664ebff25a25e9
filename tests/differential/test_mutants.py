"""The comparison can fail: each mutation of the compiled execution is detected by some operation."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.differential.engines import Execution, Pair, compiled_schema
from tests.support.differential.mutants import MUTANTS, Mutant, MutantExecution, MutantPair
from tests.support.differential.operations import Case, drawn
from tests.support.differential.shapes import SHAPES
from tests.support.differential.shrink import shrink

EACH = 20
"""The most operations of a shape that it takes."""
# graphql-core leaves behind what is to be awaited beside a field that failed.
pytestmark = pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")


def beside(right: Execution, wrong: Mutant) -> MutantPair:
    """The ordinary execution, and a compiled one that is broken."""
    broken = MutantExecution(compiled_schema(), right.settings, right.database, right.changelog, broken=wrong.broken)
    return MutantPair(right, broken)


def telling(wrong: Mutant) -> Iterator[Case]:
    """Operations that may show what is wrong, some of each shape in turn."""
    for cases in zip(*(drawn(number, EACH) for number in range(SHAPES)), strict=False):
        yield from (case for case in cases if wrong.may_show(case))


@pytest.mark.parametrize("name", MUTANTS)
async def test_what_is_broken_is_caught(populated: Pair, name: str) -> None:
    broken = beside(populated.ordinary, MUTANTS[name])
    for asked, case in enumerate(telling(MUTANTS[name]), 1):
        if told := await broken.caught(case):
            print(f"{name}: caught by operation {asked}: {told}\n{case}")
            return
    pytest.fail("No operation told.")


async def test_an_operation_that_tells_is_made_smaller(populated: Pair) -> None:
    broken = beside(populated.ordinary, MUTANTS["direction"])
    order = {"field": "NAME", "direction": "DESC"}
    case = Case(
        """query Named($v: [AccountOrder!], $skip: Boolean! = false, $size: Int) {
          accounts(orderBy: $v, first: $size) { ...Page @skip(if: $skip) totalCount }
          viewer { id accounts(first: 2) { nodes { name } } }
        }
        fragment Page on AccountConnection { edges { cursor node { name owner { id } } } nodes { id } }
        query Other { __typename }""",
        "Named",
        {"v": [order], "size": 50},
    )

    less = await shrink(case, broken.differ)

    words = "query Named { accounts { ...Page } } fragment Page on AccountConnection { nodes { id } }"
    assert " ".join(less.text.split()) == words
    assert less.variables == {}
