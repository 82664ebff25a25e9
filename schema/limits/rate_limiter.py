"""What users may spend: a token bucket for each, and for each API token and each client who is nobody yet."""

from __future__ import annotations

import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from crm_graph.auth import Principal
from crm_graph.auth.throttle import network
from crm_graph.errors import Throttled
from schema.limits.cost import MIN_COST, Cost

MAX_BUCKETS = 100_000
REDIS_TIMEOUT_SECONDS = 0.5
REDIS_RETRY_SECONDS = 5.0
log = logging.getLogger(__name__)

SHARE = 10
"""A process takes this part of a bucket in advance, so that it need not ask Redis for each operation."""
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
"""Takes a cost from a bucket, and an advance as well if there is as much in it, or puts a negative cost back; tells how
much it took, nothing where there was not enough, and what is left. A bucket that would be full is forgotten."""


class BucketStatus(NamedTuple):
    """What a bucket holds, and what there is in it now."""

    maximum: int
    available: int
    rate: int

    def formatted(self) -> dict[str, int]:
        return {"maximumAvailable": self.maximum, "currentlyAvailable": self.available, "restoreRate": self.rate}


Take = Callable[[str, int], Awaitable[tuple[bool, int]]]


class RateLimiter:
    """The buckets: in this process, or in Redis where several processes serve the same users. While Redis is out, each
    process goes by what it knows itself."""

    def __init__(self, maximum: int, rate: int, url: str = "memory://") -> None:
        self.maximum, self.rate = maximum, rate
        self._here = _Memory(maximum, rate)
        self._shared = _Shared(maximum, rate, url) if url.startswith(("redis:", "rediss:")) else None

    async def close(self) -> None:
        if self._shared is not None:
            await self._shared.close()

    async def charge(self, key: str, cost: int) -> BucketStatus | None:
        """Take what an operation costs; None where nobody counts. Raises Throttled where there is not as much."""
        if not self.maximum:
            return None
        cost = min(cost, self.maximum)  # or it could never be had
        enough, available = await self._take(key, cost)
        if not enough:
            wait = round((cost - available) / self.rate, 3)
            status = BucketStatus(self.maximum, available, self.rate).formatted()
            raise Throttled(f"You have asked for much in a short time. Wait {wait} seconds.", wait, status)
        return BucketStatus(self.maximum, available, self.rate)

    async def refund(self, key: str, cost: int) -> BucketStatus | None:
        """Put back what was not spent after all."""
        if not self.maximum:
            return None
        _, available = await self._take(key, -cost)
        return BucketStatus(self.maximum, available, self.rate)

    async def _take(self, key: str, cost: int) -> tuple[bool, int]:
        taken = None if self._shared is None else await self._shared.take(key, cost)
        return self._here.take(key, cost) if taken is None else taken


class _Memory:
    def __init__(self, maximum: int, rate: int) -> None:
        self.maximum, self.rate = maximum, rate
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """What was in each, and when; those that were asked last come last."""

    def take(self, key: str, cost: int) -> tuple[bool, int]:
        now = time.monotonic()
        level, at = self._levels.get(key, (self.maximum, now))
        level = min(self.maximum, level + (now - at) * self.rate)
        enough = level >= cost
        if enough:
            level = min(self.maximum, level - cost)
        self._levels[key] = level, now
        self._levels.move_to_end(key)
        if len(self._levels) > MAX_BUCKETS:
            self._levels.popitem(last=False)
        return enough, int(level)


class _Shared:
    def __init__(self, maximum: int, rate: int, url: str) -> None:
        from redis.asyncio import Redis  # with all that it imports, 8 MB that a single process does without
        from redis.exceptions import RedisError

        self.maximum, self.rate = maximum, rate
        self._errors = (RedisError, OSError, TimeoutError)
        self._redis: Any = Redis.from_url(
            url, socket_timeout=REDIS_TIMEOUT_SECONDS, socket_connect_timeout=REDIS_TIMEOUT_SECONDS
        )
        self._script = self._redis.register_script(TAKE)
        self._advances: OrderedDict[str, tuple[int, int, float]] = OrderedDict()
        """What was taken in advance, what was left then, and when that was."""
        self._out_until = 0.0
        self._told = False

    async def close(self) -> None:
        with contextlib.suppress(*self._errors):
            await self._redis.aclose()

    async def take(self, key: str, cost: int) -> tuple[bool, int] | None:
        """None while Redis does not answer: it is asked again after some seconds."""
        now, share = time.monotonic(), self.maximum // SHARE
        advance, level, at = self._advances.pop(key, (0, 0, now))  # so that nobody else spends it meanwhile
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
        more, _, _ = self._advances.get(key, (0, 0, at))
        self._advances[key] = advance + more, level, at
        if len(self._advances) > MAX_BUCKETS:
            self._advances.popitem(last=False)

    async def _ask(self, key: str, cost: int, advance: int) -> tuple[int | None, int] | None:
        """How much was taken, None where there was not enough; and how much is left."""
        if time.monotonic() < self._out_until:
            return None
        try:
            arguments = [self.maximum, self.rate, cost, advance]
            taken, level = await self._script(keys=[f"crm_graph.cost.{key}"], args=arguments)
        except self._errors as error:
            self._out_until = time.monotonic() + REDIS_RETRY_SECONDS
            if not self._told:
                log.warning("Redis does not answer: what users spend is counted in each process alone. %s", error)
            self._told = True
            return None
        if self._told:
            log.warning("Redis answers again: what users spend is counted for all processes.")
        self._told = False
        return taken, level


class Charge:
    """What one operation costs, and whose bucket it is paid from."""

    __slots__ = ("_budget", "_cost", "_requested", "_reserved", "_status", "paid", "payer")

    def __init__(self, rate_limiter: RateLimiter, cost: Cost | None, requested: int, payer: str) -> None:
        self._budget, self._cost, self._requested, self.payer = rate_limiter, cost, requested, payer
        self.paid, self._reserved = 0, False
        self._status: BucketStatus | None = None

    async def pay(self) -> None:
        """Raises Throttled."""
        await self._pay(self._requested)

    async def reserve(self) -> None:
        """Pay the least for now, as it has yet to be found who is to pay. Raises Throttled."""
        await self._pay(MIN_COST)
        self._reserved = True

    async def transfer_to(self, payer: str) -> None:
        """It was found who pays. Raises Throttled."""
        if self._reserved or payer != self.payer:
            await self.refund_to(0)
            self.payer, self._reserved = payer, False
            await self.pay()

    async def _pay(self, cost: int) -> None:
        self._status = await self._budget.charge(self.payer, cost)
        self.paid = cost if self._status is None else min(cost, self._status.maximum)

    async def refund_to(self, cost: int) -> None:
        """Give back what was paid for more than this."""
        if cost < self.paid:
            self._status = await self._budget.refund(self.payer, self.paid - cost)
            self.paid = cost

    async def refund_to_actual(self, data: object) -> None:
        """The same, by the answer: one of a compiled statement is text that nobody reads here, and costs what it was
        said to."""
        if self._cost is not None and (data is None or isinstance(data, dict)):
            await self.refund_to(max(MIN_COST, self._cost.actual(data or {})))

    def formatted(self) -> dict[str, Any]:
        """As clients may read it."""
        cost = {"requestedQueryCost": self._requested, "actualQueryCost": self.paid}
        return cost if self._status is None else {**cost, "throttleStatus": self._status.formatted()}


def bucket_key(principal: Principal | None, client: str | None) -> str:
    """Whose bucket it is: an API token's or a user's, or that of all who come from an address unknown."""
    if principal is None:
        return f"client:{network(client or '')}"
    if principal.token_id is not None:
        return f"token:{principal.viewer.workspace_id}:{principal.token_id}"
    return f"user:{principal.viewer.workspace_id}:{principal.viewer.user_id}"
