"""GraphQL types of the sales area."""

from __future__ import annotations

from schema.sales.totals import DealTotals, compile_totals, compile_worth

__all__ = ["DealTotals", "compile_totals", "compile_worth"]
