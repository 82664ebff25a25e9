"""Token buckets: their levels in one process, in several processes, and while Redis is down."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator

import pytest

from crm_graph.access import Viewer
from crm_graph.auth import Principal
from crm_graph.errors import Throttled
from schema.limits import rate_limiter as rate_limiter
from schema.limits.rate_limiter import Charge, RateLimiter, bucket_key
from tests.conftest import REDIS_URL, skip
from tests.support.ports import free_port

SLOW = 1
"""Refill per second: next to nothing during a test."""


@pytest.fixture(params=["memory", "redis"])
async def url(request: pytest.FixtureRequest) -> str:
    if request.param == "memory":
        return "memory://"
    if REDIS_URL is None:
        skip("CRM_GRAPH_TEST_REDIS_URL is not set: no bucket was shared.")
    return str(REDIS_URL)


@pytest.fixture
def key() -> str:
    return uuid.uuid4().hex


async def refused(of: RateLimiter, key: str, cost: int) -> float:
    """Charge a cost that must be refused; returns the seconds to wait."""
    with pytest.raises(Throttled) as caught:
        await of.charge(key, cost)
    assert caught.value.retry_after is not None
    return caught.value.retry_after


async def test_as_much_may_be_spent_as_there_is(url: str, key: str) -> None:
    bucket = RateLimiter(100, SLOW, url)
    first = await bucket.charge(key, 60)
    assert first is not None
    assert first.formatted() == {"maximumAvailable": 100, "currentlyAvailable": 40, "restoreRate": 1}
    assert 9 < await refused(bucket, key, 50) <= 10
    second = await bucket.charge(key, 40)
    assert second is not None
    assert second.available == 0
    assert await bucket.charge(f"{key} another", 100)
    await bucket.close()


async def test_it_comes_back_with_time(url: str, key: str) -> None:
    bucket = RateLimiter(100, 1_000, url)
    await bucket.charge(key, 100)
    wait = await refused(bucket, key, 100)
    await asyncio.sleep(wait + 0.01)
    assert await bucket.charge(key, 100)
    await bucket.close()


async def test_what_was_not_spent_is_given_back_and_never_more_than_there_can_be(url: str, key: str) -> None:
    bucket = RateLimiter(100, SLOW, url)
    await bucket.charge(key, 100)
    for given, expected in ((30, 30), (60, 90), (60, 100)):
        status = await bucket.refund(key, given)
        assert status is not None
        assert expected <= status.available <= expected + 1
    assert await bucket.charge(key, 100)
    await refused(bucket, key, 60)
    await bucket.close()


async def test_what_costs_more_than_there_can_be_takes_all_of_it(url: str, key: str) -> None:
    bucket = RateLimiter(100, SLOW, url)
    status = await bucket.charge(key, 1_000)
    assert status is not None
    assert status.available == 0
    await bucket.close()


async def test_nobody_counts_where_there_is_no_maximum(url: str, key: str) -> None:
    bucket = RateLimiter(0, SLOW, url)
    assert await bucket.charge(key, 10**9) is None
    assert await bucket.refund(key, 10**9) is None
    await bucket.close()


async def test_processes_share_a_bucket(key: str) -> None:
    if REDIS_URL is None:
        skip("CRM_GRAPH_TEST_REDIS_URL is not set: no bucket was shared.")
    here, there = (RateLimiter(1_000, SLOW, str(REDIS_URL)) for _ in range(2))
    spent = 0
    for each in (here, there) * 100:
        try:
            await each.charge(key, 30)
        except Throttled:
            continue
        spent += 30
    assert 900 <= spent <= 1_030  # neither can spend the advance of the other
    await here.charge(f"{key} back", 1_000)
    await here.refund(f"{key} back", 900)
    assert await there.charge(f"{key} back", 700)  # a refund returns to the shared bucket
    await here.close()
    await there.close()


@pytest.fixture
async def out() -> AsyncIterator[RateLimiter]:
    """A rate limiter whose Redis is down."""
    bucket = RateLimiter(100, SLOW, f"redis://127.0.0.1:{free_port()}")
    yield bucket
    await bucket.close()


async def test_without_redis_each_process_counts_for_itself(
    out: RateLimiter, key: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limiter, "REDIS_RETRY_SECONDS", 0.0)
    with caplog.at_level(logging.WARNING, rate_limiter.__name__):
        await out.charge(key, 60)
        await refused(out, key, 60)
        await out.charge(key, 40)
    [told] = caplog.messages
    assert told.startswith("Redis is down: each process limits the rate of its own requests only.")


async def test_redis_is_not_asked_each_time_while_it_is_out(
    out: RateLimiter, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await out.charge(key, 10)
    assert isinstance(out._buckets, rate_limiter._RedisBuckets)
    asked = []
    monkeypatch.setattr(out._buckets, "_script", lambda **arguments: asked.append(arguments))
    await out.charge(key, 10)
    assert asked == []


async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limiter, "MAX_BUCKETS", 3)
    bucket = RateLimiter(100, SLOW)
    for each in "abcd":
        await bucket.charge(each, 100)
    assert list(bucket._local._levels._entries) == ["b", "c", "d"]


async def test_a_bill_is_passed_on_and_settled(key: str) -> None:
    bucket = RateLimiter(100, SLOW)
    charge = Charge(bucket, None, 70, f"{key} client")
    await charge.reserve()
    assert await bucket._local.take(f"{key} client", 0) == (True, 99)
    await charge.transfer_to(f"{key} user")
    assert await bucket.charge(f"{key} client", 100)
    await charge.refund_to(20)
    assert charge.formatted() == {
        "requestedQueryCost": 70,
        "actualQueryCost": 20,
        "throttleStatus": {"maximumAvailable": 100, "currentlyAvailable": 80, "restoreRate": 1},
    }
    await charge.refund_to(50)  # refunds never raise the cost
    assert charge.formatted()["actualQueryCost"] == 20


def test_whose_bucket_it_is() -> None:
    viewer = Viewer("wsp_1", "user_1", "REP", "", "", "", {})  # type: ignore[arg-type]  # nothing else matters here
    assert bucket_key(Principal(viewer, "ses_1", None, None), "10.0.0.1") == "user:wsp_1:user_1"
    assert bucket_key(Principal(viewer, "ses_2", None, None), None) == "user:wsp_1:user_1"
    assert bucket_key(Principal(viewer, None, "tok_1", None), None) == "token:wsp_1:tok_1"
    assert bucket_key(None, "10.0.0.1") == "client:10.0.0.1"
    assert bucket_key(None, "2001:db8::1") == bucket_key(None, "2001:db8::2") == "client:2001:db8::/64"
    assert bucket_key(None, None) == "client:"
