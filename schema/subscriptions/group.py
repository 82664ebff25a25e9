"""Subscriptions with equal answers: what happens is looked up, executed and encoded once for all of them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphql import GraphQLError
from sqlalchemy.ext.asyncio import AsyncSession

from crm_graph.access import Viewer, VisibilityScope, visibility_scope
from crm_graph.changelog import ChangeRow
from crm_graph.errors import ResyncRequired, Unauthenticated
from crm_graph.models import Entity
from loaders.live.audience import Audience, access_changes, load_viewers
from loaders.live.events import ChangeBatch, Members, RecordEvent
from schema.subscriptions.operations import SubscriptionOperation
from schema.subscriptions.sink import Sink
from schema.subscriptions.source import SubscriptionSource

TOO_MANY = "What you may see has changed in too many places. Read everything again."


@dataclass(frozen=True)
class Position:
    """Where an answer brings its client to, and whether nothing more was known when it was made."""

    epoch: str
    number: int
    caught_up: bool

    @property
    def revision(self) -> str:
        return f"{self.epoch}.{self.number}"


@dataclass(frozen=True)
class SubscriptionRequest:
    """What is asked, without who asks: the operation, its variables and what it follows."""

    operation: SubscriptionOperation
    variables: Mapping[str, Any]
    source: SubscriptionSource
    kinds: frozenset[type[Entity]]

    def key(self, viewer: Viewer) -> tuple[Any, ...]:
        """Subscribers with equal keys get equal answers."""
        return (*self.operation.key(self.variables), visibility_scope(viewer, self.kinds))


RenderPayload = Callable[[AsyncSession, Viewer, SubscriptionRequest, Sequence[RecordEvent], Position], Awaitable[str]]


@dataclass(eq=False)
class Subscriber:
    """One subscription. It stands at revision `number` of an epoch: all up to there has been sent. What its viewer may
    see was looked up at revision `looked_up_at`."""

    viewer: Viewer
    request: SubscriptionRequest
    sink: Sink
    number: int
    epoch: str
    looked_up_at: int
    detached: asyncio.Event = field(default_factory=asyncio.Event)
    failure: Exception | None = None
    gone: bool = False

    @property
    def key(self) -> tuple[Any, ...]:
        return self.request.key(self.viewer)

    @property
    def sight(self) -> VisibilityScope:
        return visibility_scope(self.viewer, self.request.kinds)


@dataclass(frozen=True)
class Update:
    """What rows of the log mean to a viewer: a payload, or None where they do not concern him; and who the members of
    the list then are, as far as they are known."""

    payload: str | None
    members: Members | None


async def build_update(
    session: AsyncSession,
    viewer: Viewer,
    request: SubscriptionRequest,
    members: Members | None,
    batch: ChangeBatch,
    end: Position,
    render_payload: RenderPayload,
) -> Update:
    """The update that a batch of log rows means to a viewer of the list with these members.

    Raises ResyncRequired if the list must be read again, and GraphQLError if the payload cannot be made.
    """
    update = await request.source.live_list.update(session, viewer, members, batch)
    if update is None:
        raise ResyncRequired(TOO_MANY, end.revision)
    payload = await render_payload(session, viewer, request, update.events, end) if update.events else None
    return Update(payload, update.members)


class Group:
    """All of its subscribers stand where it stands. One that cannot take a payload at once loses his seat, and comes
    back when he has caught up by himself: nobody waits for him, and nothing is kept for him."""

    def __init__(self, viewer: Viewer, request: SubscriptionRequest, members: Members | None, at: int) -> None:
        self.viewer, self.request, self.members, self.at = viewer, request, members, at
        self.key = request.key(viewer)
        self.sight: VisibilityScope = self.key[-1]
        self.subscribers: set[Subscriber] = set()
        self.sent_at = at

    def send(self, payload: str) -> None:
        """Send to all who can take it at once."""
        self.sent_at = self.at
        for subscriber in list(self.subscribers):
            if subscriber.sink.try_send(payload):
                subscriber.number = self.at
            else:
                self._detach(subscriber)

    def detach_all(self, failure: Exception | None = None) -> None:
        """Everybody loses his seat: to catch up alone, or with a failure, which ends the subscription."""
        for subscriber in list(self.subscribers):
            self._detach(subscriber, failure)

    def _detach(self, subscriber: Subscriber, failure: Exception | None = None) -> None:
        self.subscribers.discard(subscriber)
        subscriber.failure = failure
        subscriber.detached.set()

    async def advance(
        self,
        session: AsyncSession,
        rows: Sequence[ChangeRow],
        end: Position,
        render_payload: RenderPayload,
        audience: Audience | None,
        split_groups: list[Group],
    ) -> None:
        """Go on by rows of the log. The subscribers are told what these mean, if anything. Those who see otherwise
        than the group from now on are answered as groups of their own, which are added to `split_groups` one by one.

        Raises what the database raises; then those who were not told yet stand where they stood.
        """
        moving = access_changes(rows, self.sight, {each.viewer.user_id for each in self.subscribers})
        if moving:
            await self._split(session, rows, moving, end, render_payload, split_groups)
        if self.subscribers:
            await self._advance_rest(session, rows, moving, end, render_payload, audience)

    async def _advance_rest(
        self,
        session: AsyncSession,
        rows: Sequence[ChangeRow],
        moving: Sequence[ChangeRow],
        end: Position,
        render_payload: RenderPayload,
        audience: Audience | None,
    ) -> None:
        personal = moving if self.sight.user_id is not None else []
        try:
            batch = ChangeBatch(rows, personal, audience)
            told = await build_update(session, self.viewer, self.request, self.members, batch, end, render_payload)
        except (ResyncRequired, GraphQLError) as error:
            self.detach_all(error)
            return
        self.members, self.at = told.members, end.number
        if told.payload is not None:
            self.send(told.payload)

    async def _split(
        self,
        session: AsyncSession,
        rows: Sequence[ChangeRow],
        moving: Sequence[ChangeRow],
        end: Position,
        render_payload: RenderPayload,
        split_groups: list[Group],
    ) -> None:
        """Part with those who see otherwise from now on. They are told what comes and goes by that."""
        viewers, _ = await load_viewers(session, self.viewer, [each.viewer.user_id or "" for each in self.subscribers])
        parting: dict[Any, list[Subscriber]] = defaultdict(list)
        for subscriber in list(self.subscribers):
            viewer = viewers.get(subscriber.viewer.user_id or "")
            if viewer is None:
                self._detach(subscriber, Unauthenticated("You may no longer sign in."))
            elif (key := subscriber.request.key(viewer)) != self.key:
                parting[key].append(subscriber)
        for subscribers in parting.values():
            viewer = viewers[subscribers[0].viewer.user_id or ""]
            try:
                batch = ChangeBatch(rows, moving)
                told = await build_update(session, viewer, self.request, self.members, batch, end, render_payload)
            except (ResyncRequired, GraphQLError) as error:
                for subscriber in subscribers:
                    self._detach(subscriber, error)
                continue
            group = Group(viewer, self.request, told.members, end.number)
            split_groups.append(group)
            for subscriber in subscribers:
                subscriber.viewer, subscriber.number = viewers[subscriber.viewer.user_id or ""], end.number
                if told.payload is None or subscriber.sink.try_send(told.payload):
                    self.subscribers.discard(subscriber)
                    group.subscribers.add(subscriber)
                else:  # what he would not take is known nowhere else: he has to read anew
                    self._detach(subscriber, ResyncRequired(TOO_MANY, end.revision))
