"""Processor time of each abusive request, and the delay that abuse causes for other users.

The processor time is that of the server process. The other users read an account's 360 at a steady rate. Each of their
requests is timed from the moment it is due, first without abuse and then during it. Both alternate, and the median
round counts, so that other load on the machine affects both. The attacker's process runs at a lower priority, as if it
were on another machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import multiprocessing
import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import load
from common import Client, database, environment, finish, options, percentile, prepare, say, serving
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from schema.transports.graphiql_examples import EXAMPLES
from tests.support.abuse import ABUSES

MOST_MILLISECONDS, MOST_TIMES, LEAST_P99 = 50.0, 2.0, 5.0
RATE, PAUSE_SECONDS = 50, 0.1
ROUNDS, SECONDS = 7, 6
POLITENESS = 10  # the niceness of the attacker's process
SUBSCRIPTIONS, BATCH = 10_000, 10_000
CHANGES = "subscription { changes { revision } }"


@dataclass
class Site:
    """The server that is abused. `token` is the attacker's."""

    port: int
    pid: int
    token: str

    @property
    def spent(self) -> float:
        """Milliseconds of processor, so far."""
        tasks = Path(f"/proc/{self.pid}/task").iterdir()
        return sum(int((each / "schedstat").read_text().split()[0]) for each in tasks) / 1e6

    @property
    def headers(self) -> dict[str, str]:
        return {"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"}

    def post(self, body: bytes) -> int:
        """The status of the answer to a body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request(
                "POST", "/graphql", body, {**self.headers, "Accept": "application/graphql-response+json"}
            )
            return connection.getresponse().status

    def raw(self, *pieces: bytes, pause: float = 0.0) -> bytes:
        """Send bytes piece by piece, and return the answer. With a pause, the answer is not read. The server may close
        the connection at any time."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as line, contextlib.suppress(OSError):
            for piece in pieces:
                line.sendall(piece)
                time.sleep(pause)
            return b"" if pause else line.recv(65_536)
        return b""

    @contextlib.contextmanager
    def websocket(self, **settings: Any) -> Iterator[Any]:
        protocols, url = [Subprotocol("graphql-transport-ws")], f"ws://127.0.0.1:{self.port}/graphql"
        with connect(url, subprotocols=protocols, compression=None, close_timeout=1, **settings) as line:
            line.send(json.dumps({"type": "connection_init", "payload": {"authorization": f"Bearer {self.token}"}}))
            line.recv()
            yield line


HEAD = b"POST /graphql HTTP/1.1\r\nHost: crm\r\nContent-Type: application/json\r\n"


def document(text: str) -> Callable[[Site], None]:
    body = json.dumps({"query": text}).encode()

    def send(site: Site) -> None:
        assert site.post(body) in {400, 413}

    return send


def batch(site: Site) -> None:
    assert site.post(json.dumps([{"query": "{ viewer { id } }"}] * BATCH).encode()) == 400


def large(site: Site) -> None:
    """A body of 50 MB, or the part of it that the server reads."""
    assert b" 413 " in site.raw(HEAD + b"Content-Length: 50000000\r\n\r\n", *[bytes(1_000_000)] * 50)[:16]


def large_in_chunks(site: Site) -> None:
    chunk = b"%x\r\n%b\r\n" % (1_000_000, bytes(1_000_000))
    site.raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 50)


def slow_body(site: Site) -> None:
    site.raw(HEAD + b"Content-Length: 1000\r\n\r\n", *[b" "] * 20, pause=0.02)


def slow_head(site: Site) -> None:
    site.raw(*[HEAD[each : each + 1] for each in range(20)], pause=0.02)


def slow_websocket(site: Site) -> None:
    """Run operations without reading their answers."""
    with site.websocket(max_queue=1) as line:
        for number in range(20):
            payload = {"query": "{ pipelines { nodes { id name stages { id name } } } }"}
            line.send(json.dumps({"id": str(number), "type": "subscribe", "payload": payload}))


def pings(site: Site) -> None:
    with site.websocket() as line:
        ping = b"\x89\xfd" + bytes(4) + b"x" * 125
        with contextlib.suppress(OSError):
            line.socket.sendall(ping * 500)


def subscriptions(site: Site) -> None:
    """Start subscriptions on one socket. Those beyond the limit must be refused."""
    refused = 0
    with site.websocket(max_size=None) as line:
        for number in range(SUBSCRIPTIONS):
            line.send(json.dumps({"id": str(number), "type": "subscribe", "payload": {"query": CHANGES}}))
            if number >= 100:
                while json.loads(line.recv())["type"] != "error":
                    pass
                refused += 1
    assert refused == SUBSCRIPTIONS - 100


SHAPES: dict[str, tuple[Callable[[Site], None], int]] = {
    **{each.name: (document(each.text), 1) for each in ABUSES},
    f"a batch of {BATCH:,}": (batch, 1),
    "a body of 50 MB": (large, 1),
    "a body of 50 MB in chunks": (large_in_chunks, 1),
    "a slow body": (slow_body, 1),
    "a slow head": (slow_head, 1),
    "a slow websocket, 20 operations": (slow_websocket, 20),
    "500 pings that nobody reads": (pings, 1),
    f"{SUBSCRIPTIONS:,} subscriptions": (subscriptions, SUBSCRIPTIONS),
}
"""{name: (function that sends it, number of requests)}"""


def cost(site: Site, times: int) -> dict[str, float]:
    """Milliseconds of processor time per request of each shape: the minimum, because other work can only add."""
    costs: dict[str, float] = {}
    for name, (send, requests) in SHAPES.items():
        found = []
        for _ in range(1 if requests > 100 else times):
            before = site.spent
            send(site)
            time.sleep(0.02)  # for work after the answer
            found.append((site.spent - before) / requests)
        costs[name] = min(found)
        say(f"{costs[name]:8.2f} ms  {name}")
    return costs


def delays(site: Site, token: str) -> float:
    """The 99th percentile of the other users' delays, in milliseconds."""
    body = json.dumps({name: EXAMPLES[0][name] for name in ("query", "variables")}).encode()
    headers = {**site.headers, "Authorization": f"Bearer {token}", "Accept": "application/json"}
    return percentile(asyncio.run(load.steady(site.port, headers, [body], RATE, SECONDS)), 99)


def attack(site: Site, begun: Any, over: Any) -> None:
    """Send one abuse after the other until `over` is set."""
    os.nice(POLITENESS)
    begun.set()
    while not over.is_set():
        for send, requests in SHAPES.values():
            if over.is_set() or requests > 100:
                continue
            send(site)
            over.wait(PAUSE_SECONDS)


@contextlib.contextmanager
def abused(site: Site) -> Iterator[None]:
    """Inside the block, another process sends the abuses, so that this one measures without waiting for them."""
    context = multiprocessing.get_context("spawn")
    begun, over = context.Event(), context.Event()
    attacker = context.Process(target=attack, args=(site, begun, over))
    attacker.start()
    begun.wait()
    try:
        yield
    finally:
        over.set()
        attacker.join()


def main() -> None:
    parser = options(__doc__, quick="2 runs of each request instead of 5, and 1 round instead of 7")
    chosen = parser.parse_args()
    with database(chosen.database) as url:
        env = environment(url)
        token = prepare(env)
        with serving(env) as server:
            Client(server.port, token).ask("{ viewer { id } }")
            site = Site(server.port, server.pid, token)
            costs = cost(site, 2 if chosen.quick else 5)
            alone, beside = [], []
            for _ in range(1 if chosen.quick else ROUNDS):
                alone.append(delays(site, token))
                with abused(site):
                    beside.append(delays(site, token))
            calm, busy = percentile(alone, 50), percentile(beside, 50)
    name, most = max(costs.items(), key=lambda each: each[1])
    summary = (
        f"abuse: at most {most:.1f} ms of processor, for {name} (below {MOST_MILLISECONDS:.0f}); "
        f"others' p99 {calm:.1f} ms alone, {busy:.1f} ms beside the abuses "
        f"(at most {MOST_TIMES:.0f} times, or {LEAST_P99:.0f} ms)"
    )
    kept = most < MOST_MILLISECONDS and busy <= max(MOST_TIMES * calm, LEAST_P99)
    finish(kept, summary, {"milliseconds": costs, "p99_alone": calm, "p99_beside": busy}, chosen.json)


if __name__ == "__main__":
    main()
