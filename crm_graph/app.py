"""The only wiring: settings -> database, feed, schema -> Starlette application."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from crm_graph import migrations
from crm_graph.db import Database
from crm_graph.errors import RefusedToStart
from crm_graph.feed import Feed
from crm_graph.models.types import Phone
from crm_graph.settings import Settings
from schema import GraphQLView, build_schema

STATIC = Path(__file__).parent / "static"
log = logging.getLogger(__name__)


def build(settings: Settings) -> Starlette:
    """The application. It opens its connections when it starts and closes them when it stops."""
    Phone.region = settings.phone_region
    database = Database(settings.database_url, settings.pool_size)
    feed = Feed(database, settings.broadcast_url)
    view = GraphQLView(build_schema(introspection=settings.introspection), settings, database, feed)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await feed.open()
        yield
        await feed.close()
        await database.close()

    app = Starlette(
        routes=[
            Route("/", lambda request: RedirectResponse("/graphql")),
            Route("/healthz", _healthy),
            Route("/readyz", _ready),
            Route("/graphql", view),
            Mount("/static", StaticFiles(directory=STATIC, check_dir=False)),
        ],
        lifespan=lifespan,
    )
    app.state.settings, app.state.database, app.state.feed = settings, database, feed
    return app


def from_environment() -> Starlette:
    """The application as a worker process makes it for itself."""
    return build(Settings.from_environment())


async def _healthy(request: Request) -> Response:
    """The process answers."""
    return JSONResponse({"status": "ok"})


async def _ready(request: Request) -> Response:
    """The database answers, and has the tables that this version works with. Why not is told to the log alone."""
    try:
        await migrations.require_current(request.app.state.database)
    except RefusedToStart as refusal:
        log.warning("Not ready: %s", refusal)
        return JSONResponse({"status": "not ready"}, status_code=503)
    return JSONResponse({"status": "ok"})
