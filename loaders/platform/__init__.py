"""Reads of the platform area."""
