"""A company with two customers, and all events that can change the records of an account."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any, Literal

from crm_graph.models import (
    Account,
    Activity,
    Campaign,
    CampaignMember,
    Case,
    Contact,
    ContactRole,
    Lead,
    Opportunity,
    OpportunityLine,
    Role,
    User,
    Visibility,
)
from tests.support.raw_rows import Row
from tests.support.subscribers import number_of
from tests.support.world import Person, World

CUSTOMER = """query Customer($id: ID!) {
  changes { revision }
  account(id: $id) {
    id
    children(first: 100) { nodes { id } }
    contacts(first: 100) { nodes { id } }
    opportunities(first: 100) {
      nodes { id contactRoles(first: 100) { nodes { id } } lines(first: 100) { nodes { id } } }
    }
    cases(first: 100) { nodes { id } }
    activities(first: 100) { nodes { id } }
    campaigns(first: 100) { nodes { id } }
  }
}"""
CUSTOMER_UPDATES = """subscription Customer($accountId: ID!, $after: String) {
  customerUpdates(accountId: $accountId, after: $after) {
    revision caughtUp
    events {
      kind revision happenedAt actor { id } recordId
      record { __typename id ... on Contact { lastName account { id } } ... on Activity { subject } }
    }
  }
}"""
STEPS = [
    *["contact", "deal", "case", "note", "relink", "role", "member"] * 3,
    *["child", "hand over", "delete", "restore", "re-account", "line", "unlink part", "take part", "edit"] * 2,
    "campaign", "lead", "convert", "manager", "role of user", "join", "leave", "default",
]  # fmt: skip
OWNED = {Account: "Account", Contact: "Contact", Opportunity: "Opportunity", Activity: "Activity", Campaign: "Campaign"}
DELETABLE = {**OWNED, Case: "Case", Lead: "Lead"}
Drawn = tuple[str, Row] | Literal[""] | None
"""A mutation and its input; None if there is no record for it."""
ENTITIES = ("account", "lead", "opportunity", "case", "campaign")


@dataclass
class CustomerClient:
    """The records of an account, as a client has them: queried once, then kept by the updates."""

    account: str
    ids: set[str]
    revision: str

    @classmethod
    async def query(cls, world: World, account: str, *, by: Person | None = None) -> CustomerClient:
        data = await world.data(CUSTOMER, by=by, id=account)
        return cls(account, set(_ids(data["account"])), data["changes"]["revision"])

    def apply(self, message: dict[str, Any]) -> None:
        if number_of(message["revision"]) <= number_of(self.revision):
            return
        for event in message["events"]:
            if event["kind"] == "LEFT":
                assert event["record"] is None
                self.ids.discard(event["recordId"])
            else:
                assert event["record"]["id"] == event["recordId"]
                self.ids.add(event["recordId"])
        self.revision = message["revision"]

    @property
    def shown(self) -> set[str]:
        """The visible content; empty without the account. A 360 does not list the members of campaigns."""
        return {each for each in self.ids if not each.startswith("cmem_")} if self.account in self.ids else set()


def _ids(value: Any) -> list[str]:
    """All ids in an answer."""
    if isinstance(value, list):
        return [each for item in value for each in _ids(item)]
    if isinstance(value, dict):
        return [each for key, item in value.items() for each in ([item] if key == "id" else _ids(item))]
    return []


@dataclass
class Company:
    """The watched customer, another one, and the users who watch."""

    world: World
    account: str
    other: str
    stage: str
    product: str
    team: str
    people: dict[str, Person]

    @classmethod
    async def open(cls, world: World) -> Company:
        pipeline = await world.make("pipeline", name="Sales")
        stage = await world.make("stage", pipelineId=pipeline, name="New", probability=10)
        product = await world.make("product", name="Box")
        team = await world.team()
        chief = await world.person(Role.MANAGER, name="Chief")
        people = {
            "admin": world.admin,
            "chief": chief,
            "owner": await world.person(manager=chief, team_id=team, name="Owner"),
            "stranger": await world.person(name="Stranger"),
        }
        account, other = [await world.make("account", name=name, ownerId=people["owner"].id) for name in ("X", "Y")]
        return cls(world, account, other, stage, product, team, people)

    async def step(self, chance: Random) -> str:
        """Make one change, which may be refused. Returns its name."""
        kind = chance.choice(STEPS)
        drawn = await self._draw(chance, kind)
        if not drawn:
            return f"{kind}: nothing to do it with"
        mutation, values = drawn
        answer = await self.world.write(mutation, "__typename", **values)
        outcome = ", ".join(f"{error['code']} {error['message']}" for error in answer["userErrors"]) or "done"
        return f"{mutation} {values}: {outcome} {answer['revision']}"

    async def _some(self, chance: Random, model: Any, *, deleted: bool = False) -> str | None:
        rows = [row for row in await self.world.rows(model) if (row["deleted_at"] is not None) is deleted]
        return str(chance.choice(sorted(rows, key=lambda row: row["id"]))["id"]) if rows else None

    async def _draw(self, chance: Random, kind: str) -> Drawn:
        account = chance.choice([self.account, self.account, self.other, None])
        anybody = chance.choice([each.id for each in self.people.values()])
        named = {"name": f"{kind} {chance.randrange(1000)}"}
        match kind:
            case "child":
                child = await self._some(chance, Account)
                if child in {self.account, self.other} or chance.random() < 0.5:
                    return "createAccount", {**named, "parentId": account, "ownerId": anybody}
                return "updateAccount", {"id": child, "parentId": account}
            case "contact":
                return "createContact", {"lastName": "Doe", "accountId": account, "ownerId": anybody}
            case "deal":
                return "createOpportunity", {**named, "stageId": self.stage, "accountId": account, "ownerId": anybody}
            case "case":
                contact = chance.choice([None, await self._some(chance, Contact)])
                about = {"contactId": contact} if contact else {"accountId": account}
                return "createCase", {"subject": "Broken", "ownerId": anybody, **about}
            case "note":
                return "logActivity", {
                    "type": "NOTE", "subject": "Met", "ownerId": anybody, **await self._about(chance),
                }  # fmt: skip
            case "relink":
                note = await self._some(chance, Activity)
                return note and ("updateActivity", {"id": note, **await self._about(chance)})
            case "take part":
                note = await self._some(chance, Activity)
                people = chance.choice([[], [{"userId": anybody}]])
                return note and ("updateActivity", {"id": note, "participants": people})
            case "role":
                deal, contact = await self._some(chance, Opportunity), await self._some(chance, Contact)
                return deal and contact and ("createContactRole", {"opportunityId": deal, "contactId": contact})
            case "line":
                deal = await self._some(chance, Opportunity)
                return deal and ("createOpportunityLine", {"opportunityId": deal, "productId": self.product})
            case "unlink part":
                model, mutation, key = chance.choice(
                    [
                        (ContactRole, "deleteContactRole", "id"),
                        (OpportunityLine, "deleteOpportunityLine", "id"),
                        (CampaignMember, "removeCampaignMember", "memberId"),
                    ]
                )
                part = await self._some(chance, model)
                return part and (mutation, {key: part})
            case "campaign":
                return "createCampaign", {**named, "ownerId": anybody}
            case "member":
                campaign, person = await self._some(chance, Campaign), chance.choice([Contact, Contact, Lead])
                key = "contactIds" if person is Contact else "leadIds"
                person_id = await self._some(chance, person)
                return campaign and person_id and ("addCampaignMembers", {"campaignId": campaign, key: [person_id]})
            case "lead":
                return "createLead", {"lastName": "Roe", "company": "New Ltd", "ownerId": anybody}
            case "convert":
                lead = await self._some(chance, Lead)
                into = {"accountId": account} if account else {}
                return lead and ("convertLead", {"leadId": lead, **into})
            case "hand over":
                model = chance.choice(list(OWNED))
                record = await self._some(chance, model)
                return record and (f"update{OWNED[model]}", {"id": record, "ownerId": anybody})
            case "re-account":
                model = chance.choice([Contact, Opportunity, Case])
                record = await self._some(chance, model)
                return record and (f"update{DELETABLE[model]}", {"id": record, "accountId": account})
            case "edit":
                model = chance.choice([Account, Contact, Opportunity, Case, Campaign])
                record, text = await self._some(chance, model), f"{chance.randrange(1000)}"
                return record and (f"update{DELETABLE[model]}", {"id": record, "description": text})
            case "delete":
                model = chance.choice(list(DELETABLE))
                record = await self._some(chance, model)
                kept = {self.account, self.other, None}
                return None if record in kept else (f"delete{DELETABLE[model]}", {"id": record})
            case "restore":
                model = chance.choice(list(DELETABLE))
                record = await self._some(chance, model, deleted=True)
                return record and (f"restore{DELETABLE[model]}", {"id": record})
            case _:
                return await self._draw_sight(chance, kind, anybody)

    async def _draw_sight(self, chance: Random, kind: str, anybody: str) -> Drawn:
        """Events that change the visibility of records."""
        somebody = chance.choice([each.id for name, each in self.people.items() if name != "admin"])
        [roles] = [{row["id"]: row["role"] for row in await self.world.rows(User)}]
        match kind:
            case "manager":
                return "updateUser", {"id": somebody, "managerId": chance.choice([anybody, None])}
            case "role of user":
                role = chance.choice([each for each in (Role.REP, Role.ADMIN) if each is not roles[somebody]])
                return "updateUser", {"id": somebody, "role": role}
            case "join":
                return "addTeamMember", {"teamId": self.team, "userId": somebody}
            case "leave":
                return "removeTeamMember", {"teamId": self.team, "userId": somebody}
            case _:
                visibility = chance.choice([Visibility.PRIVATE, Visibility.PRIVATE, Visibility.PUBLIC])
                return "updateWorkspace", {f"{chance.choice(ENTITIES)}Visibility": visibility}

    async def _about(self, chance: Random) -> Row:
        """Random records for an activity to be about."""
        models = {
            "accountIds": Account,
            "contactIds": Contact,
            "opportunityIds": Opportunity,
            "caseIds": Case,
            "leadIds": Lead,
            "campaignIds": Campaign,
        }
        about: Row = {}
        for name in chance.sample(sorted(models), 2):
            record = await self._some(chance, models[name])
            about[name] = [record] if record else []
        return about
