"""Dataloaders: ids in, rows out, in the same order. Every batch is one statement in a short session of its own."""

from __future__ import annotations

from loaders.core.dataloaders import Loaders, Values
from loaders.core.pages import Order, Page, PageRequest, Relation

__all__ = ["Loaders", "Order", "Page", "PageRequest", "Relation", "Values"]
