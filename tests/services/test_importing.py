"""Import: real data exactly and twice, the rules of each entity, and every kind of bad row."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from crm_graph.errors import Forbidden, Invalid
from crm_graph.models import Account, Membership, Opportunity, ReportingLine, Role, User
from crm_graph.services.importing import ImportReport, Rejection, import_folder
from tests.support.world import World

ROOT = Path(__file__).parents[2]
MAVEN = ROOT / "mappings" / "maven-crm.toml"
ACCOUNTS = """
    [[step]]
    file = "accounts.csv"
    [[step.record]]
    entity = "account"
    fields.external_id = "x:{id}"
    fields.name = "{name}"
    fields.parent = { from = "{parent}", by = "name" }
    fields.employees = "{employees}"
    fields.industry = { from = "{sector}", default = "unknown", translate = { tek = "technology" } }
"""
HEADER = "id,name,parent,employees,sector\n"


class Desk:
    """A folder with a mapping and files, and its import by a user."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.folder = folder

    def write(self, mapping: str = ACCOUNTS, **files: str | bytes) -> Desk:
        (self.folder / "mapping.toml").write_text(mapping)
        for name, content in files.items():
            data = content if isinstance(content, bytes) else content.encode()
            (self.folder / f"{name}.csv").write_bytes(data)
        return self

    async def run(self, **options: Any) -> ImportReport:
        viewer = await self.world.viewer(options.pop("by", None))
        return await import_folder(self.world.changelog, viewer, self.folder / "mapping.toml", self.folder, **options)

    async def rejections(self) -> list[tuple[str, int, str | None, str]]:
        """The rejected rows of an import, which must leave the database unchanged."""
        before = await self.world.everything()
        report = await self.run()
        assert report.revision is None
        assert await self.world.everything() == before
        return [(each.file, each.line, each.column, each.reason) for each in report.rejected]


@pytest.fixture
def desk(world: World, tmp_path: Path) -> Desk:
    return Desk(world, tmp_path)


async def test_the_example_in_the_documentation_works(desk: Desk) -> None:
    page = (ROOT / "docs" / "operators" / "importing.md").read_text()
    [mapping] = re.findall(r"<<'END'\n(.*?)^END$", page, re.MULTILINE | re.DOTALL)
    files = re.findall(r"^\$ printf '(.*)' > other-crm/(\w+)\.csv$", page, re.MULTILINE)
    desk.write(mapping, **{name: content.replace("\\n", "\n") for content, name in files})

    report = await desk.run()

    assert report.rejected == []
    found = await desk.world.data(
        "{ opportunities { nodes { name stage { name } account { name } amount { amount } } } }"
    )
    assert found["opportunities"]["nodes"] == [
        {
            "name": "Printers",
            "stage": {"name": "Talking"},
            "account": {"name": "Initech"},
            "amount": {"amount": "12500"},
        }
    ]


# Real data


async def test_the_sales_data_answers_exactly_and_stays_so_when_imported_twice(world: World, samples: Path) -> None:
    viewer = await world.viewer()
    seen: list[tuple[str, int, int]] = []

    first = await import_folder(
        world.changelog, viewer, MAVEN, samples / "maven-crm", progress=lambda *each: seen.append(each)
    )
    figures = await _figures(world)
    before = await world.everything()
    second = await import_folder(world.changelog, viewer, MAVEN, samples / "maven-crm")

    made = {"pipeline": 1, "stage": 4, "team": 3, "user": 41, "product": 7, "account": 85}
    assert first.rejected == []
    assert first.created == {**made, "opportunity": 8800, "opportunity_line": 8800}
    assert first.revision == len(before["changes"]) == 1 + 4 + 3 + 41 + 41 + 7 + 85 + 8800 + 8800
    assert seen[0] == ("maven-crm.toml", 0, 1)
    assert ("sales_pipeline.csv", 1000, 8800) in seen
    assert seen[-1] == ("sales_pipeline.csv", 8800, 8800)
    assert figures == {
        "opportunities": 8800,
        "stages": {
            "Prospecting": (500, []),
            "Engaging": (1589, []),
            "Won": (4238, [{"currency": "USD", "amount": "10005534", "weighted": "10005534"}]),
            "Lost": (2473, [{"currency": "USD", "amount": "0", "weighted": "0"}]),
        },
        "without account": 1425,
        "accounts": 85,
        "with a parent": 15,
        "products": 7,
        "managers": 6,
        "agents": 35,
        "teams": 3,
    }
    won, lost = (figures["stages"][name][0] for name in ("Won", "Lost"))
    assert round(100 * won / (won + lost), 2) == 63.15
    assert second.unchanged == first.created
    assert second.created.total() == second.updated.total() == 0
    assert second.revision == first.revision
    assert await world.everything() == before


async def _figures(world: World) -> dict[str, Any]:
    data = await world.data(
        """{
          opportunities { totalCount }
          withoutAccount: opportunities(filter: {not: {account: {externalId: {isNull: false}}}}) { totalCount }
          accounts { totalCount }
          children: accounts(filter: {parent: {externalId: {isNull: false}}}) { totalCount }
          products { totalCount }
          managers: users(filter: {role: {eq: MANAGER}}) { totalCount }
          agents: users(filter: {role: {eq: REP}}) { totalCount }
          teams { totalCount }
          pipelines { nodes { id } }
        }"""
    )
    board = await world.data(
        """query ($id: ID!) {
          pipelineBoard(pipelineId: $id) { stages {
            stage { name } totals { count sums { currency amount weighted } }
          } }
        }""",
        id=data["pipelines"]["nodes"][0]["id"],
    )
    stages = {
        each["stage"]["name"]: (each["totals"]["count"], each["totals"]["sums"])
        for each in board["pipelineBoard"]["stages"]
    }
    return {
        "opportunities": data["opportunities"]["totalCount"],
        "stages": stages,
        "without account": data["withoutAccount"]["totalCount"],
        "accounts": data["accounts"]["totalCount"],
        "with a parent": data["children"]["totalCount"],
        "products": data["products"]["totalCount"],
        "managers": data["managers"]["totalCount"],
        "agents": data["agents"]["totalCount"],
        "teams": data["teams"]["totalCount"],
    }


async def test_the_sales_data_is_linked_and_in_standard_form(world: World, samples: Path) -> None:
    await import_folder(world.changelog, await world.viewer(), MAVEN, samples / "maven-crm")

    data = await world.data(
        """{
          opportunities(filter: {externalId: {eq: "maven:Z063OYW0"}}) {
            nodes {
              name amount { amount currency } probability forecastCategory startDate closeDate stageEnteredAt
              account { name industry annualRevenue { amount currency } billingAddress { country } }
              owner { name role manager { name role } } team { name }
              lines { nodes { quantity price { amount currency } product { name family } } }
            }
          }
          accounts(filter: {name: {eq: "Bioholding"}}) { nodes { parent { id } type billingAddress { country } } }
        }"""
    )
    [deal] = data["opportunities"]["nodes"]
    assert deal == {
        "name": "Isdom – GTX Pro",
        "amount": {"amount": "4514", "currency": "USD"},
        "probability": 100,
        "forecastCategory": "CLOSED",
        "startDate": "2016-10-25",
        "closeDate": "2017-03-11",
        "stageEnteredAt": "2017-03-11T00:00:00.000000Z",
        "account": {
            "name": "Isdom",
            "industry": "medical",
            "annualRevenue": {"amount": "3178240000", "currency": "USD"},
            "billingAddress": {"country": "United States"},
        },
        "owner": {
            "name": "Darcel Schlecht",
            "role": "REP",
            "manager": {"name": "Melvin Marxen", "role": "MANAGER"},
        },
        "team": {"name": "Central"},
        "lines": {
            "nodes": [
                {
                    "quantity": "1",
                    "price": {"amount": "4821", "currency": "USD"},
                    "product": {"name": "GTX Pro", "family": "GTX"},
                }
            ]
        },
    }
    assert data["accounts"]["nodes"] == [
        {"parent": None, "type": "CUSTOMER", "billingAddress": {"country": "Philippines"}}
    ]
    places = [(row["stage_id"], row["rank"]) for row in await world.rows(Opportunity)]
    assert len(set(places)) == len(places)


async def test_imported_managers_see_what_their_people_have(world: World, samples: Path) -> None:
    await import_folder(world.changelog, await world.viewer(), MAVEN, samples / "maven-crm")

    people = {row["name"]: row for row in await world.rows(User)}
    reports = await world.rows(ReportingLine)
    memberships = await world.rows(Membership)

    below = [row["user_id"] for row in reports if row["manager_id"] == people["Melvin Marxen"]["id"]]
    assert len(below) == 1 + 6
    assert len(reports) == 1 + 41 + 35
    assert {(row["user_id"], row["team_id"]) for row in memberships} == {
        (each["id"], each["team_id"]) for each in people.values() if each["team_id"]
    }


# All or nothing


async def test_every_kind_of_bad_row_is_reported_and_nothing_is_written(desk: Desk) -> None:
    desk.write(
        accounts=(
            f"{HEADER}"
            "1,Acme,,10,tek\n"
            '2,"Two\nlines",,x,\n'
            "3,Short\n"
            "4,Long,,1,tek,more\n"
            "\n"
            ",No id,,,\n"
            "6,,,,\n"
            "7,Nul\0char,,,\n"
            "8,Bad parent,Nobody,,\n"
            "9,Much,,1.5,\n"
            "1,Acme again,,10,tek\n"
            "1,Acme,,10,tek\n"
            "12,Far too many,,99999999999999999999,\n"
            f"13,{'n' * 201},,,\n"
            "14,Less than nothing,,-1,\n"
            "15,Its own,Its own,,\n"
            '16,"Quoted" badly,,,\n'
            "17,B\u00e9b\u00e9,Acme,,\n"
        ).encode()
        + b"18,B\xe9b\xe9,,,\n"
    )

    assert await desk.rejections() == [
        ("accounts.csv", 3, "name", "Control characters are not allowed. It is 'Two\nlines'."),
        ("accounts.csv", 3, "employees", "A number such as 1250.50 is expected. It is 'x'."),
        ("accounts.csv", 5, None, "2 cells, where the header has 5."),
        ("accounts.csv", 6, None, "6 cells, where the header has 5."),
        ("accounts.csv", 8, "id", "A value is needed."),
        ("accounts.csv", 9, "name", "A value is needed."),
        ("accounts.csv", 10, "name", "Control characters are not allowed. It is 'Nul\0char'."),
        ("accounts.csv", 11, "parent", "There is no account with the name 'Nobody'."),
        ("accounts.csv", 12, "employees", "A whole number is expected. It is '1.5'."),
        ("accounts.csv", 13, "id", "Line 2 has other values for the same record."),
        ("accounts.csv", 15, "employees", "The number is too large. It is '99999999999999999999'."),
        ("accounts.csv", 16, "name", f"At most 200 characters are allowed, got 201. It is '{'n' * 60}…'."),
        ("accounts.csv", 17, "employees", "A number from 0 to 2147483647 is expected. It is '-1'."),
        ("accounts.csv", 18, "parent", "There is no account with the name 'Its own'."),
        ("accounts.csv", 19, None, "This is not a CSV row: ',' expected after '\"'."),
        ("accounts.csv", 21, "name", "Unpaired surrogates are not text. It is 'B?b?'."),
    ]


async def test_bad_rows_are_skipped_where_they_may_be(desk: Desk) -> None:
    desk.write(accounts=f"{HEADER}1,Acme,,10,tek\n2,Bad,,many,\n3,Child,Acme,,\n4,Grandchild,Bad,,\n")

    report = await desk.run(skip_bad_rows=True)

    data = await desk.world.data(
        "{ accounts(orderBy: [{field: NAME, direction: ASC}]) { nodes { name industry employees parent { name } } } }"
    )
    assert data["accounts"]["nodes"] == [
        {"name": "Acme", "industry": "technology", "employees": 10, "parent": None},
        {"name": "Child", "industry": "unknown", "employees": None, "parent": {"name": "Acme"}},
    ]
    assert report.created == {"account": 2}
    assert report.revision == 2
    assert report.rejected == [
        Rejection("accounts.csv", 3, "employees", "A number such as 1250.50 is expected. It is 'many'."),
        Rejection("accounts.csv", 5, "parent", "There is no account with the name 'Bad'."),
    ]


async def test_a_bad_part_rejects_the_whole_row(desk: Desk) -> None:
    desk.write(
        """
        [[step]]
        file = "people.csv"
        [[step.record]]
        entity = "account"
        fields.external_id = "{company}"
        fields.name = "{company}"
        [[step.record]]
        entity = "contact"
        when = "{last}"
        fields.external_id = "{company}:{last}"
        fields.last_name = "{last}"
        fields.email = "{mail}"
        fields.account = "{company}"
        """,
        people="company,last,mail\nAcme,,\nBeta,Berg,no address\nGamma,Gran,g@gamma.example\n",
    )

    report = await desk.run(skip_bad_rows=True)

    data = await desk.world.data("{ accounts { nodes { name contacts { nodes { lastName email } } } } }")
    assert [(each.line, each.column) for each in report.rejected] == [(3, "mail")]
    assert data["accounts"]["nodes"] == [
        {"name": "Acme", "contacts": {"nodes": []}},
        {"name": "Gamma", "contacts": {"nodes": [{"lastName": "Gran", "email": "g@gamma.example"}]}},
    ]


async def test_a_dry_run_says_what_would_be_done_and_does_nothing(desk: Desk) -> None:
    desk.write(accounts=f"{HEADER}1,Acme,,10,tek\n2,Beta,,,\n")
    before = await desk.world.everything()

    report = await desk.run(dry_run=True)

    assert report.created == {"account": 2}
    assert report.revision is None
    assert await desk.world.everything() == before


async def test_only_managers_and_admins_import(desk: Desk) -> None:
    desk.write(accounts=f"{HEADER}1,Acme,,10,tek\n")
    people = {role: await desk.world.person(role) for role in Role}
    before = await desk.world.everything()

    for role in (Role.REP, Role.READ_ONLY):
        with pytest.raises(Forbidden):
            await desk.run(by=people[role])
    assert await desk.world.everything() == before

    assert (await desk.run(by=people[Role.MANAGER])).created == {"account": 1}
    assert (await desk.run(by=people[Role.ADMIN])).unchanged == {"account": 1}


async def test_only_an_admin_imports_admins(desk: Desk) -> None:
    manager = await desk.world.person(Role.MANAGER)
    desk.write(
        """
        [[step]]
        entity = "user"
        rows = [{ external_id = "boss", name = "Boss", role = "ADMIN" }]
        """
    )

    refused = await desk.run(by=manager)
    report = await desk.run()

    assert refused.rejected == [Rejection("mapping.toml", 1, "role", "Only an admin may create or change an admin.")]
    assert report.created == {"user": 1}


# Importing again


async def test_only_what_differs_is_changed(desk: Desk) -> None:
    await desk.write(accounts=f"{HEADER}1,Acme,,10,tek\n2,Beta,Acme,20,\n3,Gone,,,\n").run()
    [gone] = [row for row in await desk.world.rows(Account) if row["name"] == "Gone"]
    await desk.world.write("deleteAccount", "account { id }", id=gone["id"])
    desk.write(accounts=f"{HEADER}1,Acme Ltd,,10,tek\n2,Beta,,,\n3,Gone,,77,\n4,New,Acme Ltd,,\n")

    report = await desk.run()

    accounts = {row["external_id"]: row for row in await desk.world.rows(Account)}
    assert (report.created, report.updated, report.unchanged) == ({"account": 1}, {"account": 1}, {"account": 2})
    assert (accounts["x:1"]["name"], accounts["x:1"]["version"]) == ("Acme Ltd", 2)
    assert (accounts["x:2"]["parent_id"], accounts["x:2"]["employees"]) == (accounts["x:1"]["id"], 20)  # not emptied
    assert accounts["x:3"]["employees"] is None
    assert accounts["x:4"]["parent_id"] == accounts["x:1"]["id"]
    *_, new, changed = await desk.world.changes()
    assert (new["action"], new["fields"]["name"]) == ("CREATED", [None, "New"])
    assert (changed["action"], changed["fields"], changed["cause"]) == (
        "UPDATED",
        {"name": ["Acme", "Acme Ltd"]},
        "import",
    )


async def test_parents_may_come_later_but_not_in_a_circle(desk: Desk) -> None:
    await desk.write(accounts=f"{HEADER}1,Leaf,Branch,,\n2,Branch,Root,,\n3,Root,,,\n").run()
    data = await desk.world.data('{ accounts(filter: {name: {eq: "Leaf"}}) { nodes { parent { parent { name } } } } }')
    assert data["accounts"]["nodes"] == [{"parent": {"parent": {"name": "Root"}}}]

    desk.write(accounts=f"{HEADER}3,Root,Leaf,,\n8,Hen,Egg,,\n9,Egg,Hen,,\n")

    assert await desk.rejections() == [
        ("accounts.csv", 2, "parent", "This account is already above the other one. This would create a cycle."),
        ("accounts.csv", 3, "parent", "There is no account with the name 'Egg'."),
        ("accounts.csv", 4, "parent", "There is no account with the name 'Hen'."),
    ]


async def test_a_name_of_several_is_no_link(desk: Desk) -> None:
    desk.write(accounts=f"{HEADER}1,Twin,,,\n2,Twin,,,\n3,Child,Twin,,\n")
    assert await desk.rejections() == [("accounts.csv", 4, "parent", "Several accounts have the name 'Twin'.")]


DEALS = """
    [[step]]
    entity = "pipeline"
    rows = [{ external_id = "p1", name = "Sales" }, { external_id = "p2", name = "Renewals" }]
    [[step]]
    entity = "stage"
    rows = [
      { external_id = "s1", pipeline = "p1", name = "Open", probability = 20 },
      { external_id = "s2", pipeline = "p1", name = "Won", category = "WON", probability = 100, forecast_category = "CLOSED" },
      { external_id = "s3", pipeline = "p1", name = "Lost", category = "LOST", required_fields = ["LOST_REASON"] },
      { external_id = "s4", pipeline = "p2", name = "Open" },
    ]
    [[step]]
    file = "deals.csv"
    delimiter = ";"
    decimal = ","
    dates = "%d.%m.%Y"
    encoding = "cp1252"
    [[step.record]]
    entity = "opportunity"
    fields.external_id = "{id}"
    fields.name = "{name}"
    fields.pipeline = "p1"
    fields.stage = { from = "{stage}", by = "name" }
    fields.amount = "{value}"
    fields.close_date = "{closed}"
    fields.competitors = { from = "{against}", split = "|" }
"""  # noqa: E501
DEAL_HEADER = "id;name;stage;value;closed;against\n"


@pytest.mark.parametrize("value", ["1250.50", "1,250.50", "1.25.000", "EUR 5", "65%", "(500)", "-"])
async def test_a_number_of_another_form_is_reported(desk: Desk, value: str) -> None:
    report = await desk.write(DEALS, deals=f"{DEAL_HEADER}1;Cafe;Open;{value};;\n".encode("cp1252")).run()

    [rejected] = report.rejected
    assert (rejected.line, rejected.column) == (2, "value")
    assert rejected.reason == f"A number such as 1.250,50 is expected. It is '{value}'."
    assert await desk.world.rows(Opportunity) == []


async def test_a_mapping_gives_other_marks_in_numbers_a_meaning(desk: Desk) -> None:
    marks = 'numbers = { affixes = ["EUR"], dash = "blank", parentheses = "negative", percent = "number" }'
    mapping = DEALS.replace('    decimal = ","', f'    decimal = ","\n    {marks}')
    rows = "1;a;Open;EUR 1,50;;\n2;b;Open;-;;\n3;c;Open;(500);;\n4;d;Open;65%;;\n5;e;Open;1.250.000 EUR;;\n"
    report = await desk.write(mapping, deals=f"{DEAL_HEADER}{rows}".encode("cp1252")).run()

    assert report.rejected == []
    amounts = {row["external_id"]: row["amount"] for row in await desk.world.rows(Opportunity)}
    assert amounts == {"1": Decimal("1.5"), "2": None, "3": -500, "4": 65, "5": 1250000}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('decimal = ";"', 'decimal: "." or "," is expected.'),
        ('numbers = { dash = "nothing" }', 'numbers.dash: "blank" or "zero" is expected.'),
        ('numbers = { affixes = "EUR" }', "numbers.affixes: a list of texts is expected."),
        ("numbers = { minus = true }", "there is no key 'minus' here"),
    ],
)
async def test_a_number_format_is_checked(desk: Desk, line: str, message: str) -> None:
    with pytest.raises(Invalid) as raised:
        await desk.write(DEALS.replace('decimal = ","', line), deals=DEAL_HEADER.encode()).run()
    assert message in raised.value.message


async def test_deals_follow_their_stage_when_it_changes(desk: Desk) -> None:
    deals = "1;Café;Open;1.250,50 €;24.12.2026;Acme | Beta\n2;Tea;Open;;;\n"
    await desk.write(DEALS, deals=(DEAL_HEADER + deals).encode("cp1252")).run()
    document = "{ opportunities { nodes { name rank probability forecastCategory version } } }"
    before = (await desk.world.data(document))["opportunities"]["nodes"]
    [first] = [row for row in await desk.world.rows(Opportunity) if row["external_id"] == "1"]

    report = await desk.write(DEALS, deals=f"{DEAL_HEADER}1;Café;Won;;;\n2;Tea;Open;;;\n".encode("cp1252")).run()

    after = (await desk.world.data(document))["opportunities"]["nodes"]
    [moved] = [row for row in await desk.world.rows(Opportunity) if row["external_id"] == "1"]
    assert (first["amount"], first["currency"], str(first["close_date"])) == (Decimal("1250.5"), "USD", "2026-12-24")
    assert first["competitors"] == ["Acme", "Beta"]
    assert before[0]["rank"] < before[1]["rank"]
    assert (report.updated, report.unchanged["opportunity"]) == ({"opportunity": 1}, 1)
    assert (after[0]["probability"], after[0]["forecastCategory"], after[0]["version"]) == (100, "CLOSED", 2)
    assert moved["stage_entered_at"] > first["stage_entered_at"]
    assert after[1] == before[1]
    assert (await desk.world.changes())[-1]["action"] == "MOVED"


async def test_the_rules_of_deals_hold_for_imported_ones(desk: Desk) -> None:
    deals = "1;A;Lost;;;\n2;B;Nowhere;;;\n3;C;;;;\n4;D;Open;12;31.02.2026;\n5;E;Open;12 parrots;;\n"
    desk.write(DEALS, deals=DEAL_HEADER + deals)
    assert await desk.rejections() == [
        ("deals.csv", 2, "lost_reason", "The stage Lost requires this field."),
        ("deals.csv", 3, "stage", "There is no stage with the name 'Nowhere'."),
        ("deals.csv", 4, "stage", "A value is needed."),
        ("deals.csv", 5, "closed", "A date or time is expected, in the form %d.%m.%Y. It is '31.02.2026'."),
        ("deals.csv", 6, "value", "A number such as 1.250,50 is expected. It is '12 parrots'."),
    ]


# Any of the entities

SERVICE = """
    [[step]]
    file = "people.csv"
    times = "%Y-%m-%d %H:%M"
    timezone = "Europe/Oslo"
    [[step.record]]
    entity = "contact"
    fields.external_id = "{id}"
    fields.last_name = "{name}"
    fields.emails = [{ address = "{mail}", label = "work" }, { address = "{mail 2}" }]
    fields.phone = "{phone}"
    fields.email_opt_out = "{no mail}"
    fields.mailing_address = { city = "{city}", country = "Norway" }
    [[step.record]]
    entity = "case"
    when = "{question}"
    fields.external_id = "{id}"
    fields.subject = "{question}"
    fields.contact = "{id}"
    fields.status = "{status}"
    fields.resolved_at = "{solved}"
    [[step.record]]
    entity = "activity"
    when = "{question}"
    fields.external_id = "{id}"
    fields.type = "NOTE"
    fields.subject = "They asked: {question}"
    fields.case = "{id}"
    fields.contact = "{id}"

    [[step]]
    entity = "campaign"
    rows = [{ external_id = "c", name = "Spring", member_statuses = [{ name = "Sent" }, { name = "Came", responded = true }] }]

    [[step]]
    file = "people.csv"
    [[step.record]]
    entity = "campaign_member"
    when = "{came}"
    fields.external_id = "{id}"
    fields.campaign = "c"
    fields.contact = { from = "{mail}", by = "email" }
    fields.status = { from = "{came}", translate = { yes = "came", no = "" } }
"""  # noqa: E501
PEOPLE = (
    "id,name,mail,mail 2,phone,no mail,city,question,status,solved,came\n"
    "1,Berg,Anna@Berg.example,a@home.example,(415) 555-2671,Yes,Oslo,Why?,Resolved,2026-07-01 10:00,yes\n"
    "2,Dahl,,,,no,,,,,\n"
    "3,Eide,eide@post.example,,,,,How?,in progress,,no\n"
)


async def test_people_cases_activities_and_campaigns(desk: Desk) -> None:
    report = await desk.write(SERVICE, people=PEOPLE).run()
    assert report.rejected == []
    before = await desk.world.everything()
    again = await desk.run()

    data = await desk.world.data(
        """{
          contacts(orderBy: [{field: LAST_NAME, direction: ASC}]) { nodes {
            lastName email emails { address label } phones { number } emailOptOut mailingAddress { city country }
          } }
          cases(orderBy: [{field: NUMBER, direction: ASC}]) { nodes {
            number subject status resolvedAt contact { lastName } activities { nodes { subject type } }
          } }
          campaigns { nodes { members(orderBy: [{field: STATUS, direction: ASC}]) { nodes {
            status contact { lastName }
          } } } }
        }"""
    )
    nobody: dict[str, Any] = {"email": None, "emails": [], "phones": [], "emailOptOut": False, "mailingAddress": None}
    assert data["contacts"]["nodes"] == [
        {
            "lastName": "Berg",
            "email": "Anna@berg.example",
            "emails": [
                {"address": "Anna@berg.example", "label": "work"},
                {"address": "a@home.example", "label": None},
            ],
            "phones": [{"number": "+14155552671"}],
            "emailOptOut": True,
            "mailingAddress": {"city": "Oslo", "country": "Norway"},
        },
        {**nobody, "lastName": "Dahl"},
        {
            **nobody,
            "lastName": "Eide",
            "email": "eide@post.example",
            "emails": [{"address": "eide@post.example", "label": "work"}],
        },
    ]
    assert data["cases"]["nodes"] == [
        {
            "number": 1,
            "subject": "Why?",
            "status": "RESOLVED",
            "resolvedAt": "2026-07-01T08:00:00.000000Z",
            "contact": {"lastName": "Berg"},
            "activities": {"nodes": [{"subject": "They asked: Why?", "type": "NOTE"}]},
        },
        {
            "number": 2,
            "subject": "How?",
            "status": "IN_PROGRESS",
            "resolvedAt": None,
            "contact": {"lastName": "Eide"},
            "activities": {"nodes": [{"subject": "They asked: How?", "type": "NOTE"}]},
        },
    ]
    assert data["campaigns"]["nodes"][0]["members"]["nodes"] == [
        {"status": "Came", "contact": {"lastName": "Berg"}},
        {"status": "Sent", "contact": {"lastName": "Eide"}},
    ]
    assert again.unchanged == report.created
    assert again.updated.total() == 0
    assert await desk.world.everything() == before


async def test_what_only_one_may_have_is_rejected(desk: Desk) -> None:
    mapping = """
        [[step]]
        file = "users.csv"
        [[step.record]]
        entity = "user"
        fields.external_id = "{id}"
        fields.name = "{name}"
        fields.email = "{mail}"
        fields.manager = "{boss}"
    """
    head = "id,name,mail,boss\n"
    await desk.write(mapping, users=f"{head}1,One,one@x.example,2\n2,Two,,\n").run()

    desk.write(
        mapping, users=f"{head}2,Two,,1\n3,Three,ONE@x.example,\n4,Four,four@x.example,\n5,Five,four@x.example,\n"
    )
    rejected = await desk.rejections()
    report = await desk.write(mapping, users=f"{head}1,One,new@x.example,\n2,Two,,1\n").run()

    assert rejected == [
        ("users.csv", 2, "boss", "This user is already above the other one. This would create a cycle."),
        ("users.csv", 3, "mail", "Another user has this already."),
        ("users.csv", 5, "mail", "Another user has this already."),
    ]
    assert [(each.line, each.column) for each in report.rejected] == [(3, "boss")]  # a blank did not free the manager


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ("", "mapping.toml: step: a non-empty list is expected."),
        ("step = 1", "mapping.toml: step: a non-empty list is expected."),
        ("[[steps]]", "mapping.toml: there is no key 'steps' here. There are step."),
        ("[[step]]", "mapping.toml: step 1: either 'file' or 'rows' is needed."),
        ("[[step]]\nfile = 1", "mapping.toml: step 1.file: a text is expected."),
        ("[[step]]\nfile='a.csv'\nrecords=[]", "mapping.toml: step 1: there is no key 'records' here."),
        ("[[step]]\nentity='robot'\nrows=[{}]", "mapping.toml: step 1.entity: 'robot' cannot be imported."),
        ("[[step]]\nentity='team'\nrows=[{nam='x'}]", "mapping.toml: step 1.rows 1.nam: a team has no such field."),
        ("[[step]]\nentity='team'\nrows=[{name='x'}]", "mapping.toml: step 1.rows 1.external_id: is needed."),
        (
            "[[step]]\nentity='user'\nrows=[{external_id='x', password_hash='x'}]",
            "mapping.toml: step 1.rows 1.password_hash: a user has no such field.",
        ),
        (
            "[[step]]\nentity='user'\nrows=[{external_id='x', name='x', role='KING'}]",
            "mapping.toml: step 1.rows 1.role: One of ADMIN, MANAGER, REP, READ_ONLY is expected. It is 'KING'.",
        ),
        (ACCOUNTS.replace('"{name}"', '"{nom}"'), "has no column 'nom'. It has id, name, parent, employees, sector."),
        (ACCOUNTS.replace('by = "name"', 'by = "employees"'), "parent.by: there is no link by 'employees'."),
        (ACCOUNTS.replace("default", "otherwise"), "industry: there is no key 'otherwise' here."),
        (ACCOUNTS.replace('"{name}"', '"{name"'), "name: write a literal brace twice, as {{ or }}."),
        (ACCOUNTS.replace("accounts.csv", "other.csv"), "(other.csv): the file cannot be read: No such file"),
        (ACCOUNTS.replace('"accounts.csv"', '"accounts.csv"\nencoding="klingon"'), "there is no encoding 'klingon'."),
        (ACCOUNTS.replace('"accounts.csv"', '"accounts.csv"\ntimezone="Mars"'), "there is no time zone 'Mars'."),
        (ACCOUNTS.replace('"accounts.csv"', '"accounts.csv"\ntranslate.x={a="b"}'), "has no column 'x'."),
        ("[[step]", "mapping.toml cannot be read:"),
    ],
)
async def test_a_mapping_that_cannot_be_is_refused_by_file_and_key(desk: Desk, mapping: str, message: str) -> None:
    desk.write(mapping, accounts=f"{HEADER}1,Acme,,10,tek\n")
    before = await desk.world.everything()

    with pytest.raises(Invalid) as refused:
        await desk.run()

    assert message in refused.value.message
    assert await desk.world.everything() == before


async def test_a_header_must_name_each_column_once(desk: Desk) -> None:
    for content, message in [("", "the file is empty."), ("id,name,id\n1,x,2\n", "the column 'id' twice.")]:
        with pytest.raises(Invalid) as refused:
            await desk.write(accounts=content).run()
        assert message in refused.value.message
