"""Dataloaders, pages and cursors, for every area."""
