"""The public contract: one GraphQL schema over all domains."""

from __future__ import annotations

from schema.build import build_schema
from schema.view import GraphQLView

__all__ = ["GraphQLView", "build_schema"]
