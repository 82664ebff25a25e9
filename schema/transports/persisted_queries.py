"""Documents that clients name by id: automatic persisted queries, and documents that operators trust.

docs/clients/persisted-queries.md describes the protocol.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from strawberry.http import GraphQLRequestData

from crm_graph.auth import digest
from crm_graph.bounded_cache import BoundedCache
from crm_graph.database import CONNECTION_ERRORS, Database
from crm_graph.errors import (
    BadUserInput,
    PersistedQueriesDisabled,
    PersistedQueryIdRequired,
    PersistedQueryNotFound,
    Throttled,
)
from crm_graph.services.platform import persisted_queries as documents
from crm_graph.settings import PersistedQueries
from schema.limits.cost import MIN_COST
from schema.limits.rate_limiter import RateLimiter

SAVE_COST = 1_000
"""Cost of saving a document."""
MAX_AGE_SECONDS = 60.0
"""Then the database is read again: operators may withdraw their trust."""
MAX_CACHED_CHARACTERS = 2_000_000
log = logging.getLogger(__name__)


@dataclass
class GraphQLRequest(GraphQLRequestData):
    """An operation as the client sent it.

    `by_id` is true if the request names its document; `document_id` is the parameter of that name, not yet validated.
    `save_as` is the id to save the query under once its sender is authenticated.
    """

    by_id: bool = False
    document_id: object = None
    save_as: str | None = None


def by_id(content: Mapping[str, object]) -> bool:
    """True if a request names its document by id."""
    extensions = content.get("extensions")
    persisted = extensions.get("persistedQuery") if isinstance(extensions, dict) else None
    return persisted is not None or content.get("documentId") is not None


class PersistedQueryStore:
    """Reads and saves documents in the database, with a cache for a minute."""

    def __init__(self, database: Database, rate_limiter: RateLimiter) -> None:
        self.database, self.rate_limiter = database, rate_limiter
        self._documents: BoundedCache[str, tuple[str, bool]] = BoundedCache(MAX_CACHED_CHARACTERS, MAX_AGE_SECONDS)
        """Texts by id, and whether operators trust them."""

    async def resolve(self, sent: GraphQLRequest, mode: PersistedQueries, payer: str) -> GraphQLRequest:
        """The request with its query. Raises BadUserInput, PersistedQueryNotFound, PersistedQueriesDisabled,
        PersistedQueryIdRequired, Throttled."""
        document_id, text = _id(sent), sent.query
        if mode is PersistedQueries.OFF:
            if not text:
                raise PersistedQueriesDisabled
            return sent
        if document_id is None:
            raise PersistedQueryIdRequired
        if text and mode is PersistedQueries.ON and digest(text) == document_id:
            save_as = None if document_id in self._documents else document_id
            return dataclasses.replace(sent, save_as=save_as)
        known = await self._find(document_id, payer)
        if known is None or (mode is PersistedQueries.ONLY and not known[1]):
            if text and mode is PersistedQueries.ON:
                raise BadUserInput("The id is not the SHA-256 hash of the query.", _field(sent))
            raise PersistedQueryNotFound
        if text and text != known[0]:
            raise BadUserInput("The id belongs to another document.", _field(sent))
        return dataclasses.replace(sent, query=known[0])

    async def save(self, sent: GraphQLRequest, payer: str) -> None:
        """Save the query if the request wants that. If it fails, the client sends the query again."""
        document_id, text = sent.save_as, sent.query
        if document_id is None or text is None:
            return
        try:
            await self.rate_limiter.charge(payer, SAVE_COST)
            if await documents.keep(self.database, document_id, text):
                self._documents.set(document_id, (text, False), len(text))
        except Throttled:
            pass
        except CONNECTION_ERRORS as error:
            log.warning("Could not save a persisted query: %s", error)

    async def _find(self, document_id: str, payer: str) -> tuple[str, bool] | None:
        """The text of a document, and True if it is trusted. Raises Throttled."""
        known = self._documents.get(document_id)
        if known is not None:
            return known
        await self.rate_limiter.charge(payer, MIN_COST)
        found = await documents.find(self.database, document_id)
        if found is not None:
            self._documents.set(document_id, found, len(found[0]))
        return found


def _id(sent: GraphQLRequest) -> str | None:
    """The document's id, from either parameter. Raises BadUserInput."""
    given, persisted = sent.document_id, (sent.extensions or {}).get("persistedQuery")
    if given is None:
        if persisted is None:
            return None
        if not isinstance(persisted, dict) or persisted.get("version") != 1:
            raise BadUserInput("Only version 1 of persisted queries is supported.", "extensions.persistedQuery.version")
        given = persisted.get("sha256Hash")
    if not isinstance(given, str) or not documents.is_id(given):
        raise BadUserInput(f"An id has 1 to {documents.MAX_ID_LENGTH} visible ASCII characters.", _field(sent))
    return documents.bare(given)


def _field(sent: GraphQLRequest) -> str:
    """The parameter that holds the id."""
    return "extensions.persistedQuery.sha256Hash" if sent.document_id is None else "documentId"
