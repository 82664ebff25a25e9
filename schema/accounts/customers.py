"""The 360 view of an account, live."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Optional

import strawberry
from strawberry import UNSET

from crm_graph import models
from crm_graph.changelog import Revision
from crm_graph.errors import BadUserInput
from loaders.accounts.customers import customer
from loaders.live.events import RecordEvent
from schema.core import Node
from schema.core.context import Info
from schema.core.declared import argument
from schema.core.registry import subscription_fields
from schema.subscriptions.live_lists import EventKinds, live_event
from schema.subscriptions.source import LiveUpdate, SubscriptionSource, events_of, live

if TYPE_CHECKING:
    from schema.core.node_types import CustomerEvent


live_event(
    "CustomerEvent",
    __name__,
    EventKinds("CustomerEventKind", "record", otherwise="UPDATED", place="the account"),
    "record",
    Optional[Node],
)


@strawberry.type(description="Changes to an account and its records, at one revision.")
class CustomerUpdate(LiveUpdate):
    events: list[CustomerEvent] = strawberry.field(description="The changes, one per record; empty for a checkpoint.")


async def _follow_customer(info: Info, *, account_id: str, after: Revision | None) -> SubscriptionSource:
    if await info.context.loaders.by_key(models.Account).load(account_id) is None:
        raise BadUserInput("There is no such account.", "accountId")

    def answer(occurrences: Sequence[RecordEvent], revision: str, caught_up: bool) -> CustomerUpdate:
        events = events_of(CustomerEvent, occurrences, revision)
        return CustomerUpdate(revision=revision, caught_up=caught_up, events=events)

    live_list = customer(account_id)
    return SubscriptionSource(live_list, answer, {source.model for source in live_list.sources}, after)


@subscription_fields(3)
class CustomerSubscription:
    customer_updates: CustomerUpdate = live(
        "Changes to an account and to all records of its 360 view: contacts, deals with their roles and lines, cases, "
        "activities, campaigns. With `after` set to a query's revision, you miss none.",
        _follow_customer,
        lambda: [argument("account_id", strawberry.ID, "Id of the account.", UNSET)],
    )
