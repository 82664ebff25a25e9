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
    default_currency,
    delete,
    find,
    home_team,
    label,
    restore,
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
    "default_currency",
    "delete",
    "find",
    "home_team",
    "label",
    "restore",
    "update",
]
