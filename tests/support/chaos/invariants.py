"""Invariants of a scenario: the clients and the acknowledged writes, compared with the database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from crm_graph.models import Action, Role
from schema.core import TYPES
from tests.support.board_scenarios import Facts, facts
from tests.support.chaos.clients import Client, Reader
from tests.support.chaos.scenario import Scenario
from tests.support.chaos.writer import Acknowledged
from tests.support.subscribers import number_of

NOT_TOLD = {Action.SIGNED_IN, Action.SIGNED_OUT, Action.SIGN_IN_FAILED}
Row = Mapping[str, Any]


async def judge(storm: Scenario) -> list[str]:
    """All violations after a scenario."""
    office = storm.office
    log, truth = await office.world.changes(), await facts(office.world)
    faults = [*storm.faults, *_of_log(log), *_of_writes(storm.acknowledged, log, storm.begun)]
    for client in storm.clients:
        faults += [*client.faults, *_of_resyncs(client, log)]
    for reader in storm.readers:
        faults += _of_reader(reader, log)
    for board in storm.boards:
        if "filter" not in board.variables:
            faults += _of_board(board.name, board.person.id, board.board, truth, office.stages)
    return faults


def _of_log(log: Sequence[Row]) -> list[str]:
    numbers = [row["revision"] for row in log]
    return [] if numbers == list(range(1, len(log) + 1)) else ["The log is not dense."]


def _of_writes(acknowledged: Sequence[Acknowledged], log: Sequence[Row], begun: int) -> list[str]:
    """Each acknowledged write is in the log once, with its values; nothing else is."""
    rows = {row["revision"]: row for row in log}
    faults = []
    for write in acknowledged:
        row = rows.get(number_of(write.revision))
        if row is None:
            faults.append(f"{write} is lost")
        elif write.record_id not in {None, row["record_id"]} or write.action != row["action"]:
            faults.append(f"{write} is in the log as {row}")
        elif any(row["after"].get(name) != value for name, value in write.after.items()):
            faults.append(f"{write} left {row['after']}")
    known = Counter(number_of(write.revision) for write in acknowledged)
    faults += [f"{times} writes were acknowledged at {number}" for number, times in known.items() if times > 1]
    faults += [f"Nobody wrote {row}" for row in log if row["revision"] > begun and row["revision"] not in known]
    return faults


def _of_resyncs(client: Client, log: Sequence[Row]) -> list[str]:
    """Only clients whose visibility may have changed must read everything again."""
    moved = [row["revision"] for row in log if row["entity"] == "User" and "manager_id" in row["fields"]]
    admin = client.person.role is Role.ADMIN
    return [
        f"{client.name} was to read everything again after {after}, at {stood}"
        for after, stood in client.resyncs
        if admin or not any(after < number <= stood for number in moved)
    ]


def _of_reader(reader: Reader, log: Sequence[Row]) -> list[str]:
    """An admin reads every row of the log, and others at least the changes of their own deals. No row is read twice."""
    since, end = reader.since or 0, reader.number
    rows = [row for row in log if since < row["revision"] <= end and row["entity"] in TYPES]
    rows = [row for row in rows if row["action"] not in NOT_TOLD]
    there = [row["revision"] for row in rows]
    if reader.person.role is Role.ADMIN:
        due = there
    else:
        own = [row for row in rows if row["before"].get("owner_id") == reader.person.id]
        due = [row["revision"] for row in own if row["entity"] == "Opportunity" and not row["before"]["deleted_at"]]
        due = [each for each in due if not any(after < each <= to for after, to in reader.unread)]
    faults = []
    if missed := set(due) - set(reader.read):
        faults.append(f"{reader.name} missed {[row for row in rows if row['revision'] in missed]}")
    if reader.person.role is Role.ADMIN and (more := sorted(set(reader.read) - set(there))):
        faults.append(f"{reader.name} read {more}, which are not there")
    if reader.read != sorted(set(reader.read)):
        faults.append(f"{reader.name} read some twice or out of order: {reader.read}")
    if not reader.read:
        faults.append(f"{reader.name} read nothing")
    return faults


def _of_board(name: str, user_id: str, board: Any, truth: Facts, stages: Sequence[str]) -> list[str]:
    """The board has the records that its user may see by the rules alone, and its totals are sums of them."""
    cards = {
        deal["id"]: (deal["stage_id"], deal["owner_id"], deal["rank"])
        for deal in truth.deals
        if truth.sees(user_id, deal)
    }
    kept = {key: (card["stage"]["id"], card["owner"]["id"], card["rank"]) for key, card in board.cards.items()}
    faults = []
    if cards != kept:
        wrong = [(key, kept.get(key), cards.get(key)) for key in cards.keys() | kept if kept.get(key) != cards.get(key)]
        faults.append(f"{name} has other cards than there are: {wrong}")
    if board.totals != (totals := truth.totals(user_id, stages)):
        faults.append(f"{name} has the totals {board.totals}, not {totals}")
    return faults
