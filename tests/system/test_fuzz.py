"""The server answers any request as documented, reveals no internals, and keeps no state.

`CRM_GRAPH_TEST_LONG=1` sends 10,000 requests, different ones in each run; CRM_GRAPH_TEST_CASES sets another number.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
from collections import Counter
from random import Random, SystemRandom
from typing import Any

import pytest
from backports import zstd

from crm_graph.errors import BadUserInput, CrmError, RequestError
from schema import OperationService, RateLimiter
from schema.execution import parsing
from tests.conftest import LONG_TESTS
from tests.schema.transports.test_memory import resident_kilobytes
from tests.support.fuzz import Sent, requests
from tests.support.live import Server
from tests.support.world import World

CASES = int(os.environ.get("CRM_GRAPH_TEST_CASES", "10_000" if LONG_TESTS else "0"))
USUAL, LONG = 300, 3_000
CODES = {each.code for each in RequestError.__subclasses__()}
STATUSES = {200, 400, 401, 405, 406, 413, 415}
INSIDE = ("Traceback", "sqlalchemy", "asyncpg", "sqlite3", "aiosqlite", "starlette", '.py"', "SELECT ", "INSERT ")
SPARE_OBJECTS, SPARE_KILOBYTES = 40_000, 30_000
pytestmark = pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")


@pytest.fixture(autouse=True)
def unbounded(application: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """No rate limit, and small caches that fill early, so that any further growth of memory is a leak."""
    service: OperationService = application.state.service
    monkeypatch.setattr(service, "rate_limiter", RateLimiter(0, 1))
    monkeypatch.setattr(parsing._documents, "max_weight", 200_000)
    if service.schema._plans is not None:
        monkeypatch.setattr(service.schema._plans._leaves, "max_weight", 2_000_000)


async def test_whatever_is_sent_is_answered(world: World) -> None:
    run = SystemRandom().randrange(10**6) if CASES else 0
    print("run", run)
    await world.make("account", name="Acme")
    count = CASES or USUAL
    sent, seen = requests(count, run), Counter[str]()
    middle: tuple[int, int] | None = None
    for number, each in enumerate(sent):
        seen[f"{each.kind} {await answered(world, each)}"] += 1
        if number == count // 2 and count >= LONG:
            middle = held()
    print(dict(seen))
    assert seen["valid 200"] > 0.2 * count
    if middle is not None:
        objects, kilobytes = held()
        assert objects - middle[0] < SPARE_OBJECTS
        assert kilobytes - middle[1] < SPARE_KILOBYTES


def held() -> tuple[int, int]:
    """The number of objects, and kilobytes of memory."""
    gc.collect()
    return len(gc.get_objects()), resident_kilobytes()


async def answered(world: World, sent: Sent) -> int:
    """The status with which a request is answered, and nothing in it is amiss."""
    headers = {b"authorization": f"Bearer {world.admin.token}".encode(), b"content-type": b"application/json"}
    headers |= dict(sent.headers)
    response = await world.client.request(
        sent.method, "/graphql", content=sent.body, headers=list(headers.items()), params=sent.query or None
    )
    content = response.content
    if response.headers.get("content-encoding") == "zstd":  # which httpx does not decode
        content = zstd.decompress(content)
    text = content.decode()
    what = f"{sent}\n{response.status_code} {text}"
    assert response.status_code in STATUSES, what
    own = sent.body.decode(errors="replace")  # which errors cite
    assert not any(each in text for each in INSIDE if each not in own), what
    if response.headers["content-type"].startswith("application/") and sent.method != "HEAD":
        answer = json.loads(content)
        for one in answer if isinstance(answer, list) else [answer]:
            codes = {error["extensions"]["code"] for error in one.get("errors", ())}
            assert codes <= CODES, what
            assert one.keys() <= {"data", "errors", "extensions"}, what
    return response.status_code


async def test_whatever_bytes_come_the_server_goes_on(world: World, server: Server) -> None:
    chance = Random(SystemRandom().randrange(10**6) if CASES else 0)
    host, _, port = server.address.partition(":")
    logging.disable(logging.CRITICAL)  # each is worth a line, which pytest keeps
    try:
        for _ in range(max(60, CASES // 10)):
            reader, writer = await asyncio.open_connection(host, int(port))
            try:
                writer.write(some_bytes(chance))
                writer.write_eof()
                async with asyncio.timeout(10):
                    answer = await reader.read()
            except ConnectionError:
                continue
            finally:
                writer.close()
            assert not answer or answer[:9] == b"HTTP/1.1 ", answer
            assert b" 500 " not in answer[:13], answer
            assert not any(each.encode() in answer for each in INSIDE), answer
    finally:
        logging.disable(logging.NOTSET)
    assert await world.data("{ viewer { id } }")


def some_bytes(chance: Random) -> bytes:
    """Something like a request, or not at all."""
    body = b'{"query": "{ __typename }"}'
    request = bytearray(
        b"POST /graphql HTTP/1.1\r\nHost: crm\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"
        % len(body)
    )
    lines = bytes(request).split(b"\r\n")
    match chance.randrange(3):
        case 0:
            return chance.randbytes(chance.choice([1, 50, 3_000]))
        case 1:
            kept = [lines[0], *(each for each in lines[1:-2] if chance.random() < 0.6)]
            return b"\r\n".join([*kept, b"", body])
    for _ in range(chance.choice([1, 2, 5])):
        request[chance.randrange(len(request))] = chance.randrange(256)
    return bytes(request) + body


def test_the_codes_are_those_of_the_errors() -> None:
    assert issubclass(RequestError, CrmError)
    assert BadUserInput.code in CODES
    assert "INTERNAL" not in CODES
