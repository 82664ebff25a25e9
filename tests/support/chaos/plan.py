"""The plan of a scenario, and its clients."""

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
"""Clients: the user, the transport and the list of each."""
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
    """The plan of a scenario: its faults in random order, spread over its seconds. It continues until there are enough
    writes and comparisons of boards."""

    seed: int
    seconds: float
    kills: int
    crowd: Sequence[tuple[str, str, str]] = field(default=EVERYBODY, repr=False)
    writes: int = 50
    comparisons: int = 20
    outages: int = 1
    """Outages of the broadcast."""
    cuts: int = 1
    """Breaks of database connections."""
    stops: int = 1
    """Stops of servers with SIGTERM."""
    drops: int = 10
    """Breaks of clients' connections, several at a time."""
    changes_of_sight: int = 1
    lingering: int = 0
    """The number of writes between a client's read and its subscription after that revision."""
    writing_processes: int = 2
    writers: int = 3
    pause: float = 0.02

    def deeds(self, chance: Random) -> list[str]:
        """The faults, in order."""
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
