"""Declares the fields of subscriptions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import strawberry
from strawberry.types.arguments import StrawberryArgument

from crm_graph import models
from crm_graph.changelog import Revision
from crm_graph.models import Entity
from loaders.live.change_log import LiveChangeLog
from loaders.live.events import RecordEvent
from loaders.live.lists import LiveList
from schema.core.context import Info
from schema.core.costs import FREE, costs
from schema.core.declared import Arguments, DeclaredField, argument

if TYPE_CHECKING:
    from schema.core.node_types import User

AFTER = "Only changes after this revision, such as a query's; changes from now on if omitted."


@dataclass(frozen=True)
class SubscriptionSource:
    """A live list, from the revision `after` or from now on.

    `make_value` takes events, the revision after them, and true if no more events are known; it returns the value of
    the subscription's field. `kinds` are the models that the list depends on.
    """

    live_list: LiveList | LiveChangeLog
    make_value: Callable[[Sequence[RecordEvent], str, bool], object]
    kinds: Collection[type[Entity]]
    after: Revision | None

    def __aiter__(self) -> NoReturn:
        """Defined because GraphQL requires an async iterable as the source of a subscription."""
        raise TypeError("A SubscriptionSource is served by the SubscriptionManager.")


class SubscriptionField(DeclaredField):
    """The root field of a subscription. `open_source` takes the arguments and returns the source."""

    open_source: Callable[..., Awaitable[SubscriptionSource]]
    own_arguments: Callable[[], list[StrawberryArgument]]

    def declare_arguments(self) -> list[StrawberryArgument]:
        return [*self.own_arguments(), argument("after", str | None, AFTER)]

    async def resolve(self, source: object, info: Info, arguments: Arguments) -> SubscriptionSource:
        info.context.viewer  # noqa: B018  # raises Unauthenticated
        after = arguments.pop("after", None)
        return await self.open_source(
            info, after=None if after is None else Revision.parse(after, "after"), **arguments
        )


def live(
    description: str,
    open_source: Callable[..., Awaitable[SubscriptionSource]],
    arguments: Callable[[], list[StrawberryArgument]],
) -> Any:
    """The field of a subscription. `arguments` are called late, since they may need the inputs of filters."""
    field = SubscriptionField(description=description, is_subscription=True)
    field.open_source, field.own_arguments = open_source, arguments
    return field


@strawberry.interface(description="A change to one record.")
class LiveEvent:
    revision: str = strawberry.field(description="The revision of the record's last change.")
    happened_at: dt.datetime = strawberry.field(description="Time of that change.")
    occurrence: strawberry.Private[RecordEvent]

    @staticmethod
    def values_of(occurrence: RecordEvent) -> dict[str, object]:
        """The values of the fields that a type of events adds."""
        return {}

    @strawberry.field(description="The user who made the change; null for the system.")
    async def actor(self, info: Info) -> User | None:
        user_id = self.occurrence.last.user_id
        return None if user_id is None else await info.context.loaders.by_key(models.User).load(user_id)


Event = TypeVar("Event", bound=LiveEvent)


@costs(FREE)
@strawberry.interface(description="Changes to a list, at one revision. Without events, nothing changed.")
class LiveUpdate:
    revision: str = strawberry.field(
        description="The revision that this brings you to. To resume, subscribe `after` it."
    )
    caught_up: bool = strawberry.field(
        description="False while more of the missed changes follow. Your list is exact when it is true."
    )


def events_of(kind: type[Event], occurrences: Sequence[RecordEvent], revision: str) -> list[Event]:
    """An event of a type for each occurrence."""
    epoch = Revision.parse(revision, "revision").epoch
    return [
        kind(
            revision=str(Revision(epoch, each.last.revision)),
            happened_at=each.last.happened_at,
            occurrence=each,
            **kind.values_of(each),
        )
        for each in occurrences
    ]
