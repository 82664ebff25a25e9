"""Boards with subscribers, on crm-graph and on the peer, and the check of the messages that they received."""

from __future__ import annotations

import datetime as dt
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from common import Client, Server, tokens
from subscribers import Log, Subscription

USERS = 100
BOARD = """
subscription ($pipelineId: ID!) {
  pipelineBoard(pipelineId: $pipelineId) {
    revision caughtUp
    events {
      kind revision happenedAt actor { id name } opportunityId
      opportunity {
        id version name amount { amount currency } probability closeDate rank stageEnteredAt
        stage { id } account { id name } owner { id name }
      }
    }
    stages { stage { id } totals { count sums { currency count amount weighted } } }
  }
}
"""
MOVE = """
mutation ($input: MoveOpportunityInput!) { moveOpportunity(input: $input) { revision userErrors { code message } } }
"""
CHANGES = """
query ($after: String!) {
  changes(types: [Opportunity], after: $after, first: 100) { revision caughtUp changes { revision recordedAt } }
}
"""


@dataclass
class Move:
    """A move of a card to a stage, with the times when it was sent, and recorded in the log (or published)."""

    revision: int
    opportunity_id: str
    stage_id: str
    sent: float
    recorded: float = 0.0


@dataclass
class Deal:
    id: str
    version: int = 1
    stage: int = 0


class Ours:
    """The board of a crm-graph process, with a deal for each of its users."""

    name = "crm-graph"

    def __init__(self, server: Server, env: Mapping[str, str], token: str) -> None:
        self.server, self.client = server, Client(server.port, token)
        self.pipeline_id = self._create("Pipeline", name="Sales")
        self.stages = [
            self._create("Stage", pipelineId=self.pipeline_id, name=name, probability=probability)
            for name, probability in {"Qualified": 20, "Proposal": 40, "Negotiation": 60, "Contract": 80}.items()
        ]
        account_id = self._create("Account", name="Example Manufacturing Ltd")
        emails = [f"person-{number:03}@bench.example" for number in range(USERS)]
        self.deals = []
        for number, email in enumerate(emails):
            owner_id = self._create("User", name=f"Person Number {number:03}", email=email, role="REP")
            deal_id = self._create(
                "Opportunity",
                name=f"Machines for hall {number:03}",
                amount={"amount": "12500.5", "currency": "USD"},
                closeDate="2030-06-30",
                accountId=account_id,
                ownerId=owner_id,
                pipelineId=self.pipeline_id,
                stageId=self.stages[0],
            )
            self.deals.append(Deal(deal_id))
        self.tokens = tokens(env, emails)

    def _create(self, kind: str, **values: object) -> str:
        field = kind[0].lower() + kind[1:]
        query = f"""mutation ($input: Create{kind}Input!) {{
          create{kind}(input: $input) {{ {field} {{ id }} userErrors {{ code field message }} }}
        }}"""
        made: str = self.client.ask(query, input=values)[f"create{kind}"][field]["id"]
        return made

    def make_private(self) -> None:
        """From now on, each user sees only their own deal."""
        self.client.ask("""mutation {
          updateWorkspace(input: { opportunityVisibility: PRIVATE }) { userErrors { code message } }
        }""")

    def subscription(self, number: int) -> Subscription:
        """The board, for one of the users in turn."""
        return Subscription(BOARD, {"pipelineId": self.pipeline_id}, operation_id(number), self.tokens[number % USERS])

    def revision(self) -> str:
        stands: str = self.client.ask("{ revision }")["revision"]
        return stands

    def move(self, number: int) -> Move:
        """One of the users, in turn, moves their deal to the next stage."""
        deal = self.deals[number % USERS]
        deal.stage = (deal.stage + 1) % len(self.stages)
        stage_id = self.stages[deal.stage]
        wanted = {"opportunityId": deal.id, "stageId": stage_id, "expectedVersion": deal.version}
        sent = time.time()
        answer = self.client.ask(MOVE, self.tokens[number % USERS], input=wanted)
        deal.version += 1
        return Move(number_of(answer["moveOpportunity"]["revision"]), deal.id, stage_id, sent)

    def date(self, moves: Sequence[Move], since: str) -> None:
        """Look up when moves since a revision were recorded."""
        recorded: dict[int, str] = {}
        while True:
            page = self.client.ask(CHANGES, after=since)["changes"]
            recorded.update({number_of(each["revision"]): each["recordedAt"] for each in page["changes"]})
            if page["caughtUp"]:
                break
            since = page["revision"]
        for move in moves:
            move.recorded = dt.datetime.fromisoformat(recorded[move.revision]).timestamp()


class Peer:
    """The graphql-ws server. It publishes one of our updates repeatedly, with its own revisions."""

    name = "graphql-ws"

    def __init__(self, server: Server, update: dict[str, Any]) -> None:
        self.server, self.client, self.update = server, Client(server.port), update

    def subscription(self, number: int) -> Subscription:
        return Subscription(BOARD, {"pipelineId": "any"}, operation_id(number))

    def revision(self) -> str:
        stands: str = self.client.post("/revision", {})["revision"]
        return stands

    def move(self, number: int) -> Move:
        sent = time.time()
        done = self.client.post("/publish", self.update)
        [event] = self.update["events"]
        stage_id = event["opportunity"]["stage"]["id"]
        return Move(number_of(done["revision"]), event["opportunityId"], stage_id, sent, done["at"] / 1000)

    def date(self, moves: Sequence[Move], since: str) -> None:
        """The moves already have their times."""


def operation_id(number: int) -> str:
    """A unique id of constant length, like those of clients."""
    return str(uuid.UUID(int=number, version=4))


def number_of(revision: str) -> int:
    return int(revision.rpartition(".")[2])


@dataclass
class Run:
    """Moves in their order, with the times at which each subscriber received them."""

    moves: list[Move]
    received: list[list[float]]
    messages: int

    def seconds(self, since: Callable[[Move], float]) -> float:
        """The sum of the times from each move to its last delivery."""
        return sum(max(times) - since(move) for move, times in zip(self.moves, self.received, strict=True))

    def delays(self, since: Callable[[Move], float]) -> list[float]:
        """Milliseconds from each move to each of its deliveries."""
        pairs = zip(self.moves, self.received, strict=True)
        return [1000 * (at - since(move)) for move, times in pairs for at in times]


def compare(
    moves: Sequence[Move],
    since: int,
    chunks: Sequence[Sequence[dict[str, Any]]],
    logs: Sequence[Log],
    own: Sequence[str] | None = None,
) -> Run:
    """Compare the messages of all sockets with the moves since a revision.

    `own` has the opportunity of each socket, if it must receive only that one. Raises AssertionError if a socket
    received too little or too much.
    """
    moves = sorted(moves, key=lambda move: move.revision)
    received: dict[int, list[float]] = {move.revision: [] for move in moves}
    messages = 0
    checked: dict[tuple[int, ...], list[tuple[Move, ...]]] = {}
    for number, log in enumerate(logs):
        if own is not None:
            its = [move for move in moves if move.opportunity_id == own[number]]
            news = list(_news(its, since, chunks, log.chunks))
            for update in (update for chunk in log.chunks for update in chunks[chunk]):
                counts = [each["totals"]["count"] for each in update["stages"]]
                assert sum(counts) <= 1, f"{update} counts deals of others"
        else:
            news = checked.get(sequence := tuple(log.chunks)) or list(_news(moves, since, chunks, sequence))
            checked[sequence] = news
        for at, known in zip(log.times, news, strict=True):
            messages += bool(known)
            for move in known:
                received[move.revision].append(at)
    return Run(moves, list(received.values()), messages)


def _news(
    moves: Sequence[Move], since: int, chunks: Sequence[Sequence[dict[str, Any]]], sequence: Sequence[int]
) -> Iterator[tuple[Move, ...]]:
    """The moves that each chunk of a sequence reports.

    An update must report all new moves, but only the last one of each card; a checkpoint reports none. If the update is
    not caught up, its cards may be in the state after later moves.
    """
    place = 0
    for chunk in sequence:
        begun = place
        for update in chunks[chunk]:
            revision, first = number_of(update["revision"]), place
            assert revision >= since, f"{update} came after revision {since}"
            since = revision
            while place < len(moves) and moves[place].revision <= revision:
                place += 1
            events, exact = update["events"], update["caughtUp"]
            due = {move.opportunity_id: (move.revision, exact and move.stage_id) for move in moves[first:place]}
            reported = {
                each["opportunityId"]: (number_of(each["revision"]), exact and each["opportunity"]["stage"]["id"])
                for each in events
                if each["kind"] == "MOVED"
            }
            assert reported == due, f"{update} should report {due}"
            assert len(events) == len(due), f"{update} reports some twice"
        yield tuple(moves[begun:place])
    assert place == len(moves), f"{len(moves) - place} moves are missing"
