"""Stopping a server process with connected clients."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from crm_graph import app, migrations
from crm_graph.models import Account
from crm_graph.settings import Settings
from schema import ConnectionRegistry
from tests.conftest import REDIS_URL, skip
from tests.support.live import PATIENCE, Server, WebSocketClient
from tests.support.servers import ServerProcess, environment
from tests.support.world import World, build_world

CHANGES = "subscription { changes { revision } }"
WRITE = 'mutation { createAccount(input: {name: "Acme"}) { account { name } } }'
PROMPT = 4.0
"""Seconds. A server that waits for its clients to disconnect takes ten."""


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_stop_is_prompt_and_clients_know_to_come_again(tmp_path: Path, workers: int) -> None:
    if workers > 1 and REDIS_URL is None:
        skip("CRM_GRAPH_TEST_REDIS_URL is not set: several workers were not tested.")
    settings = Settings(database_url=f"sqlite:///{tmp_path}/crm.db", broadcast_url=REDIS_URL or "memory://")
    application = app.build(settings)
    await migrations.upgrade(application.state.database.writer)
    world = await build_world(application)
    variables = environment(settings.database_url, broadcast_url=settings.broadcast_url)
    process = ServerProcess(variables, tmp_path / "log", command=("serve", "--workers", str(workers)))
    await process.start()
    try:
        async with httpx.AsyncClient(timeout=PATIENCE) as client:
            server = Server(process.address, application, client)
            async with (
                server.websocket(world.admin) as socket,
                server.events(CHANGES, by=world.admin) as one,
                server.events(CHANGES, by=world.admin) as other,
            ):
                await socket.next(await socket.start(CHANGES))
                await one.next()
                await other.next()

                assert process.process is not None
                began = time.monotonic()
                process.process.terminate()

                code, _ = await socket.closed()  # uvicorn may close it first, without a reason
                assert code == 1012
                assert await one.event() is None  # no `complete` event
                assert await other.event() is None
                await process.stop()
                assert time.monotonic() - began < PROMPT
    finally:
        await process.kill()
        await world.close()
        await application.state.database.close()
    assert "Traceback" not in process.log.read_text()


@pytest.fixture
def connections(application: Starlette, monkeypatch: pytest.MonkeyPatch) -> ConnectionRegistry:
    connections: ConnectionRegistry = application.state.service.connections
    monkeypatch.setattr(connections, "draining", False)  # restored after the test
    return connections


async def test_what_was_begun_on_a_socket_is_answered_before_it_closes(
    world: World, server: Server, connections: ConnectionRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, go_on = asyncio.Event(), asyncio.Event()
    answer = server.application.state.service.schema.execute_document

    async def slowly(*arguments: Any) -> Any:
        began.set()
        await go_on.wait()
        return await answer(*arguments)

    monkeypatch.setattr(server.application.state.service.schema, "execute_document", slowly)
    async with server.websocket(world.admin) as client:
        await client.start(CHANGES, operation_id="follow")
        await client.next("follow")
        await client.start(WRITE, operation_id="write")
        await began.wait()
        connections.drain()
        await client.start(WRITE, operation_id="late")
        await asyncio.sleep(0.1)
        go_on.set()

        assert (await client.next("write"))["data"] == {"createAccount": {"account": {"name": "Acme"}}}
        await client.completed("write")
        assert await client.closed() == (1012, "the server restarts")
    assert [row["name"] for row in await world.rows(Account)] == ["Acme"]


async def test_sockets_are_closed_one_by_one_where_there_is_time(
    world: World, server: Server, connections: ConnectionRegistry
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(server.websocket(world.admin)) for _ in range(20)]
        began = time.monotonic()
        connections.drain(1.0)
        ends: list[float] = []

        async def end(socket: WebSocketClient) -> None:
            assert (await socket.closed())[0] == 1012
            ends.append(time.monotonic() - began)

        await asyncio.gather(*(end(each) for each in sockets))
    assert max(ends) < 1.5
    assert max(ends) - min(ends) > 0.3
