"""Subscriptions that are refused, and those that end when their viewer loses access."""

from __future__ import annotations

from typing import Any

import pytest
from graphql import GraphQLError
from strawberry.http import GraphQLRequestData

from crm_graph.models import Visibility
from schema.core.context import Context
from tests.schema.subscriptions.test_cases import CASE_UPDATES, do
from tests.schema.subscriptions.test_changes import CHANGE_UPDATES
from tests.support.customers import CUSTOMER_UPDATES
from tests.support.subscribers import BOARD_UPDATES, Subscriber, following
from tests.support.world import World

NOT_THERE = ["nobody's", "another's", "deleted", "of another kind"]


@pytest.mark.parametrize(
    ("kind", "whose"),
    [*((kind, each) for kind in ("pipeline", "account") for each in NOT_THERE), ("account", "hidden")],
)
async def test_what_is_not_there_cannot_be_followed(world: World, other_world: World, kind: str, whose: str) -> None:
    record = await (other_world if whose == "another's" else world).make(kind, name="One")
    by = None
    if whose == "nobody's":
        record = record[:-3] + "zzz"
    elif whose == "deleted":
        await do(world, f"delete{kind.capitalize()}", id=record)
    elif whose == "hidden":
        by = await world.person()
        await world.default("account", Visibility.PRIVATE)
    elif whose == "of another kind":
        record = await world.make("account" if kind == "pipeline" else "pipeline", name="Two")
    document, argument = (BOARD_UPDATES, "pipelineId") if kind == "pipeline" else (CUSTOMER_UPDATES, "accountId")
    variables: dict[str, Any] = {argument: record}
    async with following(world, document, by=by, live=False, **variables) as follower:
        error = await follower.ended()

    assert error.extensions == {"code": "BAD_USER_INPUT", "field": argument}
    assert (error.path, error.message) == (
        ["pipelineBoard" if kind == "pipeline" else "customerUpdates"],
        f"There is no such {kind}.",
    )


@pytest.mark.parametrize("document", [CASE_UPDATES, CHANGE_UPDATES, BOARD_UPDATES, CUSTOMER_UPDATES])
async def test_who_did_not_sign_in_follows_nothing(world: World, document: str) -> None:
    state = world.application.state
    variables = {"pipelineId": "pipe_1", "accountId": "acc_1"}
    request = GraphQLRequestData(query=document, variables=variables, operation_name=None, extensions=None)
    context = Context(state.settings, state.database, state.changelog)
    with pytest.raises(GraphQLError) as refused:
        await state.service.manager.serve(context, request, Subscriber())

    assert (refused.value.extensions or {})["code"] == "UNAUTHENTICATED"
    assert state.service.manager._workspaces == {}


@pytest.mark.parametrize("way", ["deactivated", "deleted"])
async def test_who_may_no_longer_sign_in_is_told_nothing_more(world: World, way: str) -> None:
    rep, mate = await world.person(), await world.person()
    async with (
        following(world, CASE_UPDATES, by=rep) as of_rep,
        following(world, CASE_UPDATES, by=mate) as of_mate,
        following(world, CHANGE_UPDATES, by=rep) as changes_of_rep,
    ):
        if way == "deleted":
            await do(world, "deleteUser", id=rep.id)
        else:
            await do(world, "updateUser", id=rep.id, active=False)
        for follower in (of_rep, changes_of_rep):
            assert (await follower.ended()).extensions == {"code": "UNAUTHENTICATED"}
        case = await world.make("case", subject="Secret")
        await of_mate.until(lambda: len(of_mate.messages) == 2)

    assert [event["caseId"] for event in of_mate.events] == [case]
    assert (of_rep.events, len(changes_of_rep.messages)) == ([], 1)


@pytest.mark.parametrize("way", ["deactivated", "deleted"])
async def test_who_may_no_longer_sign_in_when_he_begins_follows_nothing(world: World, way: str) -> None:
    rep = await world.person()
    state = world.application.state
    context = Context(state.settings, state.database, state.changelog, viewer_or_none=await world.viewer(rep))
    if way == "deleted":
        await do(world, "deleteUser", id=rep.id)
    else:
        await do(world, "updateUser", id=rep.id, active=False)
    request = GraphQLRequestData(query=CASE_UPDATES, variables={}, operation_name=None, extensions=None)
    with pytest.raises(GraphQLError) as refused:
        await state.service.manager.serve(context, request, Subscriber())

    assert refused.value.extensions == {"code": "UNAUTHENTICATED"}
    assert state.service.manager._workspaces == {}
