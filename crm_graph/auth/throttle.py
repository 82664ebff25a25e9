"""Limits how often somebody may try a secret: each try is counted before it is looked at, and forgiven if it was good.

What a try is counted under are keys, hashes that name no person, each with the tries that it has in a window of time.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from crm_graph.database import Database, upsert
from crm_graph.errors import Throttled
from crm_graph.models import SignInAttempt, now

WINDOW = dt.timedelta(minutes=15)
# Many people may share one address, as an office does.
CLIENT_SHARE = 10


async def count(database: Database, limits: Mapping[str, int]) -> None:
    """Count one more try of each key, in a transaction of its own: a try that fails counts too. Raises Throttled."""
    moment = now()
    async with database.write() as session:
        # In one order everywhere, so that two tries never wait for each other.
        counted = {key: await _count(session, database, key, moment) for key in sorted(limits)}
    if any(tries == 1 for tries, _ in counted.values()):
        await _sweep(database, moment)
    ends = [ends_at for key, (tries, ends_at) in counted.items() if tries > limits[key]]
    if ends:
        wait = (max(ends) - moment).total_seconds()
        raise Throttled(f"Too many tries. Wait {max(1, round(wait / 60))} minutes.", round(wait, 3))


async def forgive(session: AsyncSession, person: str, client: str | None) -> None:
    """A try was good: forget the person's, and take this one back from the client's."""
    theirs = sa.delete(SignInAttempt).where(SignInAttempt.key == person)
    one_less = (
        sa.update(SignInAttempt)
        .where(SignInAttempt.key == client, SignInAttempt.tries > 0)
        .values(tries=SignInAttempt.tries - 1)
    )
    statements = {person: theirs} if client is None else {person: theirs, client: one_less}
    for key in sorted(statements):
        await session.execute(statements[key], execution_options={"synchronize_session": False})


def network(address: str) -> str:
    """What counts as one client: an IPv6 host has 2^64 addresses to try from, so its network does."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return address
    return str(parsed.ipv4_mapped or ipaddress.ip_network((parsed, 64), strict=False))


async def _count(session: AsyncSession, database: Database, key: str, moment: dt.datetime) -> tuple[int, dt.datetime]:
    """One more try of a key; how many it makes, and when they are over."""
    first = {"tries": 1, "window_ends_at": moment + WINDOW}
    over = SignInAttempt.window_ends_at <= moment
    next_ = {
        "tries": sa.case((over, 1), else_=SignInAttempt.tries + 1),
        "window_ends_at": sa.case((over, moment + WINDOW), else_=SignInAttempt.window_ends_at),
    }
    statement = upsert(database.dialect, SignInAttempt, lambda new: next_).values(key=key, **first)
    tries, ends_at = (
        await session.execute(statement.returning(SignInAttempt.tries, SignInAttempt.window_ends_at))
    ).one()
    return tries, ends_at


async def _sweep(database: Database, moment: dt.datetime) -> None:
    """Delete what is over, except where another process is at it."""
    over = sa.select(SignInAttempt.key).where(SignInAttempt.window_ends_at <= moment).with_for_update(skip_locked=True)
    async with database.write() as session:
        await session.execute(
            sa.delete(SignInAttempt).where(SignInAttempt.key.in_(over)),
            execution_options={"synchronize_session": False},
        )
