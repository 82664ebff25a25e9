"""Finding, creating, updating and deleting records of any entity."""

from __future__ import annotations

from crm_graph.records.crud import (
    TABLES,
    Values,
    assign,
    check_acyclic,
    check_references,
    check_version,
    clean,
    create,
    delete,
    find,
    home_team,
    label,
    restore,
    settle_currency,
    update,
)

__all__ = [
    "TABLES",
    "Values",
    "assign",
    "check_acyclic",
    "check_references",
    "check_version",
    "clean",
    "create",
    "delete",
    "find",
    "home_team",
    "label",
    "restore",
    "settle_currency",
    "update",
]
