"""Ranks: texts that order a list by hand. Between two of them there is always another."""

from __future__ import annotations

from fractional_indexing import generate_key_between, generate_n_keys_between


def between(above: str | None, below: str | None) -> str:
    """A rank between two others; None is an end of the list. Between two equal ranks, it is below both."""
    if above is not None and below is not None and above >= below:
        below = None
    rank: str = generate_key_between(above, below)
    return rank


def spread(count: int, above: str | None = None) -> list[str]:
    """`count` ranks in ascending order, all after `above`."""
    ranks: list[str] = generate_n_keys_between(above, None, count)
    return ranks
