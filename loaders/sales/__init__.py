"""Reads of the sales area."""
