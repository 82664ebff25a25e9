"""The history of the tables, the same on SQLite and PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import AsyncEngine


def config() -> Config:
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return made


async def upgrade(engine: AsyncEngine) -> None:
    """Bring the database to the newest revision."""
    async with engine.connect() as connection:
        await connection.run_sync(_run, command.upgrade, "head")
        await connection.commit()


async def check(engine: AsyncEngine) -> None:
    """Raises alembic's CommandError where the models and the migrated database differ."""
    async with engine.connect() as connection:
        await connection.run_sync(_run, command.check)


async def is_current(engine: AsyncEngine) -> bool:
    """Whether the database is at the newest revision."""
    newest = set(ScriptDirectory.from_config(config()).get_heads())
    async with engine.connect() as connection:
        return (
            await connection.run_sync(lambda sync: set(MigrationContext.configure(sync).get_current_heads())) == newest
        )


def _run(connection: sa.Connection, verb: object, *arguments: object) -> None:
    settings = config()
    settings.attributes["connection"] = connection
    verb(settings, *arguments)  # type: ignore[operator]  # one of alembic's commands
