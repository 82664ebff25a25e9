"""Reads and writes of any entity: the operations that all services build on."""

from __future__ import annotations

from crm_graph.records.crud import (
    REQUIRED,
    TABLES,
    Values,
    amount_columns,
    assign,
    check_acyclic,
    check_references,
    check_version,
    clean,
    create,
    cycle,
    default_currency,
    default_owner,
    delete,
    find,
    home_team,
    label,
    no_such,
    restore,
    update,
)

__all__ = [
    "REQUIRED",
    "TABLES",
    "Values",
    "amount_columns",
    "assign",
    "check_acyclic",
    "check_references",
    "check_version",
    "clean",
    "create",
    "cycle",
    "default_currency",
    "default_owner",
    "delete",
    "find",
    "home_team",
    "label",
    "no_such",
    "restore",
    "update",
]
