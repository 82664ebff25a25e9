"""Groups of subscriptions with equal payloads: changes are loaded, executed and encoded once per group."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

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
GroupKey = tuple[str, str, VisibilityScope]


@dataclass(frozen=True)
class Position:
    """Revision after a payload. `caught_up` is true if it was the newest one when the payload was made."""

    epoch: str
    number: int
    caught_up: bool

    @property
    def revision(self) -> str:
        return f"{self.epoch}.{self.number}"


@dataclass(frozen=True)
class SubscriptionRequest:
    """A subscription without its viewer: the operation, its variables, and the source."""

    operation: SubscriptionOperation
    variables: Mapping[str, object]
    source: SubscriptionSource
    kinds: frozenset[type[Entity]]

    def key(self, viewer: Viewer) -> GroupKey:
        """Subscribers with equal keys get equal payloads."""
        return (*self.operation.key(self.variables), visibility_scope(viewer, self.kinds))


RenderPayload = Callable[[AsyncSession, Viewer, SubscriptionRequest, Sequence[RecordEvent], Position], Awaitable[str]]


@dataclass(eq=False)
class Subscriber:
    """One subscription. Changes up to revision `number` of an epoch have been sent. The viewer was loaded at revision
    `looked_up_at`."""

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
    def key(self) -> GroupKey:
        return self.request.key(self.viewer)

    @property
    def sight(self) -> VisibilityScope:
        return visibility_scope(self.viewer, self.request.kinds)


@dataclass(frozen=True)
class Update:
    """Effect of log rows on a list: the payload, or None if the list did not change, and the members after it, if they
    are known."""

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
    """Subscribers at the same revision. A subscriber that cannot take a payload at once is detached, and joins again
    after catching up alone: payloads are not queued, and a slow client delays no other."""

    def __init__(self, viewer: Viewer, request: SubscriptionRequest, members: Members | None, at: int) -> None:
        self.viewer, self.request, self.members, self.at = viewer, request, members, at
        self.key = request.key(viewer)
        self.sight = self.key[-1]
        self.subscribers: set[Subscriber] = set()
        self.sent_at = at

    def send(self, payload: str) -> None:
        """Send a payload to all subscribers, and detach those that cannot take it at once."""
        self.sent_at = self.at
        for subscriber in list(self.subscribers):
            if subscriber.sink.try_send(payload):
                subscriber.number = self.at
            else:
                self._detach(subscriber)

    def detach_all(self, failure: Exception | None = None) -> None:
        """Detach all subscribers, to catch up alone, or with a failure, which ends their subscriptions."""
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
        """Apply rows of the log, and send the payload, if any. Subscribers whose visibility changes move to new groups,
        which are added to `split_groups` one by one.

        Raises the database's errors; then subscribers without a payload keep their position.
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
            update = await build_update(session, self.viewer, self.request, self.members, batch, end, render_payload)
        except (ResyncRequired, GraphQLError) as error:
            self.detach_all(error)
            return
        self.members, self.at = update.members, end.number
        if update.payload is not None:
            self.send(update.payload)

    async def _split(
        self,
        session: AsyncSession,
        rows: Sequence[ChangeRow],
        moving: Sequence[ChangeRow],
        end: Position,
        render_payload: RenderPayload,
        split_groups: list[Group],
    ) -> None:
        """Move subscribers whose visibility changes to new groups, and send them what entered and left their lists."""
        viewers, _ = await load_viewers(session, self.viewer, [each.viewer.user_id or "" for each in self.subscribers])
        moved: dict[GroupKey, list[Subscriber]] = defaultdict(list)
        for subscriber in list(self.subscribers):
            viewer = viewers.get(subscriber.viewer.user_id or "")
            if viewer is None:
                self._detach(subscriber, Unauthenticated("You may no longer sign in."))
            elif (key := subscriber.request.key(viewer)) != self.key:
                moved[key].append(subscriber)
        for subscribers in moved.values():
            viewer = viewers[subscribers[0].viewer.user_id or ""]
            try:
                batch = ChangeBatch(rows, moving)
                update = await build_update(session, viewer, self.request, self.members, batch, end, render_payload)
            except (ResyncRequired, GraphQLError) as error:
                for subscriber in subscribers:
                    self._detach(subscriber, error)
                continue
            group = Group(viewer, self.request, update.members, end.number)
            split_groups.append(group)
            for subscriber in subscribers:
                subscriber.viewer, subscriber.number = viewers[subscriber.viewer.user_id or ""], end.number
                if update.payload is None or subscriber.sink.try_send(update.payload):
                    self.subscribers.discard(subscriber)
                    group.subscribers.add(subscriber)
                else:  # the payload cannot be made again: the client has to reload the list
                    self._detach(subscriber, ResyncRequired(TOO_MANY, end.revision))
