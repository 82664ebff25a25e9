"""Engines, sessions and connection pools, and SQL that differs between SQLite and PostgreSQL."""

from __future__ import annotations

from crm_graph.database.engine import BUSY_TIMEOUT, CONNECTION_ERRORS, Database, StatementTooDeep, database_url
from crm_graph.database.sql import (
    Condition,
    TextArray,
    casefold_text,
    casefolded,
    in_array,
    is_storable,
    sqlite_function,
    upsert,
)

__all__ = [
    "BUSY_TIMEOUT",
    "CONNECTION_ERRORS",
    "Condition",
    "Database",
    "StatementTooDeep",
    "TextArray",
    "casefold_text",
    "casefolded",
    "database_url",
    "in_array",
    "is_storable",
    "sqlite_function",
    "upsert",
]
