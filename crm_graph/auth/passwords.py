"""Passwords: kept as argon2id hashes, made and compared off the event loop."""

from __future__ import annotations

import asyncio
import functools
import unicodedata
from typing import TYPE_CHECKING

from crm_graph.errors import Invalid, Required

if TYPE_CHECKING:
    import argon2

MIN_LENGTH = 8
MAX_LENGTH = 200
# Nobody's: no password has it, and comparing with it takes as long as with any other.
_DUMMY_HASH = f"$argon2id$v=19$m=19456,t=2,p=1${'A' * 22}${'A' * 43}"


async def hashed(password: str) -> str:
    """What is kept of a new password. Raises Required and Invalid."""
    if not password:
        raise Required("A password is needed.")
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise Invalid(f"A password has {MIN_LENGTH} to {MAX_LENGTH} characters, not {len(password)}.")
    content = _bytes(password)
    if content is None:
        raise Invalid("Unpaired surrogates are not text.")
    return await asyncio.to_thread(_hasher().hash, content)


async def matches(password_hash: str | None, password: str) -> bool:
    """Whether this is the password. Takes as long without a hash, and for a text that cannot be a password."""
    content = _bytes(password)
    same = await asyncio.to_thread(_verify, password_hash or _DUMMY_HASH, content or b"")
    return same and password_hash is not None and content is not None


def _bytes(password: str) -> bytes | None:
    """The same for every way a keyboard may spell it; None for what cannot be a password."""
    if not 0 < len(password) <= MAX_LENGTH:
        return None
    try:
        return unicodedata.normalize("NFC", password).encode()
    except UnicodeEncodeError:
        return None


@functools.cache
def _hasher() -> argon2.PasswordHasher:
    import argon2

    # OWASP's parameters for a server that hashes many at once: 19 MiB for each, not 64.
    return argon2.PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)


def _verify(password_hash: str, content: bytes) -> bool:
    import argon2

    try:
        return _hasher().verify(password_hash, content)
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return False
