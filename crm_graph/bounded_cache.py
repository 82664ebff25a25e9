"""A cache with a maximum weight, for values that a process keeps between requests."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class BoundedCache(Generic[K, V]):
    """Drops the least recently used entries when the weights of all entries exceed `max_weight`.

    An entry weighs 1 unless `set` is given another weight. `max_age` is in seconds. `on_evict` is called with each
    entry that is dropped for its weight.
    """

    def __init__(
        self, max_weight: int, max_age: float = math.inf, on_evict: Callable[[K, V], None] | None = None
    ) -> None:
        self.max_weight, self.max_age = max_weight, max_age
        self.weight = 0
        self._on_evict = on_evict
        self._entries: OrderedDict[K, tuple[V, int, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: K) -> bool:
        return key in self._entries

    def get(self, key: K) -> V | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        value, _, expires_at = entry
        if expires_at != math.inf and time.monotonic() >= expires_at:
            self.pop(key)
            return None
        self._entries.move_to_end(key)
        return value

    def set(self, key: K, value: V, weight: int = 1) -> None:
        self.pop(key)
        expires_at = math.inf if self.max_age == math.inf else time.monotonic() + self.max_age
        self._entries[key] = value, weight, expires_at
        self.weight += weight
        while self.weight > self.max_weight:
            oldest, (value, weight, _) = self._entries.popitem(last=False)
            self.weight -= weight
            if self._on_evict is not None:
                self._on_evict(oldest, value)

    def pop(self, key: K) -> V | None:
        entry = self._entries.pop(key, None)
        if entry is None:
            return None
        self.weight -= entry[1]
        return entry[0]

    def clear(self) -> None:
        self._entries.clear()
        self.weight = 0
