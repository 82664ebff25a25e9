"""A checked database connection for one command."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from crm_graph.errors import ConfigurationError
from crm_graph.settings import Settings

if TYPE_CHECKING:
    from crm_graph.changelog import ChangeLog


async def check(settings: Settings) -> None:
    """Raises ConfigurationError if the database or the broadcast is not ready."""
    from crm_graph import migrations
    from crm_graph.changelog import notifier
    from crm_graph.database import Database

    database = Database(settings.database_url, pool_size=1)
    try:
        await migrations.require_current(database)
        try:
            await notifier.check(settings.broadcast_url)
        except Exception as error:  # each backend has its own errors
            raise ConfigurationError(
                f"CRM_GRAPH_BROADCAST_URL cannot be used: {error}. Set it to memory:// for one process, or to a Redis "
                "such as redis://127.0.0.1:6379."
            ) from error
    finally:
        await database.close()


@contextlib.asynccontextmanager
async def database_session(settings: Settings) -> AsyncIterator[ChangeLog]:
    """The change log of the checked database. Raises ConfigurationError."""
    from crm_graph.changelog import ChangeLog
    from crm_graph.database import Database
    from crm_graph.models.types import Phone

    await check(settings)
    Phone.region = settings.phone_region
    database = Database(settings.database_url, settings.pool_size)
    changelog = ChangeLog(database, settings.broadcast_url)
    await changelog.open()
    try:
        yield changelog
    finally:
        await changelog.close()
        await database.close()
