"""An account in figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import strawberry

from loaders.summaries import load_deals, load_last_activities, load_next_activities, load_open_cases
from schema.boards import DealTotals
from schema.context import Info
from schema.declared import Declared
from schema.node import Money, figure

if TYPE_CHECKING:
    from schema.activities import Activity


async def _totals(self: Any, info: Info, category: str) -> Any:
    return getattr(await info.context.loaders.values(load_deals).load(self.id), category)


@strawberry.type(description="An account in figures, over what the viewer sees. Currencies are never added.")
class AccountSummary:
    @strawberry.field(description="Its open deals: how many, their sums, and these weighted by probability.")
    async def open_pipeline(self, info: Info) -> DealTotals:
        return await _totals(self, info, "open")

    @strawberry.field(description="What its open deals are worth by their probability: amount x probability / 100.")
    async def weighted_pipeline(self, info: Info) -> list[Money]:
        totals = await _totals(self, info, "open")
        return [Money(amount=each.weighted, currency=each.currency) for each in totals.sums]

    @strawberry.field(description="The deals that were won.")
    async def won(self, info: Info) -> DealTotals:
        return await _totals(self, info, "won")

    @strawberry.field(description="What the deals that were won are worth.")
    async def won_revenue(self, info: Info) -> list[Money]:
        totals = await _totals(self, info, "won")
        return [Money(amount=each.amount, currency=each.currency) for each in totals.sums]

    @strawberry.field(description="The deals that were lost.")
    async def lost(self, info: Info) -> DealTotals:
        return await _totals(self, info, "lost")

    open_cases: int = figure("How many cases are neither resolved nor closed.", load_open_cases)
    last_activity: Activity | None = figure("The newest thing that was done.", load_last_activities)
    next_activity: Activity | None = figure("The first thing that is still to be done.", load_next_activities)


class Summary(Declared):
    """The field that leads from an account to its figures, which know it by its id."""

    def get_result(self, source: Any, info: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        return source


def summary(description: str) -> Any:
    """The figures of an account."""
    return Summary(description=description)
