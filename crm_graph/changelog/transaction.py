"""Transactions, and the notifications after them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Coroutine

from sqlalchemy import event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import StaleDataError

from crm_graph.access import Viewer
from crm_graph.changelog.flush import flush
from crm_graph.changelog.journal import Journal, journal_of
from crm_graph.changelog.notifier import ChangeNotifier
from crm_graph.database import Database
from crm_graph.errors import Conflict, Duplicate

# The databases' codes for transactions in conflict (serialisation, deadlock, lock not available), and for a taken key.
CONFLICT_CODES = {"40001", "40P01", "55P03", "SQLITE_BUSY", "SQLITE_BUSY_SNAPSHOT", "SQLITE_LOCKED"}
log = logging.getLogger(__name__)
UNIQUE_CODES = {"23505", "SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY"}


class ChangeLog:
    """The change log of one database, and the notifier that wakes its readers in all processes."""

    def __init__(self, database: Database, broadcast_url: str) -> None:
        self.database = database
        self.notifier = ChangeNotifier(database, broadcast_url)
        self._background: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        await self.notifier.open()

    async def close(self) -> None:
        await self.drain()
        await self.notifier.close()

    def run_in_background(self, work: Coroutine[object, object, None]) -> None:
        """Write something without waiting, so that the time of a response does not reveal whether it was written."""
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._written)

    async def drain(self) -> None:
        """Wait for the work in the background."""
        await asyncio.gather(*self._background, return_exceptions=True)

    def _written(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("A write in the background failed", exc_info=error)

    @contextlib.asynccontextmanager
    async def transaction(self, viewer: Viewer, cause: str) -> AsyncIterator[AsyncSession]:
        """A session whose changes are logged and committed together at the end, or not at all.

        `cause` names the mutation or the command. `advance(session)`, called last in the block, returns the revision of
        the changes. Raises Conflict and Duplicate where another transaction was first.
        """
        journal = Journal(viewer, cause)
        try:
            async with self.database.write() as session:
                session.info["journal"] = journal
                yield session
                await advance(session)
        except (StaleDataError, DBAPIError) as error:
            raise _as_domain_error(error) from error
        if journal.written:
            self.notifier.announce(viewer.workspace_id, journal.revision)


async def advance(session: AsyncSession) -> int:
    """Write the transaction's changes to the log. Returns the number of the last revision."""
    await flush(session)
    journal = journal_of(session)
    await journal.write(session)
    return journal.revision


@event.listens_for(Session, "before_flush")
def _collect(session: Session, flush_context: object, instances: object) -> None:
    if "journal" in session.info:
        session.info["journal"].collect(session)


def _as_domain_error(error: StaleDataError | DBAPIError) -> Exception:
    reason = error.orig if isinstance(error, DBAPIError) else None
    code = getattr(reason, "sqlstate", None) or getattr(reason, "sqlite_errorname", None)
    if isinstance(error, StaleDataError) or code in CONFLICT_CODES:
        return Conflict("This was changed at the same time. Read it again and repeat.")
    if code in UNIQUE_CODES:
        detail = getattr(reason, "detail", None) or str(reason)
        return Duplicate("Another record has this value already.", _column(detail))
    return error


def _column(text: str) -> str:
    """The last column of the key, from PostgreSQL's "Key (workspace_id, external_id)=(…) already exists" or SQLite's
    "UNIQUE constraint failed: accounts.workspace_id, accounts.external_id"."""
    _, postgresql, rest = text.partition("Key (")
    return rest.partition(")")[0].split(", ")[-1] if postgresql else text.rpartition(".")[2]
