"""Reads of the marketing area."""

from __future__ import annotations

from loaders.marketing import campaigns

__all__ = ["campaigns"]
