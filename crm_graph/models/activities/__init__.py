"""Tables of the activities area."""

from __future__ import annotations

from crm_graph.models.activities.activities import Priority

__all__ = ["Priority"]
