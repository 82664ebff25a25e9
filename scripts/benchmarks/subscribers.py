"""Many subscribers over websockets, in a separate process that does as little as possible with each message.

Sockets with equal subscriptions receive equal bytes, except for the ids of their operations. So each message is parsed
once, and recognized by its other bytes afterwards. A socket's log therefore needs two numbers per message, and is
complete.
"""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import multiprocessing
import os
import socket
import struct
import time
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import uvloop

TEXT, PING, PONG = 1, 9, 10
PATIENCE_SECONDS = 60


@dataclass
class Subscription:
    """The subscription of one socket."""

    query: str
    variables: dict[str, Any]
    operation_id: str
    token: str | None = None


@dataclass
class Log:
    """The messages of one socket: their times, and their chunks by number. A chunk is a list of updates."""

    times: array[float] = field(default_factory=lambda: array("d"))
    chunks: array[int] = field(default_factory=lambda: array("l"))


class Subscribers:
    """The subscribers of one server. Every method raises RuntimeError if the server closed one of them."""

    def __init__(self, port: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, other = context.Pipe()
        self._process = context.Process(target=_run, args=(port, other), daemon=True)
        self._process.start()
        other.close()

    def __enter__(self) -> Subscribers:
        return self

    def __exit__(self, *_: object) -> None:
        """Close all of them."""
        self._connection.close()
        self._process.join()

    def join(self, subscriptions: Sequence[Subscription], *, stuck: bool = False) -> None:
        """Open a socket for each; returns when all of them are live. Those that are stuck read no further."""
        self._call("join", subscriptions, stuck)

    def unstick(self) -> None:
        """Let the stuck subscribers read."""
        self._call("unstick")

    def reach(self, revisions: Sequence[int]) -> None:
        """Wait until each socket, in the order they joined, has an update of its revision or of a later one."""
        self._call("reach", revisions)

    def take(self) -> tuple[list[list[dict[str, Any]]], list[Log]]:
        """The chunks and each socket's log since the previous call."""
        chunks, logs = self._call("take")
        return chunks, logs

    def _call(self, name: str, *arguments: object) -> Any:
        self._connection.send((name, arguments))
        good, answer = self._connection.recv()
        if not good:
            raise RuntimeError(answer)
        return answer


def _run(port: int, connection: Any) -> None:
    uvloop.run(_Process(port, connection).serve())


class _Process:
    """The process of the subscribers. It runs one command after the other."""

    def __init__(self, port: int, connection: Any) -> None:
        self.port, self.connection = port, connection
        self.sockets: list[_Socket] = []
        self.known: dict[bytes, tuple[int, int]] = {}  # a chunk's bytes but for ids: its number, its last revision
        self.chunks: list[list[dict[str, Any]]] = []
        self.missing = 0
        self.reached = asyncio.Event()
        self.failure: str | None = None

    async def serve(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                name, arguments = await loop.run_in_executor(None, self.connection.recv)
            except EOFError:
                return
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    answer = (True, await getattr(self, name)(*arguments))
            except TimeoutError:
                answer = (False, f"{name}: {self.missing} of {len(self.sockets)} still wait after a minute")
            except ConnectionError as error:
                answer = (False, str(error))
            self.connection.send(answer)

    async def join(self, subscriptions: Sequence[Subscription], stuck: bool) -> None:
        gc.enable()
        for start in range(0, len(subscriptions), 50):
            batch = [_Socket(self, subscription, stuck) for subscription in subscriptions[start : start + 50]]
            self.sockets += batch
            await asyncio.gather(*(each.open() for each in batch))
            await self.reach([0] * len(self.sockets))
        gc.collect()
        gc.disable()  # nothing below makes cycles

    async def unstick(self) -> None:
        for each in self.sockets:
            each.stuck = False
            each.transport.resume_reading()

    async def reach(self, revisions: Sequence[int]) -> None:
        self.reached.clear()
        for each, revision in zip(self.sockets, revisions, strict=True):
            each.target = revision
        self.missing = sum(each.revision < each.target for each in self.sockets)
        if self.missing and not self.failure:
            await self.reached.wait()
        if self.failure:
            raise ConnectionError(self.failure)

    async def take(self) -> tuple[list[list[dict[str, Any]]], list[Log]]:
        logs = [each.log for each in self.sockets]
        chunks, self.chunks = self.chunks, []
        self.known.clear()
        for each in self.sockets:
            each.log = Log()
        return chunks, logs

    def arrive(self) -> None:
        """Count one more socket that has the awaited revision."""
        self.missing -= 1
        if not self.missing:
            self.reached.set()

    def fail(self, reason: str) -> None:
        self.failure = self.failure or reason
        self.reached.set()


class _Socket(asyncio.Protocol):
    """One subscriber."""

    transport: Any  # uvloop's is no asyncio.Transport

    def __init__(self, crowd: _Process, subscription: Subscription, stuck: bool) -> None:
        self.crowd, self.subscription, self.stuck = crowd, subscription, stuck
        self.id = subscription.operation_id.encode()
        self.rest = b""
        self.upgraded = False
        self.revision, self.target = -1, 0
        self.log = Log()

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        made = socket.socket()
        if self.stuck:  # with small segments and a small window the server has nowhere to put what is not read
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        made.setblocking(False)
        await loop.sock_connect(made, ("127.0.0.1", self.crowd.port))
        await loop.create_connection(lambda: self, sock=made)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        key = base64.b64encode(os.urandom(16)).decode()
        self.transport.write(
            f"GET /graphql HTTP/1.1\r\nHost: 127.0.0.1:{self.crowd.port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
            "Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n".encode()
        )

    def connection_lost(self, error: Exception | None) -> None:
        self.crowd.fail(f"A socket was closed: {error or 'by the server'}")

    def data_received(self, data: bytes) -> None:
        now = time.time()
        if not self.rest and (known := self.crowd.known.get(data.replace(self.id, b""))) is not None:
            self.note(now, *known)
        else:
            self.parse(data, now)

    def note(self, now: float, chunk: int, revision: int) -> None:
        log = self.log
        log.times.append(now)
        log.chunks.append(chunk)
        before, self.revision = self.revision, revision
        if before < self.target <= revision:
            self.crowd.arrive()

    def parse(self, data: bytes, now: float) -> None:
        """The slow path: for new chunks, fragments, and messages that need an answer."""
        data = self.rest + data
        if not self.upgraded:
            head, found, data = data.partition(b"\r\n\r\n")
            if not found:
                self.rest = head
                return
            if not head.startswith(b"HTTP/1.1 101 "):
                self.crowd.fail(f"A socket was not taken: {head.decode()}")
                return
            self.upgraded = True
            self.send({"type": "connection_init", "payload": self._credentials()})
        updates: list[dict[str, Any]] = []
        count = read = 0
        for opcode, start, end in _frames(data):
            count, read = count + 1, end
            if opcode == PING:
                self.transport.write(_frame(PONG, data[start:end]))
            elif opcode == TEXT:
                updates += self.answer(json.loads(data[start:end]))
            else:
                self.crowd.fail(f"A frame of kind {opcode} came: {data[start:end]!r}")
        self.rest = data[read:]
        if updates:
            chunk, revision = len(self.crowd.chunks), int(updates[-1]["revision"].rpartition(".")[2])
            self.crowd.chunks.append(updates)
            if len(updates) == count and not self.rest:
                self.crowd.known[data.replace(self.id, b"")] = chunk, revision
            self.note(now, chunk, revision)
            if self.stuck:
                self.transport.pause_reading()

    def answer(self, message: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Answer a message if necessary, and return its update."""
        match message:
            case {"type": "connection_ack"}:
                payload = {"query": self.subscription.query, "variables": self.subscription.variables}
                self.send({"id": self.subscription.operation_id, "type": "subscribe", "payload": payload})
            case {"type": "ping"}:
                self.send({"type": "pong"})
            case {"type": "next", "id": self.subscription.operation_id, "payload": {"data": dict() as data}}:
                yield from data.values()
            case _:
                self.crowd.fail(f"A message came that was not expected: {message}")

    def send(self, message: dict[str, Any]) -> None:
        self.transport.write(_frame(TEXT, json.dumps(message).encode()))

    def _credentials(self) -> dict[str, str]:
        token = self.subscription.token
        return {} if token is None else {"Authorization": f"Bearer {token}"}


def _frame(opcode: int, content: bytes) -> bytes:
    """A frame as clients send it, masked with zeros."""
    size = len(content)
    length = bytes([0x80 | size]) if size < 126 else bytes([0x80 | 126]) + struct.pack("!H", size)
    return bytes([0x80 | opcode]) + length + bytes(4) + content


def _frames(data: bytes) -> Iterator[tuple[int, int, int]]:
    """The whole frames at the beginning: opcode (of a fragment, 0 or less than 128), start and end of the content."""
    place = 0
    while len(data) >= place + 2:
        first, size, start = data[place], data[place + 1], place + 2
        if size >= 126:
            width = 2 if size == 126 else 8
            size, start = int.from_bytes(data[start : start + width], "big"), start + width
        if len(data) < start + size:
            return
        yield first & 0x7F if first & 0x80 else 0, start, start + size
        place = start + size
