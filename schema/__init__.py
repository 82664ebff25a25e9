"""The public contract: one GraphQL schema over all domains."""

from __future__ import annotations

from schema.build import build_schema
from schema.live.hub import Hub
from schema.transports.endpoint import Endpoint
from schema.transports.sessions import Connections
from schema.transports.websocket import WebSockets
from schema.view import GraphQLView

__all__ = ["Connections", "Endpoint", "GraphQLView", "Hub", "WebSockets", "build_schema"]
