"""A process that writes until the end of its input, whose first line has its orders. It prints the acknowledged writes,
one per line: `python -m tests.support.chaos.writer`."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass
from random import Random
from typing import Any

import httpx

from tests.support.chaos.http_client import ANSWER_SECONDS, insist

CARD = "id version stage { id } owner { id }"
CARDS = f"query($pipelineId: ID!) {{ pipelineBoard(pipelineId: $pipelineId) {{ stages {{ cards(first: 100) {{ nodes {{ {CARD} }} }} }} }} }}"  # noqa: E501
WRITE = """mutation Write($input: %s!) {
  answer: %s(input: $input) { revision userErrors { code field message } %s }
}"""
STEPS = [*["move"] * 12, *["amount", "owner"] * 3, *["create", "delete", "restore", "account"]]
REFUSALS = {"CONFLICT", "NOT_FOUND", "FORBIDDEN"}
"""Errors that concurrent writers must expect."""
FEWEST, MOST = 15, 50
LOOK_AGAIN = 40
WANDERLUST = 0.1


@dataclass
class Orders:
    """`people` are the writers with their tokens; `owners` may own a deal."""

    addresses: list[str]
    people: dict[str, str]
    pipeline_id: str
    stages: list[str]
    owners: list[str]
    seed: int
    writers: int
    pause: float


@dataclass
class Acknowledged:
    """An acknowledged write: the record's values after it, by column."""

    key: str
    mutation: str
    record_id: str | None
    revision: str
    action: str
    after: dict[str, Any]
    tries: int
    at: float


@dataclass
class Card:
    id: str
    version: int
    stage_id: str
    owner_id: str | None


NO_CARD = Card("", 0, "", None)


class Writer:
    """A writer that moves cards, with its last known state of them. Others move them, too."""

    def __init__(self, orders: Orders, number: int, client: httpx.AsyncClient) -> None:
        self.orders, self.client = orders, client
        self.name = f"{orders.seed}-{number}"
        self.chance = Random(self.name)
        self.cards: dict[str, Card] = {}
        self.deleted: list[str] = []
        self.count = 0
        self.refused = 0
        self.address = ""
        self.again = ""
        """The card that another writer was quicker to change. The next step may use it in its current state."""

    async def write(self, ended: asyncio.Event) -> None:
        while not ended.is_set():
            if self.count % LOOK_AGAIN == 0:
                await self._look()
            self.count += 1
            await self._step(self.chance.choice(STEPS))
            await asyncio.sleep(self.chance.uniform(0, 2 * self.orders.pause))

    async def _look(self) -> None:
        token = self.orders.people["admin"]
        data, _ = await self._insist(token, CARDS, pipelineId=self.orders.pipeline_id)
        self.cards.clear()
        for stage in data["pipelineBoard"]["stages"]:
            for card in stage["cards"]["nodes"]:
                self._know(card)

    def _know(self, card: dict[str, Any]) -> None:
        owner = card["owner"] and card["owner"]["id"]
        self.cards[card["id"]] = Card(card["id"], card["version"], card["stage"]["id"], owner)

    async def _step(self, step: str) -> None:
        if len(self.cards) < FEWEST:
            step = "create"
        elif (step == "create" and len(self.cards) > MOST) or (step == "restore" and not self.deleted):
            step = "delete"
        card = self.cards.get(self.again) or self.chance.choice(list(self.cards.values()) or [NO_CARD])
        known = {"id": card.id, "expectedVersion": card.version}
        amount = f"{self.chance.randrange(1, 1000)}.{self.count % 1000:03}1"
        match step:
            case "move":
                stage = self.chance.choice([each for each in self.orders.stages if each != card.stage_id])
                values = {"opportunityId": card.id, "expectedVersion": card.version, "stageId": stage}
                await self._write("moveOpportunity", values, "MOVED", {"stage_id": stage}, card.id)
            case "amount":
                values = {**known, "amount": {"amount": amount, "currency": "USD"}}
                await self._write("updateOpportunity", values, "UPDATED", {"amount": amount}, card.id)
            case "owner":
                owner = self.chance.choice([each for each in self.orders.owners if each != card.owner_id])
                await self._write(
                    "updateOpportunity", {**known, "ownerId": owner}, "UPDATED", {"owner_id": owner}, card.id
                )
            case "create":
                stage, owner = self.chance.choice(self.orders.stages), self.chance.choice(self.orders.owners)
                values = {
                    "name": "Deal",
                    "stageId": stage,
                    "ownerId": owner,
                    "amount": {"amount": amount, "currency": "EUR"},
                }
                await self._write(
                    "createOpportunity", values, "CREATED", {"stage_id": stage, "owner_id": owner, "amount": amount}
                )
            case "delete":
                if await self._write("deleteOpportunity", known, "DELETED", {}, card.id):
                    self.cards.pop(card.id, None)
                    self.deleted.append(card.id)
            case "restore":
                gone = self.deleted.pop(self.chance.randrange(len(self.deleted)))
                await self._write("restoreOpportunity", {"id": gone}, "RESTORED", {"deleted_at": None}, gone)
            case "account":
                await self._write("createAccount", {"name": f"Account {self.name} {self.count}"}, "CREATED", {})

    async def _write(
        self, mutation: str, values: dict[str, Any], action: str, after: dict[str, Any], record_id: str | None = None
    ) -> bool:
        """Send a write until it is answered. Returns False if it was refused."""
        trusted = mutation in {"deleteOpportunity", "restoreOpportunity"}
        who = "admin" if trusted else self.chance.choice([*["admin"] * 3, *self.orders.people])
        kind = "RecordInput" if trusted else f"{mutation[0].upper()}{mutation[1:]}Input"
        about = "record: account { id }" if mutation == "createAccount" else f"record: opportunity {{ {CARD} }}"
        key = f"{self.name}-{self.count}"
        data, tries = await self._insist(
            self.orders.people[who], WRITE % (kind, mutation, about), input={**values, "idempotencyKey": key}
        )
        answer = data["answer"]
        record = answer["record"]
        codes = {error["code"] for error in answer["userErrors"]}
        self.again = (record_id or "") if "CONFLICT" in codes else ""
        if record is not None and "version" in record:
            self._know(record)
        elif record_id is not None and (who == "admin" or not codes):
            self.cards.pop(record_id, None)
        if codes:
            assert codes <= REFUSALS, (mutation, values, answer)
            self.refused += 1
            return False
        record_id = record_id or (record and record["id"])
        _say(asdict(Acknowledged(key, mutation, record_id, answer["revision"], action, after, tries, time.time())))
        return True

    async def _insist(self, token: str, document: str, **variables: Any) -> tuple[dict[str, Any], int]:
        """Like `insist`, at the server that answered last, and sometimes at another one."""
        if self.chance.random() < WANDERLUST:
            self.address = self.chance.choice(self.orders.addresses)
        first = self.address

        def somewhere() -> str:
            nonlocal first
            self.address, first = first or self.chance.choice(self.orders.addresses), ""
            return self.address

        return await insist(self.client, somewhere, self.chance, token, document, **variables)


def _say(value: dict[str, Any]) -> None:
    print(json.dumps(value), flush=True)


async def main() -> None:
    """Write by the orders until the input ends."""
    orders = Orders(**json.loads(sys.stdin.readline()))
    ended = asyncio.Event()

    async def listen() -> None:
        await asyncio.to_thread(sys.stdin.read)
        ended.set()

    async with httpx.AsyncClient(timeout=ANSWER_SECONDS) as client, asyncio.TaskGroup() as group:
        writers = [Writer(orders, number, client) for number in range(orders.writers)]
        group.create_task(listen())
        for writer in writers:
            group.create_task(writer.write(ended))
    _say({"refused": sum(writer.refused for writer in writers)})


if __name__ == "__main__":
    asyncio.run(main())
