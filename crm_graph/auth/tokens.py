"""API tokens: credentials for programs that act as their user."""

from __future__ import annotations

import datetime as dt
import secrets

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from crm_graph import records
from crm_graph.access import Viewer, unscoped, visible
from crm_graph.auth.principals import API_TOKEN_PREFIX, digest
from crm_graph.errors import Forbidden, Invalid
from crm_graph.models import ApiToken, now

MAX_TOKENS = 50
"""Of one user: each may spend as much as a user may."""


def new_api_token() -> str:
    return API_TOKEN_PREFIX + secrets.token_urlsafe(32)


async def create_api_token(
    session: AsyncSession, viewer: Viewer, *, name: str, expires_at: dt.datetime | None = None
) -> dict[str, str]:
    """Create a token of the viewer. Returns {record_id, token}; the token cannot be read again.

    Raises Invalid and Required; Forbidden for a viewer with an API token: otherwise a stolen token could outlive its
    revocation.
    """
    if viewer.actor.startswith("token:"):
        raise Forbidden("An API token cannot create API tokens. Sign in with email and password.")
    own = visible(ApiToken, viewer), ApiToken.user_id == viewer.user_id
    standing = sa.or_(ApiToken.expires_at.is_(None), ApiToken.expires_at > now())
    if (await session.scalar(sa.select(sa.func.count()).where(*own, standing)) or 0) >= MAX_TOKENS:
        raise Invalid(f"One user has at most {MAX_TOKENS} API tokens: revoke one that is not used any more.")
    cleaned = records.clean(ApiToken, {"name": name, "expires_at": expires_at})
    if expires_at is not None and expires_at <= now():
        raise Invalid("This time is in the past.", "expires_at")
    token = new_api_token()
    record = ApiToken(
        workspace_id=viewer.workspace_id,
        id=ApiToken.new_id(),
        user_id=viewer.user_id,
        token_hash=digest(token),
        **cleaned,
    )
    session.add(record)
    return {"record_id": record.id, "token": token}


async def revoke_api_token(session: AsyncSession, viewer: Viewer, *, id: str) -> ApiToken:
    """Revoke a token for good: the viewer's own or, for an admin, any. Raises NotFound."""
    token = await records.find(session, viewer, ApiToken, id)
    token.deleted_at = now()
    return token


async def revoke_tokens(session: AsyncSession, viewer: Viewer, user_id: str) -> None:
    """Revoke all API tokens of a user for good."""
    tokens = (
        sa.select(ApiToken)
        .where(unscoped(ApiToken, "who manages users ends tokens that only their holders see"))
        .where(ApiToken.workspace_id == viewer.workspace_id, ApiToken.user_id == user_id)
        .where(ApiToken.deleted_at.is_(None))
    )
    for token in await session.scalars(tokens):
        token.deleted_at = now()
