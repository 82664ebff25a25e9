"""`crm-graph serve` and `crm-graph demo`."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from crm_graph.cli.database_session import check
from crm_graph.errors import ConfigurationError
from crm_graph.observability import logs
from crm_graph.settings import Settings

if TYPE_CHECKING:
    from rich.console import Console

    from crm_graph.services.demo.workspace_dir import WorkspaceDir

LOCAL = {"127.0.0.1", "::1", "localhost"}
TCP_USER_TIMEOUT_MILLISECONDS = 60_000
"""The system closes a connection whose client has acknowledged nothing of the data sent for this long."""
DEFAULT_QUERY_SECONDS = 60
"""Seconds for running queries to end when the server stops, if no setting limits a query's time."""
F = TypeVar("F", bound=Callable[..., None])


def _address_options(command: F) -> F:
    command = click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535), help="Port.")(
        command
    )
    return click.option("--host", default="127.0.0.1", show_default=True, help="Address; 0.0.0.0 for all.")(command)


@click.command()
@_address_options
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1), help="Processes. Several need Redis.")
def serve(host: str, port: int, workers: int) -> None:
    """Serve the database of CRM_GRAPH_DATABASE_URL, with the settings of the other CRM_GRAPH_* variables."""
    gc.disable()  # the start leaves no garbage to speak of; the application enables it again
    settings = Settings.from_environment()
    settings.check_secret()
    settings.check_workers(workers)
    with _listen(host, port) as listening:
        asyncio.run(check(settings))
        _serve(settings, listening, workers)


@click.command()
@_address_options
@click.option(
    "--folder",
    default=".crm-graph",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the database.",
)
@click.option("--fresh", is_flag=True, help="Delete the folder's data first.")
@click.option(
    "--accounts",
    default=200,
    show_default=True,
    type=click.IntRange(1, 20_000),
    help="Number of generated accounts. A few of them are deleted.",
)
def demo(host: str, port: int, folder: Path, fresh: bool, accounts: int) -> None:
    """Serve generated data, with GraphiQL signed in.

    Later starts use the same data.
    """
    from rich.console import Console

    from crm_graph.services.demo.workspace_dir import WorkspaceDir

    console = Console(highlight=False)
    with _listen(host, port) as listening:
        home = WorkspaceDir.at(folder, fresh=fresh)
        with console.status("Generating a company with its customers …"):
            known = asyncio.run(home.prepare(accounts))
        _welcome(console, home, host, port, known)
        _serve(home.settings, listening, workers=1)


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises ConfigurationError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror:
        raise ConfigurationError(f"Unknown host {host!r}. Set --host to an address of this machine.") from None
    listening = socket.socket(family, kind, protocol)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if sys.platform == "linux":  # other systems have their own, longer timeouts
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, TCP_USER_TIMEOUT_MILLISECONDS)
    try:
        listening.bind(address)
        listening.listen(2048)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            message = f"Port {port} is in use. Stop the program that uses it, or choose another with --port."
        else:
            message = (
                f"Cannot listen on {host}:{port}: {error.strerror}. Choose another address with --host and --port."
            )
        raise ConfigurationError(message) from None
    return listening


def _serve(settings: Settings, listening: socket.socket, workers: int) -> None:
    """Serve until a signal arrives."""
    import uvicorn

    from crm_graph.server.uvicorn_protocols import BoundedHTTP, BoundedWebSocket, Server

    options: dict[str, Any] = {
        "loop": "uvloop",
        "http": BoundedHTTP,
        "ws": BoundedWebSocket,
        "ws_per_message_deflate": False,  # with deflate, fan-out sends less than half as many messages (decision 0010)
        "ws_max_size": settings.socket_message_bytes,
        "ws_ping_interval": 20.0,  # keeps proxies from closing idle connections
        # A missed pong would close a sleeping laptop's socket with 1011, from which client libraries do not reconnect.
        # TCP_USER_TIMEOUT closes the connections of clients that are gone.
        "ws_ping_timeout": None,
        "lifespan": "on",
        "server_header": False,
        "access_log": False,
        "log_config": logs.config(settings.log_format),
        "timeout_graceful_shutdown": (settings.query_seconds or DEFAULT_QUERY_SECONDS) + 5,
    }
    if workers > 1:
        from uvicorn.supervisors import Multiprocess

        config = uvicorn.Config("crm_graph.app:from_environment", factory=True, workers=workers, **options)
        Multiprocess(config, sockets=[listening]).run()
        return
    from crm_graph.app import build

    server = Server(uvicorn.Config(build(settings), **options))
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listening])
    if not server.started:
        sys.exit(1)


def _welcome(console: Console, home: WorkspaceDir, host: str, port: int, known: bool) -> None:
    """Print the addresses and credentials. Lines are not wrapped, so that they can be copied."""
    shown = "127.0.0.1" if host in {"0.0.0.0", "::"} else f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{port}/graphql"
    console.rule("CRM Graph demo")
    lines = {
        "GraphiQL": f"{url} (signed in, with examples)",
        "API": url,
        "Websocket": url.replace("http", "ws", 1),
        "Email": home.email,
        "Password": f"{home.password} (the same for all users)",
        "API token": home.token,
        "Data": f"{home.database} ({'from the last start; --fresh replaces it' if known else 'new'})",
    }
    for name, value in lines.items():
        console.print(f"{name:>10}  ", style="bold", end="", markup=False)
        console.print(value, markup=False, soft_wrap=True)
    query = '{"query": "{ accounts(first: 3) { totalCount nodes { name industry owner { name } } } }"}'
    console.print(
        f"\ncurl -s {url} -H 'Content-Type: application/json' \\\n"
        f"  -H 'Authorization: Bearer {home.token}' \\\n  -d '{query}'\n",
        markup=False,
        soft_wrap=True,
    )
    if host not in LOCAL:
        console.print("Anyone who can reach this address is signed in as the admin of the demo.", style="yellow")
    console.print("Press Ctrl+C to stop the server.")
