"""Business rules of the activities area."""

from __future__ import annotations

from crm_graph.services.activities.activities import link_changes

__all__ = ["link_changes"]
