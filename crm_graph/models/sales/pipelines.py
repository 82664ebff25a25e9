"""Pipelines with their stages, and products."""

from __future__ import annotations

import enum
from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from crm_graph.models import types
from crm_graph.models.base import Entity, reference
from crm_graph.models.policies import Everyone


class StageCategory(enum.StrEnum):
    """The outcome of the deals in a stage.

    OPEN: they can still be won.
    WON: they were won.
    LOST: they were lost.
    """

    OPEN = "OPEN"
    WON = "WON"
    LOST = "LOST"


class ForecastCategory(enum.StrEnum):
    """The share of the forecast that a deal counts in.

    PIPELINE: it may be won.
    BEST_CASE: it will be won if all goes well.
    COMMIT: it is expected to be won.
    CLOSED: it was won.
    OMITTED: not in the forecast.
    """

    PIPELINE = "PIPELINE"
    BEST_CASE = "BEST_CASE"
    COMMIT = "COMMIT"
    CLOSED = "CLOSED"
    OMITTED = "OMITTED"


class RequiredField(enum.StrEnum):
    """A field of a deal that a stage may require.

    ACCOUNT: the buyer.
    AMOUNT: the value.
    CLOSE_DATE: the expected date of closing.
    NEXT_STEP: the next step.
    LEAD_SOURCE: the source of the lead.
    LOST_REASON: the reason for losing it.
    """

    ACCOUNT = "ACCOUNT"
    AMOUNT = "AMOUNT"
    CLOSE_DATE = "CLOSE_DATE"
    NEXT_STEP = "NEXT_STEP"
    LEAD_SOURCE = "LEAD_SOURCE"
    LOST_REASON = "LOST_REASON"

    @property
    def column(self) -> str:
        return "account_id" if self is RequiredField.ACCOUNT else self.value.lower()


class Pipeline(Entity):
    """An ordered list of stages."""

    __tablename__ = "pipelines"
    __table_args__ = (sa.UniqueConstraint("workspace_id", "external_id"),)
    prefix = "pipe"
    read_policy = edit_policy = Everyone()

    name: Mapped[str]
    description: Mapped[str | None] = mapped_column(types.Text(2000))
    position: Mapped[int] = mapped_column(default=0)
    external_id: Mapped[str | None] = mapped_column(types.Text(100))


class Stage(Entity):
    """A column of a pipeline's board."""

    __tablename__ = "stages"
    __table_args__ = (sa.UniqueConstraint("workspace_id", "external_id"),)
    prefix = "stg"
    read_policy = edit_policy = Everyone()

    pipeline_id: Mapped[str] = reference("pipelines", nullable=False)
    name: Mapped[str]
    position: Mapped[int] = mapped_column(default=0)
    probability: Mapped[int] = mapped_column(types.Integer(maximum=100), default=0)
    category: Mapped[StageCategory] = mapped_column(types.Enum(StageCategory), default=StageCategory.OPEN)
    forecast_category: Mapped[ForecastCategory] = mapped_column(
        types.Enum(ForecastCategory), default=ForecastCategory.PIPELINE
    )
    days_until_stale: Mapped[int | None]
    required_fields: Mapped[list[RequiredField]] = mapped_column(types.Enums(RequiredField), default=list)
    external_id: Mapped[str | None] = mapped_column(types.Text(100))


class Product(Entity):
    """Something that is sold, with its list price."""

    __tablename__ = "products"
    __table_args__ = (sa.UniqueConstraint("workspace_id", "external_id"),)
    prefix = "prod"
    read_policy = edit_policy = Everyone()

    name: Mapped[str]
    code: Mapped[str | None] = mapped_column(types.Text(100))
    family: Mapped[str | None]
    description: Mapped[str | None] = mapped_column(types.Text(types.LONG_TEXT))
    price: Mapped[Decimal | None]
    currency: Mapped[str | None] = mapped_column(types.Currency())
    active: Mapped[bool] = mapped_column(default=True)
    external_id: Mapped[str | None] = mapped_column(types.Text(100))
