"""The stored totals of boards equal the sums of the deals for every user, after every change."""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from crm_graph.models import StageTotal
from tests.support.board_scenarios import Totals, facts, kept_totals, open_office
from tests.support.world import Person, World

TOTALS = "stages { stage { id } totals { count sums { currency count amount weighted } } }"
BOARDS = f"""
    query ($id: ID!) {{
      whole: pipelineBoard(pipelineId: $id) {{ {TOTALS} }}
      filtered: pipelineBoard(pipelineId: $id, filter: {{id: {{isNull: false}}}}) {{ {TOTALS} }}
    }}
"""


async def boards(world: World, pipeline_id: str, by: Person) -> tuple[Totals, Totals]:
    """The totals of a whole board, and of one whose filter lets everything through."""
    data: dict[str, Any] = await world.data(BOARDS, id=pipeline_id, by=by)
    whole, filtered = (
        {each["stage"]["id"]: each["totals"] for each in data[name]["stages"]} for name in ("whole", "filtered")
    )
    return whole, filtered


@settings(
    max_examples=5,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(chance=st.randoms(use_true_random=False), steps=st.integers(8, 14))
async def test_everybody_is_told_the_totals_of_what_he_sees(world: World, chance: Random, steps: int) -> None:
    office = await open_office(world)
    for _ in range(steps):
        note(await office.step(chance))

        there = await facts(world)
        for name, person in office.people.items():
            expected = there.totals(person.id, office.stages)
            assert await boards(world, office.pipeline_id, person) == (expected, expected), name
        assert await kept_totals(world) == there.kept()


async def test_whole_boards_do_not_look_at_the_deals(world: World) -> None:
    office = await open_office(world)
    for stage_id in office.stages:
        await world.make("opportunity", name="Deal", stageId=stage_id, amount={"amount": "7", "currency": "EUR"})
    document = f"query ($id: ID!) {{ pipelineBoard(pipelineId: $id) {{ {TOTALS} }} }}"

    for person in office.people.values():
        with world.statements() as seen:
            await world.data(document, id=office.pipeline_id, by=person)

        assert sum(StageTotal.__tablename__ in each for each in seen) == 1
        assert not any("opportunities" in each for each in seen)
