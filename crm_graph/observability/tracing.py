"""OpenTelemetry spans of operations and SQL statements. OpenTelemetry is imported only if CRM_GRAPH_TRACING is on.

OpenTelemetry's own variables set the exporter, the sampler and the service name: OTEL_EXPORTER_OTLP_ENDPOINT,
OTEL_TRACES_SAMPLER, OTEL_SERVICE_NAME and others.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.engine import Engine, ExceptionContext
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.requests import HTTPConnection

from crm_graph.errors import ConfigurationError
from crm_graph.observability.logs import TRACE_ID

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

_NOTHING: AbstractContextManager[None] = contextlib.nullcontext()
_STRING = re.compile(r'"""(?:[^"\\]|\\"""|"(?!"")|\\)*"""|"(?:[^"\\\n]|\\.)*"')
_spans: _Spans | None = None


def start(engines: Sequence[AsyncEngine], provider: TracerProvider | None = None) -> None:
    """Create spans from now on. Raises ConfigurationError if the packages are missing."""
    global _spans
    try:
        _spans = _Spans(engines, provider)
    except ImportError:
        raise ConfigurationError(
            "CRM_GRAPH_TRACING needs packages that are not installed. Run: pip install 'crm-graph[tracing]'"
        ) from None


def stop() -> None:
    """Export the remaining spans, and create no more."""
    global _spans
    if _spans is not None:
        _spans.close()
    _spans = None


def operation(
    kind: str, name: str | None, text: str, connection: HTTPConnection | None
) -> AbstractContextManager[None]:
    """A span around an operation. It continues the trace in the request's headers."""
    return _NOTHING if _spans is None else _spans.operation(kind, name, text, connection)


def statement(text: str) -> AbstractContextManager[None]:
    """A span around a statement that bypasses SQLAlchemy."""
    return _NOTHING if _spans is None else _spans.statement(text)


def record_error(code: str) -> None:
    """Mark the current span as failed with this code."""
    if _spans is not None:
        _spans.record_error(code)


class _Spans:
    def __init__(self, engines: Sequence[AsyncEngine], provider: TracerProvider | None) -> None:
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self.trace, self.propagator = trace, TraceContextTextMapPropagator()
        self.provider = provider or _exporting()
        self.tracer = self.provider.get_tracer("crm_graph")
        self.system = engines[0].dialect.name
        self._engines = {each.sync_engine for each in engines}
        self._listeners: dict[str, Callable[..., None]] = {
            "before_cursor_execute": _begin,
            "after_cursor_execute": self._end,
            "handle_error": self._fail,
        }
        self._for_listeners(event.listen)

    def close(self) -> None:
        self._for_listeners(event.remove)
        self.provider.shutdown()

    def _for_listeners(self, change: Callable[[Engine, str, Callable[..., None]], None]) -> None:
        for engine in self._engines:
            for name, listener in self._listeners.items():
                change(engine, name, listener)

    @contextlib.contextmanager
    def operation(self, kind: str, name: str | None, text: str, connection: HTTPConnection | None) -> Iterator[None]:
        attributes = {"graphql.operation.type": kind, "graphql.document": _STRING.sub('"…"', text)}
        if name is not None:
            attributes["graphql.operation.name"] = name
        parent, server = self.propagator.extract(connection.headers if connection else {}), self.trace.SpanKind.SERVER
        title = kind if name is None else f"{kind} {name}"
        with self.tracer.start_as_current_span(title, parent, server, attributes) as span:
            TRACE_ID.set(f"{span.get_span_context().trace_id:032x}")
            try:
                yield
            except Exception as error:
                span.set_attribute("error.type", type(error).__qualname__)
                raise

    @contextlib.contextmanager
    def statement(self, text: str) -> Iterator[None]:
        with self.tracer.start_as_current_span(_verb(text), None, self.trace.SpanKind.CLIENT, self._attributes(text)):
            yield

    def record_error(self, code: str) -> None:
        span = self.trace.get_current_span()
        span.set_attribute("error.type", code)
        span.set_status(self.trace.StatusCode.ERROR)

    def _attributes(self, text: str) -> dict[str, str]:
        return {"db.system.name": self.system, "db.operation.name": _verb(text), "db.query.text": text}

    def _end(
        self, connection: object, cursor: object, text: str, arguments: object, context: object, many: bool
    ) -> None:
        self._past(text, context).end()

    def _fail(self, failure: ExceptionContext) -> None:
        if failure.execution_context is not None and failure.statement is not None:
            span = self._past(failure.statement, failure.execution_context)
            span.set_attribute("error.type", type(failure.original_exception).__qualname__)
            span.set_status(self.trace.StatusCode.ERROR)
            span.end()

    def _past(self, text: str, context: object) -> Span:
        """A span that starts at the statement's start."""
        begun = getattr(context, "_crm_graph_begun", None)
        return self.tracer.start_span(
            _verb(text), None, self.trace.SpanKind.CLIENT, self._attributes(text), start_time=begun
        )


def _exporting() -> TracerProvider:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource({SERVICE_NAME: "crm-graph"}).merge(Resource.create()))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def _begin(connection: object, cursor: object, text: str, arguments: object, context: Any, many: bool) -> None:
    if context is not None:  # None for a statement that bypasses SQLAlchemy
        context._crm_graph_begun = time.time_ns()


def _verb(text: str) -> str:
    return text.lstrip("( \n").partition(" ")[0].upper()
