"""Persisted queries: trusted ones from manifests, and those that clients store for a while."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from crm_graph.database import Database, in_array, is_storable, upsert
from crm_graph.database.prepared import fetch, insert_many
from crm_graph.errors import Conflict, Invalid
from crm_graph.models import StoredDocument, now
from crm_graph.models.types import LONG_TEXT

MAX_ID_LENGTH = 200
MAX_LENGTH = 20_000
"""In characters. Clients cannot store longer documents."""
MAX_UNTRUSTED = 5_000
RETENTION = dt.timedelta(days=30)
APOLLO = "apollo-persisted-query-manifest"
_TABLE: Any = StoredDocument.__table__
_FIND = sa.select(_TABLE.c.text, _TABLE.c.trusted).where(_TABLE.c.id == sa.bindparam("id"))


async def find(database: Database, document_id: str) -> tuple[str, bool] | None:
    """A document's text, and whether it is trusted."""
    rows = await fetch(database, _FIND, {"id": document_id})
    return (rows[0].text, rows[0].trusted) if rows else None


async def keep(database: Database, document_id: str, text: str) -> bool:
    """Store an untrusted document and evict the oldest ones beyond MAX_UNTRUSTED. Returns whether it was stored."""
    if len(text) > MAX_LENGTH or not is_storable(text):
        return False
    row = {"id": document_id, "text": text, "trusted": False, "kept_at": now()}
    async with database.write() as session:
        await session.execute(upsert(database.dialect, StoredDocument).values(row))
        await _sweep(session)
    return True


async def trust(database: Database, texts: Mapping[str, str], *, alone: bool = False) -> tuple[int, int]:
    """Trust documents by their ids and, with `alone`, no others. Returns the numbers of newly trusted and of removed
    documents.

    Raises Conflict for an id under which another text is trusted.
    """
    moment = now()
    async with database.write() as session:
        rows = await session.execute(sa.select(_TABLE.c.id, _TABLE.c.text).where(_TABLE.c.trusted))
        known = {row.id: row.text for row in rows}
        for each, text in texts.items():
            if known.get(each, text) != text:
                raise Conflict(f"Another document is already trusted as {each}. The text of an id cannot change.")
        new = [each for each in texts if each not in known]
        gone = [each for each in known if alone and each not in texts]
        for ids in (new, gone):
            await session.execute(sa.delete(_TABLE).where(in_array(_TABLE.c.id, ids)))
        rows_ = [{"id": each, "text": texts[each], "trusted": True, "kept_at": moment} for each in new]
        if rows_:
            await insert_many(session, StoredDocument, rows_)
    return len(new), len(gone)


def read_manifest(text: str) -> dict[str, str]:
    """The texts in a manifest by their ids: {id: text}, as relay-compiler and @graphql-codegen write it, or the list of
    operations of Apollo's generate-persisted-query-manifest. Raises Invalid."""
    try:
        content = json.loads(text)
    except (RecursionError, ValueError):
        raise Invalid("The manifest is not JSON.") from None
    pairs: list[tuple[Any, Any]]
    if isinstance(content, dict) and content.get("format") == APOLLO:
        operations = content.get("operations")
        if content.get("version") != 1 or not isinstance(operations, list):
            raise Invalid("The manifest does not have version 1.")
        pairs = [(each.get("id"), each.get("body")) if isinstance(each, dict) else (None, None) for each in operations]
    elif isinstance(content, dict):
        pairs = list(content.items())
    else:
        raise Invalid("The manifest is not a JSON object of ids and texts.")
    for each, document in pairs:
        if not is_id(each):
            raise Invalid(f"An id is 1 to {MAX_ID_LENGTH} visible ASCII characters, not {each!r}.")
        if not isinstance(document, str) or not 0 < len(document) <= LONG_TEXT or not is_storable(document):
            raise Invalid(f"{each} has no text, or one of more than {LONG_TEXT} characters.")
    return {bare(each): document for each, document in pairs}


def is_id(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_ID_LENGTH and value.isascii() and value.isprintable()


def bare(document_id: str) -> str:
    """An id without the prefix `sha256:`, which GraphQL over HTTP puts before a hash."""
    return document_id.removeprefix("sha256:")


async def _sweep(session: AsyncSession) -> None:
    """Delete expired documents and the oldest ones beyond the maximum, except rows that another process has locked."""
    kept = sa.select(_TABLE.c.id).where(sa.not_(_TABLE.c.trusted))
    old = kept.where(_TABLE.c.kept_at <= now() - RETENTION)
    too_many = kept.order_by(_TABLE.c.kept_at.desc(), _TABLE.c.id).offset(MAX_UNTRUSTED)
    for some in (old, too_many):
        await session.execute(sa.delete(_TABLE).where(_TABLE.c.id.in_(some.with_for_update(skip_locked=True))))
