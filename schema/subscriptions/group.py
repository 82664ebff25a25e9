"""Subscriptions with equal answers: what happens is looked up, executed and encoded once for all of them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from graphql import GraphQLError
from sqlalchemy.ext.asyncio import AsyncSession

from crm_graph.access import Viewer, VisibilityScope, is_private, visibility_scope
from crm_graph.changelog import ChangeRow
from crm_graph.errors import ResyncRequired, Unauthenticated
from crm_graph.models import Entity
from loaders.live.lists import MOST_MEMBERS, Audience, Members, Occurrence, load_viewers, moving_rows
from schema.subscriptions.operations import Operation
from schema.subscriptions.source import Watch

if TYPE_CHECKING:
    from schema.subscriptions.manager import Outlet

TOO_MANY = "What you may see has changed in too many places. Read everything again."


@dataclass(frozen=True)
class Stand:
    """Where an answer brings its client to, and whether nothing more was known when it was made."""

    epoch: str
    number: int
    caught_up: bool

    @property
    def revision(self) -> str:
        return f"{self.epoch}.{self.number}"


@dataclass(frozen=True)
class Question:
    """What is asked, without who asks: the operation, its variables and what it follows."""

    operation: Operation
    variables: Mapping[str, Any]
    watch: Watch
    kinds: frozenset[type[Entity]]

    def key(self, viewer: Viewer) -> tuple[Any, ...]:
        """Subscribers with equal keys get equal answers."""
        return (*self.operation.key(self.variables), visibility_scope(viewer, self.kinds))


Answer = Callable[[AsyncSession, Viewer, Question, Sequence[Occurrence], Stand], Awaitable[str]]


@dataclass(eq=False)
class Subscriber:
    """One subscription. It stands at revision `number` of an epoch: all up to there has been sent. What its viewer may
    see was looked up at revision `looked_up_at`."""

    viewer: Viewer
    question: Question
    outlet: Outlet
    number: int
    epoch: str
    looked_up_at: int
    unseated: asyncio.Event = field(default_factory=asyncio.Event)
    failure: Exception | None = None
    gone: bool = False

    @property
    def key(self) -> tuple[Any, ...]:
        return self.question.key(self.viewer)

    @property
    def sight(self) -> VisibilityScope:
        return visibility_scope(self.viewer, self.question.kinds)


@dataclass(frozen=True)
class News:
    """What rows of the log mean to a viewer: a payload, or None where they do not concern him; and who the members of
    the list then are, as far as they are known."""

    payload: str | None
    members: Members | None


async def news(
    session: AsyncSession,
    viewer: Viewer,
    question: Question,
    known: Members | None,
    rows: Sequence[ChangeRow],
    moving: Sequence[ChangeRow],
    end: Stand,
    answer: Answer,
    audience: Audience | None = None,
) -> News:
    """Tell a viewer who knows these members what rows mean; `moving` are those that changed his sight of others, and
    `audience` who sees what the rows leave, where that is known.

    Raises ResyncRequired where that cannot be told, and GraphQLError where the answer cannot be made.
    """
    listing = question.watch.listing
    about = listing.about(rows, known)
    if known is not None and audience is not None:
        about = {key: its for key, its in about.items() if key in known or _concerns(viewer, its[-1], audience)}
    occurrences = await listing.look(session, viewer, about, known) if about else []
    causes = await listing.unsettled(session, viewer, rows, known) or moving
    members = known
    if causes:
        members = await listing.members(session, viewer)
        different = None
        if known is not None and members is not None:
            different = await listing.compare(session, viewer, known - about.keys(), members - about.keys(), causes[-1])
        if different is None:
            raise ResyncRequired(TOO_MANY, end.revision)
        occurrences += different
    elif known is not None and occurrences:
        members = known | {each.record_id for each in occurrences if each.record is not None}
        members -= {each.record_id for each in occurrences if each.record is None}
        if len(members) > MOST_MEMBERS:
            members = None
    return News(await answer(session, viewer, question, occurrences, end) if occurrences else None, members)


def _concerns(viewer: Viewer, row: ChangeRow, audience: Audience) -> bool:
    """Whether the viewer may see what the row leaves."""
    return not is_private(viewer, row.entity) or audience.has(viewer.user_id or "", row)


class Group:
    """All of its subscribers stand where it stands. One that cannot take a payload at once loses his seat, and comes
    back when he has caught up by himself: nobody waits for him, and nothing is kept for him."""

    def __init__(self, viewer: Viewer, question: Question, members: Members | None, at: int) -> None:
        self.viewer, self.question, self.members, self.at = viewer, question, members, at
        self.key = question.key(viewer)
        self.sight: VisibilityScope = self.key[-1]
        self.subscribers: set[Subscriber] = set()
        self.told_at = at

    def tell(self, payload: str) -> None:
        """Send to all who can take it at once."""
        self.told_at = self.at
        for subscriber in list(self.subscribers):
            if subscriber.outlet.offer(payload):
                subscriber.number = self.at
            else:
                self._unseat(subscriber)

    def disband(self, failure: Exception | None = None) -> None:
        """Everybody loses his seat: to catch up alone, or with a failure, which ends the subscription."""
        for subscriber in list(self.subscribers):
            self._unseat(subscriber, failure)

    def _unseat(self, subscriber: Subscriber, failure: Exception | None = None) -> None:
        self.subscribers.discard(subscriber)
        subscriber.failure = failure
        subscriber.unseated.set()

    async def advance(
        self,
        session: AsyncSession,
        rows: Sequence[ChangeRow],
        end: Stand,
        answer: Answer,
        audience: Audience | None,
        parted: list[Group],
    ) -> None:
        """Go on by rows of the log. The subscribers are told what these mean, if anything. Those who see otherwise
        than the group from now on are answered as groups of their own, which are added to `parted` one by one.

        Raises what the database raises; then those who were not told yet stand where they stood.
        """
        moving = moving_rows(rows, self.sight, {each.viewer.user_id for each in self.subscribers})
        if moving:
            await self._part(session, rows, moving, end, answer, parted)
        if self.subscribers:
            await self._go_on(session, rows, moving, end, answer, audience)

    async def _go_on(
        self,
        session: AsyncSession,
        rows: Sequence[ChangeRow],
        moving: Sequence[ChangeRow],
        end: Stand,
        answer: Answer,
        audience: Audience | None,
    ) -> None:
        personal = moving if self.sight.user_id is not None else []
        try:
            told = await news(session, self.viewer, self.question, self.members, rows, personal, end, answer, audience)
        except (ResyncRequired, GraphQLError) as error:
            self.disband(error)
            return
        self.members, self.at = told.members, end.number
        if told.payload is not None:
            self.tell(told.payload)

    async def _part(
        self,
        session: AsyncSession,
        rows: Sequence[ChangeRow],
        moving: Sequence[ChangeRow],
        end: Stand,
        answer: Answer,
        parted: list[Group],
    ) -> None:
        """Part with those who see otherwise from now on. They are told what comes and goes by that."""
        viewers, _ = await load_viewers(session, self.viewer, [each.viewer.user_id or "" for each in self.subscribers])
        parting: dict[Any, list[Subscriber]] = defaultdict(list)
        for subscriber in list(self.subscribers):
            viewer = viewers.get(subscriber.viewer.user_id or "")
            if viewer is None:
                self._unseat(subscriber, Unauthenticated("You may no longer sign in."))
            elif (key := subscriber.question.key(viewer)) != self.key:
                parting[key].append(subscriber)
        for subscribers in parting.values():
            viewer = viewers[subscribers[0].viewer.user_id or ""]
            try:
                told = await news(session, viewer, self.question, self.members, rows, moving, end, answer)
            except (ResyncRequired, GraphQLError) as error:
                for subscriber in subscribers:
                    self._unseat(subscriber, error)
                continue
            group = Group(viewer, self.question, told.members, end.number)
            parted.append(group)
            for subscriber in subscribers:
                subscriber.viewer, subscriber.number = viewers[subscriber.viewer.user_id or ""], end.number
                if told.payload is None or subscriber.outlet.offer(told.payload):
                    self.subscribers.discard(subscriber)
                    group.subscribers.add(subscriber)
                else:  # what he would not take is known nowhere else: he has to read anew
                    self._unseat(subscriber, ResyncRequired(TOO_MANY, end.revision))
