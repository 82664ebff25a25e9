"""The database: engines, sessions, pools, and SQL that differs between SQLite and PostgreSQL."""

from __future__ import annotations

from crm_graph.database.engine import (
    BUSY_TIMEOUT,
    OUTAGES,
    Condition,
    Database,
    TextArray,
    TooDeep,
    among,
    database_url,
    fold,
    fold_text,
    sqlite_function,
    storable,
)

__all__ = [
    "BUSY_TIMEOUT",
    "OUTAGES",
    "Condition",
    "Database",
    "TextArray",
    "TooDeep",
    "among",
    "database_url",
    "fold",
    "fold_text",
    "sqlite_function",
    "storable",
]
