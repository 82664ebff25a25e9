"""What is to happen in a storm, and who follows meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

A_FEW = (
    ("admin", "websocket", "the board"),
    ("admin", "events", "the board"),
    ("owner", "websocket", "the board"),
    ("admin", "websocket", "changes"),
    ("admin", "events", "changes"),
)
"""Who follows, by which transport, and what."""
EVERYBODY = (
    *A_FEW,
    ("admin", "websocket", "the board"),
    ("admin", "websocket", "large deals"),
    ("owner", "events", "the board"),
    ("mate", "websocket", "the board"),
    ("manager", "websocket", "the board"),
    ("chief", "events", "the board"),
    ("stranger", "websocket", "large deals"),
    ("admin", "websocket", "changes"),
    ("owner", "websocket", "changes"),
)


@dataclass(frozen=True)
class Plan:
    """What is to happen: all deeds of a storm are done in some order, spread over its seconds. It goes on until there
    are enough writes, and comparisons of boards."""

    seed: int
    seconds: float
    kills: int
    crowd: Sequence[tuple[str, str, str]] = field(default=EVERYBODY, repr=False)
    writes: int = 50
    comparisons: int = 20
    outages: int = 1
    """Of the broadcast."""
    cuts: int = 1
    """Of connections to the database."""
    stops: int = 1
    """Of servers, in order."""
    drops: int = 10
    """Of clients' connections, several at a time."""
    changes_of_sight: int = 1
    lingering: int = 0
    """How many writes each client lets pass before it subscribes after the revision that it has."""
    writing_processes: int = 2
    writers: int = 3
    pause: float = 0.02

    def deeds(self, chance: Random) -> list[str]:
        """What is done, in order."""
        often = {
            "kill": self.kills,
            "outage": self.outages,
            "cut": self.cuts,
            "stop": self.stops,
            "drop": self.drops,
            "sight": self.changes_of_sight,
        }
        deeds = [deed for deed, times in often.items() for _ in range(times)]
        chance.shuffle(deeds)
        return deeds
