"""Loads that the fields of an operation share."""

from __future__ import annotations

from tests.support.world import World


async def test_a_field_that_fails_leaves_alone_what_others_wait_for(world: World) -> None:
    team_id = await world.team(world.admin)
    document = """query Team($id: ID!) {
      failing: team(id: $id) { members { nodes { id } } cases(first: 0) { nodes { id } } }
      right: team(id: $id) { members { nodes { id } } }
    }"""

    answer = await world.ask(document, id=team_id)

    assert answer["data"] == {"failing": None, "right": {"members": {"nodes": [{"id": world.admin.id}]}}}
    assert [(error["path"], error["extensions"]["code"]) for error in answer["errors"]] == [
        (["failing", "cases"], "BAD_USER_INPUT")
    ]
