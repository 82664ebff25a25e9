"""Subscriptions without a transport: the server's messages, and the state that a client derives from them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from graphql import GraphQLError
from strawberry.http import GraphQLRequestData

from schema.core.context import Context
from schema.subscriptions.manager import SubscriptionManager
from tests.support.world import Person, World

PATIENCE = 20.0
CARD = "id name rank probability amount { amount currency } stage { id } owner { id } team { id }"
TOTALS = "stage { id name } totals { count sums { currency count amount weighted } }"
BOARD = f"""query Board($pipelineId: ID!, $filter: OpportunityFilter) {{
  pipelineBoard(pipelineId: $pipelineId, filter: $filter) {{
    revision stages {{ {TOTALS} cards(first: 100) {{ nodes {{ {CARD} }} }} }}
  }}
}}"""
BOARD_UPDATES = f"""subscription Board($pipelineId: ID!, $filter: OpportunityFilter, $after: String) {{
  pipelineBoard(pipelineId: $pipelineId, filter: $filter, after: $after) {{
    revision caughtUp
    events {{ kind revision happenedAt actor {{ id }} opportunityId opportunity {{ {CARD} }} }}
    stages {{ {TOTALS} }} removedStageIds
  }}
}}"""


def number_of(revision: str) -> int:
    return int(revision.rpartition(".")[2])


@dataclass
class Subscriber:
    """The sink of a subscription. A `stuck` one accepts nothing until it is released."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    error: GraphQLError | None = None
    task: asyncio.Task[None] | None = None
    _free: asyncio.Event = field(default_factory=asyncio.Event)
    _heard: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._free.set()

    def stick(self) -> None:
        self._free.clear()

    def release(self) -> None:
        self._free.set()

    def try_send(self, payload: str) -> bool:
        if not self._free.is_set():
            return False
        self._take(payload)
        return True

    async def send(self, payload: str) -> None:
        await self._free.wait()
        self._take(payload)

    def _take(self, payload: str) -> None:
        answer = json.loads(payload)
        assert "errors" not in answer, answer["errors"]
        [message] = answer["data"].values()
        self.messages.append(message)
        self._heard.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for messages until a condition holds."""
        async with asyncio.timeout(PATIENCE):
            while not holds():
                assert self.error is None, self.error
                assert self.task is None or not self.task.done(), self.task
                self._heard.clear()
                await self._heard.wait()

    async def until_told(self) -> None:
        """Wait until the subscription has caught up, or has failed."""
        async with asyncio.timeout(PATIENCE):
            while self.error is None and not (self.messages and self.messages[-1]["caughtUp"]):
                self._heard.clear()
                await self._heard.wait()

    async def ended(self) -> GraphQLError:
        """The error that the subscription ends with."""
        assert self.task is not None
        await asyncio.wait_for(asyncio.shield(self.task), PATIENCE)
        assert self.error is not None
        return self.error

    @property
    def events(self) -> list[dict[str, Any]]:
        return [event for message in self.messages for event in message["events"]]

    @property
    def kinds(self) -> list[str]:
        return [event["kind"] for event in self.events]


@contextlib.asynccontextmanager
async def following(
    world: World, document: str, *, by: Person | None = None, live: bool = True, **variables: Any
) -> AsyncIterator[Subscriber]:
    """Inside the block, a subscription that is live, unless it must fail before."""
    manager: SubscriptionManager = world.application.state.service.manager
    state = world.application.state
    context = Context(state.settings, state.database, state.changelog, viewer_or_none=await world.viewer(by))
    request = GraphQLRequestData(query=document, variables=variables, operation_name=None, extensions=None)
    follower = Subscriber()

    async def follow() -> None:
        try:
            await manager.serve(context, request, follower)
        except GraphQLError as error:
            follower.error = error
            follower._heard.set()

    follower.task = asyncio.create_task(follow())
    follower.task.add_done_callback(lambda _: follower._heard.set())
    try:
        if live:
            await follower.until(lambda: bool(follower.messages) and follower.messages[-1]["caughtUp"])
        yield follower
    finally:
        follower.task.cancel()
        await asyncio.gather(follower.task, return_exceptions=True)


async def settled(world: World) -> None:
    """Wait until the workspace's reader has processed the whole log."""
    manager: SubscriptionManager = world.application.state.service.manager
    workspace, _, _ = manager._workspaces[world.workspace_id]
    newest = (await world.changes())[-1]["revision"]
    async with asyncio.timeout(PATIENCE):
        while workspace._tail.at < newest:  # noqa: ASYNC110  # it tells nobody but its subscribers
            await asyncio.sleep(0.001)
        async with workspace._lock:
            pass


@dataclass
class BoardClient:
    """A board of a client: queried once, then kept by the updates."""

    cards: dict[str, Any]
    totals: dict[str, Any]
    names: dict[str, str]
    revision: str

    @classmethod
    async def query(cls, world: World, *, by: Person | None = None, **variables: Any) -> BoardClient:
        return cls.of((await world.data(BOARD, by=by, **variables))["pipelineBoard"])

    @classmethod
    def of(cls, board: dict[str, Any]) -> BoardClient:
        """The answer to BOARD, in the form that a client keeps."""
        cards = {card["id"]: card for stage in board["stages"] for card in stage["cards"]["nodes"]}
        totals = {stage["stage"]["id"]: stage["totals"] for stage in board["stages"]}
        names = {stage["stage"]["id"]: stage["stage"]["name"] for stage in board["stages"]}
        return cls(cards, totals, names, board["revision"])

    def apply(self, message: dict[str, Any]) -> None:
        """Apply an update by the rules of docs/clients/realtime.md."""
        if number_of(message["revision"]) <= number_of(self.revision):
            return
        for event in message["events"]:
            if event["kind"] == "LEFT":
                self.cards.pop(event["opportunityId"], None)
            else:
                self.cards[event["opportunityId"]] = event["opportunity"]
        for stage in message["stages"]:
            self.totals[stage["stage"]["id"]] = stage["totals"]
            self.names[stage["stage"]["id"]] = stage["stage"]["name"]
        for stage_id in message["removedStageIds"]:
            self.totals.pop(stage_id, None)
            self.names.pop(stage_id, None)
        self.revision = message["revision"]
