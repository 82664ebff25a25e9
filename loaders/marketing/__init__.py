"""Reads of the marketing area."""
