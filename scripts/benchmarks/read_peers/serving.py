"""Shared code of the peers in Python: a connection pool of the common size, and the web server."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

WORKSPACE_ID = os.environ["WORKSPACE_ID"]


class Database:
    """A pool on DATABASE_URL, of POOL_SIZE connections, while the application runs."""

    pool: Any

    @contextlib.asynccontextmanager
    async def opened(self, app: Starlette) -> AsyncIterator[None]:
        size = int(os.environ["POOL_SIZE"])
        settings = {"jit": "off", "timezone": "UTC"}
        async with asyncpg.create_pool(
            os.environ["DATABASE_URL"], min_size=size, max_size=size, reset=_keep, server_settings=settings
        ) as self.pool:
            yield


async def _keep(connection: Any) -> None:
    """Reset nothing between statements, so that a read costs one round trip."""


async def _healthz(request: Request) -> Response:
    return Response()


def serve(database: Database, endpoint: Any) -> None:
    """One process that answers POST /graphql, on the port that --port names."""
    routes = [Route("/graphql", endpoint, methods=["POST"]), Route("/healthz", _healthz)]
    app = Starlette(routes=routes, lifespan=database.opened)
    port = int(sys.argv[sys.argv.index("--port") + 1])
    uvicorn.run(app, port=port, loop="uvloop", http="httptools", log_level="warning", access_log=False)
