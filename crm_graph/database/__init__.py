"""The database: engines, sessions, pools, and SQL that differs between SQLite and PostgreSQL."""

from __future__ import annotations

from crm_graph.database.engine import (
    BUSY_TIMEOUT,
    CONNECTION_ERRORS,
    Condition,
    Database,
    StatementTooDeep,
    TextArray,
    casefold_text,
    casefolded,
    database_url,
    in_array,
    is_storable,
    sqlite_function,
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
]
