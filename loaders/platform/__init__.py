"""Reads of the platform area."""

from __future__ import annotations

from loaders.platform.workspaces import load_revision, revision_of

__all__ = ["load_revision", "revision_of"]
