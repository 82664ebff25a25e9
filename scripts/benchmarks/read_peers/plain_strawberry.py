"""Stock Strawberry as its documentation has it: dataloaders, and the caches of its parser and validation; asyncpg.

It has what the bench's operations read, and neither users nor limits. Its move is an UPDATE alone.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from typing import Any, Generic, TypeVar

import strawberry
from serving import WORKSPACE_ID, Database, serve
from strawberry.asgi import GraphQL
from strawberry.dataloader import DataLoader
from strawberry.extensions import ParserCache, ValidationCache

T = TypeVar("T")
UNITS = strawberry.Private[int | None]  # an amount in ten-thousandths
database = Database()


class Loaders:
    """The dataloaders of one request."""

    def __init__(self) -> None:
        self._made: dict[Any, DataLoader[str, Any]] = {}

    def one(self, kind: type[T]) -> DataLoader[str, T | None]:
        """Records by their ids."""
        return self._once(kind, lambda ids: _by_id(kind, ids))

    def of(
        self, kind: type[T], parent: str, first: int, order: str = "id", source: str | None = None
    ) -> DataLoader[str, list[T]]:
        """The first records of each parent: `parent` is the column with its id, of `source` where that is not the
        records' own table."""
        rows = f"""
            SELECT parent.id AS parent, child.* FROM unnest($2::text[]) AS parent (id), LATERAL (
                SELECT {_columns(kind)} FROM {source or TABLES[kind]}
                WHERE {TABLES[kind]}.workspace_id = $1 AND {parent} = parent.id AND deleted_at IS NULL
                ORDER BY {order} LIMIT {first}
            ) AS child"""
        return self._once((kind, parent, first), lambda ids: _by_parent(kind, rows, ids))

    def totals(self) -> DataLoader[str, list[StageSum]]:
        """The sums of stages."""
        rows = """
            SELECT stage_id AS parent, currency, count, amount, weighted FROM peers.stage_sums
            WHERE workspace_id = $1 AND stage_id = ANY($2::text[]) ORDER BY currency"""
        return self._once(StageSum, lambda ids: _by_parent(StageSum, rows, ids))

    def _once(self, key: Any, load: Callable[[list[str]], Awaitable[Sequence[Any]]]) -> DataLoader[str, Any]:
        if key not in self._made:
            self._made[key] = DataLoader(load)
        return self._made[key]


async def _by_id(kind: Any, ids: Sequence[str]) -> list[Any]:
    statement = f"""SELECT {_columns(kind)} FROM {TABLES[kind]}
        WHERE workspace_id = $1 AND id = ANY($2::text[]) AND deleted_at IS NULL"""
    found = {row["id"]: kind(**row) for row in await database.pool.fetch(statement, WORKSPACE_ID, ids)}
    return [found.get(each) for each in ids]


async def _by_parent(kind: Any, statement: str, ids: Sequence[str]) -> list[list[Any]]:
    found: dict[str, list[Any]] = {each: [] for each in ids}
    for row in map(dict, await database.pool.fetch(statement, WORKSPACE_ID, ids)):
        found[row.pop("parent")].append(kind(**row))
    return [found[each] for each in ids]


def _columns(kind: Any) -> str:
    """The columns that a type's fields are filled from."""
    units = "annual_revenue AS units" if kind is Account else "amount AS units"
    names = [each.name for each in dataclasses.fields(kind) if each.init]
    return ", ".join(units if name == "units" else f"{TABLES[kind]}.{name}" for name in names)


Info = strawberry.Info[Loaders, None]


@strawberry.type
class Money:
    amount: Decimal
    currency: str


def _money(units: int | None, currency: str | None) -> Money | None:
    return None if units is None or currency is None else Money(amount=Decimal(units) / 10_000, currency=currency)


@strawberry.type
class PageInfo:
    has_next_page: bool
    end_cursor: str | None


@strawberry.type
class Page(Generic[T]):
    nodes: list[T]
    page_info: PageInfo | None = None


@strawberry.type
class User:
    id: strawberry.ID
    name: str
    email: str | None


@strawberry.type
class Stage:
    id: strawberry.ID
    name: str
    probability: int


@strawberry.type
class Contact:
    id: strawberry.ID
    first_name: str | None
    last_name: str
    title: str | None
    email: str | None
    phone: str | None


@strawberry.type
class Case:
    id: strawberry.ID
    number: int
    subject: str
    status: str
    priority: str
    created_at: dt.datetime


@strawberry.type
class Activity:
    id: strawberry.ID
    type: str
    subject: str
    happens_at: dt.datetime


@strawberry.type
class Opportunity:
    id: strawberry.ID
    name: str
    probability: int
    close_date: dt.date | None
    stage_entered_at: dt.datetime
    version: int
    created_at: dt.datetime
    updated_at: dt.datetime
    units: UNITS
    currency: strawberry.Private[str | None]
    stage_id: strawberry.Private[str]
    owner_id: strawberry.Private[str | None]
    account_id: strawberry.Private[str | None]

    @strawberry.field
    def amount(self) -> Money | None:
        return _money(self.units, self.currency)

    @strawberry.field
    async def stage(self, info: Info) -> Stage | None:
        return await info.context.one(Stage).load(self.stage_id)

    @strawberry.field
    async def owner(self, info: Info) -> User | None:
        return await info.context.one(User).load(self.owner_id) if self.owner_id else None

    @strawberry.field
    async def account(self, info: Info) -> Account | None:
        return await info.context.one(Account).load(self.account_id) if self.account_id else None


@strawberry.type
class Account:
    id: strawberry.ID
    name: str
    type: str | None
    website: str | None
    phone: str | None
    industry: str | None
    employees: int | None
    version: int
    created_at: dt.datetime
    updated_at: dt.datetime
    units: UNITS
    currency: strawberry.Private[str | None]
    owner_id: strawberry.Private[str | None]
    parent_id: strawberry.Private[str | None]

    @strawberry.field
    def annual_revenue(self) -> Money | None:
        return _money(self.units, self.currency)

    @strawberry.field
    async def owner(self, info: Info) -> User | None:
        return await info.context.one(User).load(self.owner_id) if self.owner_id else None

    @strawberry.field
    async def parent(self, info: Info) -> Account | None:
        return await info.context.one(Account).load(self.parent_id) if self.parent_id else None

    @strawberry.field
    async def contacts(self, info: Info, first: int = 25) -> Page[Contact]:
        return Page(nodes=await info.context.of(Contact, "account_id", first).load(self.id))

    @strawberry.field
    async def opportunities(self, info: Info, first: int = 25) -> Page[Opportunity]:
        return Page(nodes=await info.context.of(Opportunity, "account_id", first).load(self.id))

    @strawberry.field
    async def cases(self, info: Info, first: int = 25) -> Page[Case]:
        return Page(nodes=await info.context.of(Case, "account_id", first).load(self.id))

    @strawberry.field
    async def activities(self, info: Info, first: int = 25) -> Page[Activity]:
        linked = """activity_links JOIN activities ON activities.workspace_id = activity_links.workspace_id
            AND activities.id = activity_links.activity_id"""
        order = "happens_at DESC, activities.id"
        return Page(nodes=await info.context.of(Activity, "account_id", first, order, linked).load(self.id))


@strawberry.type
class StageSum:
    currency: str
    count: int
    amount: Decimal
    weighted: Decimal


@strawberry.type
class Totals:
    count: int
    sums: list[StageSum]


@strawberry.type
class BoardStage:
    stage: Stage

    @strawberry.field
    async def totals(self, info: Info) -> Totals:
        sums = await info.context.totals().load(self.stage.id)
        return Totals(count=sum(each.count for each in sums), sums=[each for each in sums if each.currency])

    @strawberry.field
    async def cards(self, info: Info, first: int = 25) -> Page[Opportunity]:
        return Page(nodes=await info.context.of(Opportunity, "stage_id", first, "rank, id").load(self.stage.id))


@strawberry.type
class Pipeline:
    id: strawberry.ID
    name: str


@strawberry.type
class Board:
    pipeline: Pipeline

    @strawberry.field
    async def stages(self, info: Info) -> list[BoardStage]:
        stages = await info.context.of(Stage, "pipeline_id", 100, "position, id").load(self.pipeline.id)
        return [BoardStage(stage=stage) for stage in stages]


TABLES: dict[Any, str] = {
    User: "users",
    Stage: "stages",
    Contact: "contacts",
    Case: "cases",
    Activity: "activities",
    Opportunity: "opportunities",
    Account: "accounts",
    Pipeline: "pipelines",
}


@strawberry.type
class Query:
    @strawberry.field
    async def account(self, info: Info, id: strawberry.ID) -> Account | None:
        return await info.context.one(Account).load(id)

    @strawberry.field
    async def opportunity(self, info: Info, id: strawberry.ID) -> Opportunity | None:
        return await info.context.one(Opportunity).load(id)

    @strawberry.field
    async def accounts(self, first: int = 25, after: str | None = None) -> Page[Account]:
        statement = f"""SELECT {_columns(Account)} FROM accounts
            WHERE workspace_id = $1 AND id > $2 AND deleted_at IS NULL ORDER BY id LIMIT $3"""
        rows = await database.pool.fetch(statement, WORKSPACE_ID, after or "", first + 1)
        nodes = [Account(**row) for row in rows[:first]]
        return Page(nodes=nodes, page_info=PageInfo(has_next_page=len(rows) > first, end_cursor=nodes[-1].id))

    @strawberry.field
    async def pipeline_board(self, info: Info, pipeline_id: strawberry.ID) -> Board | None:
        pipeline = await info.context.one(Pipeline).load(pipeline_id)
        return pipeline and Board(pipeline=pipeline)


@strawberry.input
class MoveOpportunityInput:
    opportunity_id: strawberry.ID
    stage_id: strawberry.ID
    expected_version: int


@strawberry.type
class UserError:
    code: str
    message: str


@strawberry.type
class Moved:
    opportunity: Opportunity | None
    user_errors: list[UserError]


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def move_opportunity(self, input: MoveOpportunityInput) -> Moved:
        statement = f"""
            UPDATE opportunities
            SET stage_id = $3, version = version + 1, stage_entered_at = now(), updated_at = now()
            WHERE workspace_id = $1 AND id = $2 AND version = $4 AND deleted_at IS NULL
            RETURNING {_columns(Opportunity)}"""
        given = (input.opportunity_id, input.stage_id, input.expected_version)
        row = await database.pool.fetchrow(statement, WORKSPACE_ID, *given)
        if row is None:
            return Moved(opportunity=None, user_errors=[UserError(code="CONFLICT", message="It was changed.")])
        return Moved(opportunity=Opportunity(**row), user_errors=[])


class View(GraphQL[Loaders, None]):
    async def get_context(self, request: Any, response: Any) -> Loaders:
        return Loaders()


if __name__ == "__main__":
    schema = strawberry.Schema(query=Query, mutation=Mutation, extensions=[ParserCache, ValidationCache])
    serve(database, View(schema))
