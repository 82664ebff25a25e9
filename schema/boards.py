"""A pipeline as a board: a column a stage, with its totals and its first cards."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import strawberry
from strawberry import UNSET
from strawberry.dataloader import DataLoader
from strawberry.types.arguments import StrawberryArgument

from crm_graph import models
from loaders import Order, PageRequest
from loaders.boards import load_stage_totals, load_stages
from loaders.opportunities import IN_STAGE
from loaders.workspaces import load_revision
from schema.context import Info
from schema.declared import Declared, argument
from schema.filters import NAMES
from schema.node import Connection, Listed
from schema.scalars import CurrencyCode

if TYPE_CHECKING:
    from schema.opportunities import Opportunity
    from schema.pipelines import Pipeline, Stage

First = Annotated[int | None, strawberry.argument(description="How many cards: 1 to 100; 25 if omitted.")]
After = Annotated[str | None, strawberry.argument(description="Only cards below this cursor.")]


@strawberry.type(description="Sums over deals of one currency.")
class CurrencyTotal:
    currency: CurrencyCode = strawberry.field(description="The currency of the deals.")
    count: int = strawberry.field(description="How many deals.")
    amount: Decimal = strawberry.field(description="The sum of their amounts.")
    weighted: Decimal = strawberry.field(description="The sum of amount x probability / 100, unrounded.")


@strawberry.type(description="How many deals there are, and what they are worth.")
class DealTotals:
    count: int = strawberry.field(description="How many deals, those without an amount included.")
    sums: list[CurrencyTotal] = strawberry.field(description="Their sums, one a currency: they are never added.")


@strawberry.type(description="A column of a board.")
class BoardStage:
    stage: Stage = strawberry.field(description="The stage that the column stands for.")
    board: strawberry.Private[Any]

    @strawberry.field(description="Totals over all cards of the column.")
    async def totals(self, info: Info) -> DealTotals:
        loaders, where = info.context.loaders, self.board.where
        load: DataLoader[str, Any] = loaders.batch(
            (self.board.key, "totals"),
            lambda session, ids: load_stage_totals(session, loaders.viewer, where, ids),
        )
        return await load.load(self.stage.id)

    @strawberry.field(description="The cards in the order that people gave them.")
    async def cards(self, info: Info, first: First = None, after: After = None) -> Connection[Opportunity]:
        loaders = info.context.loaders
        request = PageRequest(order=(Order("rank"), Order("id")), first=first, after=after, where=self.board.where)
        request.check()
        key = (self.board.key, "cards", first, after)
        page = await loaders.pages(key, IN_STAGE, request).load(self.stage.id)
        return Listed(page, lambda: loaders.counts(key, IN_STAGE, request).load(self.stage.id))  # type: ignore[return-value]


@strawberry.type(description="A pipeline as a board, all of it as it stood at one revision.")
class PipelineBoard:
    pipeline: Pipeline = strawberry.field(description="The pipeline.")
    where: strawberry.Private[Any]
    key: strawberry.Private[Any]

    @strawberry.field(description="The revision that the board stands at: subscribe `after` it to miss nothing.")
    async def revision(self, info: Info) -> str:
        loaders = info.context.loaders
        return await loaders.read(lambda session: load_revision(session, loaders.viewer))

    @strawberry.field(description="Its columns, in the order of the stages.")
    async def stages(self, info: Info) -> list[BoardStage]:
        stages = await info.context.loaders.values(load_stages).load(self.pipeline.id)
        return [BoardStage(stage=stage, board=self) for stage in stages]


class Board(Declared):
    """The root field of boards; its filter is the one of deals."""

    def declare_arguments(self) -> list[StrawberryArgument]:
        return [
            argument("pipeline_id", strawberry.ID, "Which one.", UNSET),
            argument("filter", NAMES["OpportunityFilter"] | None, "Only these deals."),
        ]

    async def get_result(self, source: Any, info: Any, args: list[Any], kwargs: dict[str, Any]) -> PipelineBoard | None:
        pipeline: Any = await info.context.loaders.one(models.Pipeline).load(kwargs["pipeline_id"])
        condition = kwargs.get("filter")
        if pipeline is None:
            return None
        return PipelineBoard(pipeline=pipeline, where=condition and condition.where, key=repr(condition))


def board(description: str) -> Any:
    """The board of the pipeline that the client names."""
    return Board(description=description)


@strawberry.type
class BoardQuery:
    pipeline_board: PipelineBoard | None = board("A pipeline as a board; null if there is none, or not to be seen.")
