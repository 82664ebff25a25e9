"""A pipeline as a board: a column per stage, with its totals and its cards."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import sqlalchemy as sa
import strawberry
from strawberry import UNSET
from strawberry.dataloader import DataLoader
from strawberry.types.arguments import StrawberryArgument

from crm_graph import models
from crm_graph.access import Viewer, visible
from crm_graph.changelog import ChangeRow, Revision
from crm_graph.errors import BadUserInput
from loaders import Loaders, PageRequest, SortKey
from loaders.core.pages import Where
from loaders.live.events import RecordEvent
from loaders.live.lists import Dependencies, ListSource, LiveList, invalidated_by
from loaders.platform import load_revision, revision_of
from loaders.sales.boards import load_stage_totals, load_stages, stage_totals, stages_of
from loaders.sales.opportunities import IN_STAGE
from loaders.sql_json.expressions import Expression, JsonRows
from loaders.sql_json.pages import RowScope, scalar
from loaders.sql_json.variables import as_bind, specialized
from schema.core import Connection, ConnectionPage
from schema.core.context import Info
from schema.core.declared import Arguments, DeclaredField, argument, declared
from schema.core.filters import INPUT_TYPES, Filter
from schema.core.lists import compile_list
from schema.core.registry import query_fields, subscription_fields
from schema.core.selection import FieldSelection, Part
from schema.sales.totals import DealTotals, compile_totals
from schema.subscriptions.live_lists import EventKinds, changed, live_event
from schema.subscriptions.source import LiveUpdate, SubscriptionSource, events_of, live

if TYPE_CHECKING:
    from schema.core.node_types import BoardEvent, Opportunity, Pipeline, Stage

First = Annotated[int | None, strawberry.argument(description="Number of cards: 1 to 100; 25 if omitted.")]
After = Annotated[str | None, strawberry.argument(description="Only cards below this cursor.")]


@strawberry.type(description="A column of a board.")
class BoardStage:
    stage: Stage = strawberry.field(description="The stage of the column.")
    board: strawberry.Private[PipelineBoard]

    @strawberry.field(description="Totals of all cards in the column.")
    async def totals(self, info: Info) -> DealTotals:
        loaders, where = info.context.loaders, self.board.where
        load: DataLoader[str, Any] = loaders.batch(
            (self.board.key, "totals"),
            lambda session, ids: load_stage_totals(session, loaders.viewer, where, ids),
        )
        return await load.load(self.stage.id)

    @strawberry.field(description="The cards in their order on the board.")
    async def cards(self, info: Info, first: First = None, after: After = None) -> Connection[Opportunity]:
        loaders = info.context.loaders
        request = _cards(first, after, self.board.where)
        key = (self.board.key, "cards", first, after)
        page = await loaders.pages(key, IN_STAGE, request).load(self.stage.id)
        return ConnectionPage(page, lambda: loaders.counts(key, IN_STAGE, request).load(self.stage.id))  # type: ignore[return-value]


@strawberry.type(description="A pipeline as a board, at one revision.")
class PipelineBoard:
    pipeline: Pipeline = strawberry.field(description="The pipeline.")
    where: strawberry.Private[Where | None]
    key: strawberry.Private[str | None]

    @strawberry.field(description="The revision of the board. Subscribe `after` it to miss nothing.")
    async def revision(self, info: Info) -> str:
        loaders = info.context.loaders
        return await loaders.read(lambda session: load_revision(session, loaders.viewer))

    @strawberry.field(description="Its columns in the order of the stages.")
    async def stages(self, info: Info) -> list[BoardStage]:
        return await self.columns(info.context.loaders)

    async def columns(self, loaders: Loaders) -> list[BoardStage]:
        stages = await loaders.by_parent_ids(load_stages).load(self.pipeline.id)
        return [BoardStage(stage=stage, board=self) for stage in stages]


def _cards(first: int | None, after: str | None, where: Where | None) -> PageRequest:
    """The page request for a column's cards. Raises BadUserInput."""
    request = PageRequest(order=(SortKey("rank"), SortKey("id")), first=first, after=after, where=where)
    request.check()
    return request


def board_arguments() -> list[StrawberryArgument]:
    """The arguments that identify a board."""
    return [
        argument("pipeline_id", strawberry.ID, "Id of the pipeline.", UNSET),
        argument("filter", INPUT_TYPES["OpportunityFilter"] | None, "Only these deals."),
    ]


class Board(DeclaredField):
    """The root field of boards, filtered like deals."""

    def declare_arguments(self) -> list[StrawberryArgument]:
        return board_arguments()

    async def resolve(self, source: object, info: Info, arguments: Arguments) -> PipelineBoard | None:
        pipeline = await info.context.loaders.by_key(models.Pipeline).load(arguments["pipeline_id"])
        condition = arguments.get("filter")
        if pipeline is None:
            return None
        return PipelineBoard(pipeline=pipeline, where=condition and condition.where, key=repr(condition))

    def compile(self, selection: FieldSelection, scope: RowScope) -> Expression:
        arguments = selection.arguments
        condition = arguments.get("filter")
        where = condition and condition.where
        pipeline = scope.alias(models.Pipeline)
        here, viewer = scope.within(pipeline), selection.viewer
        parts: dict[str, Part] = {
            "pipeline": lambda selection: selection.record(here),
            "revision": lambda selection: scalar(revision_of(viewer), here),
            "stages": lambda selection: _compile_stages(selection, here, where),
        }
        chosen = pipeline.id == as_bind(arguments["pipeline_id"], pipeline.id.type)
        return scalar(
            sa.select(selection.write(parts)).select_from(pipeline).where(chosen, visible(pipeline, viewer)), scope
        )


def _compile_stages(selection: FieldSelection, scope: RowScope, where: Where | None) -> Expression:
    chosen = stages_of(selection.viewer, lambda column: column == scope.row.id)
    stage, stages = scope.from_select(partial(getattr, models.Stage), chosen)
    parts: dict[str, Part] = {
        "stage": lambda selection: selection.record(stage),
        "totals": lambda selection: compile_totals(
            selection, stage, stage_totals(selection.viewer, where, lambda column: column == stage.row.id)
        ),
        "cards": lambda selection: _compile_cards(selection, stage, where),
    }
    return scalar(sa.select(JsonRows(selection.write(parts))).select_from(stages), scope)


def _compile_cards(selection: FieldSelection, scope: RowScope, where: Where | None) -> Expression:
    arguments = selection.arguments
    request = _cards(specialized(arguments.get("first")), arguments.get("after"), where)
    return compile_list(selection, scope, models.Opportunity, request, lambda row: row.stage_id == scope.row.id)


@query_fields(5)
class BoardQuery:
    pipeline_board: PipelineBoard | None = declared(
        Board, "A pipeline as a board; null if it does not exist or you may not see it."
    )


# The board, live


live_event(
    "BoardEvent",
    __name__,
    EventKinds(
        "BoardEventKind",
        "deal",
        {"MOVED": ("The deal moved to another stage, or within its stage.", changed("stage_id", "rank"))},
        otherwise="UPDATED",
        place="the board",
    ),
    "opportunity",
    "Opportunity | None",
)


@strawberry.type(description="Changes to a board, at one revision.")
class BoardUpdate(LiveUpdate):
    events: list[BoardEvent] = strawberry.field(description="The changes to its cards; empty for a checkpoint.")
    board: strawberry.Private[PipelineBoard]
    columns: strawberry.Private[Sequence[RecordEvent]]

    @strawberry.field(description="The stages whose totals changed, and those that are new or changed themselves.")
    async def stages(self, info: Info) -> list[BoardStage]:
        if not self.events and not self.columns:
            return []
        touched = _stages_touched([event.occurrence for event in self.events])
        if touched is not None:
            touched |= {each.record_id for each in self.columns}
        columns = await self.board.columns(info.context.loaders)
        return [each for each in columns if touched is None or each.stage.id in touched]

    @strawberry.field(description="Ids of the stages that were removed.")
    def removed_stage_ids(self) -> list[strawberry.ID]:
        return [strawberry.ID(each.record_id) for each in self.columns if each.record is None]


def _stages_touched(occurrences: Sequence[RecordEvent]) -> set[str] | None:
    """The stages that cards left and entered; None if the change log does not have them for each card."""
    touched = set()
    for each in occurrences:
        if not each.rows:
            return None
        if each.was_member:
            touched.add(each.rows[0].before["stage_id"])
        if each.record is not None:
            touched.add(each.record.stage_id)
    return touched


async def _follow_board(
    info: Info, *, pipeline_id: str, filter: Filter | None = None, after: Revision | None
) -> SubscriptionSource:
    pipeline = await info.context.loaders.by_key(models.Pipeline).load(pipeline_id)
    if pipeline is None:
        raise BadUserInput("There is no such pipeline.", "pipelineId")
    where = None if filter is None else filter.where

    def on_board(row: ChangeRow, members: object) -> bool:
        return pipeline_id in {row.before.get("pipeline_id"), row.after.get("pipeline_id")}

    def was_on_board(row: ChangeRow) -> bool:
        return row.before["pipeline_id"] == pipeline_id

    def belongs(model: type[models.Opportunity], viewer: Viewer) -> sa.ColumnElement[bool]:
        here = model.pipeline_id == pipeline_id
        return here if where is None else sa.and_(here, where(model, viewer))

    def answer(occurrences: Sequence[RecordEvent], revision: str, caught_up: bool) -> BoardUpdate:
        return BoardUpdate(
            revision=revision,
            caught_up=caught_up,
            events=events_of(BoardEvent, [each for each in occurrences if each.model is models.Opportunity], revision),
            board=PipelineBoard(pipeline=pipeline, where=where, key=None),
            columns=[each for each in occurrences if each.model is models.Stage],
        )

    cards = ListSource(models.Opportunity, belongs, on_board, was_on_board)
    columns = ListSource(models.Stage, lambda model, viewer: model.pipeline_id == pipeline_id, on_board, was_on_board)
    reached: Dependencies = {} if filter is None else filter.reaches()
    live_list = LiveList([cards, columns], invalidated_by(reached))
    return SubscriptionSource(live_list, answer, {models.Opportunity, models.Stage, *reached}, after)


@subscription_fields(1)
class BoardSubscription:
    pipeline_board: BoardUpdate = live(
        "Changes to a board. With `after` set to its query's revision, you miss none.", _follow_board, board_arguments
    )
