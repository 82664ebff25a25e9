"""Pipelines, their stages, and products."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crm_graph import models
from crm_graph.models import ForecastCategory, RequiredField, StageCategory
from crm_graph.services.sales import pipelines
from loaders import SortKey
from loaders.sales import opportunities as relations
from schema.core import Connection, Money, Node, column, connection, crud, edge, money, node
from schema.core.scalars import enum_type

if TYPE_CHECKING:
    from schema.core.node_types import Opportunity

enum_type(RequiredField, "GateField")


@node(models.Pipeline, "A series of stages that deals go through.", order=(SortKey("position"),))
class Pipeline(Node):
    name: str = column("Name of the pipeline.")
    description: str | None = column("Free text.")
    position: int = column("Position among the pipelines.")
    external_id: str | None = column("Id in another system, unique among pipelines.")
    stages: Connection[Stage] = connection("Its stages in their order.", relations.STAGES)
    opportunities: Connection[Opportunity] = connection("The deals in it.", relations.IN_PIPELINE)


@node(models.Stage, "A step of a pipeline and a column of its board.", order=(SortKey("position"),))
class Stage(Node):
    name: str = column("Name of the stage.")
    position: int = column("Position in the pipeline.")
    probability: int = column("Probability of winning a deal in this stage, in percent.")
    category: StageCategory = column("State of its deals: open, won or lost.")
    forecast_category: ForecastCategory = column("Forecast category of its deals.")
    days_until_stale: int | None = column("Number of days after which a deal in it is stale.")
    required_fields: list[RequiredField] = column("The fields that a deal needs to enter it.")
    external_id: str | None = column("Id in another system, unique among stages.")
    pipeline: Pipeline | None = edge("The pipeline that it is part of.", by="pipeline_id", write="create")
    opportunities: Connection[Opportunity] = connection("The deals in it.", relations.IN_STAGE)


@node(models.Product, "Something that you sell.")
class Product(Node):
    name: str = column("Name of the product.")
    code: str | None = column("Product code.")
    family: str | None = column("Product line.")
    description: str | None = column("Free text.", sortable=False)
    price: Money | None = money("List price.")
    active: bool = column("True while it is sold.")
    external_id: str | None = column("Id in another system, unique among products.")


for _type in (Pipeline, Stage, Product):
    crud(
        _type,
        create=pipelines.create,
        update=pipelines.update,
        delete=pipelines.delete,
        restore=pipelines.restore,
        position=4,
    )
