"""Writes that may be sent twice: the second send answers what the first did."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from crm_graph.access import Viewer
from crm_graph.errors import Invalid
from crm_graph.models import IdempotencyKey, now
from crm_graph.models.types import Text

KEY = Text(100)
SWEEP_BATCH = 1_000


async def recall(session: AsyncSession, viewer: Viewer, key: str, fingerprint: str) -> IdempotencyKey | None:
    """What the key's first write answered; None for a new key, which is now taken until the commit.

    A send that meets the first one under way waits for it, and then gets Duplicate about `key`: try once more.
    Raises Invalid where the key was used with another input.
    """
    try:
        key = KEY.clean(key)
    except Invalid as error:
        raise error.prefixed("idempotency_key") from None
    statement = sa.select(IdempotencyKey).where(
        IdempotencyKey.workspace_id == viewer.workspace_id,
        IdempotencyKey.user_id == viewer.user_id,
        IdempotencyKey.key == key,
    )
    done = await session.scalar(statement)
    if done is not None:
        if done.fingerprint != fingerprint:
            raise Invalid("This key was used with another input.", "idempotency_key")
        return done
    values = {"workspace_id": viewer.workspace_id, "user_id": viewer.user_id, "key": key, "fingerprint": fingerprint}
    await session.execute(sa.insert(IdempotencyKey).values(**values, result={}, revision=0, created_at=now()))
    return None


async def remember(session: AsyncSession, viewer: Viewer, key: str, result: Mapping[str, Any], revision: int) -> None:
    """Keep the answer of the write that took the key."""
    statement = sa.update(IdempotencyKey).where(
        IdempotencyKey.workspace_id == viewer.workspace_id,
        IdempotencyKey.user_id == viewer.user_id,
        IdempotencyKey.key == KEY.clean(key),
    )
    await session.execute(statement.values(result=dict(result), revision=revision))


async def sweep(session: AsyncSession, viewer: Viewer, kept: dt.timedelta) -> None:
    """Forget keys of the workspace that nobody will send again: some at a time, except where another process is at
    it."""
    key = sa.tuple_(IdempotencyKey.workspace_id, IdempotencyKey.user_id, IdempotencyKey.key)
    old = (
        sa.select(*key.clauses)
        .where(IdempotencyKey.workspace_id == viewer.workspace_id, IdempotencyKey.created_at <= now() - kept)
        .limit(SWEEP_BATCH)
        .with_for_update(skip_locked=True)
    )
    await session.execute(
        sa.delete(IdempotencyKey).where(key.in_(old)), execution_options={"synchronize_session": False}
    )
