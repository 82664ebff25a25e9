"""The public contract: one GraphQL schema over all domains."""

from __future__ import annotations

from schema.build import build_schema
from schema.limits.admission import Turns
from schema.limits.rate_limiter import Budget
from schema.subscriptions.manager import Hub
from schema.transports.connections import Connections
from schema.transports.http import HTTP
from schema.transports.operation_service import Endpoint
from schema.transports.persisted_queries import DocumentStore
from schema.transports.websocket import WebSockets

__all__ = ["HTTP", "Budget", "Connections", "DocumentStore", "Endpoint", "Hub", "Turns", "WebSockets", "build_schema"]
