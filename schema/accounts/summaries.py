"""An account in figures."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import sqlalchemy as sa
import strawberry

from crm_graph import models
from crm_graph.models import StageCategory
from loaders.accounts.summaries import (
    HAPPENED,
    PLANNED,
    deals,
    load_deals,
    load_last_activities,
    load_next_activities,
    load_open_cases,
    nearest,
    open_cases,
)
from loaders.sales import Totals
from loaders.sql_json.expressions import Expression
from loaders.sql_json.pages import RowScope, scalar
from schema.core import Money, compile_first, computed
from schema.core.context import Info
from schema.core.costs import TOTAL
from schema.core.declared import Arguments, DeclaredField, declared
from schema.core.scalars import CurrencyCode
from schema.core.selection import FieldSelection
from schema.sales import DealTotals, compile_totals, compile_worth

if TYPE_CHECKING:
    from schema.core.node_types import Activity


class _Deals(DeclaredField):
    """Totals of an account's deals in stages of one category."""

    category: StageCategory

    async def resolve(self, source: models.Account, info: Info, arguments: Arguments) -> object:
        return await self.load(source, info)

    async def load(self, account: models.Account, info: Info) -> Totals:
        deals = await info.context.loaders.by_parent_ids(load_deals).load(account.id)
        totals: Totals = getattr(deals, self.category.lower())
        return totals

    def compile(self, selection: FieldSelection, scope: RowScope) -> Expression:
        return compile_totals(selection, scope, self.select(selection, scope))

    def select(self, selection: FieldSelection, scope: RowScope) -> sa.Select[*tuple[object, ...]]:
        here = deals(selection.viewer, lambda column: column == scope.row.id)
        return here.where(models.Stage.category == sa.literal(self.category, models.Stage.category.type))


class _Worth(_Deals):
    """Value of these deals per currency."""

    weighted: bool

    async def resolve(self, source: models.Account, info: Info, arguments: Arguments) -> list[Money]:
        totals = await self.load(source, info)
        return [
            Money(amount=each.weighted if self.weighted else each.amount, currency=CurrencyCode(each.currency))
            for each in totals.sums
        ]

    def compile(self, selection: FieldSelection, scope: RowScope) -> Expression:
        return compile_worth(selection, scope, self.select(selection, scope), weighted=self.weighted)


def _compile_nearest(
    condition: sa.ColumnElement[bool], *, newest: bool
) -> Callable[[FieldSelection, RowScope], Expression]:
    def write(selection: FieldSelection, scope: RowScope) -> Expression:
        return compile_first(
            selection, scope, models.Activity, nearest(selection.viewer, scope.row.id, condition, newest=newest)
        )

    return write


@strawberry.type(description="An account in figures, over the records that you may see. Currencies are never added.")
class AccountSummary:
    open_pipeline: DealTotals = declared(
        _Deals, "Number of open deals, their sums, and the sums weighted by probability.", category=StageCategory.OPEN
    )
    weighted_pipeline: list[Money] = declared(
        _Worth,
        "Expected value of its open deals: amount x probability / 100.",
        category=StageCategory.OPEN,
        weighted=True,
    )
    won: DealTotals = declared(_Deals, "Its won deals.", category=StageCategory.WON)
    won_revenue: list[Money] = declared(_Worth, "Value of its won deals.", category=StageCategory.WON, weighted=False)
    lost: DealTotals = declared(_Deals, "Its lost deals.", category=StageCategory.LOST)
    open_cases: int = computed(
        "Number of cases that are neither resolved nor closed.",
        load_open_cases,
        lambda selection, scope: scalar(open_cases(selection.viewer, lambda column: column == scope.row.id), scope),
        cost=TOTAL,
    )
    last_activity: Activity | None = computed(
        "The latest past activity.", load_last_activities, _compile_nearest(HAPPENED, newest=True)
    )
    next_activity: Activity | None = computed(
        "The next planned activity.", load_next_activities, _compile_nearest(PLANNED, newest=False)
    )


class Summary(DeclaredField):
    """The field from an account to its figures. The account itself is their source."""

    def resolve(self, source: models.Account, info: Info, arguments: Arguments) -> object:
        return source

    def compile(self, selection: FieldSelection, scope: RowScope) -> Expression:
        return selection.record(scope)
