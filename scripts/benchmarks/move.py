"""Time of a stage move for a client, compared with the same statements on the bare driver, on PostgreSQL.

Both sides alternate on one database, first with few deals and then with many. One side sends moveOpportunity over one
connection to a `crm-graph serve` process. The other sends the recorded statements of that mutation, for other deals, on
one connection of asyncpg.

Each side makes 250 measured moves in a row, after 50 that are not measured. Alternating after each move would distort
the comparison: the server's work after an answer would run during the next bare move, and would spare that move the
wake-up of an idle processor, which on virtual machines takes longer than the shortest statements.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import random
import re
import socket
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from unittest import mock

from common import database, environment, finish, options, percentile, prepare, say, serving
from postgres_server import postgres_server

MAX_TIMES, MAX_SLOWDOWN = 2.5, 1.3
VERBS = ["fetch", "execute", "executemany"]
TURN, WARM_UP = 250, 50
"""Measured moves that a side makes in a row, and the unmeasured ones before them."""
MOVE = """
mutation Move($input: MoveOpportunityInput!) {
  moveOpportunity(input: $input) {
    revision
    userErrors { code field message }
    opportunity { id version rank probability }
  }
}
"""
STAGES, USERS, TEAMS, ACCOUNTS = 6, 50, 5, 1000
CURRENCIES = ["EUR", "USD", "JPY"]
VERSION, REVISION = 7_000_000, 8_000_000  # larger than all other numbers, to recognize them in a move's parameters
NAME = re.compile(r"\b(?:(?:opp|stg|acc|user|team)_\d+|g\d{7}|[A-Z]{3})\b")
ROWS = "version, created_at, updated_at, custom) SELECT $1, "
COMMON = "1, now(), now(), '{}' FROM generate_series"
# The ranks look like the server's. Those that begin with h sort after these.
FILL = [
    f"INSERT INTO teams (workspace_id, id, name, {ROWS} 'team_' || n, 'Team', {COMMON}(1, {TEAMS}) n",
    f"""INSERT INTO users (workspace_id, id, name, role, active, team_id, {ROWS} 'user_' || n, 'User', 'REP', true,
        'team_' || (n % {TEAMS} + 1), {COMMON}(1, {USERS}) n""",
    f"INSERT INTO accounts (workspace_id, id, name, {ROWS} 'acc_' || n, 'Account', {COMMON}(1, {ACCOUNTS}) n",
    f"INSERT INTO pipelines (workspace_id, id, name, position, {ROWS} 'pipe', 'Sales', 0, {COMMON}(1, 1) n",
    f"""INSERT INTO stages (workspace_id, id, pipeline_id, name, position, probability, category, forecast_category,
        required_fields, {ROWS} 'stg_' || n, 'pipe', 'Stage', n, 10 * n, 'OPEN', 'PIPELINE', '[]',
        {COMMON}(0, {STAGES - 1}) n""",
    f"""INSERT INTO opportunities (workspace_id, id, name, account_id, pipeline_id, stage_id, rank, stage_entered_at,
        amount, currency, probability, probability_pinned, forecast_category, forecast_category_pinned, competitors,
        owner_id, team_id, {ROWS} 'opp_' || n, 'Deal', 'acc_' || (n % {ACCOUNTS} + 1), 'pipe', 'stg_' || (n % {STAGES}),
        'g' || lpad(n::text, 7, '0'), now(), n * 10000::bigint, (ARRAY{CURRENCIES})[n % {len(CURRENCIES)} + 1],
        10 * (n % {STAGES}), false, 'PIPELINE', false, '[]', 'user_' || (n % {USERS} + 1),
        'team_' || (n % {USERS} % {TEAMS} + 1), {COMMON.replace("1", str(VERSION), 1)}(1, $2) n""",
]


@dataclass(frozen=True)
class Card:
    """A deal before its move to the next stage. Its number determines all values that `FILL` gave it."""

    number: int

    @property
    def stage_id(self) -> str:
        """The next stage."""
        return f"stg_{(self.number + 1) % STAGES}"

    @property
    def body(self) -> bytes:
        place = {"opportunityId": f"opp_{self.number}", "stageId": self.stage_id, "expectedVersion": VERSION}
        return json.dumps({"query": MOVE, "variables": {"input": place}}).encode()

    @property
    def names(self) -> list[str]:
        """The ids and texts in the parameters of its move, in the same order for all cards."""
        number = self.number
        return [
            f"opp_{number}",
            f"stg_{number % STAGES}",
            self.stage_id,
            f"acc_{number % ACCOUNTS + 1}",
            f"user_{number % USERS + 1}",
            f"team_{number % USERS % TEAMS + 1}",
            CURRENCIES[number % len(CURRENCIES)],
            f"g{number:07}",
        ]


class Line:
    """A persistent client connection that posts and waits for the answer, with as little work as possible."""

    def __init__(self, port: int, token: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._head = (
            f"POST /graphql HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n"
            "Content-Type: application/json\r\nAccept: application/json\r\nContent-Length: "
        )

    def move(self, card: Card) -> float:
        """Seconds until the move is answered."""
        request = f"{self._head}{len(card.body)}\r\n\r\n".encode() + card.body
        begun = time.perf_counter()
        self._socket.sendall(request)
        answer = self._answer()
        seconds = time.perf_counter() - begun
        assert json.loads(answer)["data"]["moveOpportunity"]["opportunity"]["version"] == VERSION + 1, answer
        return seconds

    def _answer(self) -> bytes:
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._receive()
        head, _, body = received.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split()[0])
        while len(body) < length:
            body += self._receive()
        return body

    def _receive(self) -> bytes:
        part = self._socket.recv(65536)
        assert part, "the server closed the connection"
        return part

    def close(self) -> None:
        self._socket.close()


@dataclass
class Sent:
    """A call of the driver. `verb` is one of `VERBS`."""

    verb: str
    text: str
    parameters: tuple[Any, ...]


async def record(env: Mapping[str, str], token: str, card: Card, missing: Card) -> list[Sent]:
    """The driver calls of a move, recorded by making it in this process."""
    import httpx
    from asyncpg import Connection

    from crm_graph import app
    from crm_graph.settings import Settings

    seen: list[Sent] = []

    def recording(verb: str) -> Callable[..., Any]:
        call = getattr(Connection, verb)

        def record_call(connection: Any, text: str, *arguments: Any, **options: Any) -> Any:
            seen.append(Sent(verb, text, arguments))
            return call(connection, text, *arguments, **options)

        return record_call

    application = app.build(Settings.from_environment(env))
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    async with application.router.lifespan_context(application):
        transport = httpx.ASGITransport(app=application)
        async with httpx.AsyncClient(transport=transport, base_url="http://bench") as client:
            await client.post("/graphql", content=missing.body, headers=headers)  # warms the caches
            with contextlib.ExitStack() as patches:
                for verb in VERBS:
                    patches.enter_context(mock.patch.object(Connection, verb, recording(verb)))
                await client.post("/graphql", content=card.body, headers=headers)
    return seen


class Bare:
    """The recorded move on one connection of the bare driver, for other cards."""

    def __init__(self, connection: Any, sent: Sequence[Sent], recorded: Card) -> None:
        self._connection, self._sent, self._recorded = connection, sent, recorded
        self._moves = 0

    async def move(self, card: Card) -> float:
        """Seconds until the last statement is answered."""
        self._moves += 1
        names = dict(zip(self._recorded.names, card.names, strict=True))
        turns = [(each.verb, each.text, self._renewed(each.parameters, names)) for each in self._sent]
        begun = time.perf_counter()
        for verb, text, parameters in turns:
            await getattr(self._connection, verb)(text, *parameters)
        return time.perf_counter() - begun

    def _renewed(self, value: Any, names: Mapping[str, str]) -> Any:
        """The parameters of another card, with an unused rank and revision."""
        match value:
            case list() | tuple():
                return type(value)(self._renewed(each, names) for each in value)
            case str():
                return NAME.sub(lambda found: self._name(found[0], names), value)
            case int() if value > REVISION:
                return 2 * REVISION + self._moves
        return value

    def _name(self, known: str, names: Mapping[str, str]) -> str:
        return f"h{self._moves:08}" if known[0] == "g" and known not in names else names.get(known, known)


async def fill(connection: Any, deals: int) -> None:
    """Insert the deals and the records that they refer to."""
    totals = importlib.import_module("crm_graph.migrations.versions.0002_stage_totals").FILL
    workspace_id = await connection.fetchval("SELECT id FROM workspaces")
    for statement in FILL:
        await connection.execute(statement, workspace_id, *([deals] if "$2" in statement else []))
    await connection.execute(totals)
    await connection.execute("UPDATE workspaces SET revision = $1", REVISION)
    await connection.execute("VACUUM ANALYZE")
    await connection.execute("CHECKPOINT")


async def compare(url: str, env: Mapping[str, str], token: str, deals: int, moves: int) -> dict[str, Any]:
    """The figures of both sides, in milliseconds per move."""
    import asyncpg
    from sqlalchemy.engine import make_url

    turns = max(1, moves // TURN)
    numbers = random.Random(deals).sample(range(1, deals + 1), 1 + 2 * turns * (WARM_UP + TURN))
    recorded, *cards = [Card(number) for number in numbers]
    dsn = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(dsn, server_settings={"jit": "off", "timezone": "UTC"})
    ours: list[float] = []
    theirs: list[float] = []
    try:
        await fill(connection, deals)
        sent = await record(env, token, recorded, missing=Card(deals + 1))
        bare = Bare(connection, sent, recorded)
        with serving(env) as server, contextlib.closing(Line(server.port, token)) as line:
            while cards:
                theirs += [await bare.move(cards.pop()) * 1000 for _ in range(WARM_UP + TURN)][WARM_UP:]
                ours += [line.move(cards.pop()) * 1000 for _ in range(WARM_UP + TURN)][WARM_UP:]
    finally:
        await connection.close()
    return {
        "deals": deals,
        "statements": len(sent),
        "move_ms": statistics.median(ours),
        "move_p95_ms": percentile(ours, 95),
        "bare_ms": statistics.median(theirs),
        "bare_p95_ms": percentile(theirs, 95),
        "times": statistics.median(ours) / statistics.median(theirs),
    }


def main() -> None:
    import uvloop

    parser = options(__doc__, quick="10^4 and 10^5 deals, instead of 10^4 and 10^6", database=False)
    parser.add_argument(
        "--database",
        metavar="URL",
        default=os.environ.get("CRM_GRAPH_TEST_POSTGRES_URL"),
        help="a PostgreSQL server; CRM_GRAPH_TEST_POSTGRES_URL by default, otherwise the bench starts one of its own",
    )
    parser.add_argument(
        "--moves", type=int, default=1000, metavar="N", help="moves that each side makes (default: 1000)"
    )
    chosen = parser.parse_args()
    sizes = []
    with contextlib.ExitStack() as stack:
        server = chosen.database or stack.enter_context(postgres_server())
        for deals in (10_000, 100_000 if chosen.quick else 1_000_000):
            with database(server) as url:
                env = environment(url)
                sizes.append(found := uvloop.run(compare(url, env, prepare(env), deals, chosen.moves)))
            say(
                f"{deals:>9,} deals: a move {found['move_ms']:.2f} ms (95 %: {found['move_p95_ms']:.2f}), its "
                f"{found['statements']} statements {found['bare_ms']:.2f} ms (95 %: {found['bare_p95_ms']:.2f})"
            )
    ratios = ", ".join(f"{each['times']:.2f} times at {each['deals']:,} deals" for each in sizes)
    slower = sizes[-1]["move_ms"] / sizes[0]["move_ms"]
    summary = (
        f"move: the bare statements {ratios} (at most {MAX_TIMES}), {slower:.2f} times slower (at most {MAX_SLOWDOWN})"
    )
    kept = slower <= MAX_SLOWDOWN and all(each["times"] <= MAX_TIMES for each in sizes)
    finish(kept, summary, {"sizes": sizes, "slower": slower}, chosen.json)


if __name__ == "__main__":
    main()
