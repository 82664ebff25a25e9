"""Reads of the activities area."""
