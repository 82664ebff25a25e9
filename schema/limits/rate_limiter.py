"""Limits the cost per time of each user, API token and anonymous client, with token buckets."""

from __future__ import annotations

import contextlib
import logging
import time
from typing import Any, NamedTuple, Protocol

from crm_graph.auth import Principal
from crm_graph.auth.throttle import network
from crm_graph.bounded_cache import BoundedCache
from crm_graph.errors import Throttled
from schema.limits.cost import MIN_COST, Cost

MAX_BUCKETS = 100_000
REDIS_TIMEOUT_SECONDS = 0.5
REDIS_RETRY_SECONDS = 5.0
log = logging.getLogger(__name__)

SHARE = 10
"""A process reserves this part of a bucket in advance, so that most operations do not wait for Redis."""
TAKE = """
local most, rate, cost, advance = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local bucket = redis.call('HMGET', KEYS[1], 'level', 'at')
local level = math.min(most, (tonumber(bucket[1]) or most) + math.max(0, now - (tonumber(bucket[2]) or now)) * rate)
local taken = false
if level >= cost then
  if level >= cost + advance then taken = cost + advance else taken = cost end
  level = math.min(most, level - taken)
end
redis.call('HSET', KEYS[1], 'level', tostring(level), 'at', string.format('%.6f', now))
redis.call('PEXPIRE', KEYS[1], math.ceil((most - level) / rate * 1000) + 1000)
return {taken, math.floor(level)}
"""
"""Takes a cost, and an advance if the bucket holds enough for both; a negative cost is a refund. Returns the amount
taken, or nil if the bucket holds less than the cost, and the level that is left. A bucket expires when it is full."""


class BucketStatus(NamedTuple):
    """Size and level of a bucket, in points, and its refill rate in points per second."""

    maximum: int
    available: int
    rate: int

    def formatted(self) -> dict[str, int]:
        return {"maximumAvailable": self.maximum, "currentlyAvailable": self.available, "restoreRate": self.rate}


class Buckets(Protocol):
    """The buckets of all users, by key."""

    async def take(self, key: str, cost: int) -> tuple[bool, int] | None:
        """Take a cost, or refund a negative one. Returns True if the bucket held enough, and the level that is left;
        None if the buckets are unavailable."""

    async def close(self) -> None: ...


class RateLimiter:
    """Charges operations to buckets: in this process, or in Redis if several processes serve the same users. While
    Redis is down, each process uses its own buckets."""

    def __init__(self, maximum: int, rate: int, url: str = "memory://") -> None:
        self.maximum, self.rate = maximum, rate
        self._local = _LocalBuckets(maximum, rate)
        is_redis = url.startswith(("redis:", "rediss:"))
        self._buckets: Buckets = _RedisBuckets(maximum, rate, url) if is_redis else self._local

    async def close(self) -> None:
        await self._buckets.close()

    async def charge(self, key: str, cost: int) -> BucketStatus | None:
        """Take the cost of an operation; None if the limit is off. Raises Throttled if the bucket holds less."""
        if not self.maximum:
            return None
        cost = min(cost, self.maximum)  # a higher cost could never be paid
        enough, available = await self._take(key, cost)
        if not enough:
            wait = round((cost - available) / self.rate, 3)
            status = BucketStatus(self.maximum, available, self.rate).formatted()
            raise Throttled(f"Rate limit exceeded. Retry in {wait} seconds.", wait, status)
        return BucketStatus(self.maximum, available, self.rate)

    async def refund(self, key: str, cost: int) -> BucketStatus | None:
        """Return an amount to a bucket."""
        if not self.maximum:
            return None
        _, available = await self._take(key, -cost)
        return BucketStatus(self.maximum, available, self.rate)

    async def _take(self, key: str, cost: int) -> tuple[bool, int]:
        taken = await self._buckets.take(key, cost)
        return await self._local.take(key, cost) if taken is None else taken


class _LocalBuckets:
    def __init__(self, maximum: int, rate: int) -> None:
        self.maximum, self.rate = maximum, rate
        self._levels: BoundedCache[str, tuple[float, float]] = BoundedCache(MAX_BUCKETS)
        """The level of each bucket, and the time at which it was so."""

    async def close(self) -> None: ...

    async def take(self, key: str, cost: int) -> tuple[bool, int]:
        now = time.monotonic()
        level, at = self._levels.get(key) or (self.maximum, now)
        level = min(self.maximum, level + (now - at) * self.rate)
        enough = level >= cost
        if enough:
            level = min(self.maximum, level - cost)
        self._levels.set(key, (level, now))
        return enough, int(level)


class _RedisBuckets:
    def __init__(self, maximum: int, rate: int, url: str) -> None:
        from redis.asyncio import Redis  # with all that it imports, 8 MB that a single process does without
        from redis.exceptions import RedisError

        self.maximum, self.rate = maximum, rate
        self._errors = (RedisError, OSError, TimeoutError)
        self._redis: Any = Redis.from_url(
            url, socket_timeout=REDIS_TIMEOUT_SECONDS, socket_connect_timeout=REDIS_TIMEOUT_SECONDS
        )
        self._script = self._redis.register_script(TAKE)
        self._advances: BoundedCache[str, tuple[int, int, float]] = BoundedCache(MAX_BUCKETS)
        """The rest of each advance, the level of the bucket in Redis after it, and the time of that."""
        self._retry_at = 0.0
        self._is_down = False

    async def close(self) -> None:
        with contextlib.suppress(*self._errors):
            await self._redis.aclose()

    async def take(self, key: str, cost: int) -> tuple[bool, int] | None:
        """As in Buckets; None while Redis is down, and for REDIS_RETRY_SECONDS after each failure."""
        now, share = time.monotonic(), self.maximum // SHARE
        advance, level, at = self._advances.pop(key) or (0, 0, now)  # popped, so that no other task spends it
        rest, enough = advance - cost, True
        if not 0 <= rest <= 2 * share:
            found = await (self._ask(key, -rest, share) if rest < 0 else self._ask(key, share - rest, 0))
            if found is None and rest < 0:
                self._keep(key, advance, level, at)
                return None
            if found is not None:
                taken, level, at = *found, now
                enough = taken is not None
                rest = advance if taken is None else rest + taken
        self._keep(key, rest, level, at)
        return enough, min(self.maximum, int(level + (now - at) * self.rate) + rest)

    def _keep(self, key: str, advance: int, level: int, at: float) -> None:
        more, _, _ = self._advances.get(key) or (0, 0, at)
        self._advances.set(key, (advance + more, level, at))

    async def _ask(self, key: str, cost: int, advance: int) -> tuple[int | None, int] | None:
        """The amount taken, None if the bucket held less, and the level that is left; None if Redis is down."""
        if time.monotonic() < self._retry_at:
            return None
        try:
            arguments = [self.maximum, self.rate, cost, advance]
            taken, level = await self._script(keys=[f"crm_graph.cost.{key}"], args=arguments)
        except self._errors as error:
            self._retry_at = time.monotonic() + REDIS_RETRY_SECONDS
            if not self._is_down:
                log.warning("Redis is down: each process limits the rate of its own requests only. %s", error)
            self._is_down = True
            return None
        if self._is_down:
            log.warning("Redis is up again: the rate limit counts the requests of all processes.")
        self._is_down = False
        return taken, level


class Charge:
    """The cost of one operation, and the bucket that pays it."""

    __slots__ = ("_budget", "_cost", "_requested", "_reserved", "_status", "paid", "payer")

    def __init__(self, rate_limiter: RateLimiter, cost: Cost | None, requested: int, payer: str) -> None:
        self._budget, self._cost, self._requested, self.payer = rate_limiter, cost, requested, payer
        self.paid, self._reserved = 0, False
        self._status: BucketStatus | None = None

    async def pay(self) -> None:
        """Pay the requested cost. Raises Throttled."""
        await self._pay(self._requested)

    async def reserve(self) -> None:
        """Pay the minimum until the payer is known. Raises Throttled."""
        await self._pay(MIN_COST)
        self._reserved = True

    async def transfer_to(self, payer: str) -> None:
        """Charge another bucket, or the rest after `reserve`. Raises Throttled."""
        if self._reserved or payer != self.payer:
            await self.refund_to(0)
            self.payer, self._reserved = payer, False
            await self.pay()

    async def _pay(self, cost: int) -> None:
        self._status = await self._budget.charge(self.payer, cost)
        self.paid = cost if self._status is None else min(cost, self._status.maximum)

    async def refund_to(self, cost: int) -> None:
        """Refund what was paid above this cost."""
        if cost < self.paid:
            self._status = await self._budget.refund(self.payer, self.paid - cost)
            self.paid = cost

    async def refund_to_actual(self, data: object) -> None:
        """Refund what was paid above the actual cost of the data. The data of a compiled statement is not parsed here,
        so it costs what was requested."""
        if self._cost is not None and (data is None or isinstance(data, dict)):
            await self.refund_to(max(MIN_COST, self._cost.actual(data or {})))

    def formatted(self) -> dict[str, object]:
        """The extension `cost` of a response."""
        cost: dict[str, object] = {"requestedQueryCost": self._requested, "actualQueryCost": self.paid}
        return cost if self._status is None else {**cost, "throttleStatus": self._status.formatted()}


def bucket_key(principal: Principal | None, client: str | None) -> str:
    """The bucket of an API token or a user; without a principal, of the client's network."""
    if principal is None:
        return f"client:{network(client or '')}"
    if principal.token_id is not None:
        return f"token:{principal.viewer.workspace_id}:{principal.token_id}"
    return f"user:{principal.viewer.workspace_id}:{principal.viewer.user_id}"
