"""Clients that keep a list through all failures: they resume after their last revision, on any running server."""

from __future__ import annotations

import asyncio
import bisect
import contextlib
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from random import Random
from typing import Any, ClassVar

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from tests.support.chaos.cluster import Cluster
from tests.support.chaos.http_client import ANSWER_SECONDS, PASSING, Unanswered, ask, insist
from tests.support.subscribers import BOARD, BOARD_UPDATES, BoardClient, number_of
from tests.support.world import Person

CHANGES = """subscription Changes($after: String) {
  changes(after: $after) { revision caughtUp changes { revision action recordType recordId } }
}"""
BREAKS = (WebSocketException, httpx.TransportError, OSError, TimeoutError, Unanswered)
"""The errors of a connection that breaks. A server that is down causes an OSError."""
REMEMBERED = 500


async def _at_once() -> None:
    """Do not wait."""


class Client:
    """A client of one list. `number` is the revision that it has applied, `faults` are all errors, and `duplicates`
    counts messages about revisions that were applied before."""

    document: ClassVar[str]

    def __init__(
        self, name: str, cluster: Cluster, person: Person, transport: str, chance: Random, **variables: Any
    ) -> None:
        self.name, self.cluster, self.person, self.transport, self.chance = name, cluster, person, transport, chance
        self.variables = variables
        self.home: str | None = None
        """The only address that it connects to, if set."""
        self.linger: Callable[[], Awaitable[None]] = _at_once
        """Awaited before each subscription."""
        self.revision: str | None = None
        self.faults: list[str] = []
        self.messages = self.duplicates = self.connections = self.dropped = self.errors = 0
        self.resyncs: list[tuple[int, int]] = []
        """For each RESYNC: the last applied revision, and the newest one of the log."""
        self.applied: list[tuple[int, float]] = []
        """The revisions of its messages, with their times."""
        self.http = httpx.AsyncClient(timeout=httpx.Timeout(ANSWER_SECONDS, read=None))
        self._connection: ClientConnection | None = None
        self._reading: asyncio.Task[None] | None = None
        self._told = asyncio.Event()

    @property
    def number(self) -> int:
        return number_of(self.revision) if self.revision else 0

    async def run(self) -> None:
        """Keep the list until cancelled, or until a fault."""
        try:
            while True:
                self._reading = asyncio.create_task(self._read())
                await asyncio.wait({self._reading})
                error = None if self._reading.cancelled() else self._reading.exception()
                if error is not None and not isinstance(error, BREAKS):
                    self.faults.append(f"{self.name} fails: {error!r}")
                    return
                await asyncio.sleep(self.chance.uniform(0, 0.2))
        finally:
            if self._reading is not None:
                self._reading.cancel()
                await asyncio.gather(self._reading, return_exceptions=True)
            await self.http.aclose()

    def drop(self) -> None:
        """Drop the connection without closing it."""
        self.dropped += 1
        if self._connection is not None:
            self._connection.transport.abort()
        elif self._reading is not None:
            self._reading.cancel()

    async def until(self, number: int, within: float) -> bool:
        """Wait until a revision is applied. Returns False after a timeout."""
        return await self._when(lambda: self.number >= number, within)

    async def live(self, within: float) -> bool:
        """Wait for the first message of a subscription. Returns False after a timeout."""
        return await self._when(lambda: self.messages > 0, within)

    async def _when(self, holds: Callable[[], bool], within: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while not holds():
                    self._told.clear()
                    await self._told.wait()
        return holds()

    async def _read(self) -> None:
        address = self.home or self.cluster.somewhere(self.chance)
        if self.revision is None:
            await self.begin(address)
        await self.linger()
        self.connections += 1
        payloads = self._by_websocket(address) if self.transport == "websocket" else self._by_events(address)
        async with contextlib.aclosing(payloads):
            async for payload in payloads:
                if not self._take(payload):
                    return

    async def begin(self, address: str) -> None:
        """Read the list before the first subscription. Raises Unanswered."""
        raise NotImplementedError

    async def _by_websocket(self, address: str) -> AsyncGenerator[dict[str, Any]]:
        url, protocols = f"ws://{address}/graphql", [Subprotocol("graphql-transport-ws")]
        options: dict[str, Any] = {"compression": None, "proxy": None, "open_timeout": ANSWER_SECONDS}
        async with connect(url, subprotocols=protocols, close_timeout=1, **options) as connection:
            self._connection = connection
            try:
                payload: dict[str, Any] = {"authorization": f"Bearer {self.person.token}"}
                await connection.send(json.dumps({"type": "connection_init", "payload": payload}))
                async with asyncio.timeout(ANSWER_SECONDS):
                    await connection.recv()
                payload = {"query": self.document, "variables": {"after": self.revision, **self.variables}}
                await connection.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
                while True:
                    message = json.loads(await connection.recv())
                    answers = message["payload"]
                    yield answers if message["type"] == "next" else {"errors": answers}
            finally:
                self._connection = None

    async def _by_events(self, address: str) -> AsyncGenerator[dict[str, Any]]:
        body = {"query": self.document, "variables": {"after": self.revision, **self.variables}}
        headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {self.person.token}"}
        async with self.http.stream("POST", f"http://{address}/graphql", json=body, headers=headers) as response:
            if response.status_code >= 500:  # it is about to stop, or its database is out
                return
            async for line in response.aiter_lines():
                if line.startswith("data: {"):
                    yield json.loads(line.removeprefix("data: "))

    def _take(self, payload: dict[str, Any]) -> bool:
        """Apply an answer. Returns False after the last one."""
        for error in payload.get("errors", ()):
            code = error["extensions"]["code"]
            if code == "RESYNC":
                self.resyncs.append((self.number, number_of(error["extensions"]["revision"])))
                self.revision = None
            elif code in PASSING:
                self.errors += 1
            else:
                self.faults.append(f"{self.name} got {error}")
        if payload.get("data") is None:
            return False
        [message] = payload["data"].values()
        self.messages += 1
        number, news = number_of(message["revision"]), message.get("events") or message.get("changes") or []
        told = [number_of(each["revision"]) for each in news]
        if number < self.number:
            self.faults.append(f"{self.name} was brought back from {self.number} to {number}")
        if any(each > number for each in told):
            self.faults.append(f"{self.name} got {told} in an update to {number}")
        self.duplicates += sum(each <= self.number for each in told)
        if number > self.number:
            self.apply(message)
            self.revision = message["revision"]
            self.applied.append((number, time.time()))
        self._told.set()
        return True

    def apply(self, message: dict[str, Any]) -> None:
        """Apply a message."""
        raise NotImplementedError

    def knew(self, number: int) -> float | None:
        """The time at which a revision was applied."""
        place = bisect.bisect_left(self.applied, (number, 0.0))
        return self.applied[place][1] if place < len(self.applied) else None


class Board(Client):
    """A board that is queried once and then kept by its updates. `compared` counts comparisons with a query of the same
    revision."""

    document = BOARD_UPDATES

    def __init__(self, *values: Any, **variables: Any) -> None:
        super().__init__(*values, **variables)
        self.board = BoardClient({}, {}, {}, ".0")
        self.compared = self.asked = 0
        self._states: dict[int, tuple[dict[str, Any], dict[str, Any]]] = {}

    async def begin(self, address: str) -> None:
        self.board = await self.query(address)
        self.revision = self.board.revision
        self._remember()

    async def query(self, address: str) -> BoardClient:
        """The current board. Raises Unanswered."""
        data = await ask(self.http, address, self.person.token, BOARD, **self.variables)
        return BoardClient.of(data["pipelineBoard"])

    async def compare_now(self) -> None:
        """Compare the kept board with the current one, after all changes."""

        def somewhere() -> str:
            return self.cluster.somewhere(self.chance)

        data, _ = await insist(self.http, somewhere, self.chance, self.person.token, BOARD, **self.variables)
        self.expect(BoardClient.of(data["pipelineBoard"]), self.board.cards, self.board.totals)

    def apply(self, message: dict[str, Any]) -> None:
        self.board.apply(message)
        self.board.revision = message["revision"]
        if message["caughtUp"]:
            self._remember()

    def _remember(self) -> None:
        self._states[number_of(self.board.revision)] = dict(self.board.cards), dict(self.board.totals)
        if len(self._states) > REMEMBERED:
            del self._states[next(iter(self._states))]

    async def compare(self, within: float) -> None:
        """Query the board, and compare it with the kept one of that revision, if there was one: several changes can
        arrive in one message."""
        try:
            fresh = await self.query(self.cluster.somewhere(self.chance))
        except BREAKS:
            return
        self.asked += 1
        number = number_of(fresh.revision)
        if await self.until(number, within) and number in self._states:
            self.compared += 1
            self.expect(fresh, *self._states[number])

    def expect(self, fresh: BoardClient, cards: dict[str, Any], totals: dict[str, Any]) -> None:
        """Compare the kept board with a query of the same revision."""
        for kind, kept, queried in (("cards", cards, fresh.cards), ("totals", totals, fresh.totals)):
            wrong = [key for key in kept.keys() | queried.keys() if kept.get(key) != queried.get(key)]
            if wrong:
                pairs = [(kept.get(key), queried.get(key)) for key in wrong]
                self.faults.append(f"{self.name} at {fresh.revision}: {kind} kept and queried differ: {pairs}")


class Reader(Client):
    """Reads all changes. `since` is the first revision, and `read` are the ones read."""

    document = CHANGES

    def __init__(self, *values: Any, **variables: Any) -> None:
        super().__init__(*values, **variables)
        self.since: int | None = None
        self.read: list[int] = []
        self.unread: list[tuple[int, int]] = []
        """The revisions that it missed by a RESYNC: the last one before, and the first one after."""

    async def begin(self, address: str) -> None:
        self.revision = (await ask(self.http, address, self.person.token, "{ revision }"))["revision"]
        if self.since is None:
            self.since = self.number
        else:
            self.unread.append((self.resyncs[-1][0], self.number))

    def apply(self, message: dict[str, Any]) -> None:
        numbers = [number_of(change["revision"]) for change in message["changes"]]
        self.read += [number for number in numbers if number > self.number]
