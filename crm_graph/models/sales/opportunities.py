"""Deals, with the people, products and competitors in them."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from crm_graph.models import types
from crm_graph.models.base import Entity, OwnedEntity, now, reference
from crm_graph.models.policies import AllOf, InheritsFrom, WorkspaceDefault
from crm_graph.models.sales.pipelines import ForecastCategory, Stage


class Opportunity(OwnedEntity):
    """A deal that may close. `rank` orders the cards of a stage; probability and forecast category follow the stage
    unless pinned."""

    __tablename__ = "opportunities"
    __table_args__ = (
        sa.UniqueConstraint("workspace_id", "external_id"),
        sa.Index(None, "workspace_id", "stage_id", "rank", "id"),
        sa.Index(None, "workspace_id", "close_date", "id"),
        sa.Index(None, "workspace_id", "account_id", "id"),
    )
    prefix = "opp"
    read_policy = edit_policy = WorkspaceDefault()
    EVENTS = {"stage_id": "MOVED"}

    name: Mapped[str]
    description: Mapped[str | None] = mapped_column(types.Text(types.LONG_TEXT))
    account_id: Mapped[str | None] = reference("accounts", index=False)
    pipeline_id: Mapped[str] = reference("pipelines", nullable=False)
    stage_id: Mapped[str] = reference("stages", nullable=False, index=False)
    rank: Mapped[str] = mapped_column(types.Text(1000))
    stage_entered_at: Mapped[dt.datetime] = mapped_column(default=now)
    amount: Mapped[Decimal | None]
    currency: Mapped[str | None] = mapped_column(types.Currency())
    probability: Mapped[int] = mapped_column(types.Integer(maximum=100), default=0)
    probability_pinned: Mapped[bool] = mapped_column(default=False)
    forecast_category: Mapped[ForecastCategory] = mapped_column(
        types.Enum(ForecastCategory), default=ForecastCategory.PIPELINE
    )
    forecast_category_pinned: Mapped[bool] = mapped_column(default=False)
    start_date: Mapped[dt.date | None]
    close_date: Mapped[dt.date | None]
    next_step: Mapped[str | None] = mapped_column(types.Text(500))
    lead_source: Mapped[str | None]
    lost_reason: Mapped[str | None] = mapped_column(types.Text(500))
    competitors: Mapped[list[str]] = mapped_column(types.TextList(), default=list)
    campaign_id: Mapped[str | None] = reference("campaigns")

    def enter(self, stage: Stage, rank: str) -> None:
        """Put the deal into a stage. Resets probability and forecast category unless they are pinned."""
        self.rank = rank
        if self.stage_id == stage.id:
            return
        self.stage_id, self.stage_entered_at = stage.id, now()
        if not self.probability_pinned:
            self.probability = stage.probability
        if not self.forecast_category_pinned:
            self.forecast_category = stage.forecast_category


class ContactRole(Entity):
    """A person's part in a deal, such as decision maker."""

    __tablename__ = "contact_roles"
    __table_args__ = (sa.UniqueConstraint("workspace_id", "opportunity_id", "contact_id"),)
    prefix = "role"
    read_policy = AllOf(InheritsFrom("opportunity_id"), InheritsFrom("contact_id"))
    edit_policy = InheritsFrom("opportunity_id")

    opportunity_id: Mapped[str] = reference("opportunities", nullable=False, index=False)
    contact_id: Mapped[str] = reference("contacts", nullable=False)
    role: Mapped[str | None] = mapped_column(types.Text(100))
    primary: Mapped[bool] = mapped_column(default=False)


class OpportunityLine(Entity):
    """A product of interest in a deal, in the deal's currency."""

    __tablename__ = "opportunity_lines"
    __table_args__ = (sa.UniqueConstraint("workspace_id", "external_id"),)
    prefix = "line"
    read_policy = edit_policy = InheritsFrom("opportunity_id")

    opportunity_id: Mapped[str] = reference("opportunities", nullable=False)
    product_id: Mapped[str] = reference("products", nullable=False)
    quantity: Mapped[Decimal] = mapped_column(default=Decimal(1))
    price: Mapped[Decimal | None]
    currency: Mapped[str | None] = mapped_column(types.Currency())
    external_id: Mapped[str | None] = mapped_column(types.Text(100))
