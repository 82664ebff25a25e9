"""The public contract: one GraphQL schema over all domains."""

from __future__ import annotations

from schema.build import build_schema
from schema.limits.budget import Budget
from schema.limits.turns import Turns
from schema.live.hub import Hub
from schema.transports.endpoint import Endpoint
from schema.transports.http import HTTP
from schema.transports.sessions import Connections
from schema.transports.store import DocumentStore
from schema.transports.websocket import WebSockets

__all__ = ["HTTP", "Budget", "Connections", "DocumentStore", "Endpoint", "Hub", "Turns", "WebSockets", "build_schema"]
