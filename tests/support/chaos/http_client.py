"""Operations over HTTP, sent to any running server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any

import httpx

ANSWER_SECONDS = 5.0
GIVE_UP_SECONDS = 90.0
PASSING = {"INTERNAL"}
"""The codes of errors after which a retry may succeed."""


class Unanswered(Exception):
    """The outcome of the operation is unknown."""


async def ask(client: httpx.AsyncClient, address: str, token: str, document: str, **variables: Any) -> dict[str, Any]:
    """The data of an operation. Raises Unanswered."""
    body = {"query": document, "variables": variables}
    headers = {"Authorization": f"Bearer {token}"}
    try:
        response = await client.post(f"http://{address}/graphql", json=body, headers=headers, timeout=ANSWER_SECONDS)
    except httpx.TransportError as error:
        raise Unanswered(repr(error)) from error
    if response.status_code >= 500:
        raise Unanswered(response.text)
    answer: dict[str, Any] = response.json()
    if {error["extensions"]["code"] for error in answer.get("errors", ())} & PASSING:
        raise Unanswered(str(answer["errors"]))
    assert "errors" not in answer, answer["errors"]
    data: dict[str, Any] = answer["data"]
    return data


async def insist(
    client: httpx.AsyncClient,
    somewhere: Callable[[], str],
    chance: Random,
    token: str,
    document: str,
    **variables: Any,
) -> tuple[dict[str, Any], int]:
    """The data of an operation that may be repeated, and the number of attempts."""
    tries = 0
    async with asyncio.timeout(GIVE_UP_SECONDS):
        while True:
            tries += 1
            try:
                return await ask(client, somewhere(), token, document, **variables), tries
            except Unanswered:
                await asyncio.sleep(chance.uniform(0.05, 0.3))
