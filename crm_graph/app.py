"""Builds the Starlette application from the settings. Nothing else connects the parts."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import threading
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from crm_graph import migrations
from crm_graph.changelog import ChangeLog
from crm_graph.database import Database
from crm_graph.errors import ConfigurationError
from crm_graph.models.types import Phone
from crm_graph.observability import metrics, tracing
from crm_graph.observability.headers import CommonHeaders
from crm_graph.settings import Settings, warn_about_old_names
from schema import (
    HTTP,
    ConnectionRegistry,
    FairQueue,
    OperationService,
    PersistedQueryStore,
    RateLimiter,
    SubscriptionManager,
    WebSockets,
    build_schema,
)

STATIC = Path(__file__).parent / "static"
READINESS_TIMEOUT_SECONDS = 5.0
GC_THRESHOLD = 10_000, 20, 20
"""Garbage collections are rarer than Python's default: one of all objects of a thousand subscribers would block the
event loop every other second."""
log = logging.getLogger(__name__)


def build(settings: Settings) -> Starlette:
    """The application. It opens its connections when it starts and closes them when it stops."""
    Phone.region = settings.phone_region
    database = Database(settings.database_url, settings.pool_size)
    changelog = ChangeLog(database, settings.broadcast_url)
    schema = build_schema(
        introspection=settings.introspection, compiled=settings.compiled, federation=settings.federation
    )
    manager = SubscriptionManager(schema, settings, database, changelog)
    connections = ConnectionRegistry(database, settings.user_operations)
    rate_limiter = RateLimiter(settings.cost_available, settings.cost_refill_per_second, settings.broadcast_url)
    queue = FairQueue(settings.running_operations, settings.waiting_operations)
    persisted_queries = PersistedQueryStore(database, rate_limiter)
    service = OperationService(
        schema, settings, database, changelog, manager, connections, rate_limiter, queue, persisted_queries
    )
    sockets = WebSockets(service)
    pages: list[BaseRoute] = []
    if settings.metrics:
        from crm_graph.observability import prometheus

        prometheus.start()
        pages.append(Route("/metrics", prometheus.expose))
    if STATIC.is_dir():  # GraphiQL was built
        pages.append(Mount("/static", StaticFiles(directory=STATIC)))

    gauges = {
        "subscribers": metrics.Gauge("Active subscriptions.", lambda: manager.subscribers),
        "connections": metrics.Gauge("Open websockets and event streams.", connections.count),
        "operations_at_work": metrics.Gauge("Running queries and mutations.", lambda: queue.running_count),
        "operations_waiting": metrics.Gauge("Queued queries and mutations.", lambda: queue.waiting_count),
        "database_connections": metrics.Gauge("Database connections in use.", lambda: database.in_use),
        "broadcast_connected": metrics.Gauge(
            "1 if processes notify each other of changes.", lambda: changelog.notifier.connected
        ),
    }

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        warn_about_old_names()
        if settings.tracing:
            tracing.start(database.engines)
        await database.analyze()
        await changelog.open()
        connections.open()
        gc.freeze()  # what the start has made stays, so no collection needs to visit it
        threshold = gc.get_threshold()
        gc.set_threshold(*GC_THRESHOLD)
        gc.enable()  # `crm-graph serve` starts without
        with metrics.gauges(gauges), _drain_on_signal(connections.drain, settings.drain_seconds):
            yield
        gc.set_threshold(*threshold)
        await connections.close()
        await manager.close()
        await changelog.close()
        await rate_limiter.close()
        await database.close()
        await asyncio.to_thread(tracing.stop)  # blocks while it exports the last spans

    app = Application(
        CommonHeaders(_for_pages(HTTP(service), sockets.origins)),
        middleware=[Middleware(CommonHeaders)],
        routes=[
            WebSocketRoute("/graphql", sockets),
            Route("/", lambda request: RedirectResponse("/graphql")),
            Route("/healthz", _healthy),
            Route("/readyz", _ready),
            *pages,
        ],
        lifespan=lifespan,
    )
    app.state.settings, app.state.database, app.state.changelog, app.state.service = (
        settings,
        database,
        changelog,
        service,
    )
    app.state.readiness = _Readiness(database)
    return app


class Application(Starlette):
    """Requests to /graphql bypass the router."""

    def __init__(self, graphql: ASGIApp, **options: Any) -> None:
        super().__init__(**options)
        self._graphql = graphql

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/graphql":
            await self._graphql(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def _for_pages(app: ASGIApp, origins: Collection[str]) -> ASGIApp:
    """Allow pages of these origins to send operations. No cookies are involved."""
    if not origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=["GET", "POST"],
        allow_headers=["*"],
        expose_headers=["X-Request-Id", "Retry-After"],
        max_age=7200,
    )


def from_environment() -> Starlette:
    """The application of a worker process."""
    return build(Settings.from_environment())


@contextlib.contextmanager
def _drain_on_signal(drain: Callable[[float], None], seconds: float) -> Iterator[None]:
    """Drain on SIGTERM and SIGINT, before the server's own handler closes its sockets.

    After SIGTERM the server goes on serving for `seconds`, so that proxies see that it is not ready.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}

    received: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        received.append(number)
        delay = seconds if received == [signal.SIGTERM] else 0
        loop.call_soon_threadsafe(drain, delay)
        handler = before[signal.Signals(number)]
        assert callable(handler)
        if delay:
            loop.call_soon_threadsafe(loop.call_later, delay, handler, number, None)
        else:
            handler(number, frame)

    for each, handler in before.items():
        if callable(handler):  # the system's default handler would end the process
            signal.signal(each, stop)
    try:
        yield
    finally:
        for each, handler in before.items():
            if callable(handler):
                signal.signal(each, handler)


class _Readiness:
    """Checks that the database is reachable and migrated. Concurrent requests share one check."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._asking: asyncio.Task[bool] | None = None

    async def ask(self) -> bool:
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        return await asyncio.shield(self._asking)

    async def _ask(self) -> bool:
        try:
            async with asyncio.timeout(READINESS_TIMEOUT_SECONDS):
                await migrations.require_current(self._database, or_newer=True)
        except (ConfigurationError, TimeoutError) as refusal:
            log.warning("Not ready: %s", refusal or "the database does not answer")
            return False
        return True


async def _healthy(request: Request) -> Response:
    """The process answers."""
    return JSONResponse({"status": "ok"})


async def _ready(request: Request) -> Response:
    """Readiness for load balancers: the process is not stopping, and the database is reachable and migrated.

    Without the broadcast the status is "degraded": changes of other processes arrive some seconds late. Only the log
    has the reason.
    """
    state = request.app.state
    broadcast = "connected" if state.changelog.notifier.connected else "reconnecting"
    if state.service.connections.draining:
        return JSONResponse({"status": "stopping"}, status_code=503)
    if not await state.readiness.ask():
        return JSONResponse({"status": "not ready", "database": "not ready", "broadcast": broadcast}, status_code=503)
    status = "ok" if state.changelog.notifier.connected else "degraded"
    return JSONResponse({"status": status, "database": "ok", "broadcast": broadcast})
