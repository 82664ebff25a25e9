"""Rate limit for secrets: each attempt counts before it is checked, and is forgiven if it succeeds.

Attempts are counted by keys, which are hashes, in windows of time.
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
# Many users may share one address, such as an office.
CLIENT_SHARE = 10


async def count(database: Database, limits: Mapping[str, int]) -> None:
    """Count an attempt for each key, in a transaction of its own. Raises Throttled if a key exceeds its limit."""
    moment = now()
    async with database.write() as session:
        # Sorted, so that two attempts cannot deadlock.
        counted = {key: await _count(session, database, key, moment) for key in sorted(limits)}
    if any(tries == 1 for tries, _ in counted.values()):
        await _sweep(database, moment)
    ends = [ends_at for key, (tries, ends_at) in counted.items() if tries > limits[key]]
    if ends:
        wait = (max(ends) - moment).total_seconds()
        raise Throttled(f"Too many attempts. Wait {max(1, round(wait / 60))} minutes.", round(wait, 3))


async def forgive(session: AsyncSession, person: str, client: str | None) -> None:
    """After a successful attempt, forget the person's attempts and subtract this one from the client's."""
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
    """Address by which a client is counted: of IPv6 the /64 network, all of which one host can use."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return address
    return str(parsed.ipv4_mapped or ipaddress.ip_network((parsed, 64), strict=False))


async def _count(session: AsyncSession, database: Database, key: str, moment: dt.datetime) -> tuple[int, dt.datetime]:
    """Count an attempt of a key. Returns the attempts in its window, and the end of the window."""
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
    """Delete ended windows, except rows that another process has locked."""
    over = sa.select(SignInAttempt.key).where(SignInAttempt.window_ends_at <= moment).with_for_update(skip_locked=True)
    async with database.write() as session:
        await session.execute(
            sa.delete(SignInAttempt).where(SignInAttempt.key.in_(over)),
            execution_options={"synchronize_session": False},
        )
