"""Passwords: stored as Argon2id hashes, which a thread computes and compares."""

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
# No password has this hash. Comparing with it takes as long as with any other.
_DUMMY_HASH = f"$argon2id$v=19$m=19456,t=2,p=1${'A' * 22}${'A' * 43}"


async def hashed(password: str) -> str:
    """Argon2 hash of a new password. Raises Required and Invalid."""
    if not password:
        raise Required("A password is needed.")
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise Invalid(f"A password has {MIN_LENGTH} to {MAX_LENGTH} characters, not {len(password)}.")
    content = _bytes(password)
    if content is None:
        raise Invalid("Unpaired surrogates are not text.")
    return await asyncio.to_thread(_hasher().hash, content)


async def matches(password_hash: str | None, password: str) -> bool:
    """Compare a password with a hash. Takes as long without a hash, and for a text that cannot be a password."""
    content = _bytes(password)
    same = await asyncio.to_thread(_verify, password_hash or _DUMMY_HASH, content or b"")
    return same and password_hash is not None and content is not None


def _bytes(password: str) -> bytes | None:
    """Bytes of a password in Unicode normal form C; None for a text that cannot be a password."""
    if not 0 < len(password) <= MAX_LENGTH:
        return None
    try:
        return unicodedata.normalize("NFC", password).encode()
    except UnicodeEncodeError:
        return None


@functools.cache
def _hasher() -> argon2.PasswordHasher:
    import argon2

    # One of OWASP's parameter sets, with 19 MiB for each hash:
    # https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html
    return argon2.PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)


def _verify(password_hash: str, content: bytes) -> bool:
    import argon2

    try:
        return _hasher().verify(password_hash, content)
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return False
