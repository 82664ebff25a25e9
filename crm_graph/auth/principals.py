"""Principals: the viewers that access tokens of sessions and API tokens authenticate."""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import jwt
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from crm_graph.access import Viewer, default_column, unscoped
from crm_graph.database import in_array
from crm_graph.database.prepared import Connectable, fetch
from crm_graph.errors import Forbidden, Invalid, Unauthenticated
from crm_graph.models import ApiToken, Session, User, Workspace, now
from crm_graph.settings import Settings

API_TOKEN_PREFIX = "crm_"
ISSUER = "crm-graph"
AUDIENCE = "crm-graph-api"
ALGORITHM = "HS256"
CLAIMS = ["sub", "wid", "sid", "iat", "exp", "iss", "aud"]
EXPIRED = "The access token has expired. Refresh it."
UNKNOWN = "The token is not valid. Sign in again, or use another API token."
KEY = "principal_key"
"""The parameter of `valid_session_condition`: the id of the session or of the API token."""
NO_VIEWER = "sign-in knows no viewer yet"

Credential = type[Session] | type[ApiToken]


@dataclass(frozen=True)
class Principal:
    """A viewer with the session or the API token that authenticated them: one of the two ids is set.

    `expires_at` is the end of the access token or of the API token; None for an API token without an end.
    """

    viewer: Viewer
    session_id: str | None
    token_id: str | None
    expires_at: dt.datetime | None

    @property
    def key(self) -> tuple[str, str]:
        """Key of the session or the API token: workspace id and id."""
        return self.viewer.workspace_id, self.session_id or self.token_id or ""

    @property
    def has_expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= now()

    def is_same_user(self, other: Principal) -> bool:
        return (self.viewer.workspace_id, self.viewer.user_id) == (other.viewer.workspace_id, other.viewer.user_id)


def digest(text: str) -> str:
    """SHA-256 of a token, which is stored instead of it. Tokens are random, so that a fast hash is enough."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


async def authenticate(link: Connectable, settings: Settings, token: str) -> Principal:
    """Authenticate an access token or an API token. One statement checks it against the database, so that a sign-out, a
    revocation or a deactivation takes effect at once.

    Raises Unauthenticated for a token that is unknown, expired or revoked.
    """
    if token.startswith(API_TOKEN_PREFIX):
        # The lookup is by hash: its timing reveals nothing about other tokens.
        return await _principal(link, ApiToken, token_hash=digest(token))
    claims = _claims(settings, token)
    known = {"workspace_id": claims["wid"], "id": claims["sid"], "user_id": claims["sub"]}
    expires_at = dt.datetime.fromtimestamp(claims["exp"], dt.UTC)
    return await _principal(link, Session, expires_at=expires_at, **known)


async def reload(session: AsyncSession, principal: Principal) -> Principal:
    """The principal with the viewer's current role and settings. Raises Unauthenticated if session or token ended."""
    if principal.has_expired:
        raise Unauthenticated(EXPIRED if principal.session_id else UNKNOWN)
    kind: Credential = Session if principal.session_id else ApiToken
    workspace_id, key_id = principal.key
    return await _principal(session, kind, expires_at=principal.expires_at, workspace_id=workspace_id, id=key_id)


async def switch_token(session: AsyncSession, settings: Settings, principal: Principal, *, token: str) -> Principal:
    """Authenticate another token of the same user. Raises Invalid, and Forbidden for another user's token."""
    try:
        other = await authenticate(session, settings, token)
    except Unauthenticated as refusal:
        raise Invalid(refusal.message, "token") from None
    if not other.is_same_user(principal):
        raise Forbidden("This token belongs to another user. Open another connection for it.", "token")
    return other


async def still_valid(session: AsyncSession, principals: Collection[Principal]) -> set[tuple[str, str]]:
    """Keys of those principals whose session or API token is still valid: one statement for each of the two kinds."""
    found: set[tuple[str, str]] = set()
    kinds: dict[Credential, list[Principal]] = {
        Session: [each for each in principals if each.session_id],
        ApiToken: [each for each in principals if not each.session_id],
    }
    for kind, holders in kinds.items():
        if holders:
            keys = {each.key for each in holders}
            workspace_ids, key_ids = sorted({key[0] for key in keys}), sorted({key[1] for key in keys})
            here = in_array(kind.workspace_id, workspace_ids), in_array(kind.id, key_ids)
            rows = await session.execute(
                active_credentials(kind).with_only_columns(kind.workspace_id, kind.id).where(*here)
            )
            found.update(keys.intersection((row[0], row[1]) for row in rows))
    return found


def access_token(
    settings: Settings, viewer: Viewer, session_id: str, session_ends_at: dt.datetime
) -> tuple[str, Principal]:
    """A new access token of a session, and its principal."""
    issued_at = now().replace(microsecond=0)
    expires_at = min(issued_at + settings.access_token_life, session_ends_at.replace(microsecond=0))
    claims = {"sub": viewer.user_id, "wid": viewer.workspace_id, "sid": session_id}
    times = {"iat": issued_at, "exp": expires_at, "iss": ISSUER, "aud": AUDIENCE}
    token = jwt.encode({**claims, **times}, settings.secret_key, ALGORITHM)
    return token, Principal(viewer, session_id, None, expires_at)


def viewer_of(workspace: Workspace, user: User) -> Viewer:
    """Viewer of a session."""
    # The log must not have the session's id: with it, anyone can end the session with an invented refresh token.
    return Viewer.of(workspace, user, f"user:{user.id}")


def active_credentials(kind: Credential) -> sa.Select[*tuple[Any, ...]]:
    """Select valid sessions or API tokens, each with its active user and the workspace."""
    return _with_active_user(sa.select(kind, User, Workspace), kind)


def _with_active_user(select: sa.Select[*tuple[Any, ...]], kind: Credential) -> sa.Select[*tuple[Any, ...]]:
    key, user, workspace = kind.__table__, User.__table__, Workspace.__table__
    moment = sa.bindparam("moment", callable_=now, type_=key.c.expires_at.type)
    if kind is ApiToken:
        stands = sa.or_(key.c.expires_at.is_(None), key.c.expires_at > moment)
        good = [unscoped(ApiToken, NO_VIEWER), key.c.deleted_at.is_(None), stands]
    else:
        good = [key.c.revoked_at.is_(None), key.c.expires_at > moment]
    return (
        select.join_from(key, user, sa.and_(user.c.workspace_id == key.c.workspace_id, user.c.id == key.c.user_id))
        .join(workspace, workspace.c.id == key.c.workspace_id)
        .where(unscoped(User, NO_VIEWER), user.c.active, user.c.deleted_at.is_(None), *good)
    )


def valid_session_condition(principal: Principal, viewer: Viewer) -> sa.ColumnElement[bool]:
    """SQL condition: the session or API token is valid, and its user has the role and the defaults of `viewer`.

    The viewer's ids and the parameter `KEY` are bound at execution, so that one statement serves all such principals.
    """
    kind: Credential = Session if principal.session_id else ApiToken
    key, user, workspace = kind.__table__.c, User.__table__.c, Workspace.__table__.c
    defaults = [
        default_column(workspace.visibility_defaults, entity) == sa.literal_column(f"'{visibility}'")
        for entity, visibility in viewer.defaults.items()
    ]
    return (
        _with_active_user(sa.select(sa.literal_column("1")), kind)
        .where(key.id == sa.bindparam(KEY, type_=key.id.type), key.workspace_id == viewer.workspace_id)
        .where(user.id == viewer.user_id, user.role == sa.literal(viewer.role, user.role.type))
        .where(*defaults)
        .exists()
    )


@functools.cache
def _viewer_by(kind: Credential, *names: str) -> sa.Select[*tuple[Any, ...]]:
    """Select the columns that a viewer needs, by the columns `names`. Each request begins with this statement."""
    key, user, workspace = kind.__table__.c, User.__table__.c, Workspace.__table__.c
    columns = [key.id.label("key_id"), key.expires_at, user.id.label("user_id"), user.role]
    settings = [workspace.id, workspace.epoch, workspace.currency, workspace.visibility_defaults]
    return _with_active_user(sa.select(*columns, *settings), kind).where(
        *[key[name] == sa.bindparam(name) for name in names]
    )


async def _principal(
    link: Connectable, kind: Credential, *, expires_at: dt.datetime | None = None, **known: str
) -> Principal:
    """Principal of the session or API token with the column values `known`. `expires_at` is the access token's end.

    Raises Unauthenticated.
    """
    rows = await fetch(link, _viewer_by(kind, *known), known)
    if not rows:
        raise Unauthenticated(UNKNOWN)
    row = rows[0]
    user: Any = SimpleNamespace(id=row.user_id, role=row.role)
    if kind is Session:
        return Principal(viewer_of(row, user), row.key_id, None, expires_at)
    return Principal(Viewer.of(row, user, f"token:{row.key_id}"), None, row.key_id, row.expires_at)


def _claims(settings: Settings, token: str) -> dict[str, Any]:
    """Claims of an access token. Raises Unauthenticated for one that is expired or not issued by this application."""
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            settings.secret_key,
            algorithms=[ALGORITHM],
            audience=AUDIENCE,
            issuer=ISSUER,
            options={"require": CLAIMS},
        )
    except jwt.ExpiredSignatureError:
        raise Unauthenticated(EXPIRED) from None
    except (jwt.PyJWTError, UnicodeEncodeError):
        raise Unauthenticated(UNKNOWN) from None
    return claims
