"""For each entity, each default visibility and each role: what must be hidden is hidden in every way in, and what
must not be changed is not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from crm_graph.access.policies import target_of
from crm_graph.models import ENTITIES, Entity, Role, Visibility, WorkspaceRow
from crm_graph.models.policies import InheritsFrom, WorkspaceDefault
from tests.schema.sales.test_opportunities import pipeline
from tests.support.records import field_name, make_all
from tests.support.world import Person, World


def decider(kind: type[WorkspaceRow]) -> type[WorkspaceRow] | None:
    """The entity whose default decides who edits the records of a kind, if that depends on one."""
    match kind.edit_policy if issubclass(kind, Entity) else None:
        case WorkspaceDefault():
            return kind
        case InheritsFrom(column):
            return decider(target_of(kind, column))
    return None


DEFAULTS = {field_name(name): field_name(other.__name__) for name, kind in ENTITIES.items() if (other := decider(kind))}
"""The entities that a default decides about, in camel case, and the entity that has the default."""


@dataclass
class Cast:
    """A rep with a record of everything, and who stands where around her."""

    owner: Person
    manager: Person
    director: Person
    teammate: Person
    reader: Person
    stranger: Person
    other_manager: Person
    outsider: Person
    ids: dict[str, str]

    def near(self, admin: Person) -> list[Person]:
        """The users who see the owner's private records."""
        return [self.owner, self.manager, self.director, self.teammate, self.reader, admin]

    def far(self) -> list[Person]:
        return [self.stranger, self.other_manager, self.outsider]


async def cast(world: World) -> Cast:
    director = await world.person(Role.MANAGER)
    manager = await world.person(Role.MANAGER, manager=director)
    team = await world.team()
    owner = await world.person(Role.REP, manager=manager, team_id=team)
    teammate, reader = await world.person(Role.REP), await world.person(Role.READ_ONLY)
    await world.join(team, teammate, reader)
    ids = await everything_of(world, owner)
    return Cast(
        owner,
        manager,
        director,
        teammate,
        reader,
        await world.person(Role.REP),
        await world.person(Role.MANAGER),
        await world.person(Role.READ_ONLY),
        ids,
    )


async def everything_of(world: World, owner: Person) -> dict[str, str]:
    """Create a record of each kind with this owner, all connected. Returns their ids."""
    board, stages = await pipeline(world)
    product = await world.make("product", name="Box")
    account = await world.make("account", by=owner, name="Acme", industry="Mining")
    contact = await world.make("contact", by=owner, lastName="Ann", accountId=account)
    lead = await world.make("lead", by=owner, lastName="Lee", company="Leeds")
    campaign = await world.make("campaign", by=owner, name="Spring", status="ACTIVE")
    opportunity = await world.make(
        "opportunity", by=owner, name="Deal", accountId=account, campaignId=campaign, amount={"amount": "10"}
    )
    await world.write(
        "moveOpportunity",
        "revision",
        by=owner,
        opportunityId=opportunity,
        stageId=stages["Offer"],
        expectedVersion=1,
    )
    role = await world.make("contactRole", by=owner, opportunityId=opportunity, contactId=contact)
    line = await world.make("opportunityLine", by=owner, opportunityId=opportunity, productId=product)
    case = await world.make("case", by=owner, subject="Broken", accountId=account, contactId=contact)
    await world.write("changeCaseStatus", "revision", by=owner, id=case, status="IN_PROGRESS", expectedVersion=1)
    added = await world.write(
        "addCampaignMembers",
        "campaign { members { nodes { id contact { id } } } }",
        by=owner,
        campaignId=campaign,
        contactIds=[contact],
        leadIds=[lead],
    )
    members = {bool(each["contact"]): each["id"] for each in added["campaign"]["members"]["nodes"]}
    await world.write("setCampaignMemberStatus", "revision", by=owner, memberId=members[True], status="RESPONDED")
    ids = {
        "account": account,
        "contact": contact,
        "lead": lead,
        "opportunity": opportunity,
        "contactRole": role,
        "opportunityLine": line,
        "case": case,
        "campaign": campaign,
        "campaignMember": members[True],
        "pipeline": board,
        "stage": stages["Offer"],
        "won": stages["Won"],
        "product": product,
        "owner": owner.id,
    }
    return await make_all(world, owner, ids, DEFAULTS)


@dataclass(frozen=True)
class Way:
    """A way in: a root field with its selection, what it answers to those who see the record, and to those who do
    not."""

    query: str
    seen: Any
    hidden: Any


def numbered(there: list[Way]) -> list[tuple[str, Way]]:
    return [(f"way{number}", each) for number, each in enumerate(there)]


def together(there: list[Way]) -> str:
    """All ways in one query."""
    return "{ " + " ".join(f"{name}: {each.query}" for name, each in numbered(there)) + " }"


def found(field: str, id: str) -> Way:
    return Way(f'{field}(id: "{id}") {{ id }}', {"id": id}, None)


def listed(path: str, inner: str, many: int = 1) -> Way:
    """A connection at the end of a path: `account(id: "…").cases`."""
    *outer, last = path.split(" / ")
    query, seen, hidden = f"{last} {{ totalCount {inner} }}", {"totalCount": many}, {"totalCount": 0}
    return wrap(outer, query, last.split("(")[0], seen, hidden)


def valued(path: str, selection: str, key: str, seen: Any, hidden: Any) -> Way:
    return wrap(path.split(" / "), selection, key, seen, hidden)


def wrap(outer: list[str], query: str, key: str, seen: Any, hidden: Any) -> Way:
    for step in reversed(outer):
        query, seen, hidden = f"{step} {{ {query} }}", {key: seen}, {key: hidden}
        key = step.split("(")[0]
    return Way(query, seen, hidden)


def root(field: str, id: str) -> list[Way]:
    """The ways that every root list has: all, by filter, by order, by a filter on the id."""
    nodes = {"nodes": [{"id": id}], "totalCount": 1}
    nothing: dict[str, Any] = {"nodes": [], "totalCount": 0}
    return [
        Way(f"{field}{arguments} {{ totalCount nodes {{ id }} }}", nodes, nothing)
        for arguments in (
            "",
            f'(filter: {{id: {{eq: "{id}"}}}})',
            '(filter: {not: {id: {in: ["none"]}}}, orderBy: [{field: ID, direction: DESC}])',
            "(filter: {or: [{createdAt: {isNull: false}}, {deletedAt: {isNull: true}}]}, last: 3)",
        )
    ]


def ways(entity: str, ids: dict[str, str]) -> list[Way]:
    """All paths to a record from records that everyone sees."""
    one = {"id": ids[entity]}
    node = Way(f'node(id: "{ids[entity]}") {{ id }}', one, None)
    nodes = Way(f'nodes(ids: ["{ids[entity]}"]) {{ id }}', [one], [None])
    user = f'user(id: "{ids["owner"]}")'
    account = f'account(id: "{ids["account"]}")'
    contact = f'contact(id: "{ids["contact"]}")'
    opportunity = f'opportunity(id: "{ids["opportunity"]}")'
    case = f'case(id: "{ids["case"]}")'
    board = f'pipelineBoard(pipelineId: "{ids["pipeline"]}")'
    sums = [{"currency": "USD", "count": 1, "amount": "10", "weighted": "5"}]
    match entity:
        case "account":
            edges = [
                listed(f"{user} / accounts", ""),
                valued(opportunity, "account { id }", "account", one, None),
                valued(case, "account { id }", "account", one, None),
                listed('opportunities(filter: {account: {industry: {eq: "mining"}}})', ""),
                listed('opportunities(filter: {account: {name: {startsWith: "A"}}})', ""),
                listed("cases(filter: {account: {owner: {id: {isNull: false}}}})", ""),
            ]
        case "contact":
            edges = [
                valued(case, "contact { id }", "contact", one, None),
                listed(f"{opportunity} / contactRoles", ""),
                listed('cases(filter: {contact: {lastName: {eq: "ann"}}})', ""),
                listed(f'campaign(id: "{ids["campaign"]}") / members(filter: {{contactId: {{isNull: false}}}})', ""),
            ]
        case "lead":
            edges = [
                listed(f"{user} / leads", ""),
                listed(f'campaign(id: "{ids["campaign"]}") / members(filter: {{leadId: {{isNull: false}}}})', ""),
            ]
        case "opportunity":
            empty: dict[str, Any] = {"count": 0, "sums": []}
            edges = [
                listed(f"{user} / opportunities", ""),
                listed(f"{account} / opportunities", ""),
                listed(f"{contact} / opportunities", ""),
                listed(f'pipeline(id: "{ids["pipeline"]}") / opportunities', ""),
                listed(f'stage(id: "{ids["stage"]}") / opportunities', ""),
                listed(f'campaign(id: "{ids["campaign"]}") / opportunities', ""),
                valued(f"{account} / summary", "openPipeline { count }", "openPipeline", {"count": 1}, {"count": 0}),
                valued(
                    f"{account} / summary",
                    "weightedPipeline { amount currency }",
                    "weightedPipeline",
                    [{"amount": "5", "currency": "USD"}],
                    [],
                ),
                valued(
                    board,
                    "stages { totals { count sums { currency count amount weighted } } }",
                    "stages",
                    [{"totals": each} for each in (empty, {"count": 1, "sums": sums}, empty, empty)],
                    [{"totals": empty}] * 4,
                ),
                valued(
                    board,
                    "stages { cards { totalCount nodes { id } } }",
                    "stages",
                    [{"cards": {"totalCount": len(each), "nodes": each}} for each in ([], [one], [], [])],
                    [{"cards": {"totalCount": 0, "nodes": []}}] * 4,
                ),
                valued(f"{account}", "timeline { totalCount }", "timeline", {"totalCount": 3}, {"totalCount": 2}),
            ]
        case "contactRole" | "opportunityLine":
            return [node, nodes]
        case "case":
            edges = [
                listed(f"{user} / cases", ""),
                listed(f"{account} / cases", ""),
                listed(f"{contact} / cases", ""),
                valued(f"{account} / summary", "openCases", "openCases", 1, 0),
                valued(f"{account}", "timeline { totalCount }", "timeline", {"totalCount": 3}, {"totalCount": 2}),
            ]
        case "campaign":
            edges = [
                listed(f"{account} / campaigns", ""),
                listed(f"{contact} / campaigns", ""),
                valued(opportunity, "campaign { id }", "campaign", one, None),
                listed('opportunities(filter: {campaign: {name: {contains: "pri"}}})', ""),
                listed(f'lead(id: "{ids["lead"]}") / campaignMembers', ""),
                valued(f"{account}", "timeline { totalCount }", "timeline", {"totalCount": 3}, {"totalCount": 2}),
            ]
        case _:
            return [node, nodes]
    plural = {"opportunity": "opportunities"}.get(entity, f"{entity}s")
    return [found(entity, ids[entity]), node, nodes, *root(plural, ids[entity]), *edges]


Write = tuple[str, dict[str, Any]]


def writes(entity: str, ids: dict[str, str]) -> list[Write]:
    """Writes that change a record."""
    id = ids[entity]
    name = f"{entity[0].upper()}{entity[1:]}"
    match entity:
        case "account":
            return [("updateAccount", {"id": id, "name": "Mine"})]
        case "contact":
            return [("updateContact", {"id": id, "lastName": "Mine"})]
        case "lead":
            return [("updateLead", {"id": id, "lastName": "Mine"}), ("convertLead", {"leadId": id})]
        case "opportunity":
            moved = {"opportunityId": id, "stageId": ids["won"], "expectedVersion": 2}
            return [
                ("updateOpportunity", {"id": id, "name": "Mine"}),
                ("moveOpportunity", moved),
                ("createOpportunityLine", {"opportunityId": id, "productId": ids["product"]}),
            ]
        case "case":
            return [
                ("updateCase", {"id": id, "subject": "Mine"}),
                ("changeCaseStatus", {"id": id, "status": "CLOSED", "expectedVersion": 2}),
                ("assignCase", {"id": id, "ownerId": ids["owner"], "expectedVersion": 2}),
                ("escalateCase", {"id": id, "reason": "Now", "expectedVersion": 2}),
            ]
        case "campaign":
            return [
                ("updateCampaign", {"id": id, "name": "Mine"}),
                ("addCampaignMembers", {"campaignId": id, "contactIds": [ids["contact"]]}),
            ]
        case "campaignMember":
            return [("setCampaignMemberStatus", {"memberId": id, "status": "SENT"})]
        case _:
            return [(f"update{name}", {"id": id})]


async def refused(world: World, person: Person, write: Write) -> str:
    """The code that a write is refused with; it changed nothing."""
    before = await world.everything()
    answer = await world.write(write[0], "revision", by=person, **write[1])
    assert answer["userErrors"] != [], (person.role, write)
    assert await world.everything() == before
    code: str = answer["userErrors"][0]["code"]
    return code


async def done(world: World, person: Person, write: Write) -> None:
    answer = await world.write(write[0], "revision", by=person, **write[1])
    assert answer["userErrors"] == [], (person.role, write)


@pytest.mark.parametrize("visibility", list(Visibility))
@pytest.mark.parametrize("entity", list(DEFAULTS))
async def test_what_is_hidden_is_hidden_in_every_way_in(world: World, entity: str, visibility: Visibility) -> None:
    actors = await cast(world)
    await world.default(DEFAULTS[entity], visibility)
    hidden = visibility is Visibility.PRIVATE

    there = ways(entity, actors.ids)
    for person in actors.near(world.admin):
        assert await world.data(together(there), by=person) == {n: each.seen for n, each in numbered(there)}
    for person in actors.far():
        expected = {n: each.hidden if hidden else each.seen for n, each in numbered(there)}
        assert await world.data(together(there), by=person) == expected


@pytest.mark.parametrize("visibility", list(Visibility))
@pytest.mark.parametrize("entity", list(DEFAULTS))
async def test_a_denied_write_changes_nothing(world: World, entity: str, visibility: Visibility) -> None:
    actors = await cast(world)
    await world.default(DEFAULTS[entity], visibility)

    for write in writes(entity, actors.ids):
        assert await refused(world, actors.reader, write) == "FORBIDDEN"
        for person in actors.far():
            if visibility is Visibility.PRIVATE:
                assert await refused(world, person, write) == "NOT_FOUND"
            elif visibility is Visibility.PUBLIC_READ or person.role is Role.READ_ONLY:
                assert await refused(world, person, write) == "FORBIDDEN"
    first = writes(entity, actors.ids)[0]
    may = [actors.owner, actors.manager, actors.director, actors.teammate, world.admin]
    for person in [*may, *([actors.stranger, actors.other_manager] if visibility is Visibility.PUBLIC else [])]:
        await done(world, person, first)


@pytest.mark.parametrize("visibility", list(Visibility))
@pytest.mark.parametrize("entity", ["account", "contact", "lead", "opportunity", "case", "campaign"])
async def test_deleting_is_for_managers_and_admins(world: World, entity: str, visibility: Visibility) -> None:
    actors = await cast(world)
    await world.default(DEFAULTS[entity], visibility)
    name, id = f"{entity[0].upper()}{entity[1:]}", actors.ids[entity]

    for person in (actors.owner, actors.teammate, actors.reader):
        assert await refused(world, person, (f"delete{name}", {"id": id})) == "FORBIDDEN"
    if visibility is not Visibility.PUBLIC:
        expected = "NOT_FOUND" if visibility is Visibility.PRIVATE else "FORBIDDEN"
        assert await refused(world, actors.other_manager, (f"delete{name}", {"id": id})) == expected
    await done(world, actors.manager, (f"delete{name}", {"id": id}))

    there = found(entity, id)
    assert await world.data(together([there]), by=actors.owner) == {"way0": None}
    assert await refused(world, actors.owner, (f"restore{name}", {"id": id})) == "FORBIDDEN"
    await done(world, actors.director, (f"restore{name}", {"id": id}))
    assert await world.data(together([there]), by=actors.owner) == {"way0": {"id": id}}


@pytest.mark.parametrize("entity", list(DEFAULTS))
async def test_another_workspace_answers_as_if_there_were_nothing(
    world: World, other_world: World, entity: str
) -> None:
    theirs = (await cast(other_world)).ids
    unknown = {key: f"{value[:-4]}zzzz" for key, value in theirs.items()}

    assert await world.ask(together(ways(entity, theirs))) == await world.ask(together(ways(entity, unknown)))
    for known, nowhere in zip(writes(entity, theirs), writes(entity, unknown), strict=True):
        for write in (known, nowhere):
            assert await refused(world, world.admin, write) == "NOT_FOUND"


async def test_a_record_may_not_be_tied_to_one_that_is_hidden(world: World) -> None:
    actors = await cast(world)
    for entity in ("account", "lead", "opportunity", "case", "campaign"):
        await world.default(entity, Visibility.PRIVATE)
    ids = actors.ids
    attempts: list[tuple[Write, str]] = [
        (("createContact", {"lastName": "X", "accountId": ids["account"]}), "accountId"),
        (("createAccount", {"name": "X", "parentId": ids["account"]}), "parentId"),
        (("createOpportunity", {"name": "X", "accountId": ids["account"]}), "accountId"),
        (("createOpportunity", {"name": "X", "campaignId": ids["campaign"]}), "campaignId"),
        (("createCase", {"subject": "X", "contactId": ids["contact"]}), "contactId"),
        (("logActivity", {"type": "NOTE", "subject": "X", "opportunityIds": [ids["opportunity"]]}), "opportunityIds.0"),
    ]
    for write, field in attempts:
        before = await world.everything()
        answer = await world.write(write[0], "revision", by=actors.stranger, **write[1])
        assert [(each["code"], each["field"]) for each in answer["userErrors"]] == [("NOT_FOUND", field)]
        assert await world.everything() == before


async def test_a_note_about_a_private_case_does_not_show_through_its_account(world: World) -> None:
    actors = await cast(world)
    await world.default("case", Visibility.PRIVATE)
    logged = await world.write(
        "logActivity", "activity { id }", by=actors.owner, type="NOTE", subject="Secret", caseIds=[actors.ids["case"]]
    )
    note = logged["activity"]["id"]
    account = f'account(id: "{actors.ids["account"]}")'
    there = [
        found("activity", note),
        valued(account, "activities { totalCount }", "activities", {"totalCount": 1}, {"totalCount": 0}),
    ]

    assert await world.data(together(there), by=actors.manager) == {n: each.seen for n, each in numbered(there)}
    assert await world.data(together(there), by=actors.stranger) == {n: each.hidden for n, each in numbered(there)}
    await done(world, actors.owner, ("updateActivity", {"id": note, "accountIds": [actors.ids["account"]]}))
    assert await world.data(together(there), by=actors.stranger) == {n: each.seen for n, each in numbered(there)}
