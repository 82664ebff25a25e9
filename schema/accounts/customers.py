"""All that the 360 of an account shows, live."""

from __future__ import annotations

import enum
from collections.abc import Sequence

import strawberry
from strawberry import UNSET

from crm_graph import models
from crm_graph.changelog import Revision
from crm_graph.errors import BadUserInput
from loaders.accounts.customers import customer
from loaders.live.lists import Occurrence
from schema.core import Node
from schema.core.context import Info
from schema.core.declared import argument
from schema.core.registry import subscription_fields
from schema.core.scalars import enum_type
from schema.subscriptions.source import LiveEvent, LiveUpdate, Watch, events_of, live


@enum_type
class CustomerEventKind(enum.Enum):
    """What became of a record around an account.

    ENTERED: it came to the account, or into sight.
    UPDATED: something in it changed.
    LEFT: it does not belong to the account any more, or is out of sight.
    """

    ENTERED = "ENTERED"
    UPDATED = "UPDATED"
    LEFT = "LEFT"


@strawberry.type(description="What became of one record around an account.")
class CustomerEvent(LiveEvent):
    @strawberry.field(description="What became of it.")
    def kind(self) -> CustomerEventKind:
        if self.occurrence.record is None:
            return CustomerEventKind.LEFT
        return CustomerEventKind.UPDATED if self.occurrence.was_member else CustomerEventKind.ENTERED

    @strawberry.field(description="The id of the record.")
    def record_id(self) -> strawberry.ID:
        return strawberry.ID(self.occurrence.record_id)

    @strawberry.field(description="The record as it is now; null where it has LEFT.")
    def record(self) -> Node | None:
        return self.occurrence.record


@strawberry.type(description="What became of an account and all around it, at one revision.")
class CustomerUpdate(LiveUpdate):
    events: list[CustomerEvent] = strawberry.field(description="What became of the records; none for a checkpoint.")


async def _follow_customer(info: Info, *, account_id: str, after: Revision | None) -> Watch:
    if await info.context.loaders.one(models.Account).load(account_id) is None:
        raise BadUserInput("There is no such account.", "accountId")

    def answer(occurrences: Sequence[Occurrence], revision: str, caught_up: bool) -> CustomerUpdate:
        events = events_of(CustomerEvent, occurrences, revision)
        return CustomerUpdate(revision=revision, caught_up=caught_up, events=events)

    listing = customer(account_id)
    return Watch(listing, answer, {scope.model for scope in listing.scopes}, after)


@subscription_fields(3)
class CustomerSubscription:
    customer_updates: CustomerUpdate = live(
        "What becomes of an account and of all that its 360 shows: contacts, deals with their roles and lines, cases, "
        "activities, campaigns. `after` the revision of its query nothing is missed.",
        _follow_customer,
        lambda: [argument("account_id", strawberry.ID, "Which one.", UNSET)],
    )
