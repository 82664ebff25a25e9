"""Operations on websockets: the protocol, wrong uses included."""

from __future__ import annotations

from tests.support.live import Server
from tests.support.world import World

CHANGES = "subscription ($after: String) { changes(after: $after) { revision caughtUp changes { recordId } } }"


async def test_smoke(world: World, server: Server) -> None:
    async with server.websocket(world.admin) as client:
        assert await client.ask("{ viewer { id } }") == {"data": {"viewer": {"id": world.admin.id}}}
        live = await client.start(CHANGES)
        print(await client.next(live))
        await world.make("account", name="A")
        print(await client.next(live))
        await client.stop(live)
    async with server.events("{ viewer { id } }", by=world.admin) as stream:
        print(stream.response.headers)
        print(await stream.next())
        await stream.completed()
    async with server.events(CHANGES, by=world.admin) as stream:
        print(await stream.next())
        await world.make("account", name="B")
        print(await stream.next())
