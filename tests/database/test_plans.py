"""Query plans of compiled queries on PostgreSQL, for a large company: they use indexes, and read little more than they
return.

`CRM_GRAPH_TEST_LONG=1` makes 1,000,000 deals; CRM_GRAPH_TEST_DEALS sets another number.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from graphql import GraphQLObjectType, get_named_type
from sqlalchemy.engine import make_url

from crm_graph import migrations, models
from crm_graph.access import DEFAULT_FIELDS, Viewer
from crm_graph.changelog import ChangeLog
from crm_graph.database import Database
from crm_graph.models import Role, Visibility
from crm_graph.settings import Settings
from schema import build_schema
from schema.core import TYPES
from schema.core.context import Context
from schema.execution.schema import CrmSchema, encode_json
from tests.conftest import LONG_TESTS, POSTGRES_URL, skip
from tests.support.databases import create_database, drop_database
from tests.support.large_dataset import WORKSPACE, counts, fill, key

DEALS = int(os.environ.get("CRM_GRAPH_TEST_DEALS", "1_000_000" if LONG_TESTS else "20_000"))
LARGE = {model.__tablename__ for model, size in counts(DEALS).items() if size >= DEALS // 20}
SCANS = {"Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Heap Scan"}
MOST_READ = 3
SCHEMA: Any = build_schema()._schema
LISTS = {
    name: get_named_type(field.type).name.removesuffix("Connection")
    for name, field in SCHEMA.query_type.fields.items()
    if "orderBy" in field.args
}
RECORDS = {
    name: field.type.name
    for name, field in SCHEMA.query_type.fields.items()
    if [*field.args] == ["id"] and name != "node"
}
SERVED = {"Case NUMBER ASC", "Case NUMBER DESC", "Opportunity CLOSE_DATE ASC", "Activity HAPPENS_AT ASC"}
SERVED |= {"Activity HAPPENS_AT DESC"}
"""The orders, nulls last, that an index has, beside those by id. Others read the whole list and sort it."""


@dataclass
class Reader:
    """Asks, and keeps the statements that answered."""

    schema: CrmSchema
    settings: Settings
    database: Database
    changelog: ChangeLog
    sent: list[tuple[str, Sequence[Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._fetch, self.database.fetch_text = self.database.fetch_text, self._keep  # type: ignore[method-assign]

    async def _keep(self, statement: str, values: Sequence[Any]) -> str | None:
        self.sent.append((statement, values))
        return await self._fetch(statement, values)

    async def ask(self, text: str, **variables: Any) -> dict[str, Any]:
        """The answer of an admin's query, which must be compiled."""
        viewer = Viewer(
            WORKSPACE, key(models.User), Role.ADMIN, "", "", "", dict.fromkeys(DEFAULT_FIELDS, Visibility.PUBLIC)
        )
        context = Context(self.settings, self.database, self.changelog, viewer_or_none=viewer)
        document = self.schema.parse(text)
        result = await self.schema.execute_document(context, document, None, variables)
        assert (result.errors, context.execution) == (None, "compiled"), text
        answer: dict[str, Any] = json.loads(encode_json(result.data))
        return answer

    async def plan(self, options: str = "ANALYZE, TIMING OFF") -> list[dict[str, Any]]:
        """The nodes of the plan of the last statement."""
        statement, values = self.sent[-1]
        found: Any = await self._fetch(f"EXPLAIN ({options}, FORMAT JSON) {statement}", values)
        return list(_nodes(found[0]["Plan"]))


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for each in plan.get("Plans", ()):
        yield from _nodes(each)


def read(plan: list[dict[str, Any]]) -> float:
    """The number of rows of large tables that were read, filtered ones included."""
    found = 0.0
    for node in plan:
        if node["Node Type"] in SCANS and node["Relation Name"] in LARGE:
            lost = sum(node.get(f"Rows Removed by {each}", 0) for each in ("Filter", "Index Recheck"))
            found += (node["Actual Rows"] + lost) * node["Actual Loops"]
    return found


def shown(value: Any) -> int:
    """The number of records of large tables in an answer, counted by their ids."""
    if isinstance(value, list):
        return sum(shown(each) for each in value)
    if isinstance(value, dict):
        return is_large(value.get("id", "")) + sum(shown(each) for each in value.values())
    return 0


def is_large(record_id: str) -> bool:
    return record_id.partition("_")[0] in {model.prefix for model in counts(DEALS) if model.__tablename__ in LARGE}


def scanned(plan: list[dict[str, Any]]) -> set[str]:
    """The large tables that are read from end to end."""
    return {node["Relation Name"] for node in plan if node["Node Type"] == "Seq Scan"} & LARGE


def edges(kind: str) -> str:
    """The id of a record, and of each that it leads to."""
    found: dict[str, Any] = SCHEMA.type_map[kind].fields
    names = [
        name
        for name, each in found.items()
        if not each.args and isinstance(each.type, GraphQLObjectType) and each.type.name in TYPES
    ]
    return " ".join(["id", *(f"{name} {{ id }}" for name in names)])


@pytest.fixture(scope="module")
async def reader(worker_id: str) -> AsyncIterator[Reader]:
    if POSTGRES_URL is None:
        skip("CRM_GRAPH_TEST_POSTGRES_URL is not set: no plan of PostgreSQL's was looked at.")
    url = await create_database(POSTGRES_URL or "", f"crm_graph_plans_{worker_id}_{os.getpid()}")
    settings = Settings(database_url=url, secret_key="0123456789abcdefghijklmnopqrstuvwxyz")
    database = Database(url)
    try:
        await migrations.upgrade(database.writer)
        await fill(url, DEALS)
        yield Reader(build_schema(compiled=True), settings, database, ChangeLog(database, settings.broadcast_url))
    finally:
        await database.close()
        await drop_database(POSTGRES_URL or "", make_url(url).database or "")


async def check(reader: Reader, text: str, **variables: Any) -> dict[str, Any]:
    answer = await reader.ask(text, **variables)
    plan = await reader.plan()
    assert scanned(plan) == set(), text
    assert read(plan) <= MOST_READ * shown(answer), (read(plan), shown(answer), text)
    return answer


@pytest.mark.parametrize("name", RECORDS)
async def test_a_record(reader: Reader, name: str) -> None:
    kind = RECORDS[name]
    answer = await check(
        reader, f"query ($id: ID!) {{ {name}(id: $id) {{ {edges(kind)} }} }}", id=key(TYPES[kind].__model__, 3)
    )
    assert answer[name]["id"] == key(TYPES[kind].__model__, 3)


@pytest.mark.parametrize("backward", [False, True], ids=["forwards", "backwards"])
@pytest.mark.parametrize("name", LISTS)
async def test_the_first_page_of_a_list_and_a_deep_one(reader: Reader, name: str, backward: bool) -> None:
    kind = LISTS[name]
    page = "last: 25, before: $at" if backward else "first: 25, after: $at"
    text = f"query ($at: String) {{ {name}({page}) {{ edges {{ cursor node {{ {edges(kind)} }} }} }} }}"
    await check(reader, text)

    leap = f"query ($at: String) {{ {name}({page.replace('25', '100')}) {{ edges {{ cursor node {{ id }} }} }} }}"
    at, side = None, 0 if backward else -1
    for _ in range(min(DEALS // 1000, 20)):
        found = (await reader.ask(leap, at=at))[name]["edges"]
        if len(found) < 100:
            break
        at = found[side]["cursor"]
    await check(reader, text, at=at)


@pytest.mark.parametrize("name", LISTS)
async def test_which_orders_an_index_has(reader: Reader, name: str) -> None:
    kind = LISTS[name]
    if TYPES[kind].__model__.__tablename__ not in LARGE:
        return
    for column in SCHEMA.type_map[f"{kind}OrderField"].values:
        for direction in ("ASC", "DESC"):
            order = f"{{field: {column}, direction: {direction}}}"
            await reader.ask(f"{{ {name}(first: 25, orderBy: [{order}]) {{ nodes {{ id }} }} }}")
            told = f"{kind} {column} {direction}"
            plan = await reader.plan()
            assert (read(plan) <= MOST_READ * 25) is (told in SERVED or column == "ID"), told


async def test_records_of_all_kinds(reader: Reader) -> None:
    ids = [key(kind.__model__) for kind in TYPES.values()]
    inside = " ".join(f"... on {kind} {{ {edges(kind)} }}" for kind in ("Account", "Opportunity", "Contact"))
    await check(reader, f"query ($ids: [ID!]!) {{ nodes(ids: $ids) {{ id {inside} }} }}", ids=ids)
    await check(reader, f"query ($id: ID!) {{ node(id: $id) {{ id {inside} }} }}", id=ids[0])


async def test_an_account_with_all_around_it(reader: Reader) -> None:
    await check(
        reader,
        """query ($id: ID!) {
          account(id: $id) {
            id owner { id } team { id } parent { id }
            contacts(first: 5) { nodes { id account { id } } }
            opportunities(first: 5) { nodes { id owner { id } stage { id pipeline { id } } } }
            cases(first: 5) { nodes { id contact { id } } }
            activities(first: 5) { nodes { id owner { id } } }
          }
        }""",
        id=key(models.Account, 7),
    )


async def test_who_asks_and_where(reader: Reader) -> None:
    answer = await check(reader, "{ revision viewer { id team { id } manager { id } } workspace { id } }")
    assert answer["revision"].endswith(".0")


BOARD = """query ($id: ID!, $filter: OpportunityFilter) {
  pipelineBoard(pipelineId: $id, filter: $filter) {
    pipeline { id }
    stages { stage { id } cards(first: 25) { nodes { id owner { id } account { id } } } }
  }
}"""


async def test_a_board(reader: Reader) -> None:
    await check(reader, BOARD, id=key(models.Pipeline))
    await check(reader, BOARD, id=key(models.Pipeline), filter={"probability": {"gte": 20}})


async def test_totals_of_a_board_are_those_kept(reader: Reader) -> None:
    """They are added up of a row for each owner, team and currency; those behind a filter of all deals it lets by."""
    totals = "stages { stage { id } totals { count sums { amount weighted currency } } }"
    await reader.ask(
        f"query ($id: ID!) {{ pipelineBoard(pipelineId: $id) {{ revision {totals} }} }}", id=key(models.Pipeline)
    )
    tables = {node.get("Relation Name") for node in await reader.plan()}
    assert tables - {None} == {"pipelines", "stages", "stage_totals", "workspaces"}


async def test_a_long_list_of_an_account_is_read_from_where_it_begins(reader: Reader) -> None:
    account, lists = key(models.Account, 9), ("contacts", "opportunities", "cases")
    async with reader.database.writer.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        for table in lists:
            some = f"workspace_id = '{WORKSPACE}' AND id IN (SELECT id FROM {table} ORDER BY md5(id) LIMIT 500)"
            await connection.exec_driver_sql(f"UPDATE {table} SET account_id = '{account}' WHERE {some}")
            await connection.exec_driver_sql(f"VACUUM ANALYZE {table}")
    first = " ".join(f"{each}(first: 20) {{ nodes {{ id }} }}" for each in lists)
    answer = await check(reader, f"query ($id: ID!) {{ account(id: $id) {{ id {first} }} }}", id=account)
    assert [len(answer["account"][each]["nodes"]) for each in lists] == [20, 20, 20]
