"""An account in figures."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

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
from loaders.sql_json.pages import RowScope, scalar
from schema.core import Money, compile_first, computed
from schema.core.costs import TOTAL
from schema.core.declared import DeclaredField
from schema.core.selection import FieldSelection
from schema.sales import DealTotals, compile_totals, compile_worth

if TYPE_CHECKING:
    from schema.core.node_types import Activity


class _Deals(DeclaredField):
    """Totals of an account's deals in stages of one category."""

    category: StageCategory

    async def get_result(self, source: Any, info: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        deals = await info.context.loaders.by_parent_ids(load_deals).load(source.id)
        return getattr(deals, self.category.lower())

    def compile(self, selection: FieldSelection, scope: RowScope) -> Any:
        return compile_totals(selection, scope, self.select(selection, scope))

    def select(self, selection: FieldSelection, scope: RowScope) -> Any:
        here = deals(selection.viewer, lambda column: column == scope.row.id)
        return here.where(models.Stage.category == sa.literal(self.category, models.Stage.category.type))


class _Worth(_Deals):
    """Value of these deals per currency."""

    weighted: bool

    async def get_result(self, source: Any, info: Any, args: list[Any], kwargs: dict[str, Any]) -> list[Money]:
        totals = await super().get_result(source, info, args, kwargs)
        return [
            Money(amount=each.weighted if self.weighted else each.amount, currency=each.currency)
            for each in totals.sums
        ]

    def compile(self, selection: FieldSelection, scope: RowScope) -> Any:
        return compile_worth(selection, scope, self.select(selection, scope), weighted=self.weighted)


def _deals(description: str, category: StageCategory) -> Any:
    field = _Deals(description=description)
    field.category = category
    return field


def _worth(description: str, category: StageCategory, *, weighted: bool) -> Any:
    field = _Worth(description=description)
    field.category, field.weighted = category, weighted
    return field


def _write_nearest(condition: Any, *, newest: bool) -> Callable[[FieldSelection, RowScope], Any]:
    def write(selection: FieldSelection, scope: RowScope) -> Any:
        return compile_first(
            selection, scope, models.Activity, nearest(selection.viewer, scope.row.id, condition, newest=newest)
        )

    return write


@strawberry.type(description="An account in figures, over the records that you may see. Currencies are never added.")
class AccountSummary:
    open_pipeline: DealTotals = _deals(
        "Number of open deals, their sums, and the sums weighted by probability.", StageCategory.OPEN
    )
    weighted_pipeline: list[Money] = _worth(
        "Expected value of its open deals: amount x probability / 100.",
        StageCategory.OPEN,
        weighted=True,
    )
    won: DealTotals = _deals("Its won deals.", StageCategory.WON)
    won_revenue: list[Money] = _worth("Value of its won deals.", StageCategory.WON, weighted=False)
    lost: DealTotals = _deals("Its lost deals.", StageCategory.LOST)
    open_cases: int = computed(
        "Number of cases that are neither resolved nor closed.",
        load_open_cases,
        lambda selection, scope: scalar(open_cases(selection.viewer, lambda column: column == scope.row.id), scope),
        cost=TOTAL,
    )
    last_activity: Activity | None = computed(
        "The latest past activity.", load_last_activities, _write_nearest(HAPPENED, newest=True)
    )
    next_activity: Activity | None = computed(
        "The next planned activity.", load_next_activities, _write_nearest(PLANNED, newest=False)
    )


class Summary(DeclaredField):
    """The field from an account to its figures. The account itself is their source."""

    def get_result(self, source: Any, info: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        return source

    def compile(self, selection: FieldSelection, scope: RowScope) -> Any:
        return selection.record(scope)


def summary(description: str) -> Any:
    """The figures of an account."""
    return Summary(description=description)
