"""Random writes to deals, users and settings: the board of each client stays equal to a separate computation."""

from __future__ import annotations

import contextlib
from random import Random
from typing import Any

from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from tests.support.board_scenarios import Facts, Office, facts, open_office
from tests.support.subscribers import BOARD_UPDATES, BoardClient, Subscriber, following, settled
from tests.support.world import World

STEPS = 40
modest = settings(
    max_examples=2,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # no shrinking, which would take minutes: the steps are noted
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


@modest
@given(chance=st.randoms(use_true_random=False))
async def test_every_board_stays_right(world: World, chance: Random) -> None:
    office = await open_office(world)
    async with contextlib.AsyncExitStack() as open_boards:
        boards: dict[str, tuple[BoardClient, Subscriber]] = {}
        for name, person in office.people.items():
            client = await BoardClient.query(world, by=person, pipelineId=office.pipeline_id)
            subscription = following(
                world, BOARD_UPDATES, by=person, pipelineId=office.pipeline_id, after=client.revision
            )
            boards[name] = client, await open_boards.enter_async_context(subscription)
        for _ in range(STEPS):
            note(await office.step(chance))
            await settled(world)
            said = await facts(world)
            for name, (client, follower) in boards.items():
                for message in follower.messages:
                    client.apply(message)
                follower.messages.clear()
                assert follower.error is None, (name, follower.error)
                assert state(client) == ruled(said, office, name), name


@modest
@given(chance=st.randoms(use_true_random=False))
async def test_every_board_is_right_again_when_its_client_comes_back(world: World, chance: Random) -> None:
    office = await open_office(world)
    clients = {
        name: await BoardClient.query(world, by=person, pipelineId=office.pipeline_id)
        for name, person in office.people.items()
    }
    resyncs = 0
    for _ in range(STEPS // 4):
        for _ in range(chance.randint(1, 4)):
            note(await office.step(chance))
        said = await facts(world)
        for name, client in clients.items():
            person, pipeline_id = office.people[name], office.pipeline_id
            subscription = following(
                world, BOARD_UPDATES, by=person, live=False, pipelineId=pipeline_id, after=client.revision
            )
            async with subscription as follower:
                await follower.until_told()
            for message in follower.messages:
                client.apply(message)
            if follower.error is not None:
                assert (follower.error.extensions or {}).get("code") == "RESYNC"
                clients[name] = await BoardClient.query(world, by=person, pipelineId=pipeline_id)
                resyncs += 1
            assert state(clients[name]) == ruled(said, office, name), name
    assert resyncs < STEPS // 4 * len(clients)


def state(client: BoardClient) -> Any:
    return client.totals, {card["id"]: card["stage"]["id"] for card in client.cards.values()}


def ruled(said: Facts, office: Office, name: str) -> Any:
    user_id = office.people[name].id
    seen = {
        deal["id"]: deal["stage_id"]
        for deal in said.deals
        if deal["pipeline_id"] == office.pipeline_id and said.sees(user_id, deal)
    }
    return said.totals(user_id, office.stages), seen
