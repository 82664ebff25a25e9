"""Transactions, and the wake-ups that follow them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Coroutine
from typing import Any

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

# What the databases call two transactions that met (serialisation, deadlock, lock not available), and a taken key.
MET = {"40001", "40P01", "55P03", "SQLITE_BUSY", "SQLITE_BUSY_SNAPSHOT", "SQLITE_LOCKED"}
log = logging.getLogger(__name__)
TAKEN = {"23505", "SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY"}


class ChangeLog:
    """The log of one database, and the wake-ups that tell all processes to read on."""

    def __init__(self, database: Database, broadcast_url: str) -> None:
        self.database = database
        self.notifier = ChangeNotifier(database, broadcast_url)
        self._later: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        await self.notifier.open()

    async def close(self) -> None:
        await self.drain()
        await self.notifier.close()

    def run_in_background(self, work: Coroutine[Any, Any, None]) -> None:
        """Have something written while nobody waits: how long an answer takes is not to tell whether it was."""
        task = asyncio.create_task(work)
        self._later.add(task)
        task.add_done_callback(self._written)

    async def drain(self) -> None:
        """Wait until all of that is written."""
        await asyncio.gather(*self._later, return_exceptions=True)

    def _written(self, task: asyncio.Task[None]) -> None:
        self._later.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("Something could not be written", exc_info=error)

    @contextlib.asynccontextmanager
    async def transaction(self, viewer: Viewer, cause: str) -> AsyncIterator[AsyncSession]:
        """A session whose changes are logged and committed together at the end, or not at all.

        `advance(session)`, called last inside it, tells the revision that the changes stand at. Raises Conflict and
        Duplicate where the database finds that another transaction was first.
        """
        journal = Journal(viewer, cause)
        try:
            async with self.database.write() as session:
                session.info["journal"] = journal
                yield session
                await advance(session)
        except (StaleDataError, DBAPIError) as error:
            raise _fault(error) from error
        if journal.written:
            self.notifier.announce(viewer.workspace_id, journal.revision)


async def advance(session: AsyncSession) -> int:
    """Write the transaction's changes to the log, which takes their revisions; the last one is returned."""
    await flush(session)
    journal = journal_of(session)
    await journal.write(session)
    return journal.revision


@event.listens_for(Session, "before_flush")
def _collect(session: Session, flush_context: object, instances: object) -> None:
    if "journal" in session.info:
        session.info["journal"].collect(session)


def _fault(error: StaleDataError | DBAPIError) -> Exception:
    reason = error.orig if isinstance(error, DBAPIError) else None
    code = getattr(reason, "sqlstate", None) or getattr(reason, "sqlite_errorname", None)
    if isinstance(error, StaleDataError) or code in MET:
        return Conflict("Somebody else changed this at the same time. Read it again and repeat.")
    if code in TAKEN:
        detail = getattr(reason, "detail", None) or str(reason)
        return Duplicate("Another record has this value already.", _column(detail))
    return error


def _column(text: str) -> str:
    """The last column of the key: PostgreSQL's «Key (workspace_id, external_id)=(…) already exists», or SQLite's
    «UNIQUE constraint failed: accounts.workspace_id, accounts.external_id»."""
    _, postgresql, rest = text.partition("Key (")
    return rest.partition(")")[0].split(", ")[-1] if postgresql else text.rpartition(".")[2]
