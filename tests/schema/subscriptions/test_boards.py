"""A subscribed board equals the queried board: for all writes, viewers and start revisions."""

from __future__ import annotations

import asyncio
from typing import Any

from crm_graph.models import Role, Visibility
from tests.support.subscribers import BOARD_UPDATES, BoardClient, following, number_of, settled
from tests.support.world import Person, World


class Pipeline:
    """A pipeline of three stages."""

    def __init__(self, world: World, pipeline_id: str, stages: list[str]) -> None:
        self.world, self.id, self.stages = world, pipeline_id, stages

    @classmethod
    async def make(cls, world: World) -> Pipeline:
        pipeline = await world.make("pipeline", name="Sales")
        stages = [
            await world.make("stage", pipelineId=pipeline, name=name, position=place, probability=10 * place)
            for place, name in enumerate(["New", "Talks", "Offer"])
        ]
        return cls(world, pipeline, stages)

    async def deal(self, amount: str | None = "100", **values: Any) -> str:
        money = {} if amount is None else {"amount": {"amount": amount, "currency": "USD"}}
        return await self.world.make("opportunity", name="Deal", **{"stageId": self.stages[0], **money, **values})

    async def move(self, deal: str, stage: int, *, by: Person | None = None, **values: Any) -> dict[str, Any]:
        data = await self.world.data("query($id: ID!) { opportunity(id: $id) { version } }", id=deal)
        version = data["opportunity"]["version"]
        return await self.world.write(
            "moveOpportunity",
            "opportunity { id stage { id } version }",
            by=by,
            **{"opportunityId": deal, "stageId": self.stages[stage], "expectedVersion": version, **values},
        )


async def test_stages_that_come_change_and_go_are_told(world: World) -> None:
    pipeline, other = await Pipeline.make(world), await Pipeline.make(world)
    await pipeline.deal("100")
    board = await BoardClient.query(world, pipelineId=pipeline.id)
    start = board.revision
    async with following(world, BOARD_UPDATES, pipelineId=pipeline.id, after=start) as follower:
        won = await world.make("stage", pipelineId=pipeline.id, name="Won", position=3, probability=100)
        await settled(world)
        await world.write("updateStage", "revision", id=pipeline.stages[1], name="Negotiation")
        await settled(world)
        await world.write("updateStage", "revision", id=other.stages[1], name="Elsewhere")
        await world.write("deleteStage", "revision", id=pipeline.stages[2])
        await settled(world)
    async with following(world, BOARD_UPDATES, pipelineId=pipeline.id, after=start) as back:
        pass

    fresh = await BoardClient.query(world, pipelineId=pipeline.id)
    assert fresh.names == {pipeline.stages[0]: "New", pipeline.stages[1]: "Negotiation", won: "Won"}
    for told in (follower, back):
        client = BoardClient(dict(board.cards), dict(board.totals), dict(board.names), start)
        for message in told.messages:
            client.apply(message)
        assert (client.cards, client.totals, client.names) == (fresh.cards, fresh.totals, fresh.names)
        assert told.events == []
    assert [[each["stage"]["id"] for each in m["stages"]] for m in follower.messages if m["stages"]] == [
        [won],
        [pipeline.stages[1]],
    ]
    assert follower.messages[-1]["removedStageIds"] == [pipeline.stages[2]]


async def test_each_thing_that_happens_to_a_card_is_an_event_with_its_totals(world: World) -> None:
    pipeline = await Pipeline.make(world)
    first, second, _ = pipeline.stages
    async with following(world, BOARD_UPDATES, pipelineId=pipeline.id) as follower:
        deal = await pipeline.deal("100")
        await settled(world)
        await pipeline.move(deal, 1)
        await settled(world)
        await world.write("updateOpportunity", "revision", id=deal, amount={"amount": "250.5"})
        await settled(world)
        await world.write("deleteOpportunity", "revision", id=deal)
        await settled(world)
        await world.write("restoreOpportunity", "revision", id=deal)
        await settled(world)

    checkpoint, entered, moved, updated, left, back = follower.messages

    def told(message: dict[str, Any]) -> Any:
        totals = {
            each["stage"]["id"]: (
                each["totals"]["count"],
                [(s["amount"], s["weighted"]) for s in each["totals"]["sums"]],
            )
            for each in message["stages"]
        }
        [event] = message["events"]
        card = event["opportunity"]
        return event["kind"], card and (card["stage"]["id"], card["amount"]["amount"]), totals

    assert (checkpoint["events"], checkpoint["stages"], checkpoint["caughtUp"]) == ([], [], True)
    assert told(entered) == ("ENTERED", (first, "100"), {first: (1, [("100", "0")])})
    assert told(moved) == ("MOVED", (second, "100"), {first: (0, []), second: (1, [("100", "10")])})
    assert told(updated) == ("UPDATED", (second, "250.5"), {second: (1, [("250.5", "25.05")])})
    assert told(left) == ("LEFT", None, {second: (0, [])})
    assert told(back) == ("ENTERED", (second, "250.5"), {second: (1, [("250.5", "25.05")])})
    assert [event["opportunityId"] for event in follower.events] == [deal] * 5
    assert {event["actor"]["id"] for event in follower.events} == {world.admin.id}
    changes = {change["revision"]: change for change in await world.changes()}
    for message, event in zip(follower.messages[1:], follower.events, strict=True):
        assert message["revision"] == event["revision"]
        assert changes[number_of(event["revision"])]["record_id"] == deal


async def test_what_happens_in_other_pipelines_and_to_other_records_is_not_told(world: World) -> None:
    pipeline, other = await Pipeline.make(world), await Pipeline.make(world)
    async with following(world, BOARD_UPDATES, pipelineId=pipeline.id) as follower:
        elsewhere = await other.deal()
        await other.move(elsewhere, 2)
        await world.make("account", name="Acme")
        await settled(world)
        here = await pipeline.deal()
        await settled(world)

    assert [event["opportunityId"] for event in follower.events] == [here]


async def test_a_client_that_comes_back_is_told_what_it_missed_and_nothing_twice(world: World) -> None:
    pipeline = await Pipeline.make(world)
    gone, stays, moved = [await pipeline.deal(str(amount)) for amount in (1, 2, 3)]
    client = await BoardClient.query(world, pipelineId=pipeline.id)

    await world.write("deleteOpportunity", "revision", id=gone)
    await pipeline.move(moved, 1)
    await pipeline.move(moved, 2)
    new = await pipeline.deal("4")
    async with following(world, BOARD_UPDATES, pipelineId=pipeline.id, after=client.revision) as follower:
        kinds = {event["opportunityId"]: event["kind"] for event in follower.events}
        client.apply(follower.messages[0])
    fresh = await BoardClient.query(world, pipelineId=pipeline.id)

    assert len(follower.messages) == 1
    assert kinds == {gone: "LEFT", moved: "MOVED", new: "ENTERED"}
    assert client == fresh
    assert set(client.cards) == {stays, moved, new}


async def test_no_gap_between_the_query_and_the_subscription_while_others_write(world: World) -> None:
    pipeline = await Pipeline.make(world)
    deals = [await pipeline.deal(str(amount)) for amount in range(1, 7)]
    done = asyncio.Event()

    async def write(mine: list[str]) -> None:
        place = 0
        while not done.is_set():
            for deal in mine:
                place += 1
                await pipeline.move(deal, place % 3)
                if place % 5 == 0:
                    await world.write("updateOpportunity", "revision", id=deal, amount={"amount": str(place)})

    writers = [asyncio.create_task(write(deals[place::3])) for place in range(3)]
    client = await BoardClient.query(world, pipelineId=pipeline.id)
    reconnects, seen = 0, []
    async with asyncio.timeout(60):
        for round_ in range(6):
            async with following(world, BOARD_UPDATES, pipelineId=pipeline.id, after=client.revision) as follower:
                reconnects += 1
                start = len(follower.messages)
                await follower.until(lambda f=follower, s=start: len(f.messages) > s + 2)  # type: ignore[misc]
                if round_ == 5:
                    done.set()
                    await asyncio.gather(*writers)
                    await settled(world)
            for message in follower.messages:
                seen.append(number_of(message["revision"]))
                client.apply(message)
    fresh = await BoardClient.query(world, pipelineId=pipeline.id)

    assert client.cards == fresh.cards
    assert client.totals == fresh.totals
    assert seen == sorted(seen)
    assert reconnects == 6


async def test_a_filtered_board_is_left_and_entered_by_what_the_filter_says(world: World) -> None:
    pipeline = await Pipeline.make(world)
    account = await world.make("account", name="Acme", industry="Rockets")
    deal = await pipeline.deal("5", accountId=account)
    condition = {"amount": {"gte": "10"}, "account": {"industry": {"eq": "rockets"}}}
    variables: dict[str, Any] = {"pipelineId": pipeline.id, "filter": condition}
    client = await BoardClient.query(world, **variables)
    async with following(world, BOARD_UPDATES, after=client.revision, **variables) as follower:
        await world.write("updateOpportunity", "revision", id=deal, amount={"amount": "20"})
        await settled(world)
        await world.write("updateAccount", "revision", id=account, industry="Boats")
        await settled(world)
        await world.write("updateAccount", "revision", id=account, industry="Rockets")
        await settled(world)
        await world.write("updateOpportunity", "revision", id=deal, nextStep="Call", amount={"amount": "30"})
        await settled(world)
        await world.write("updateOpportunity", "revision", id=deal, amount={"amount": "9.99"})
        await settled(world)
    for message in follower.messages:
        client.apply(message)

    assert follower.kinds == ["ENTERED", "LEFT", "ENTERED", "UPDATED", "LEFT"]
    assert client.totals == (await BoardClient.query(world, **variables)).totals
    assert client.cards == {}


async def test_who_may_not_see_a_card_any_more_is_told_so_and_who_may_not_know_of_it_is_not(world: World) -> None:
    boss = await world.person(Role.MANAGER)
    rep, other = await world.person(manager=boss), await world.person(manager=boss)
    await world.default("opportunity", Visibility.PRIVATE)
    pipeline = await Pipeline.make(world)
    variables: dict[str, Any] = {"pipelineId": pipeline.id}
    async with (
        following(world, BOARD_UPDATES, by=rep, **variables) as of_rep,
        following(world, BOARD_UPDATES, by=other, **variables) as of_other,
        following(world, BOARD_UPDATES, by=boss, **variables) as of_boss,
        following(world, BOARD_UPDATES, **variables) as of_admin,
    ):
        deal = await pipeline.deal(ownerId=rep.id)
        await settled(world)
        await world.write("updateOpportunity", "revision", id=deal, ownerId=other.id)
        await settled(world)
        await world.write("updateOpportunity", "revision", id=deal, ownerId=world.admin.id)
        await settled(world)
        await pipeline.move(deal, 2)
        await settled(world)

    assert of_rep.kinds == ["ENTERED", "LEFT"]
    assert of_other.kinds == ["ENTERED", "LEFT"]
    assert of_boss.kinds == ["ENTERED", "UPDATED", "LEFT"]
    assert of_admin.kinds == ["ENTERED", "UPDATED", "UPDATED", "MOVED"]
    assert [stage["totals"]["count"] for message in of_rep.messages for stage in message["stages"]] == [1, 0]


async def test_sight_that_changes_without_the_record_is_told_too(world: World) -> None:
    boss, rep = await world.person(Role.MANAGER), await world.person()
    mate = await world.person()
    team = await world.team()
    await world.default("opportunity", Visibility.PRIVATE)
    pipeline = await Pipeline.make(world)
    deal = await pipeline.deal(ownerId=rep.id, teamId=team)
    variables: dict[str, Any] = {"pipelineId": pipeline.id}
    async with (
        following(world, BOARD_UPDATES, by=boss, **variables) as of_boss,
        following(world, BOARD_UPDATES, by=mate, **variables) as of_mate,
        following(world, BOARD_UPDATES, by=rep, **variables) as of_rep,
    ):
        await world.write("updateUser", "revision", id=rep.id, managerId=boss.id)
        await settled(world)
        await world.write("addTeamMember", "revision", teamId=team, userId=mate.id)
        await settled(world)
        await world.write("updateWorkspace", "revision", opportunityVisibility="PUBLIC_READ")
        await settled(world)
        await world.write("updateWorkspace", "revision", opportunityVisibility="PRIVATE")
        await settled(world)
        await world.write("updateUser", "revision", id=rep.id, managerId=None)
        await settled(world)
        await world.write("removeTeamMember", "revision", teamId=team, userId=mate.id)
        await settled(world)
        await world.write("updateUser", "revision", id=mate.id, role="ADMIN")
        await settled(world)
        await world.write("updateUser", "revision", id=mate.id, role="REP")
        await settled(world)

    assert of_boss.kinds == ["ENTERED", "LEFT"]
    assert of_mate.kinds == ["ENTERED", "LEFT", "ENTERED", "LEFT"]
    assert of_rep.kinds == []
    assert {event["opportunityId"] for event in of_mate.events} == {deal}


async def test_equal_subscriptions_share_one_execution(world: World) -> None:
    rep, other = await world.person(), await world.person()
    pipeline = await Pipeline.make(world)
    variables: dict[str, Any] = {"pipelineId": pipeline.id}
    revision = (await BoardClient.query(world, **variables)).revision
    async with (
        following(world, BOARD_UPDATES, by=rep, **variables) as one,
        following(world, BOARD_UPDATES, by=other, after=revision, **variables) as two,
        following(world, BOARD_UPDATES, **variables) as of_admin,
    ):
        with world.statements() as alone:
            await pipeline.deal()
            await settled(world)
        groups = world.application.state.service.manager._workspaces[world.workspace_id][0].groups
        assert sorted(len(group.subscribers) for group in groups.values()) == [1, 2]

    assert one.messages[-1] == two.messages[-1] == of_admin.messages[-1]
    assert len([each for each in alone if "stage_totals" in each and each.startswith("SELECT")]) == 2


async def test_who_does_not_read_costs_nobody_anything_and_catches_up_by_himself(world: World) -> None:
    pipeline = await Pipeline.make(world)
    variables: dict[str, Any] = {"pipelineId": pipeline.id}
    client = await BoardClient.query(world, **variables)
    async with (
        following(world, BOARD_UPDATES, after=client.revision, **variables) as stuck,
        following(world, BOARD_UPDATES, **variables) as reads,
    ):
        stuck.stick()
        deals = [await pipeline.deal(str(amount)) for amount in range(5)]
        await settled(world)
        for deal in deals:
            await pipeline.move(deal, 1)
        await settled(world)
        before = len(stuck.messages)
        assert len(reads.events) >= 10
        stuck.release()
        await pipeline.move(deals[0], 2)
        newest = (await world.changes())[-1]["revision"]
        await stuck.until(lambda: number_of(stuck.messages[-1]["revision"]) >= newest)
    for message in stuck.messages:
        client.apply(message)

    assert before == 1
    assert len(stuck.messages) < len(reads.messages)
    fresh = await BoardClient.query(world, **variables)
    assert (client.cards, client.totals) == (fresh.cards, fresh.totals)


async def test_of_two_who_drag_the_same_card_one_wins_and_both_boards_agree(world: World) -> None:
    rep, other = await world.person(), await world.person()
    pipeline = await Pipeline.make(world)
    deal = await pipeline.deal()
    variables: dict[str, Any] = {"pipelineId": pipeline.id}
    clients = [await BoardClient.query(world, by=each, **variables) for each in (rep, other)]
    async with (
        following(world, BOARD_UPDATES, by=rep, after=clients[0].revision, **variables) as first,
        following(world, BOARD_UPDATES, by=other, after=clients[1].revision, **variables) as second,
    ):
        selection = "opportunity { id version stage { id } }"
        moves = [{"opportunityId": deal, "stageId": pipeline.stages[place], "expectedVersion": 1} for place in (1, 2)]
        answers = await asyncio.gather(
            world.write("moveOpportunity", selection, by=rep, idempotencyKey="a", **moves[0]),
            world.write("moveOpportunity", selection, by=other, idempotencyKey="b", **moves[1]),
        )
        again = await world.write("moveOpportunity", selection, by=rep, idempotencyKey="a", **moves[0])
        await settled(world)
    for client, follower in zip(clients, (first, second), strict=True):
        for message in follower.messages:
            client.apply(message)

    won, lost = sorted(answers, key=lambda answer: len(answer["userErrors"]))
    assert won["userErrors"] == []
    assert [(error["code"], error["field"]) for error in lost["userErrors"]] == [("CONFLICT", "expectedVersion")]
    assert lost["opportunity"] == won["opportunity"]
    assert won["opportunity"]["version"] == 2
    assert again["opportunity"] == won["opportunity"]
    assert clients[0] == clients[1] == await BoardClient.query(world, **variables)
    assert clients[0].cards[deal]["stage"] == won["opportunity"]["stage"]
