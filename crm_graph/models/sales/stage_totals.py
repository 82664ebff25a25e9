"""Totals of deals, kept up to date by each change."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from crm_graph.models import types
from crm_graph.models.base import Rollup
from crm_graph.models.types import AMOUNT_SCALE, SPLIT


class StageTotal(Rollup):
    """The deals of one stage, currency, owner and team that are not deleted: how many, and the sums of their amounts.

    Sums are in whole ten-thousandths, `weighted` ones times the percentage of the probability. A deal without
    owner or team counts under an empty id; a deal without an amount counts under an empty currency, with no sums. A row
    whose deals have all left stays, with a count of 0.
    """

    __tablename__ = "stage_totals"
    entity = "Opportunity"

    stage_id: Mapped[str] = mapped_column(types.Id(), primary_key=True)
    currency: Mapped[str] = mapped_column(types.Currency(), primary_key=True)
    owner_id: Mapped[str] = mapped_column(types.Id(), primary_key=True)
    team_id: Mapped[str] = mapped_column(types.Id(), primary_key=True)
    count: Mapped[int] = mapped_column(sa.BigInteger)
    high: Mapped[int] = mapped_column(sa.BigInteger)
    low: Mapped[int] = mapped_column(sa.BigInteger)
    weighted_high: Mapped[int] = mapped_column(sa.BigInteger)
    weighted_low: Mapped[int] = mapped_column(sa.BigInteger)

    @classmethod
    def contribution(cls, values: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[int, ...]] | None:
        if values["stage_id"] is None or values["deleted_at"] is not None:
            return None
        amount, currency = values["amount"], values["currency"]
        units = 0
        if amount is None or currency is None:
            currency = ""
        else:
            units = int(Decimal(amount) * AMOUNT_SCALE)
        high, low = divmod(abs(units), SPLIT)
        if units < 0:
            high, low = -high, -low
        probability = values["probability"]
        key = values["stage_id"], currency, values["owner_id"] or "", values["team_id"] or ""
        return key, (1, high, low, high * probability, low * probability)
