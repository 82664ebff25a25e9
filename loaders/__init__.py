"""Dataloaders: ids in, rows out, in the same order. Each batch is one statement in a short session."""

from __future__ import annotations

from loaders.core.dataloaders import Loaders, Values
from loaders.core.pages import Page, PageRequest, Relation, SortKey

__all__ = ["Loaders", "Page", "PageRequest", "Relation", "SortKey", "Values"]
