"""An office with all events that can change a board, and the board's expected content by the rules alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from random import Random
from typing import Any

import sqlalchemy as sa

from crm_graph.models import Membership, Opportunity, Role, StageTotal, User, Visibility, Workspace
from crm_graph.models.types import AMOUNT_SCALE, SPLIT, decimal_text
from tests.support.raw_rows import Row
from tests.support.world import Person, World

AMOUNTS = ["0", "0.0001", "10.25", "-1.5", "12345678.9", "99999999999999.9999", "-99999999999999.9999", None]
CURRENCIES = ["USD", "EUR", "JPY"]
STEPS = [
    *["move", "amount"] * 3, *["create", "probability", "owner", "team", "delete", "restore", "default"] * 2,
    "manager", "role", "home", "join", "leave", "disband", "regroup",
]  # fmt: skip
Sums = dict[str, list[int]]
Totals = dict[str, dict[str, Any]]
"""The totals of stages in the form of a board: {stage id: totals}."""


@dataclass
class Facts:
    """The rows of the tables, and the values that follow from them."""

    deals: Sequence[Row]
    managers: Mapping[str, str | None]
    roles: Mapping[str, Role]
    members: set[tuple[str, str]]
    private: bool

    def sees(self, user_id: str, deal: Row) -> bool:
        if deal["deleted_at"] is not None:
            return False
        if self.roles[user_id] is Role.ADMIN or not self.private:
            return True
        above = deal["owner_id"]
        while above is not None and above != user_id:
            above = self.managers[above]
        return above == user_id or (deal["team_id"], user_id) in self.members

    def totals(self, user_id: str, stages: Sequence[str]) -> Totals:
        """The part of a board that a user may see."""
        answer: Totals = {}
        for stage_id in stages:
            seen = [deal for deal in self.deals if deal["stage_id"] == stage_id and self.sees(user_id, deal)]
            sums = _sums(seen).items()
            answer[stage_id] = {"count": len(seen), "sums": [_told(*each) for each in sorted(sums) if each[0]]}
        return answer

    def kept(self) -> dict[tuple[str, ...], list[int]]:
        """The expected totals of all deals: count, sum and weighted sum by stage, currency, owner and team."""
        groups = defaultdict(list)
        for deal in self.deals:
            if deal["deleted_at"] is None:
                groups[deal["stage_id"], deal["owner_id"] or "", deal["team_id"] or ""].append(deal)
        return {
            (stage, currency, *rest): sums
            for (stage, *rest), deals in groups.items()
            for currency, sums in _sums(deals).items()
        }


def _sums(deals: Sequence[Row]) -> Sums:
    """{currency, or empty without an amount: count, sum and weighted sum in ten-thousandths}."""
    sums: Sums = defaultdict(lambda: [0, 0, 0])
    for deal in deals:
        units = 0 if deal["amount"] is None else int(deal["amount"] * AMOUNT_SCALE)
        found = sums["" if deal["amount"] is None else deal["currency"]]
        found[:] = found[0] + 1, found[1] + units, found[2] + units * deal["probability"]
    return sums


def _told(currency: str, sums: Sequence[int]) -> Row:
    count, units, weighted = sums
    amount, weighted_amount = decimal_text(Decimal(units).scaleb(-4)), decimal_text(Decimal(weighted).scaleb(-6))
    return {"currency": currency, "count": count, "amount": amount, "weighted": weighted_amount}


async def facts(world: World) -> Facts:
    users = {row["id"]: row for row in await world.rows(User)}
    members = {(row["team_id"], row["user_id"]) for row in await world.rows(Membership) if row["deleted_at"] is None}
    async with world.raw() as connection:
        defaults = await connection.scalar(
            sa.select(Workspace.visibility_defaults).where(Workspace.id == world.workspace_id)
        )
    return Facts(
        deals=await world.rows(Opportunity),
        managers={each: row["manager_id"] for each, row in users.items()},
        roles={each: row["role"] for each, row in users.items()},
        members=members,
        private=defaults.get("Opportunity") == Visibility.PRIVATE,
    )


async def kept_totals(world: World) -> dict[tuple[str, ...], list[int]]:
    """The stored totals, in the form of `Facts.kept`."""
    return {
        (row["stage_id"], row["currency"], row["owner_id"], row["team_id"]): [
            row["count"],
            row["high"] * SPLIT + row["low"],
            row["weighted_high"] * SPLIT + row["weighted_low"],
        ]
        for row in await world.rows(StageTotal)
        if row["count"]
    }


@dataclass
class Office:
    """A pipeline, and a user of every kind who looks at it."""

    world: World
    pipeline_id: str
    stages: list[str]
    teams: list[str]
    people: dict[str, Person]

    async def step(self, chance: Random) -> str:
        """Make one change through the API, which may be refused. Returns its name and the answer."""
        deals = [row for row in await self.world.rows(Opportunity) if row["pipeline_id"] == self.pipeline_id]
        kind = chance.choice(STEPS) if deals else "create"
        mutation, values = self._draw(chance, kind, deals)
        by = chance.choice([*["admin"] * 12, *self.people])
        answer = await self.world.write(mutation, "__typename", by=self.people[by], **values)
        outcome = ", ".join(error["code"] for error in answer["userErrors"]) or "done"
        return f"{by}: {mutation} {values}: {outcome}"

    def _draw(self, chance: Random, kind: str, deals: Sequence[Row]) -> tuple[str, Row]:
        somebody = chance.choice([each.id for name, each in self.people.items() if name != "admin"])
        anybody = chance.choice([*(each.id for each in self.people.values()), None])
        team, stage = chance.choice(self.teams), chance.choice(self.stages)
        there = [deal for deal in deals if deal["deleted_at"] is None] or deals
        gone = [deal for deal in deals if deal["deleted_at"] is not None] or deals
        match kind:
            case "create":
                owner = chance.choice([{}, {"ownerId": anybody}, {"ownerId": anybody, "teamId": team}])
                return "createOpportunity", {"name": "Deal", "stageId": stage, **_money(chance), **owner}
            case "move":
                deal = chance.choice(there)
                place = {"opportunityId": deal["id"], "stageId": stage}
                return "moveOpportunity", {**place, "expectedVersion": deal["version"]}
            case "amount":
                return "updateOpportunity", {"id": chance.choice(there)["id"], **_money(chance)}
            case "probability":
                return "updateOpportunity", {"id": chance.choice(there)["id"], "probability": chance.randint(0, 100)}
            case "owner":
                return "updateOpportunity", {"id": chance.choice(there)["id"], "ownerId": anybody}
            case "team":
                return "updateOpportunity", {"id": chance.choice(there)["id"], "teamId": chance.choice([team, None])}
            case "delete":
                return "deleteOpportunity", {"id": chance.choice(there)["id"]}
            case "restore":
                return "restoreOpportunity", {"id": chance.choice(gone)["id"]}
            case "manager":
                return "updateUser", {"id": somebody, "managerId": anybody}
            case "role":
                return "updateUser", {"id": somebody, "role": chance.choice(list(Role))}
            case "home":
                return "updateUser", {"id": somebody, "teamId": chance.choice([team, None])}
            case "join":
                return "addTeamMember", {"teamId": team, "userId": somebody}
            case "leave":
                return "removeTeamMember", {"teamId": team, "userId": somebody}
            case "disband":
                return "deleteTeam", {"id": team}
            case "regroup":
                return "restoreTeam", {"id": team}
            case _:
                default = chance.choice([Visibility.PRIVATE, *Visibility])
                return "updateWorkspace", {"opportunityVisibility": default}


def _money(chance: Random) -> Row:
    amount = chance.choice(AMOUNTS)
    return {"amount": amount and {"amount": amount, "currency": chance.choice(CURRENCIES)}}


async def open_office(world: World) -> Office:
    """A new office, with a deal of each user who may have one. Deals are private."""
    await world.default("opportunity", Visibility.PRIVATE)
    pipeline = await world.make("pipeline", name="Sales")
    stages = [
        await world.make("stage", pipelineId=pipeline, name=name, probability=probability, category=category)
        for name, probability, category in (("New", 10, "OPEN"), ("Offer", 55, "OPEN"), ("Won", 100, "WON"))
    ]
    teams = [await world.team(name=name) for name in ("North", "South")]
    chief = await world.person(Role.MANAGER, name="Chief")
    manager = await world.person(Role.MANAGER, manager=chief, name="Manager")
    people = {
        "admin": world.admin,
        "chief": chief,
        "manager": manager,
        "owner": await world.person(Role.REP, manager=manager, team_id=teams[0], name="Owner"),
        "mate": await world.person(Role.REP, team_id=teams[0], name="Mate"),
        "stranger": await world.person(Role.REP, team_id=teams[1], name="Stranger"),
        "reader": await world.person(Role.READ_ONLY, manager=chief, name="Reader"),
    }
    for stage_id, person in zip(stages * 2, people.values(), strict=False):
        await world.make(
            "opportunity", name="Deal", stageId=stage_id, by=person, amount={"amount": "1", "currency": "USD"}
        )
    return Office(world, pipeline, stages, teams, people)
