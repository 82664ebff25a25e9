"""The change log for clients that keep a copy of records: all changes since a revision, including deletions."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Sequence
from typing import TYPE_CHECKING

import strawberry
from strawberry.types.arguments import StrawberryArgument
from strawberry.utils.str_converters import to_camel_case

from crm_graph.changelog import Revision
from crm_graph.errors import BadUserInput
from crm_graph.models import Action
from loaders.live.change_log import LiveChangeLog, load_log
from loaders.live.events import SIGN_IN_ACTIONS, RecordEvent
from schema.core import TYPES, Node
from schema.core.context import Info
from schema.core.declared import Arguments, DeclaredField, argument, declared
from schema.core.registry import derived_type, query_fields, subscription_fields
from schema.core.scalars import enum_type
from schema.subscriptions.source import AFTER, LiveEvent, LiveUpdate, SubscriptionSource, events_of, live

if TYPE_CHECKING:
    from schema.core.node_types import ChangeAction, RecordType

MAX_PAGE_SIZE = 500
DEFAULT_PAGE_SIZE = 100


@derived_type("RecordType")
def _record_type() -> enum.EnumType:
    members = enum.Enum("RecordType", {name: name for name in sorted(TYPES)})  # type: ignore[misc]
    members.__doc__ = "The type of a record.\n\n" + "\n".join(f"{name}: a record of type {name}." for name in TYPES)
    return enum_type(members)


@derived_type("ChangeAction")
def _change_action() -> enum.EnumType:
    members = enum.Enum("ChangeAction", {each.name: each.value for each in Action if each not in SIGN_IN_ACTIONS})  # type: ignore[misc]
    members.__doc__ = Action.__doc__
    return enum_type(members)


@strawberry.type(description="A change to one record in one transaction.")
class Change(LiveEvent):
    @strawberry.field(description="The action.")
    def action(self) -> ChangeAction:
        return ChangeAction(self.occurrence.last.action.value)

    @strawberry.field(description="Time it was recorded.")
    def recorded_at(self) -> dt.datetime:
        return self.occurrence.last.recorded_at

    @strawberry.field(description="The cause: the name of a mutation, or `import`.")
    def cause(self) -> str:
        return self.occurrence.last.cause

    @strawberry.field(description="Type of the record.")
    def record_type(self) -> RecordType:
        return RecordType(self.occurrence.last.entity)

    @strawberry.field(description="Id of the record.")
    def record_id(self) -> strawberry.ID:
        return strawberry.ID(self.occurrence.record_id)

    @strawberry.field(description="Names of the changed fields.")
    def changed_fields(self) -> list[str]:
        return [to_camel_case(name) for name in self.occurrence.last.names]

    @strawberry.field(
        description="True if the record is deleted or no longer visible to you: drop it and what belongs to it."
    )
    def gone(self) -> bool:
        return self.occurrence.record is None

    @strawberry.field(description="The record as it is now; null if it is gone.")
    def record(self) -> Node | None:
        return self.occurrence.record


@strawberry.type(description="A page of the change log, with changes to records that you may see or could see.")
class ChangePage(LiveUpdate):
    changes: list[Change] = strawberry.field(description="The changes in their order; empty for a checkpoint.")


def _page(occurrences: Sequence[RecordEvent], revision: str, caught_up: bool) -> ChangePage:
    changes = events_of(Change, occurrences, revision)
    return ChangePage(revision=revision, caught_up=caught_up, changes=changes)


def _live_log(types: Sequence[enum.Enum] | None) -> LiveChangeLog:
    names = TYPES if types is None else {each.value for each in types}
    return LiveChangeLog({name: TYPES[name].__model__ for name in names})


def _types() -> list[StrawberryArgument]:
    return [argument("types", list[RecordType] | None, "Only records of these types; all if omitted.")]


class Changes(DeclaredField):
    """The root field that reads the change log page by page."""

    page_sizes = DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE

    def declare_arguments(self) -> list[StrawberryArgument]:
        return [
            *_types(),
            argument("after", str | None, AFTER),
            argument("first", int | None, "Number of log rows to read: 1 to 500; 100 if omitted."),
        ]

    async def resolve(self, source: object, info: Info, arguments: Arguments) -> ChangePage:
        loaders, live_log = info.context.loaders, _live_log(arguments.get("types"))
        text, first = arguments.get("after"), arguments.get("first")
        if first is not None and not 1 <= first <= MAX_PAGE_SIZE:
            raise BadUserInput(f"first is a number from 1 to {MAX_PAGE_SIZE}, not {first}.", "first")
        after = None if text is None else Revision.parse(text, "after")
        retention = info.context.settings.retention
        occurrences, end, caught_up = await loaders.read(
            lambda session: load_log(session, loaders.viewer, live_log, after, first or DEFAULT_PAGE_SIZE, retention)
        )
        return _page(occurrences, str(end), caught_up)


async def _follow_changes(
    info: Info, *, types: Sequence[enum.Enum] | None = None, after: Revision | None
) -> SubscriptionSource:
    live_log = _live_log(types)
    return SubscriptionSource(live_log, _page, live_log.models.values(), after)


@query_fields(13)
class ChangeQuery:
    changes: ChangePage = declared(
        Changes,
        "Changes after a revision, in pages. Repeat with `after` set to the page's revision until it is caught up.",
    )


@subscription_fields(4)
class ChangeSubscription:
    changes: ChangePage = live("Every change after a revision, as it happens.", _follow_changes, _types)
