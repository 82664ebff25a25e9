"""Two kinds of load: as much as 16 connections can send, and a fixed rate independent of the answers."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import percentile

CONNECTIONS = 16
PATIENCE_SECONDS = 10
SCRIPT = Path(__file__).with_name("load.lua")


@dataclass
class LoadRun:
    """Results of wrk: requests, requests per second, and milliseconds."""

    requests: float
    rate: float
    p50: float
    p99: float

    def figures(self) -> dict[str, float]:
        return {"requests_a_second": self.rate, "p50_ms": self.p50, "p99_ms": self.p99}


def rounded(rate: float) -> str:
    """A rate as text."""
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"


def middle(storms: Sequence[LoadRun]) -> LoadRun:
    """The median of each figure."""
    return LoadRun(*(percentile(figures, 50) for figures in zip(*map(dataclasses.astuple, storms), strict=True)))


def check_wrk() -> None:
    if shutil.which("wrk") is None:
        raise SystemExit("reads: wrk is not installed. Install it (Debian: apt-get install wrk) and run this again.")


def storm(port: int, headers: dict[str, str], bodies: Path, seconds: int) -> LoadRun:
    """Post the lines of a file repeatedly. Raises AssertionError if a request got an error or no answer. If none was
    answered in time, the result counts one."""
    given = [argument for name, value in headers.items() for argument in ("-H", f"{name}: {value}")]
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "30s", "-s", str(SCRIPT), *given]
    url = f"http://127.0.0.1:{port}/graphql"
    done = subprocess.run([*command, url, "--", str(bodies)], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["wrong"] + found["lost"] == 0, f"{bodies.name}: {found}"
    requests, milliseconds = found["requests"], 1000 * found["seconds"]
    if not requests:
        return LoadRun(1, 1000 / milliseconds, milliseconds, milliseconds)
    return LoadRun(requests, 1000 * requests / milliseconds, found["p50"], found["p99"])


async def steady(
    port: int, headers: dict[str, str], bodies: Sequence[bytes], rate: float, seconds: float
) -> list[float]:
    """Post a body every 1/rate seconds, even if earlier ones are unanswered. Returns the milliseconds from the moment
    each was due to its answer, or to the end if there is none.

    The wait for a free connection counts: a server that pauses does not escape the requests of that time.
    """
    loop, count = asyncio.get_running_loop(), int(rate * seconds)
    crew = _Crew(port, headers, count)
    for _ in range(CONNECTIONS):
        await loop.create_connection(lambda: _Line(crew), "127.0.0.1", port)
    begun = loop.time()
    for number in range(count):
        due = begun + number / rate
        if due > loop.time():
            await asyncio.sleep(due - loop.time())
        crew.send(due, bodies[number % len(bodies)])
    with contextlib.suppress(TimeoutError):  # unanswered requests count with the time so far
        async with asyncio.timeout(PATIENCE_SECONDS):
            await crew.finished
    return crew.close()


class _Crew:
    """The connections, the requests that wait for one, and the delays."""

    def __init__(self, port: int, headers: dict[str, str], count: int) -> None:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.head = f"POST /graphql HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{lines}Content-Length: ".encode()
        self.lines: list[_Line] = []
        self.free: collections.deque[_Line] = collections.deque()  # in turn, so that none is closed for being idle
        self.waiting: collections.deque[tuple[float, bytes]] = collections.deque()
        self.count = count
        self.delays: list[float] = []
        self.finished = asyncio.get_running_loop().create_future()

    def send(self, due: float, body: bytes) -> None:
        self.waiting.append((due, body))
        self.go_on()

    def take(self, line: _Line, answer: bytes) -> None:
        """Record an answer, and free its connection."""
        self.delays.append(1000 * (asyncio.get_running_loop().time() - line.due))
        if b" 200 " not in answer[:20] or b'rrors":[{' in answer or b'rrors": [{' in answer:
            self.fail(f"An answer was wrong: {answer[:500]!r}")
        elif len(self.delays) == self.count:
            self.finished.set_result(None)
        self.free.append(line)
        self.go_on()

    def fail(self, reason: str) -> None:
        if not self.finished.done():
            self.finished.set_exception(AssertionError(reason))

    def go_on(self) -> None:
        while self.free and self.waiting:
            self.free.popleft().send(*self.waiting.popleft())

    def close(self) -> list[float]:
        """The delays of all requests, with the time so far of unanswered ones."""
        now, busy = asyncio.get_running_loop().time(), [each for each in self.lines if each not in self.free]
        for each in self.lines:
            each.transport.abort()
        due = [each.due for each in busy] + [due for due, _ in self.waiting]
        return self.delays + [1000 * (now - each) for each in due]


class _Line(asyncio.Protocol):
    transport: Any  # uvloop's is no asyncio.Transport

    def __init__(self, crew: _Crew) -> None:
        self.crew = crew
        self.due = 0.0
        self.received = b""
        self.end = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.crew.lines.append(self)
        self.crew.free.append(self)

    def send(self, due: float, body: bytes) -> None:
        self.due = due
        self.transport.write(b"%b%d\r\n\r\n%b" % (self.crew.head, len(body), body))

    def data_received(self, data: bytes) -> None:
        self.received += data
        if not self.end:
            head, found, _ = self.received.partition(b"\r\n\r\n")
            if not found:
                return
            self.end = len(head) + 4 + int(head.lower().partition(b"content-length:")[2].split()[0])
        if len(self.received) < self.end:
            return
        answer, self.received, self.end = self.received, b"", 0
        self.crew.take(self, answer)

    def connection_lost(self, error: Exception | None) -> None:
        self.crew.fail("A connection was closed.")
