"""Slow clients and oversized requests: the limits of uvicorn and ours, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from crm_graph.server import uvicorn_protocols as bounds
from tests.support.live import PATIENCE, Server
from tests.support.world import World

HEAD = b"POST /graphql HTTP/1.1\r\nHost: crm\r\nContent-Type: application/json\r\n"
BODY = b'{"query": "{ __typename }"}'
LENGTH = b"Content-Length: %d\r\n\r\n" % len(BODY)


@contextlib.asynccontextmanager
async def connected(server: Server) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    host, _, port = server.address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def rest(reader: asyncio.StreamReader) -> bytes:
    """Everything that the server sends until it closes the connection."""
    async with asyncio.timeout(PATIENCE):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "REQUEST_TIMEOUT_SECONDS", 0.3)


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("sent", [b"", b"POST /gra", HEAD, HEAD + LENGTH, HEAD + LENGTH + BODY[:-1]])
async def test_a_request_that_does_not_arrive_is_not_awaited_for_ever(server: Server, sent: bytes) -> None:
    async with connected(server) as (reader, writer):
        writer.write(sent)
        answer = await rest(reader)
    assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert answer.endswith(b"\r\n\r\nThe request did not arrive in time.")


@pytest.mark.usefixtures("brief")
async def test_a_connection_is_not_ended_for_what_arrived(server: Server) -> None:
    async with connected(server) as (reader, writer):
        for pause in (0.2, 0.2, 0.5):  # their sum exceeds the time limit of one request
            writer.write(HEAD)
            await asyncio.sleep(min(pause, 0.1))
            writer.write(LENGTH + BODY)
            assert (await reader.readuntil(b"\r\n")) == b"HTTP/1.1 200 OK\r\n"
            await reader.readuntil(b'{"data":{"__typename":"Query"}}')
            await asyncio.sleep(pause)
        writer.write(b"GET ")  # the next request is late
        assert (await rest(reader)).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    "sent", [b"GET /" + b"x" * 70_000, HEAD + b"X-Long: " + b"x" * 70_000, HEAD + b"X: y\r\n" * 12_000]
)
async def test_a_long_head_is_refused(server: Server, sent: bytes) -> None:
    async with connected(server) as (reader, writer):
        writer.write(sent)
        answer = await rest(reader)
    assert answer.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")


async def test_what_comes_behind_a_body_is_bounded_too(server: Server) -> None:
    async with connected(server) as (reader, writer):
        writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n" % (len(BODY), BODY))
        writer.write(b"X: y\r\n" * 12_000)
        assert (await rest(reader)).startswith(b"HTTP/1.1 431 ")


async def test_a_body_of_any_length_has_no_head_to_be_too_long(server: Server) -> None:
    long = json.dumps({"query": "{ __typename }", "extensions": {"x": "x" * 500_000}}).encode()
    async with connected(server) as (reader, writer):
        writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % len(long) + long)
        assert (await reader.readuntil(b"\r\n")) == b"HTTP/1.1 200 OK\r\n"


async def test_a_socket_that_pings_and_reads_nothing_is_ended(
    world: World, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "MAX_UNREAD_BYTES", 10_000)
    async with server.websocket(world.admin, ping_interval=None) as client:
        transport: Any = client.connection.transport
        transport.pause_reading()
        ping = b"\x89\xfd" + bytes(4) + b"x" * 125
        with contextlib.suppress(ConnectionClosed, ConnectionError):
            async with asyncio.timeout(PATIENCE):
                while not transport.is_closing():
                    transport.write(ping * 5_000)
                    await client.connection.ping()
                    await asyncio.sleep(0.01)
        assert transport.is_closing()


async def test_a_message_in_frames_without_end_is_ended(
    world: World, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "MAX_FRAMES", 100)
    async with server.websocket(world.admin) as client:
        transport: Any = client.connection.transport
        transport.write(b"\x01\x80" + bytes(4) + (b"\x00\x80" + bytes(4)) * 200)
        assert (await client.closed())[0] == 1006
