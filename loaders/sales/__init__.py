"""Reads of the sales area."""

from __future__ import annotations

from loaders.sales.boards import Totals, totals_by
from loaders.sales.opportunities import OF_CAMPAIGN

__all__ = ["OF_CAMPAIGN", "Totals", "totals_by"]
