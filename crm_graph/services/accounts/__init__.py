"""Business rules of the accounts area."""

from __future__ import annotations

from crm_graph.services.accounts import contacts

__all__ = ["contacts"]
