"""Live lists, declared.

    live_list(Case, kinds={"CLOSED": ("The case was closed.", changed("closed_at"))})

declares the enum CaseEventKind, the types CaseEvent and CaseUpdate, and the subscription `caseUpdates`.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

import strawberry
from strawberry.types.arguments import StrawberryArgument

from crm_graph.changelog import Revision
from crm_graph.errors import BadUserInput
from crm_graph.models import Action
from crm_graph.records import label
from loaders.live.events import RecordEvent
from loaders.live.lists import Dependencies, ListSource, LiveList, everything, invalidated_by
from schema.core.context import Info
from schema.core.declare import declared_class, snake_case
from schema.core.declared import argument
from schema.core.filters import INPUT_TYPES, Filter
from schema.core.registry import named_type, subscription_fields
from schema.core.scalars import enum_type
from schema.subscriptions.source import LiveEvent, LiveUpdate, SubscriptionSource, events_of, live

Kinds = Mapping[str, tuple[str, Callable[[RecordEvent], bool]]]
"""Kinds of changes to a record of the list, by name: a description, and the condition on the change. The first kind
whose condition holds is the event's."""


def changed(*columns: str) -> Callable[[RecordEvent], bool]:
    """The condition that one of these columns changed."""
    names = frozenset(columns)
    return lambda occurrence: not names.isdisjoint(occurrence.names)


@dataclass(frozen=True)
class EventKinds:
    """The kinds of changes to a record of a list: it enters, it changes in one of `kinds` or otherwise, it
    leaves. With `created`, a new record has a kind of its own."""

    name: str
    noun: str
    kinds: Kinds = field(default_factory=dict)
    created: str | None = None
    otherwise: str = "CHANGED"
    place: str = "the list"
    enum: Any = field(init=False)

    def __post_init__(self) -> None:
        meanings = {} if self.created is None else {self.created: f"The {self.noun} is new."}
        meanings |= {
            "ENTERED": f"The {self.noun} entered {self.place} or became visible to you.",
            **{kind: description for kind, (description, _) in self.kinds.items()},
            self.otherwise: f"The {self.noun} changed in {'another' if self.kinds else 'some'} way.",
            "LEFT": f"The {self.noun} left {self.place} or is no longer visible to you.",
        }
        members = enum.Enum(self.name, {kind: kind for kind in meanings})  # type: ignore[misc]
        lines = "\n".join(f"{kind}: {meaning}" for kind, meaning in meanings.items())
        members.__doc__ = f"Kinds of changes to a {self.noun} of {self.place}.\n\n{lines}"
        object.__setattr__(self, "enum", enum_type(members))

    def of(self, occurrence: RecordEvent) -> enum.Enum:
        """The kind of an event."""
        if occurrence.record is None:
            return self.enum["LEFT"]
        if not occurrence.was_member:
            created = self.created is not None and Action.CREATED in occurrence.actions
            return self.enum[self.created if created else "ENTERED"]
        return self.enum[next((kind for kind, (_, holds) in self.kinds.items() if holds(occurrence)), self.otherwise)]


def live_event(name: str, module: str, kinds: EventKinds, record: str, record_type: object) -> type[LiveEvent]:
    """The type of a list's events: a kind, the record's id, and the record in the field `record`."""
    fields = {
        "kind": (kinds.enum, "Kind of the change; if several kinds apply, the first of them."),
        f"{record}_id": (strawberry.ID, f"Id of the {kinds.noun}."),
        record: (record_type, f"The {kinds.noun} as it is now; null after LEFT."),
    }
    declared = {each: (annotation, strawberry.field(description=text)) for each, (annotation, text) in fields.items()}
    event = declared_class(name, module, declared, LiveEvent)
    event.values_of = lambda occurrence: {
        "kind": kinds.of(occurrence),
        f"{record}_id": occurrence.record_id,
        record: occurrence.record,
    }
    return named_type(strawberry.type(event, description=f"A change to a {kinds.noun} of the list."))


def live_list(
    node: type[Any], *, kinds: Kinds | None = None, created: str | None = None, position: float = math.inf
) -> None:
    """Declare the subscription to the records of a type that meet an optional filter.

    `position` is the place of its field among those of Subscription.
    """
    model, prefix, module = node.__model__, node.__name__, node.__module__
    name, noun, plural = snake_case(prefix), label(model), model.__tablename__.replace("_", " ")
    event_kinds = EventKinds(f"{prefix}EventKind", noun, kinds or {}, created)
    event = live_event(f"{prefix}Event", module, event_kinds, name, Optional[node])
    events = strawberry.field(description="The changes, one per record; empty for a checkpoint.")
    update: Any = declared_class(f"{prefix}Update", module, {"events": (list[event], events)}, LiveUpdate)  # type: ignore[valid-type]
    update = named_type(strawberry.type(update, description=f"Changes to a list of {plural}, at one revision."))

    def answer(occurrences: Sequence[RecordEvent], revision: str, caught_up: bool) -> object:
        return update(revision=revision, caught_up=caught_up, events=events_of(event, occurrences, revision))

    async def follow(info: Info, *, filter: Filter | None = None, after: Revision | None) -> SubscriptionSource:
        if filter is not None and filter.mentions("deleted_at"):
            raise BadUserInput(f"Deleted {plural} cannot be followed.", "filter.deletedAt")
        where = everything if filter is None else filter.where
        scope = ListSource(model, where, lambda row, members: True, lambda row: True)
        reached: Dependencies = {} if filter is None else filter.reaches()
        return SubscriptionSource(LiveList([scope], invalidated_by(reached)), answer, {model, *reached}, after)

    def arguments() -> list[StrawberryArgument]:
        return [argument("filter", INPUT_TYPES[f"{prefix}Filter"] | None, f"Only these {plural}.")]

    updates = live(f"Changes to {plural}. With `after` set to a query's revision, you miss none.", follow, arguments)
    fields = {f"{name}_updates": (update, updates)}
    subscription_fields(position)(declared_class(f"{prefix}Subscription", module, fields))
