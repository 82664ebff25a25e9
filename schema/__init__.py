"""The public contract: one GraphQL schema over all domains."""

from __future__ import annotations

from schema.build import build_schema
from schema.limits.admission import FairQueue
from schema.limits.rate_limiter import RateLimiter
from schema.subscriptions.manager import SubscriptionManager
from schema.transports.connections import ConnectionRegistry
from schema.transports.http import HTTP
from schema.transports.operation_service import OperationService
from schema.transports.persisted_queries import PersistedQueryStore
from schema.transports.websocket import WebSockets

__all__ = [
    "HTTP",
    "ConnectionRegistry",
    "FairQueue",
    "OperationService",
    "PersistedQueryStore",
    "RateLimiter",
    "SubscriptionManager",
    "WebSockets",
    "build_schema",
]
