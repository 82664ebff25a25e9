"""Idempotency keys: a write that is sent again returns the first result."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from crm_graph.access import Viewer
from crm_graph.errors import Invalid
from crm_graph.models import IdempotencyKey, now
from crm_graph.models.types import Text

KEY = Text(100)
SWEEP_BATCH = 1_000


async def recall(session: AsyncSession, viewer: Viewer, key: str, fingerprint: str) -> IdempotencyKey | None:
    """Return the stored result of a key; None for a new key, which is then reserved until the commit.

    Raises Invalid if the key was used with another input. A concurrent write with the same key waits for the first
    one, and its flush then raises Duplicate about `key`: retry it once.
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


async def remember(
    session: AsyncSession, viewer: Viewer, key: str, result: Mapping[str, object], revision: int
) -> None:
    """Store the result of the write that reserved the key."""
    statement = sa.update(IdempotencyKey).where(
        IdempotencyKey.workspace_id == viewer.workspace_id,
        IdempotencyKey.user_id == viewer.user_id,
        IdempotencyKey.key == KEY.clean(key),
    )
    await session.execute(statement.values(result=dict(result), revision=revision))


async def sweep(session: AsyncSession, viewer: Viewer, kept: dt.timedelta) -> None:
    """Delete up to SWEEP_BATCH expired keys of the workspace, except rows that another process has locked."""
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
