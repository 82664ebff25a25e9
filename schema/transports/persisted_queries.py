"""Documents that clients name by an id: automatic persisted queries, and documents that operators trust.

docs/clients/persisted-queries.md tells clients how.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from strawberry.http import GraphQLRequestData

from crm_graph.auth import digest
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
"""What it costs to have a document kept."""
MAX_AGE_SECONDS = 60.0
"""After how long the database is asked again: a document may be trusted no more."""
log = logging.getLogger(__name__)


@dataclass
class GraphQLRequest(GraphQLRequestData):
    """What came as an operation. `by_id` says that it names its document, and `document_id` is the parameter of that
    name, unread; `save_as` is the id to keep the query under, when the operation proves to be somebody's."""

    by_id: bool = False
    document_id: object = None
    save_as: str | None = None


def by_id(content: Mapping[str, Any]) -> bool:
    """Whether what came names its document by an id."""
    extensions = content.get("extensions")
    persisted = extensions.get("persistedQuery") if isinstance(extensions, dict) else None
    return persisted is not None or content.get("documentId") is not None


class PersistedQueryStore:
    """The documents that are stored in the database. Those that were asked last are known here for a minute: as many
    as have ROOM characters."""

    ROOM = 2_000_000

    def __init__(self, database: Database, rate_limiter: RateLimiter) -> None:
        self.database, self.rate_limiter = database, rate_limiter
        self._known: OrderedDict[str, tuple[str, bool, float]] = OrderedDict()
        self._length = 0

    async def resolve(self, sent: GraphQLRequest, mode: PersistedQueries, payer: str) -> GraphQLRequest:
        """What was sent, with its query. Raises BadUserInput, PersistedQueryNotFound, PersistedQueriesDisabled,
        PersistedQueryIdRequired, Throttled."""
        document_id, text = _id(sent), sent.query
        if mode is PersistedQueries.OFF:
            if not text:
                raise PersistedQueriesDisabled
            return sent
        if document_id is None:
            raise PersistedQueryIdRequired
        if text and mode is PersistedQueries.ON and digest(text) == document_id:
            save_as = None if document_id in self._known else document_id
            return dataclasses.replace(sent, save_as=save_as)
        known = await self._find(document_id, payer)
        if known is None or (mode is PersistedQueries.ONLY and not known[1]):
            if text and mode is PersistedQueries.ON:
                raise BadUserInput("The id is not the SHA-256 hash of the query.", _field(sent))
            raise PersistedQueryNotFound
        if text and text != known[0]:
            raise BadUserInput("The id is another document's.", _field(sent))
        return dataclasses.replace(sent, query=known[0])

    async def save(self, sent: GraphQLRequest, payer: str) -> None:
        """Keep a query that was asked to be. Where that cannot be done, its sender will send it again."""
        document_id, text = sent.save_as, sent.query
        if document_id is None or text is None:
            return
        try:
            await self.rate_limiter.charge(payer, SAVE_COST)
            if await documents.keep(self.database, document_id, text):
                self._remember(document_id, text, trusted=False)
        except Throttled:
            pass
        except CONNECTION_ERRORS as error:
            log.warning("A document could not be kept: %s", error)

    async def _find(self, document_id: str, payer: str) -> tuple[str, bool] | None:
        """A document's text, and whether it is trusted. Raises Throttled."""
        known = self._known.get(document_id)
        if known is not None and time.monotonic() < known[2]:
            self._known.move_to_end(document_id)
            return known[:2]
        self._forget(document_id)
        await self.rate_limiter.charge(payer, MIN_COST)
        found = await documents.find(self.database, document_id)
        if found is not None:
            self._remember(document_id, *found)
        return found

    def _remember(self, document_id: str, text: str, trusted: bool) -> None:
        self._forget(document_id)
        self._known[document_id] = text, trusted, time.monotonic() + MAX_AGE_SECONDS
        self._length += len(text)
        while self._length > self.ROOM:
            self._forget(next(iter(self._known)))

    def _forget(self, document_id: str) -> None:
        known = self._known.pop(document_id, None)
        if known is not None:
            self._length -= len(known[0])


def _id(sent: GraphQLRequest) -> str | None:
    """The document's id, by either name. Raises BadUserInput."""
    given, persisted = sent.document_id, (sent.extensions or {}).get("persistedQuery")
    if given is None:
        if persisted is None:
            return None
        if not isinstance(persisted, dict) or persisted.get("version") != 1:
            raise BadUserInput("Only version 1 of persisted queries is known.", "extensions.persistedQuery.version")
        given = persisted.get("sha256Hash")
    if not isinstance(given, str) or not documents.is_id(given):
        raise BadUserInput(f"An id is a text of 1 to {documents.MAX_ID_LENGTH} visible ASCII characters.", _field(sent))
    return documents.bare(given)


def _field(sent: GraphQLRequest) -> str:
    """Where the id came."""
    return "extensions.persistedQuery.sha256Hash" if sent.document_id is None else "documentId"
