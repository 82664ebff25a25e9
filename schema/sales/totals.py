"""The number and the sums of deals."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import sqlalchemy as sa
import strawberry

from loaders.sql_json.expressions import Expression, JsonRows, SplitSum
from loaders.sql_json.pages import RowScope
from schema.core import compile_value
from schema.core.costs import FREE, TOTAL, costs
from schema.core.scalars import CurrencyCode
from schema.core.selection import FieldSelection, Part


@costs(FREE)
@strawberry.type(description="Totals of deals in one currency.")
class CurrencyTotal:
    currency: CurrencyCode = strawberry.field(description="Currency of the deals.")
    count: int = strawberry.field(description="Number of deals.")
    amount: Decimal = strawberry.field(description="Sum of their amounts.")
    weighted: Decimal = strawberry.field(description="Sum of amount x probability / 100, unrounded.")


@costs(TOTAL)
@strawberry.type(description="Number and value of deals.")
class DealTotals:
    count: int = strawberry.field(description="Number of deals, including those without an amount.")
    sums: list[CurrencyTotal] = strawberry.field(description="Totals per currency. Currencies are never added.")


def compile_worth(
    selection: FieldSelection, scope: RowScope, select: sa.Select[*tuple[object, ...]], *, weighted: bool
) -> Expression:
    """Expression for a list of Money: the sums of such rows per currency."""

    def make(*columns: Expression) -> Expression:
        sums = _sums(columns)
        worth = {"amount": sums["weighted" if weighted else "amount"], "currency": sums["currency"]}
        return JsonRows(selection.write(worth), sums["currency"].is_not(None))

    return compile_value(scope, select, make)


def compile_totals(selection: FieldSelection, scope: RowScope, select: sa.Select[*tuple[object, ...]]) -> Expression:
    """Expression for the DealTotals of rows of (currency, count, amounts, weighted amounts)."""
    if not selection.subfields():
        return selection.write({})  # no field needs the rows

    def make(*columns: Expression) -> Expression:
        sums = _sums(columns)
        parts: dict[str, Part] = {
            "count": sa.func.coalesce(sa.func.sum(sums["count"]), 0, type_=sa.BigInteger()),
            "sums": lambda selection: JsonRows(selection.write(sums), sums["currency"].is_not(None)),
        }
        return selection.write(parts)

    return compile_value(scope, select, make)


def _sums(columns: Sequence[Expression]) -> dict[str, Expression]:
    """The members of a CurrencyTotal, from the last six columns of such a row."""
    currency, count, high, low, weighted_high, weighted_low = columns[-6:]
    amount, weighted = SplitSum(high, low, 4), SplitSum(weighted_high, weighted_low, 6)
    return {"currency": currency, "count": count, "amount": amount, "weighted": weighted}
