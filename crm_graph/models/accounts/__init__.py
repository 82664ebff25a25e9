"""Tables of the accounts area."""

from __future__ import annotations

from crm_graph.models.accounts.accounts import Address

__all__ = ["Address"]
