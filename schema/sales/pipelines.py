"""Pipelines, their stages, and products."""

from __future__ import annotations

from typing import TYPE_CHECKING

import strawberry

from crm_graph import models
from crm_graph.models import ForecastCategory, GateField, StageCategory
from crm_graph.services.sales import pipelines
from loaders import Order
from loaders.sales import opportunities as relations
from schema.core import Connection, Money, Node, by_id, column, connection, edge, money, node
from schema.core.mutations import Payload, RecordInput, mutation
from schema.core.registry import mutation_fields, query_fields

if TYPE_CHECKING:
    from schema.core.node_types import Opportunity


@node(models.Pipeline, "An ordered list of stages that deals go through.", order=(Order("position"),))
class Pipeline(Node):
    name: str = column("What the pipeline is called.")
    description: str | None = column("What it is for.")
    position: int = column("Its place among the pipelines.")
    external_id: str | None = column("Its id in another system, unique among pipelines.")
    stages: Connection[Stage] = connection("Its stages, in their order.", relations.STAGES)
    opportunities: Connection[Opportunity] = connection("The deals in it.", relations.IN_PIPELINE)


@node(models.Stage, "A step of a pipeline; a column of its board.", order=(Order("position"),))
class Stage(Node):
    name: str = column("What the stage is called.")
    position: int = column("Its place in the pipeline.")
    probability: int = column("How likely a deal in it is to be won, in percent.")
    category: StageCategory = column("Whether its deals are open, won or lost.")
    forecast_category: ForecastCategory = column("Where its deals count in the forecast.")
    days_until_stale: int | None = column("After how many days in it a deal is stale.")
    required_fields: list[GateField] = column("What a deal must have to enter it: its gate.")
    external_id: str | None = column("Its id in another system, unique among stages.")
    pipeline: Pipeline | None = edge("The pipeline that it is a part of.", by="pipeline_id", write="create")
    opportunities: Connection[Opportunity] = connection("The deals in it.", relations.IN_STAGE)


@node(models.Product, "Something that is sold.")
class Product(Node):
    name: str = column("What the product is called.")
    code: str | None = column("Its article number.")
    family: str | None = column("The product line that it belongs to.")
    description: str | None = column("What it is.", sortable=False)
    price: Money | None = money("Its list price.")
    active: bool = column("Whether it is sold at present.")
    external_id: str | None = column("Its id in another system, unique among products.")


@strawberry.type(description="The pipeline as it is now.")
class PipelinePayload(Payload):
    pipeline: Pipeline | None = edge(
        "The pipeline; null if it was refused, or if it may not be seen any more.", by="record_id"
    )


@strawberry.type(description="The stage as it is now.")
class StagePayload(Payload):
    stage: Stage | None = edge("The stage; null if it was refused, or if it may not be seen any more.", by="record_id")


@strawberry.type(description="The product as it is now.")
class ProductPayload(Payload):
    product: Product | None = edge(
        "The product; null if it was refused, or if it may not be seen any more.", by="record_id"
    )


@query_fields(4)
class PipelineQuery:
    pipeline: Pipeline | None = by_id("One pipeline; null if there is none, or if it may not be seen.")
    pipelines: Connection[Pipeline] = connection("All pipelines.")
    stage: Stage | None = by_id("One stage; null if there is none, or if it may not be seen.")
    stages: Connection[Stage] = connection("All stages.")
    product: Product | None = by_id("One product; null if there is none, or if it may not be seen.")
    products: Connection[Product] = connection("All products.")


@mutation_fields(4)
class PipelineMutation:
    create_pipeline: PipelinePayload = mutation("Add a pipeline.", pipelines.create, model=models.Pipeline)
    update_pipeline: PipelinePayload = mutation("Change a pipeline.", pipelines.update, model=models.Pipeline)
    delete_pipeline: PipelinePayload = mutation(
        "Delete a pipeline.", pipelines.delete, RecordInput, model=models.Pipeline
    )
    restore_pipeline: PipelinePayload = mutation(
        "Bring a deleted pipeline back.", pipelines.restore, RecordInput, model=models.Pipeline
    )
    create_stage: StagePayload = mutation("Add a stage.", pipelines.create, model=models.Stage)
    update_stage: StagePayload = mutation("Change a stage.", pipelines.update, model=models.Stage)
    delete_stage: StagePayload = mutation("Delete a stage.", pipelines.delete, RecordInput, model=models.Stage)
    restore_stage: StagePayload = mutation(
        "Bring a deleted stage back.", pipelines.restore, RecordInput, model=models.Stage
    )
    create_product: ProductPayload = mutation("Add a product.", pipelines.create, model=models.Product)
    update_product: ProductPayload = mutation("Change a product.", pipelines.update, model=models.Product)
    delete_product: ProductPayload = mutation("Delete a product.", pipelines.delete, RecordInput, model=models.Product)
    restore_product: ProductPayload = mutation(
        "Bring a deleted product back.", pipelines.restore, RecordInput, model=models.Product
    )
