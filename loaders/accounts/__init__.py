"""Reads of the accounts area."""
