"""The totals of stages are right by whatever way a deal comes, changes and goes."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from crm_graph import records
from crm_graph.access import Viewer
from crm_graph.changelog import advance, journal_of
from crm_graph.database.prepared import insert_many
from crm_graph.models import Opportunity, Stage, StageTotal
from crm_graph.models.types import SPLIT
from crm_graph.records.import_rules import blank
from crm_graph.services.demo.insert import insert_demo
from crm_graph.services.importing import import_folder
from crm_graph.services.platform import setup
from crm_graph.services.sales import opportunities
from tests.support.board_scenarios import facts, kept_totals
from tests.support.world import World

LARGEST = Decimal("99999999999999.9999")
MAPPING = """
    [[step]]
    file = "deals.csv"
    [[step.record]]
    entity = "opportunity"
    fields.external_id = "{id}"
    fields.name = "{id}"
    fields.stage = { from = "{stage}", by = "name" }
    fields.amount = "{amount}"
    fields.currency = "EUR"
"""


async def stages(world: World) -> dict[str, str]:
    """The ids of the stages of a new pipeline, by name."""
    pipeline = await world.make("pipeline", name="Sales")
    names = {"New": 10, "Won": 100}
    return {
        name: await world.make("stage", pipelineId=pipeline, name=name, probability=each)
        for name, each in names.items()
    }


async def kept(world: World) -> list[tuple[Any, ...]]:
    """Count, sum and weighted sum by stage and currency, whoever owns the deals; they agree with the deals."""
    found = await kept_totals(world)
    assert found == (await facts(world)).kept()
    names = {row["id"]: row["name"] for row in await world.rows(Stage)}
    return sorted((names[stage], currency, *sums) for (stage, currency, *_), sums in found.items())


async def test_the_life_of_a_deal(world: World) -> None:
    ids = await stages(world)
    deal = await world.make("opportunity", name="Deal", amount={"amount": "1.5", "currency": "EUR"})
    assert await kept(world) == [("New", "EUR", 1, 15_000, 150_000)]

    await world.write("moveOpportunity", "revision", opportunityId=deal, stageId=ids["Won"], expectedVersion=1)
    assert await kept(world) == [("Won", "EUR", 1, 15_000, 1_500_000)]
    await world.write("updateOpportunity", "revision", id=deal, amount={"amount": "-2", "currency": "USD"})
    assert await kept(world) == [("Won", "USD", 1, -20_000, -2_000_000)]
    await world.write("updateOpportunity", "revision", id=deal, amount=None)
    assert await kept(world) == [("Won", "", 1, 0, 0)]
    await world.write("deleteOpportunity", "revision", id=deal)
    assert await kept(world) == []
    await world.write("updateOpportunity", "revision", id=deal, probability=7)
    await world.write("restoreOpportunity", "revision", id=deal)
    assert await kept(world) == [("Won", "", 1, 0, 0)]


async def test_a_deal_that_is_not_changed_changes_nothing(world: World) -> None:
    await stages(world)
    deal = await world.make("opportunity", name="Deal", amount={"amount": "1.5"})

    with world.statements() as seen:
        await world.write("updateOpportunity", "revision", id=deal, name="Renamed")

    assert any("INSERT INTO changes" in each for each in seen)
    assert not any(StageTotal.__tablename__ in each for each in seen)


async def test_deals_of_leads(world: World) -> None:
    await stages(world)
    lead = await world.make("lead", lastName="Hopper", company="Univac")

    await world.write("convertLead", "revision", leadId=lead, amount={"amount": "250", "currency": "EUR"})

    assert await kept(world) == [("New", "EUR", 1, 2_500_000, 25_000_000)]


async def test_imported_deals(world: World, tmp_path: Path) -> None:
    await stages(world)
    viewer = await world.viewer()
    (tmp_path / "mapping.toml").write_text(MAPPING)

    async def run(rows: str, **options: Any) -> None:
        (tmp_path / "deals.csv").write_text("id,stage,amount\n" + rows)
        await import_folder(world.changelog, viewer, tmp_path / "mapping.toml", tmp_path, **options)

    await run("a,New,1\nb,New,2\nc,Won,3\nd,Won,\n")
    first = await kept(world)
    await run("a,Won,1\nb,New,2\nc,Won,5\ne,New,9\n", dry_run=True)
    assert await kept(world) == first
    await run("a,Won,1\nb,New,2\nc,Won,5\ne,New,9\n")

    assert first == [
        ("New", "EUR", 2, 30_000, 300_000),
        ("Won", "", 1, 0, 0),
        ("Won", "EUR", 1, 30_000, 3_000_000),
    ]
    assert await kept(world) == [
        ("New", "EUR", 2, 110_000, 1_100_000),
        ("Won", "", 1, 0, 0),
        ("Won", "EUR", 2, 60_000, 6_000_000),
    ]


async def test_the_demo(world: World) -> None:
    async with world.database.read() as session:
        system = Viewer.of(await setup.find_workspace(session, world.workspace_id), None, "system:demo")
    async with world.changelog.transaction(system, "demo") as session:
        await insert_demo(session, system, accounts=20, password_hash="hash", token_hash="token")

    assert len(await kept(world)) > 10


@pytest.mark.parametrize("way", ["inserted", "add_packed"])
async def test_bulk_inserts(world: World, way: str) -> None:
    ids = await stages(world)
    viewer = await world.viewer()
    async with world.changelog.transaction(viewer, "test") as session:
        stage = await records.find(session, viewer, Stage, ids["New"])
        journal = journal_of(session)
        made = {**blank(Opportunity, journal.happened_at), "workspace_id": viewer.workspace_id, "name": "Deal"}
        made |= {"pipeline_id": stage.pipeline_id, "stage_id": stage.id, "rank": "a0", "currency": "EUR"}
        rows = [{**made, "id": Opportunity.new_id(), "amount": Decimal(number)} for number in range(1500)]
        await insert_many(session, Opportunity, rows)
        getattr(journal, way)(Opportunity, rows)

    assert await kept(world) == [("New", "EUR", 1500, 11_242_500_000, 0)]


async def test_several_changes_in_one_transaction(world: World) -> None:
    ids = await stages(world)
    viewer = await world.viewer()
    async with world.changelog.transaction(viewer, "test") as session:
        deal = await opportunities.create(session, viewer, values={"name": "Deal", "amount": "1"})
        await session.flush()
        deal.amount = Decimal(2)
        await advance(session)
        deal.stage_id = ids["Won"]
        await session.flush()
        deal.amount = Decimal(3)
        await advance(session)
        deal.amount = Decimal(4)

    assert await kept(world) == [("Won", "USD", 1, 40_000, 400_000)]


async def test_a_transaction_that_fails_leaves_the_totals_alone(world: World) -> None:
    await stages(world)
    await world.make("opportunity", name="Deal", amount={"amount": "1"})
    viewer = await world.viewer()
    before = await kept(world)

    async def fail() -> None:
        async with world.changelog.transaction(viewer, "test") as session:
            await opportunities.create(session, viewer, values={"name": "Deal", "amount": "1"})
            await advance(session)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    assert await kept(world) == before == [("New", "USD", 1, 10_000, 100_000)]


async def test_many_at_once(world: World) -> None:
    ids = await stages(world)
    money = {"amount": "1", "currency": "USD"}
    deals = await asyncio.gather(*[world.make("opportunity", name="Deal", amount=money) for _ in range(12)])

    async def move(deal: str) -> None:
        answer = await world.write(
            "moveOpportunity", "revision", opportunityId=deal, stageId=ids["Won"], expectedVersion=1
        )
        assert answer["userErrors"] == []

    await asyncio.gather(*[move(deal) for deal in deals[:9]], *[world.make("opportunity", name="Deal") for _ in "ab"])

    assert await kept(world) == [
        ("New", "", 2, 0, 0),
        ("New", "USD", 3, 30_000, 300_000),
        ("Won", "USD", 9, 90_000, 9_000_000),
    ]


async def test_ninety_million_of_the_largest_deals(world: World) -> None:
    ids = await stages(world)
    many, units = 90_000_000, int(LARGEST * 10_000)
    high, low = divmod(units, SPLIT)
    key = {"workspace_id": world.workspace_id, "stage_id": ids["Won"], "currency": "USD", "owner_id": "", "team_id": ""}
    sums = {"high": high, "low": low, "weighted_high": high * 100, "weighted_low": low * 100}
    async with world.raw() as connection:
        rows = {**key, "count": many, **{name: many * each for name, each in sums.items()}}
        await connection.execute(sa.insert(StageTotal).values(rows))
    largest = {"amount": str(LARGEST), "currency": "USD"}
    await world.make("opportunity", name="Deal", stageId=ids["Won"], ownerId=None, amount=largest)
    board = (await world.rows(Stage))[0]["pipeline_id"]
    totals = "stages { totals { sums { count amount weighted } } }"

    data = await world.data(f"query ($id: ID!) {{ pipelineBoard(pipelineId: $id) {{ {totals} }} }}", id=board)

    worth = str((many + 1) * LARGEST)
    assert data["pipelineBoard"]["stages"][1]["totals"]["sums"] == [
        {"count": many + 1, "amount": worth, "weighted": worth}
    ]
