"""Places in a list that people order by hand: texts between which there is always room for another."""

from __future__ import annotations

from fractional_indexing import generate_key_between, generate_n_keys_between


def between(above: str | None, below: str | None) -> str:
    """A rank between two others; None is the end of the list. Of two equal ones, below both."""
    if above is not None and below is not None and above >= below:
        below = None
    rank: str = generate_key_between(above, below)
    return rank


def spread(count: int, above: str | None = None) -> list[str]:
    """That many ranks in ascending order, all below `above`."""
    ranks: list[str] = generate_n_keys_between(above, None, count)
    return ranks
