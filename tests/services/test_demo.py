"""The demo's data: in standard form, agreeing with its own log, and rich enough to look around in."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from graphql import parse, validate

from crm_graph import auth, records
from crm_graph.access import Viewer
from crm_graph.changelog import Journal
from crm_graph.models import (
    Account,
    Activity,
    ActivityType,
    Campaign,
    CampaignMember,
    CampaignStatus,
    Case,
    CaseStatus,
    Contact,
    Entity,
    Lead,
    LeadStatus,
    Opportunity,
    Role,
    Stage,
    User,
)
from crm_graph.models.types import wire
from crm_graph.services.demo.builder import Builder
from crm_graph.services.demo.insert import build, insert_demo
from crm_graph.services.platform import setup
from schema import build_schema
from schema.transports.graphiql_examples import EXAMPLES
from tests.support.live import Server
from tests.support.world import Person, World

MOMENT = dt.datetime(2026, 3, 18, 14, 30, tzinfo=dt.UTC)


def drawn(accounts: int = 200) -> Builder:
    workspace = setup.new_workspace("Demo")
    builder = Builder(Journal(Viewer.of(workspace, None, "system:demo"), "demo"), MOMENT)
    build(builder, accounts, password_hash="hash", token_hash="token")
    return builder


@pytest.fixture(scope="module")
def builder() -> Builder:
    return drawn()


def entities(builder: Builder) -> list[tuple[type[Entity], dict[str, Any]]]:
    return [(model, row) for model, rows in builder.rows.items() if issubclass(model, Entity) for row in rows]


@pytest.mark.parametrize("accounts", [1, 2, 20])
def test_what_the_examples_are_about_is_there_in_every_size(accounts: int) -> None:
    builder = drawn(accounts)

    first = {model: builder.rows[model][0] for model in (Account, Contact, Lead, Opportunity)}
    assert [row["deleted_at"] for row in first.values()] == [None] * 4
    assert first[Lead]["status"] not in {LeadStatus.CONVERTED, LeadStatus.UNQUALIFIED}


def test_every_value_is_in_its_standard_form(builder: Builder) -> None:
    for model, row in entities(builder):
        given = {name: value for name, value in row.items() if value is not None and name != "custom"}
        assert records.clean(model, given) == given


def test_the_log_tells_how_every_record_came_to_be_what_it_is(builder: Builder) -> None:
    aside = {"workspace_id", "id", "created_at", "updated_at", "version", "custom", "password_hash", "token_hash"}
    told: dict[str, dict[str, Any]] = {}
    for change in builder.log():
        known = told.setdefault(change.record_id, {})
        for name, (old, new) in change.fields.items():
            assert known.get(name) == old
            known[name] = new
    for _, row in entities(builder):
        record = told.pop(row["id"])
        assert row["version"] == len(builder.past[row["id"]])
        assert row["updated_at"] == builder.past[row["id"]][-1].happened_at
        expected = {name: wire(value) for name, value in row.items() if name not in aside and value is not None}
        assert {name: record[name] for name in expected if record.get(name) is not None} == expected
        assert {name for name, value in record.items() if value is not None} - {"links", "participants"} == set(
            expected
        )
    assert told == {}


def test_the_log_ends_now_and_goes_forward(builder: Builder) -> None:
    times = [change.happened_at for change in builder.log()]

    assert times == sorted(times)
    assert times[-1] <= MOMENT
    for changes in builder.past.values():
        assert [each.happened_at for each in changes] == sorted(each.happened_at for each in changes)
        assert changes[0].action == "CREATED"


def test_there_is_something_of_every_kind(builder: Builder) -> None:
    def values(model: type[Entity], column: str) -> set[Any]:
        return {row[column] for row in builder.rows[model]}

    assert len(builder.rows[Account]) == 200
    assert values(Opportunity, "stage_id") == {stage["id"] for stage in builder.rows[Stage]}
    assert values(Case, "status") == set(CaseStatus)
    assert values(Lead, "status") == set(LeadStatus)
    assert values(Activity, "type") == set(ActivityType)
    assert values(Campaign, "status") == set(CampaignStatus)
    assert values(User, "role") == set(Role)
    assert values(Opportunity, "currency") == {"USD", "EUR", "GBP", "SEK", "AUD"}
    assert any(row["happens_at"] > MOMENT for row in builder.rows[Activity])
    assert any(row["parent_id"] for row in builder.rows[Account])
    assert any(row["first_responded_at"] for row in builder.rows[CampaignMember])
    for model in (Account, Contact, Lead, Opportunity, Activity):
        assert any(row["deleted_at"] for row in builder.rows[model])


def test_deals_fulfil_what_their_stages_ask_for(builder: Builder) -> None:
    stages = {stage["id"]: stage for stage in builder.rows[Stage]}
    for deal in builder.rows[Opportunity]:
        for gate in stages[deal["stage_id"]]["required_fields"]:
            assert deal[gate.column] is not None
        assert deal["probability_pinned"] or deal["probability"] == stages[deal["stage_id"]]["probability"]


def test_the_same_moment_gives_the_same_data(builder: Builder) -> None:
    again = drawn()

    assert again.rows[Opportunity][0].keys() == builder.rows[Opportunity][0].keys()
    for model, rows in builder.rows.items():
        same = [{**row, "workspace_id": None} for row in again.rows[model]]
        assert same == [{**row, "workspace_id": None} for row in rows]


@pytest.mark.parametrize("accounts", [1, 7, 30])
def test_little_data_is_data_too(accounts: int) -> None:
    assert len(drawn(accounts).rows[Account]) == accounts


async def filled(world: World) -> Person:
    """The admin of the demo's data, in the world's workspace."""
    token = auth.new_api_token()
    async with world.database.read() as session:
        workspace = await setup.find_workspace(session, world.workspace_id)
    system = Viewer.of(workspace, None, "system:demo")
    async with world.changelog.transaction(system, "demo") as session:
        await insert_demo(session, system, accounts=40, password_hash="hash", token_hash=auth.digest(token))
    return Person("", token, Role.ADMIN)


async def test_the_filled_workspace_answers(world: World) -> None:
    ada = await filled(world)

    changes = await world.changes()
    assert [change["revision"] for change in changes] == list(range(1, len(changes) + 1))
    assert [change["happened_at"] for change in changes] == sorted(change["happened_at"] for change in changes)
    assert {change["cause"] for change in changes} == {"demo"}
    assert len({change["user_id"] for change in changes}) > 10

    data = await world.data(
        """
        { accounts(first: 1) { totalCount nodes {
            owner { name manager { name } } children { totalCount } contacts { totalCount }
            opportunities { nodes { stage { name } lines { totalCount } contactRoles { totalCount } } }
            cases { totalCount } activities { totalCount } campaigns { totalCount }
        } } }
        """,
        by=ada,
    )
    [account] = data["accounts"]["nodes"]
    assert data["accounts"]["totalCount"] == len([row for row in await world.rows(Account) if not row["deleted_at"]])
    assert account["owner"]["manager"]["name"].split()[0] in {"Priya", "Tomas"}
    assert account["children"]["totalCount"] >= 3
    assert account["contacts"]["totalCount"] >= 5
    assert len(account["opportunities"]["nodes"]) >= 4
    assert all(deal["lines"]["totalCount"] for deal in account["opportunities"]["nodes"])
    assert account["cases"]["totalCount"] == 5
    assert account["activities"]["totalCount"] > 20
    assert account["campaigns"]["totalCount"] >= 1


async def test_every_example_works_on_the_data(world: World, server: Server) -> None:
    ada = await filled(world)
    answers = {}
    async with server.websocket(ada) as client:
        live = {}
        for example in EXAMPLES:
            if example["query"].startswith("subscription"):
                live[example["name"]] = await client.start(example["query"], **example["variables"])
                assert (await client.next(live[example["name"]]))["data"]["pipelineBoard"]["caughtUp"]
            else:
                answers[example["name"]] = await world.data(example["query"], by=ada, **example["variables"])
        message = await client.next(live["The same board, live"])

    [event] = message["data"]["pipelineBoard"]["events"]
    assert event["opportunity"]["amount"]["amount"] == "48000"
    assert event["actor"] == {"name": "Ada Lindqvist"}
    assert answers["Who am I"]["viewer"]["name"] == "Ada Lindqvist"
    assert answers["Find accounts"]["accounts"]["totalCount"] >= 5
    account = answers["All about one account"]["account"]
    kinds = {tuple(entry)[2] for entry in account["timeline"]["nodes"]}
    assert len(account["timeline"]["nodes"]) == 10
    assert "activity" in kinds
    assert account["summary"]["openCases"] >= 1
    stages = answers["A pipeline as a board"]["pipelineBoard"]["stages"]
    assert [each["stage"]["name"] for each in stages][-2:] == ["Won", "Lost"]
    assert all(each["totals"]["count"] >= len(each["cards"]["nodes"]) for each in stages)
    for name, field in (
        ("Change a deal", "updateOpportunity"),
        ("Add a contact", "createContact"),
        ("Log a call", "logActivity"),
        ("Convert a lead", "convertLead"),
    ):
        assert answers[name][field]["userErrors"] == []
    assert answers["Convert a lead"]["convertLead"]["lead"]["status"] == "CONVERTED"
    assert answers["Convert a lead"]["convertLead"]["opportunity"]["stage"]["name"] == "Qualification"


def test_examples_are_valid() -> None:
    schema = build_schema()._schema
    for example in EXAMPLES:
        assert validate(schema, parse(example["query"])) == []
