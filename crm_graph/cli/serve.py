"""`crm-graph serve` and `crm-graph demo`."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crm_graph.cli.database_session import check
from crm_graph.errors import ConfigurationError
from crm_graph.observability import logs
from crm_graph.settings import Settings

if TYPE_CHECKING:
    from crm_graph.services.demo.workspace_dir import Home

LOCAL = {"127.0.0.1", "::1", "localhost"}
SILENCE = 60_000
"""Milliseconds after which a connection is broken off whose client confirms, or takes, nothing of what is sent."""

UNBOUNDED = 60
"""Seconds for what was begun when the server is asked to stop, where no setting says how long a query may take."""

Host = Annotated[str, typer.Option(help="The address to listen at; 0.0.0.0 for all of this machine's.")]
Port = Annotated[int, typer.Option(help="The port to listen at.", min=1, max=65535)]


def serve(
    host: Host = "127.0.0.1",
    port: Port = 8000,
    workers: Annotated[int, typer.Option(help="How many processes; several need Redis.", min=1)] = 1,
) -> None:
    """Serve what CRM_GRAPH_DATABASE_URL has, as the other CRM_GRAPH_* variables say."""
    gc.disable()  # the start leaves no garbage to speak of; the application enables it again
    settings = Settings.from_environment()
    settings.check_secret()
    settings.check_workers(workers)
    with _listen(host, port) as listening:
        asyncio.run(check(settings))
        _serve(settings, listening, workers)


def demo(
    host: Host = "127.0.0.1",
    port: Port = 8000,
    folder: Annotated[Path, typer.Option(help="Where the data is kept.", file_okay=False)] = Path(".crm-graph"),
    fresh: Annotated[bool, typer.Option("--fresh", help="Throw the folder's data away and begin anew.")] = False,
    accounts: Annotated[int, typer.Option(help="How many accounts new data has.", min=1, max=20_000)] = 200,
) -> None:
    """Serve generated data from a folder of its own, with GraphiQL signed in. Later starts go on with the same data."""
    from rich.console import Console

    from crm_graph.services.demo.workspace_dir import Home

    console = Console(highlight=False)
    with _listen(host, port) as listening:
        home = Home.at(folder, fresh=fresh)
        with console.status("Making a company with its customers …"):
            known = asyncio.run(home.prepare(accounts))
        _welcome(console, home, host, port, known)
        _serve(home.settings, listening, workers=1)


def _listen(host: str, port: int) -> socket.socket:
    """The socket to serve on. Raises ConfigurationError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror:
        raise ConfigurationError(f"There is no host {host!r}. Name an address of this machine with --host.") from None
    listening = socket.socket(family, kind, protocol)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if sys.platform == "linux":  # elsewhere the system's own, longer limits hold
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENCE)
    try:
        listening.bind(address)
        listening.listen(2048)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            message = f"Port {port} is in use. Stop the program that listens there, or choose another with --port."
        else:
            message = f"{host}:{port} cannot be listened at: {error.strerror}. Choose others with --host and --port."
        raise ConfigurationError(message) from None
    return listening


def _serve(settings: Settings, listening: socket.socket, workers: int) -> None:
    """Serve until a signal comes."""
    import uvicorn

    from crm_graph.server.uvicorn_protocols import BoundedHTTP, BoundedWebSocket, Server

    options: dict[str, Any] = {
        "loop": "uvloop",
        "http": BoundedHTTP,
        "ws": BoundedWebSocket,
        "ws_per_message_deflate": False,  # halves what one event to many sockets costs
        "ws_max_size": settings.socket_message_bytes,
        "ws_ping_interval": 20.0,  # keeps proxies from closing what is silent
        # A client that was asleep would find its socket closed with 1011, which client libraries take for the end of
        # it all. SILENCE finds those who are gone for good.
        "ws_ping_timeout": None,
        "lifespan": "on",
        "server_header": False,
        "access_log": False,
        "log_config": logs.config(settings.log_format),
        "timeout_graceful_shutdown": (settings.query_seconds or UNBOUNDED) + 5,  # what was begun is finished
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


def _welcome(console: Any, home: Home, host: str, port: int, known: bool) -> None:
    """Say how to get in. Nothing is wrapped, so that all of it can be copied."""
    shown = "127.0.0.1" if host in {"0.0.0.0", "::"} else f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{port}/graphql"
    console.rule("CRM Graph demo")
    lines = {
        "GraphiQL": f"{url} (signed in, with examples)",
        "API": url,
        "Websocket": url.replace("http", "ws", 1),
        "Email": home.email,
        "Password": f"{home.password} (everybody's: any user's email will do)",
        "API token": home.token,
        "Data": f"{home.database} ({'as you left it; --fresh begins anew' if known else 'new'})",
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
        console.print("Whoever reaches this address is signed in as the admin of the demo.", style="yellow")
    console.print("Ctrl+C stops the server.")
