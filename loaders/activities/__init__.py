"""Reads of the activities area."""

from __future__ import annotations

from loaders.activities.activities import activities_of

__all__ = ["activities_of"]
