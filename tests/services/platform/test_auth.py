"""Decisions by an address and a password before any access to users: throttling, and password hashes."""

from __future__ import annotations

import pytest

from crm_graph import auth
from crm_graph.auth import passwords, throttle
from crm_graph.errors import Unauthenticated
from crm_graph.settings import Settings
from tests.support.world import World


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::", "2001:db8:1:3::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("a-socket", "a-socket"),
    ],
)
def test_one_client_is_an_address_or_a_network(address: str, network: str) -> None:
    assert throttle.network(address) == network


async def test_a_password_matches_its_own_hash_only() -> None:
    known = await passwords.hashed("correct horse battery")
    assert known.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert known != await passwords.hashed("correct horse battery")
    assert await passwords.matches(known, "correct horse battery")
    assert not await passwords.matches(known, "Correct horse battery")
    assert not await passwords.matches(known, "")
    assert not await passwords.matches("not a hash", "correct horse battery")


@pytest.mark.parametrize("password", ["", "\0" * 32, "\ud800", "anything at all"])
async def test_nobody_has_nobodys_password(password: str) -> None:
    assert not await passwords.matches(None, password)


async def test_without_a_secret_no_access_token_is_good(world: World) -> None:
    async with world.database.read() as session:
        with pytest.raises(Unauthenticated):
            await auth.authenticate(session, Settings(secret_key=""), "e30.e30.AAAA")
