"""Sessions: opened by email and password, continued by short access tokens and rotating refresh tokens.

Functions that hash a password, or write even if they refuse, take the change log and open their own transactions.
"""

from __future__ import annotations

import datetime as dt
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from crm_graph import records
from crm_graph.access import Viewer, unscoped, visible
from crm_graph.auth import passwords, throttle
from crm_graph.auth.principals import Principal, access_token, active_credentials, digest, viewer_of
from crm_graph.auth.tokens import revoke_tokens
from crm_graph.changelog import ChangeLog, advance, journal_of
from crm_graph.errors import Conflict, Invalid, Unauthenticated
from crm_graph.models import Action, Session, User, Workspace, now
from crm_graph.models.platform.users import SignInEmail
from crm_graph.records import idempotency
from crm_graph.settings import Settings

# An email may belong to users of several workspaces. Each failed sign-in compares this many passwords.
MAX_CANDIDATES = 3
WRONG = "The email or the password is wrong."
STALE = "The refresh token is not valid. Sign in again."
NOBODY = "nobody"
NO_VIEWER = "sign-in knows no viewer yet"


@dataclass(frozen=True)
class SignedIn:
    """Tokens of a session: the access token for requests, and the refresh token for the next pair."""

    principal: Principal
    access_token: str
    refresh_token: str
    revision: int

    @property
    def expires_at(self) -> dt.datetime | None:
        """End of the access token."""
        return self.principal.expires_at


async def sign_in(
    changelog: ChangeLog, settings: Settings, *, email: str, password: str, client: str | None
) -> SignedIn:
    """Open a session. `client` is the address of the request.

    Raises Throttled, and the same Unauthenticated for an unknown email, a wrong password, a user without a password and
    an inactive user.
    """
    address = _address(email)
    person = digest(f"email {address or email}")
    origin = client and digest(f"client {throttle.network(client)}")
    limits = {person: settings.sign_in_attempts}
    if origin:
        limits[origin] = settings.sign_in_attempts * throttle.CLIENT_SHARE
    await throttle.count(changelog.database, limits)
    async with changelog.database.read() as session:
        candidates = (await session.execute(_candidates(address))).all() if address else []
    try:
        user, workspace = await _matching(candidates, password)
    except Unauthenticated:
        changelog.run_in_background(_note_failure(changelog, candidates, client))
        raise
    viewer = viewer_of(workspace, user)
    async with changelog.transaction(viewer, "signIn") as session:
        await throttle.forgive(session, person, origin)
        family, secret = await _open(session, settings, viewer, user, client)
        return _signed_in(settings, viewer, family, secret, await advance(session))


async def refresh(changelog: ChangeLog, settings: Settings, *, refresh_token: str) -> SignedIn:
    """Exchange a refresh token, which is valid once, for new tokens. A second use ends the session: the token, or its
    successor, was stolen.

    Raises Unauthenticated.
    """
    session_id, _, secret = refresh_token.partition(".")
    known = session_id if session_id.isascii() and session_id.isprintable() else ""
    statement = active_credentials(Session).where(Session.id == known)
    async with changelog.database.read() as session:
        row = (await session.execute(statement)).one_or_none()
    if row is None:
        raise Unauthenticated(STALE)
    viewer = viewer_of(row[2], row[1])
    async with changelog.transaction(viewer, "refreshToken") as session:
        row = (await session.execute(statement.with_for_update(of=Session))).one_or_none()
        if row is not None:
            family, user, _ = row
            if hmac.compare_digest(family.refresh_hash, digest(secret)):
                secret = secrets.token_urlsafe(32)
                family.refresh_hash = digest(secret)
                ends_at = family.created_at + settings.session_life
                family.expires_at = min(now() + settings.refresh_token_life, ends_at)
                await idempotency.sweep(session, viewer, settings.retention)
                return _signed_in(settings, viewer, family, secret, await advance(session))
            family.revoked_at = now()
            journal_of(session).cause = "refreshTokenReused"
            journal_of(session).note(user, {}, Action.SIGNED_OUT)
    raise Unauthenticated(STALE)


async def sign_out(session: AsyncSession, viewer: Viewer, *, session_id: str | None) -> User:
    """End the viewer's session. Raises Invalid for a viewer with an API token."""
    if session_id is None:
        raise Invalid("An API token has no session to sign out of: revoke the token.")
    user = await records.find(session, viewer, User, viewer.user_id or "")
    await session.execute(
        sa.update(Session)
        .where(Session.workspace_id == viewer.workspace_id, Session.id == session_id, Session.user_id == user.id)
        .values(revoked_at=now())
    )
    journal_of(session).note(user, {}, Action.SIGNED_OUT)
    return user


async def sign_out_everywhere(session: AsyncSession, viewer: Viewer, *, include_api_tokens: bool | None) -> User:
    """End all of the viewer's sessions and, with `include_api_tokens`, revoke their tokens."""
    user = await records.find(session, viewer, User, viewer.user_id or "")
    await end_sessions(session, viewer, user.id)
    journal_of(session).note(user, {}, Action.SIGNED_OUT)
    if include_api_tokens:
        await revoke_tokens(session, viewer, user.id)
    return user


async def end_sessions(session: AsyncSession, viewer: Viewer, user_id: str, *, but: str | None = None) -> None:
    """End a user's sessions, except `but`."""
    await session.execute(
        sa.update(Session)
        .where(Session.workspace_id == viewer.workspace_id, Session.user_id == user_id, Session.revoked_at.is_(None))
        .where(Session.id != (but or ""))
        .values(revoked_at=now())
    )


async def change_password(
    changelog: ChangeLog, settings: Settings, principal: Principal, *, current: str, new: str
) -> int:
    """Change the viewer's password and end all of their other sessions. Returns the revision.

    Raises Throttled, Invalid, Required, Conflict.
    """
    viewer = principal.viewer
    person = digest(f"password {viewer.user_id}")
    await throttle.count(changelog.database, {person: settings.sign_in_attempts})
    async with changelog.database.read() as session:
        user = await records.find(session, viewer, User, viewer.user_id or "")
    known = user.password_hash
    if not await passwords.matches(known, current):
        async with changelog.transaction(viewer, "changePassword") as session:
            journal_of(session).note(user, {}, Action.SIGN_IN_FAILED)
        raise Invalid("The current password is wrong.", "current_password")
    try:
        password_hash = await passwords.hashed(new)
    except Invalid as error:
        raise error.prefixed("new_password") from None
    async with changelog.transaction(viewer, "changePassword") as session:
        user = await records.find(session, viewer, User, user.id)
        if user.password_hash != known:
            raise Conflict("The password was changed at the same time.")
        user.password_hash = password_hash
        await session.flush()
        await end_sessions(session, viewer, user.id, but=principal.session_id)
        await throttle.forgive(session, person, None)
        return await advance(session)


def _address(email: str) -> str | None:
    """The email in its stored form; None for an invalid one."""
    try:
        return SignInEmail().clean(email)
    except Invalid:
        return None


def _candidates(email: str) -> sa.Select[User, Workspace]:
    return (
        sa.select(User, Workspace)
        .join(Workspace, Workspace.id == User.workspace_id)
        .where(unscoped(User, NO_VIEWER), User.email == email, User.password_hash.is_not(None))
        .where(User.deleted_at.is_(None))
        .order_by(User.active.desc(), User.created_at, User.id)
        .limit(MAX_CANDIDATES)
    )


async def _matching(candidates: Sequence[sa.Row[User, Workspace]], password: str) -> tuple[User, Workspace]:
    """The first active candidate with the password. Raises Unauthenticated after a fixed number of comparisons."""
    for user, workspace in candidates:
        if await passwords.matches(user.password_hash if user.active else None, password):
            return user, workspace
    for _ in range(len(candidates), MAX_CANDIDATES):
        await passwords.matches(None, password)
    raise Unauthenticated(WRONG)


async def _note_failure(
    changelog: ChangeLog, candidates: Sequence[sa.Row[User, Workspace]], client: str | None
) -> None:
    """Log a failed sign-in in the workspaces of all candidates."""
    for user, workspace in candidates:
        async with changelog.transaction(Viewer.of(workspace, None, NOBODY), "signIn") as session:
            journal_of(session).note(user, _from(client), Action.SIGN_IN_FAILED)


def _from(client: str | None) -> dict[str, list[object]]:
    return {} if client is None else {"client": [None, client]}


async def _open(
    session: AsyncSession, settings: Settings, viewer: Viewer, user: User, client: str | None
) -> tuple[Session, str]:
    """A new session and its first secret. Raises Unauthenticated if the password was changed meanwhile."""
    # The shared lock makes a concurrent change of the password come before or after.
    standing = sa.select(User).where(
        visible(User, viewer), User.id == user.id, User.active, User.password_hash == user.password_hash
    )
    found = await session.scalar(standing.with_for_update(read=True))
    if found is None:
        raise Unauthenticated(WRONG)
    over = Session.workspace_id == viewer.workspace_id, Session.user_id == user.id, Session.expires_at <= now()
    await session.execute(sa.delete(Session).where(*over))
    await idempotency.sweep(session, viewer, settings.retention)
    secret = secrets.token_urlsafe(32)
    family = Session(
        workspace_id=viewer.workspace_id,
        id=Session.new_id(),
        user_id=user.id,
        refresh_hash=digest(secret),
        expires_at=now() + min(settings.refresh_token_life, settings.session_life),
    )
    session.add(family)
    journal_of(session).note(found, _from(client), Action.SIGNED_IN)
    return family, secret


def _signed_in(settings: Settings, viewer: Viewer, family: Session, secret: str, revision: int) -> SignedIn:
    token, principal = access_token(settings, viewer, family.id, family.expires_at)
    return SignedIn(principal, token, f"{family.id}.{secret}", revision)
