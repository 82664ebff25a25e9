"""The proxy of several servers: nginx with the repository's configuration if it is installed, otherwise a relay with
the features that tests need."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import shutil
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from tests.support.ports import free_port
from tests.support.servers import until_listening

CONFIGURATION = Path(__file__).parents[2] / "docs" / "operators" / "nginx.conf"
ADDRESSES = ("server-1:8000", "server-2:8000")
START_SECONDS = 10.0


@contextlib.asynccontextmanager
async def proxy(addresses: Sequence[str], folder: Path, port: int | None = None) -> AsyncIterator[str]:
    """Inside the block, the address of a proxy of two servers."""
    port = port or free_port()
    made = _nginx if shutil.which("nginx") else _relay
    async with made(addresses, folder, port):
        yield f"127.0.0.1:{port}"


def nginx_configuration(addresses: Sequence[str], folder: Path, port: int) -> str:
    """The repository's configuration, with these addresses instead of the containers'."""
    text = CONFIGURATION.read_text()
    for old, new in [
        *zip(ADDRESSES, addresses, strict=True),
        ("8080", f"127.0.0.1:{port}"),
        ("/tmp/nginx", str(folder)),
    ]:
        assert old in text
        text = text.replace(old, new)
    return text


@contextlib.asynccontextmanager
async def _nginx(addresses: Sequence[str], folder: Path, port: int) -> AsyncIterator[None]:
    configuration = folder / "nginx.conf"
    configuration.write_text(nginx_configuration(addresses, folder, port))
    with (folder / "nginx.log").open("ab") as log:
        command = ["nginx", "-p", str(folder), "-c", str(configuration), "-g", "daemon off;"]
        process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
    try:
        await until_listening(process, port, START_SECONDS, (folder / "nginx.log").read_text)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


@contextlib.asynccontextmanager
async def _relay(addresses: Sequence[str], folder: Path, port: int) -> AsyncIterator[None]:
    """Give each connection to the next server that accepts it."""
    turns = itertools.cycle([addresses, addresses[::-1]])

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        with contextlib.closing(writer):
            for address in next(turns):
                host, _, at = address.partition(":")
                with contextlib.suppress(OSError):
                    theirs, out = await asyncio.open_connection(host, int(at))
                    with contextlib.closing(out):
                        await asyncio.gather(copy(reader, out), copy(theirs, writer))
                    return

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    yield
    server.close()


async def copy(reader: StreamReader, writer: StreamWriter, is_lost: Callable[[], bool] = lambda: False) -> None:
    """Relay all data until the connection is lost."""
    with contextlib.suppress(OSError):
        while piece := await reader.read(65_536):
            if not is_lost():
                writer.write(piece)
                await writer.drain()
    writer.close()
