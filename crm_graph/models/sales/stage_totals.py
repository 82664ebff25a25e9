"""Totals of deals, kept up to date by each change."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from crm_graph.models import types
from crm_graph.models.base import Base

SPLIT = 1_000_000_000
"""Sums are kept as `high` x SPLIT + `low`: a sum of amounts as such would overflow 64 bits at ten of the largest.

In halves, ninety million deals of the largest amount fit, weighted by 100 percent.
"""


class StageTotal(Base):
    """The deals of one stage, currency, owner and team that are not deleted: how many, and the sums of their amounts.

    Sums are in whole ten-thousandths, `weighted` ones times the percentage of the probability. A deal without
    owner or team counts under an empty id; a deal without an amount counts under an empty currency, with no sums. A row
    whose deals have all left stays, with a count of 0.
    """

    __tablename__ = "stage_totals"

    workspace_id: Mapped[str] = mapped_column(types.Id(), sa.ForeignKey("workspaces.id"), primary_key=True)
    stage_id: Mapped[str] = mapped_column(types.Id(), primary_key=True)
    currency: Mapped[str] = mapped_column(types.Currency(), primary_key=True)
    owner_id: Mapped[str] = mapped_column(types.Id(), primary_key=True)
    team_id: Mapped[str] = mapped_column(types.Id(), primary_key=True)
    count: Mapped[int] = mapped_column(sa.BigInteger)
    high: Mapped[int] = mapped_column(sa.BigInteger)
    low: Mapped[int] = mapped_column(sa.BigInteger)
    weighted_high: Mapped[int] = mapped_column(sa.BigInteger)
    weighted_low: Mapped[int] = mapped_column(sa.BigInteger)
