"""The totals of stages, updated by the transaction that changes a deal, so that reading them does not sum up deals."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from crm_graph.changelog.entries import Entry
from crm_graph.database import upsert
from crm_graph.database.prepared import send_many
from crm_graph.models import StageTotal
from crm_graph.models.sales.stage_totals import SPLIT
from crm_graph.models.types import AMOUNT_SCALE

KEY = [column.key for column in StageTotal.__table__.primary_key]
SUMS = [column.key for column in StageTotal.__table__.columns if not column.primary_key]
Deal = Mapping[str, Any]
"""The snapshot columns of a deal before or after a change, in wire values."""


class Deltas:
    """The differences that a transaction makes to the totals."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, ...], list[int]] = defaultdict(lambda: [0] * len(SUMS))

    def note(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            if entry.entity == "Opportunity" and entry.before != entry.after:
                self._add(entry.before, -1)
                self._add(entry.after, 1)

    def _add(self, deal: Deal, times: int) -> None:
        if deal["stage_id"] is None or deal["deleted_at"] is not None:
            return  # not created yet, or deleted
        amount, currency = deal["amount"], deal["currency"]
        units = 0
        if amount is None or currency is None:
            currency = ""
        else:
            units = int(Decimal(amount) * AMOUNT_SCALE) * times
        high, low = divmod(abs(units), SPLIT)
        if units < 0:
            high, low = -high, -low
        probability = deal["probability"]
        sums = self._sums[deal["stage_id"], currency, deal["owner_id"] or "", deal["team_id"] or ""]
        for place, each in enumerate((times, high, low, high * probability, low * probability)):
            sums[place] += each

    async def write(self, session: AsyncSession, workspace_id: str) -> None:
        """Add the differences to the totals. The caller has locked the workspace's counter, so writers take turns."""
        rows = [
            dict(zip([*KEY, *SUMS], [workspace_id, *key, *sums], strict=True))
            for key, sums in sorted(self._sums.items())
            if any(sums)
        ]
        if rows:
            await send_many(session, _addition(session.get_bind().dialect.name), rows)


@functools.cache
def _addition(dialect: str) -> sa.Insert:
    table = StageTotal.__table__.c
    return upsert(dialect, StageTotal, lambda new: {name: table[name] + new[name] for name in SUMS})
