"""Migrations of the database, the same for SQLite and PostgreSQL."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from crm_graph.database import Database
from crm_graph.errors import ConfigurationError

# Alembic is imported only to migrate: a server just compares two revisions.
HERE = Path(__file__).parent
VERSIONS = sa.table("alembic_version", sa.column("version_num", sa.String))
Applied = Callable[[str, str], None]


def newest() -> str:
    """The newest revision. The files in versions/ begin with their numbers."""
    return max(path.name.partition("_")[0] for path in HERE.glob("versions/[0-9]*.py"))


async def upgrade(engine: AsyncEngine, applied: Applied | None = None) -> None:
    """Migrate the database to the newest revision. `applied` is called with each step's number and title."""
    from alembic import command

    async with engine.connect() as connection:
        await connection.run_sync(_run, command.upgrade, "head", applied=applied)
        await connection.commit()


async def check(engine: AsyncEngine) -> None:
    """Raises alembic's CommandError if the models and the migrated database differ."""
    from alembic import command

    async with engine.connect() as connection:
        await connection.run_sync(_run, command.check)


async def current(engine: AsyncEngine) -> str | None:
    """The revision of the database, or None if it was never migrated."""
    async with engine.connect() as connection:
        if not await connection.run_sync(lambda sync: sa.inspect(sync).has_table(VERSIONS.name)):
            return None
        return await connection.scalar(sa.select(VERSIONS.c.version_num))


async def require_current(database: Database, *, or_newer: bool = False) -> None:
    """Raises ConfigurationError if the database is unreachable or not at the newest revision.

    `or_newer` accepts a later revision too: running servers see one while the next version is deployed.
    """
    missing = _is_missing(database)
    revision = None if missing else await _reach(database)
    if revision == newest() or (or_newer and revision is not None and revision > newest()):
        return
    if revision is not None and revision > newest():
        raise ConfigurationError(
            f"The database is at revision {revision}, and this version of CRM Graph supports {newest()} at most. "
            "Install the version that migrated it."
        )
    state = "does not exist yet" if missing else "has no tables" if revision is None else f"is at revision {revision}"
    raise ConfigurationError(f"The database {state}; revision {newest()} is needed. Run: crm-graph migrate")


def _is_missing(database: Database) -> bool:
    """The file of a SQLite database is missing. Connecting would create it."""
    return database.is_sqlite and not Path(database.url.database or "").exists()


async def _reach(database: Database) -> str | None:
    try:
        return await current(database.reader)
    except (sa.exc.SQLAlchemyError, OSError) as error:
        raise unreachable(error) from error


def unreachable(error: Exception) -> ConfigurationError:
    reason = str(getattr(error, "orig", None) or error).strip().splitlines()
    return ConfigurationError(
        f"The database cannot be reached: {reason[0] if reason else type(error).__name__}. "
        "Start it, or correct CRM_GRAPH_DATABASE_URL."
    )


def _run(
    connection: sa.Connection, verb: Callable[..., None], *arguments: object, applied: Applied | None = None
) -> None:
    from alembic.config import Config

    settings = Config(stdout=sys.stdout)
    settings.set_main_option("script_location", str(HERE).replace("%", "%%"))
    settings.attributes.update(connection=connection, applied=applied)
    verb(settings, *arguments)
