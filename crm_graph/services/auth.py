"""Who asks: sessions with short access tokens and rotating refresh tokens, and personal API tokens."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from crm_graph.access import Viewer, unscoped
from crm_graph.errors import Unauthenticated
from crm_graph.models import ApiToken, User, Workspace, now
from crm_graph.settings import Settings

API_TOKEN_PREFIX = "crm_"


@dataclass(frozen=True)
class Principal:
    """A viewer, with the session that he came by, or without one for an API token."""

    viewer: Viewer
    session_id: str | None


def new_api_token() -> str:
    return API_TOKEN_PREFIX + secrets.token_urlsafe(32)


def digest(token: str) -> str:
    """What is kept of a token: it is random, so a fast hash is enough."""
    return hashlib.sha256(token.encode()).hexdigest()


async def authenticate(session: AsyncSession, settings: Settings, token: str) -> Principal:
    """Whose token this is. Raises Unauthenticated for one that is unknown, expired or revoked."""
    statement = (
        sa.select(ApiToken, User, Workspace)
        .join(User, sa.and_(User.workspace_id == ApiToken.workspace_id, User.id == ApiToken.user_id))
        .join(Workspace, Workspace.id == ApiToken.workspace_id)
        .where(unscoped(ApiToken, "sign-in knows no viewer yet"), unscoped(User, "sign-in knows no viewer yet"))
        .where(ApiToken.token_hash == digest(token), ApiToken.deleted_at.is_(None))
        .where(sa.or_(ApiToken.expires_at.is_(None), ApiToken.expires_at > now()))
        .where(User.active, User.deleted_at.is_(None))
    )
    row = (await session.execute(statement)).one_or_none()
    if row is None:
        raise Unauthenticated("The token is not valid. Sign in again.")
    api_token, user, workspace = row
    return Principal(Viewer.of(workspace, user, f"token:{api_token.id}"), None)
