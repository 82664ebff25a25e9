"""Clients that follow a list through whatever happens: they go on after the last revision that they applied, at any
server that there is."""

from __future__ import annotations

import asyncio
import bisect
import contextlib
import json
import time
from collections.abc import AsyncIterator
from random import Random
from typing import Any, ClassVar

import httpx
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import InvalidHandshake, WebSocketException

from tests.support.chaos.asking import ANSWER_SECONDS, PASSING, Unanswered, ask
from tests.support.chaos.cluster import Cluster
from tests.support.followers import BOARD, BOARD_UPDATES, BoardClient, number_of
from tests.support.live import EventClient, Server
from tests.support.world import Person

CHANGES = """subscription Changes($after: String) {
  changes(after: $after) { revision caughtUp changes { revision action recordType recordId } }
}"""
BREAKS = (WebSocketException, InvalidHandshake, httpx.TransportError, OSError, TimeoutError, Unanswered)
"""How a connection ends that does not end as it should; an OSError is what a server that is down answers with."""
REMEMBERED = 500
SILENCE_SECONDS = 60.0


class Client:
    """Follows one list. `number` is the revision that it has applied; all faults that it meets are kept."""

    document: ClassVar[str]

    def __init__(
        self, name: str, cluster: Cluster, person: Person, transport: str, chance: Random, **variables: Any
    ) -> None:
        self.name, self.cluster, self.person, self.transport, self.chance = name, cluster, person, transport, chance
        self.variables = variables
        self.revision: str | None = None
        self.faults: list[str] = []
        self.messages = self.duplicates = self.connections = self.dropped = self.errors = 0
        self.resyncs: list[tuple[int, int]] = []
        """For each: after which revision, and where the log stood."""
        self.applied: list[tuple[int, float]] = []
        """The revisions that messages brought it to, and when."""
        self.http = httpx.AsyncClient(timeout=httpx.Timeout(ANSWER_SECONDS, read=None))
        self._connection: ClientConnection | None = None
        self._reading: asyncio.Task[None] | None = None
        self._grown = asyncio.Event()

    @property
    def number(self) -> int:
        return number_of(self.revision) if self.revision else 0

    async def run(self) -> None:
        """Follow until cancelled."""
        try:
            while True:
                self._reading = asyncio.create_task(self._read())
                await asyncio.wait({self._reading})
                error = None if self._reading.cancelled() else self._reading.exception()
                if error is not None and not isinstance(error, BREAKS):
                    self.faults.append(f"{self.name} fails: {error!r}")
                await asyncio.sleep(self.chance.uniform(0, 0.2))
        finally:
            if self._reading is not None:
                self._reading.cancel()
                await asyncio.gather(self._reading, return_exceptions=True)
            await self.http.aclose()

    def drop(self) -> None:
        """Lose the connection, without a word to the server."""
        self.dropped += 1
        if self._connection is not None:
            self._connection.transport.abort()
        elif self._reading is not None:
            self._reading.cancel()

    async def until(self, number: int, within: float) -> bool:
        """Wait until a revision is applied; whether it was."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while self.number < number:
                    self._grown.clear()
                    await self._grown.wait()
        return self.number >= number

    async def _read(self) -> None:
        address = self.cluster.somewhere(self.chance)
        if self.revision is None:
            await self.begin(address)
        server = Server(address, self.http)
        self.connections += 1
        payloads = self._by_websocket(server) if self.transport == "websocket" else self._by_events(server)
        async with contextlib.aclosing(payloads):
            async for payload in payloads:
                if not self._take(payload):
                    return

    async def begin(self, address: str) -> None:
        """Read what is there before anything is followed. Raises Unanswered."""

    async def _by_websocket(self, server: Server) -> AsyncIterator[dict[str, Any]]:
        async with server.websocket(self.person, open_timeout=ANSWER_SECONDS, close_timeout=1) as client:
            self._connection = client.connection
            try:
                await client.start(self.document, after=self.revision, **self.variables)
                while True:
                    message = json.loads(await client.connection.recv())
                    match message["type"]:
                        case "next":
                            yield message["payload"]
                        case "error":
                            yield {"errors": message["payload"]}
                        case other:
                            self.faults.append(f"{self.name} was sent {other}")
            finally:
                self._connection = None

    async def _by_events(self, server: Server) -> AsyncIterator[dict[str, Any]]:
        body = {"query": self.document, "variables": {"after": self.revision, **self.variables}}
        headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {self.person.token}"}
        async with self.http.stream("POST", server.url, json=body, headers=headers) as response:
            if response.status_code == 503:  # it is about to stop
                return
            client = EventClient(response)
            while (event := await client.event(within=SILENCE_SECONDS)) is not None:
                if event[0] == "next":
                    yield json.loads(event[1])

    def _take(self, payload: dict[str, Any]) -> bool:
        """Apply an answer; whether more can come."""
        for error in payload.get("errors", ()):
            code = error["extensions"]["code"]
            if code == "RESYNC":
                self.resyncs.append((self.number, number_of(error["extensions"]["revision"])))
                self.revision = None
            elif code in PASSING:
                self.errors += 1
            else:
                self.faults.append(f"{self.name} was told {error}")
        if payload.get("data") is None:
            return False
        [message] = payload["data"].values()
        self.messages += 1
        number, news = number_of(message["revision"]), message.get("events") or message.get("changes") or []
        told = [number_of(each["revision"]) for each in news]
        if number < self.number:
            self.faults.append(f"{self.name} was brought back from {self.number} to {number}")
        if told != sorted(told) or any(each > number for each in told):
            self.faults.append(f"{self.name} was told {told} in an update to {number}")
        if number > self.number:
            self.apply(message)
            self.revision = message["revision"]
            self.applied.append((number, time.time()))
            self._grown.set()
        elif news:
            self.duplicates += 1
        return True

    def apply(self, message: dict[str, Any]) -> None:
        """Do what a message says."""
        raise NotImplementedError

    def knew(self, number: int) -> float | None:
        """When it had applied a revision."""
        place = bisect.bisect_left(self.applied, (number, 0.0))
        return self.applied[place][1] if place < len(self.applied) else None


class Board(Client):
    """A board, queried once and then kept by its updates. `compared` counts the queries at whose revision it stood."""

    document = BOARD_UPDATES

    def __init__(self, *values: Any, **variables: Any) -> None:
        super().__init__(*values, **variables)
        self.board = BoardClient({}, {}, ".0")
        self.compared = self.asked = 0
        self._states: dict[int, tuple[dict[str, Any], dict[str, Any]]] = {}

    async def begin(self, address: str) -> None:
        self.board = await self.query(address)
        self.revision = self.board.revision
        self._remember()

    async def query(self, address: str) -> BoardClient:
        """The board as it is now. Raises Unanswered."""
        data = await ask(self.http, address, self.person.token, BOARD, **self.variables)
        return BoardClient.of(data["pipelineBoard"])

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
        """Query the board, and compare it with what was kept at the query's revision, if the client ever stood there:
        it passes over some where several changes come as one."""
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
        """Compare what was kept with a query at the same revision."""
        for kind, kept, queried in (("cards", cards, fresh.cards), ("totals", totals, fresh.totals)):
            wrong = [key for key in kept.keys() | queried.keys() if kept.get(key) != queried.get(key)]
            if wrong:
                pairs = [(kept.get(key), queried.get(key)) for key in wrong]
                self.faults.append(f"{self.name} at {fresh.revision}: {kind} kept and queried differ: {pairs}")


class Reader(Client):
    """Reads all changes. `since` is where it began, `read` which it has read."""

    document = CHANGES

    def __init__(self, *values: Any, **variables: Any) -> None:
        super().__init__(*values, **variables)
        self.since: int | None = None
        self.read: list[int] = []
        self.unread: list[tuple[int, int]] = []
        """After which revision and up to which one it had to do without, as it was told to begin anew."""
        self.repeated = 0

    def apply(self, message: dict[str, Any]) -> None:
        if self.since is None:
            self.since = number_of(message["revision"])
        elif self.revision is None:
            self.unread.append((self.resyncs[-1][0], number_of(message["revision"])))
        for change in message["changes"]:
            number = number_of(change["revision"])
            if number > self.number:
                self.read.append(number)
            else:
                self.repeated += 1
