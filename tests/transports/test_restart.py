"""A server process that is asked to stop while clients are on it."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import pytest

from crm_graph import app, migrations
from crm_graph.settings import Settings
from tests.conftest import REDIS_URL, skip
from tests.support.live import PATIENCE, Server
from tests.support.servers import ServerProcess, environment
from tests.support.world import build_world

CHANGES = "subscription { changes { revision } }"
PROMPT = 4.0
"""Seconds. A server that waits for its clients to go takes ten."""


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

                code, _ = await socket.closed()  # uvicorn may be the one to close it, and says no more
                assert code == 1012
                assert await one.event() is None  # and nothing of being complete
                assert await other.event() is None
                await process.stop()
                assert time.monotonic() - began < PROMPT
    finally:
        await process.kill()
        await world.close()
        await application.state.database.close()
    assert "Traceback" not in process.log.read_text()
