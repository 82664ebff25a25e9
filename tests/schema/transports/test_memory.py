"""Misbehaving clients cause no memory leaks."""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.live import Server
from tests.support.world import World

WHO = "query Who { viewer { id } }"
CHANGES = "subscription ($after: String) { changes(after: $after) { revision } }"
BOARD = 'subscription { pipelineBoard(pipelineId: "pipe_00000000000000000000000000") { revision } }'
INIT = {"type": "connection_init"}
# After WARM uses, the caches hold objects of this test only. Earlier objects are frozen, so gc does not count them.
WARM, ALL = 5_000, 13_000
SPARE_OBJECTS, SPARE_KILOBYTES = 1_500, 8_000


def subscribe(id: str, query: str = WHO, **payload: Any) -> dict[str, Any]:
    return {"type": "subscribe", "id": id, "payload": {"query": query, **payload}}


def wrong_operations(number: int) -> list[dict[str, Any]]:
    """Distinct operations that end with an error. Some of them reach the database."""
    further = [{"after": f"{number}"}, {"after": f"epoch.{number}"}, {"after": number}][number % 3]
    return [
        subscribe(f"a{number}", f"{{ viewer {{ id }} # {number}"),
        subscribe(f"b{number}", f"{{ nothing{number} }}"),
        subscribe(f"c{number}", operationName=f"Name{number}"),
        subscribe(f"d{number}", f"subscription {{ s{number} }}"),
        subscribe(f"e{number}", BOARD) if number % 2 else subscribe(f"f{number}", CHANGES, variables=further),
    ]


def fatal_messages(number: int) -> list[Any]:
    """Messages that close the socket."""
    return [
        "{",
        b"\0",
        INIT,
        {"type": f"type{number}"},
        {"type": "ping", "payload": number},
        subscribe("", WHO),
        subscribe("x" * 1001, WHO),
        {**subscribe("1"), "payload": {"query": number}},
    ]


BEGINNINGS: list[Any] = [
    subscribe("1"),
    INIT,
    {**INIT, "payload": {"authorization": "Bearer crm_x"}},
    {**INIT, "payload": {"authorization": "Bearer x.y.z"}},
    {**INIT, "payload": 1},
]


async def misuse(world: World, server: Server, numbers: Iterator[int]) -> int:
    """Misuse the transports as one client; returns the number of wrong uses."""
    number = next(numbers)
    done = 0
    async with server.websocket(world.admin) as client:
        for _ in range(12):
            operations = wrong_operations(next(numbers))
            for each in operations:
                await client.send(each)
                await client.send({"type": "complete", "id": "nobody's"})
            answered = [await client.receive() for _ in operations]
            assert {each["type"] for each in answered} == {"error"}, answered
            done += 2 * len(operations)
        # The last one reuses the id of a running subscription.
        fatal = [*fatal_messages(number), subscribe("mine", CHANGES)][number % 9]
        await client.send(subscribe("mine", CHANGES))
        await client.send(fatal)
        assert (await client.closed())[0] in {4400, 4409, 4429}
    async with server.websocket() as client:
        await client.send(BEGINNINGS[number % 5])
        assert (await client.closed())[0] in {4400, 4401, 4403}
    async with server.websocket(protocols=[] if number % 2 else ["graphql-ws"]) as client:
        assert (await client.closed())[0] == 4406
    async with server.events(f"{{ nothing{number} }}", by=world.admin) as stream:
        await stream.next()
    async with server.events(CHANGES, by=world.admin):
        pass  # disconnected before the first event
    response = await server.client.post(
        server.url, content=b"{", headers={"Accept": "text/event-stream", "Content-Type": "application/json"}
    )
    assert response.status_code == 400
    return done + 6


async def settled(server: Server) -> tuple[int, int]:
    """The numbers of objects and of resident kilobytes (0 where unknown), after all connections are closed."""
    await none_open(server)
    gc.collect()
    return len(gc.get_objects()), resident_kilobytes()


async def none_open(server: Server) -> None:
    for _ in range(1000):
        if not server.application.state.service.connections._open:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("A connection stays open.")


def resident_kilobytes() -> int:
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


async def test_thousands_of_wrong_uses_leave_nothing_behind(world: World, server: Server) -> None:
    logging.disable(logging.CRITICAL)  # pytest keeps log records in memory
    numbers, done, warm = itertools.count(), 0, None
    try:
        while done < ALL:
            done += sum(await asyncio.gather(*[misuse(world, server, numbers) for _ in range(5)]))
            if warm is None and done >= WARM:
                warm = await settled(server)
        objects, resident = await settled(server)
    finally:
        logging.disable(logging.NOTSET)

    assert warm is not None
    assert objects - warm[0] < SPARE_OBJECTS
    assert resident - warm[1] < SPARE_KILOBYTES
    assert not server.application.state.service.connections._operations
