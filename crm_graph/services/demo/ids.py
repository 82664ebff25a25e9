"""Ids that are the same in every demo, so that examples can name records of it."""

from __future__ import annotations


def demo_id(prefix: str, number: int) -> str:
    """The TypeID of the demo's first, second, … record of a kind. Their times are before those of all real ids."""
    return f"{prefix}_01jgfz0000{number:016}"
