"""Runs migrations on the connection that `crm_graph.migrations` passes, or on CRM_GRAPH_DATABASE_URL."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import sqlalchemy as sa
from alembic import context
from alembic.operations import ops
from alembic.util import CommandError

from crm_graph import migrations
from crm_graph.database import Database
from crm_graph.models import Base, types
from crm_graph.settings import Settings


def render(kind: str, item: Any, autogen: object) -> str | Literal[False]:
    """Column types in migrations: the stored type, so that later changes of our types leave old migrations alone."""
    if kind == "server_default" and isinstance(item.arg, sa.True_ | sa.False_):
        return f"sa.{item.arg}()"  # databases spell these in different ways
    if kind != "type":
        return False
    match item:
        case types.Time():
            return "types.Time()"
        case types.Json():
            return "types.Json()"
        case types.Text():
            return f"types.Text({item.limit})"
        case types.Amount():
            return "sa.BigInteger()"
        case types.Integer():
            return "sa.Integer()"
        case types.Boolean():
            return "sa.Boolean()"
        case types.Date():
            return "sa.Date()"
        case types.Enum():
            return "sa.String(32)"
    return False


def report_step(ctx: object, step: Any, heads: object, run_args: object) -> None:
    """Report a step to the caller of `crm_graph.migrations.upgrade`."""
    applied = context.config.attributes.get("applied")
    if applied is not None:
        applied(step.up_revision_id, step.up_revision.doc)


def complete(ctx: object, revision: object, directives: list[ops.MigrationScript]) -> None:
    """Give a generated revision the next number, and new NOT NULL columns of existing tables a server default, so that
    existing rows have a value.

    Raises CommandError for such a column without a constant default.
    """
    for script in directives:
        script.rev_id = f"{int(migrations.newest()) + 1:04}"
        for group in script.upgrade_ops_list:
            for table in group.ops:
                for each in table.ops if isinstance(table, ops.ModifyTableOps) else ():
                    if isinstance(each, ops.AddColumnOp) and not each.column.nullable:
                        each.column.server_default = sa.DefaultClause(server_default(each))


def server_default(added: ops.AddColumnOp) -> str | sa.ColumnElement[bool]:
    """The constant default of a column as the database writes it."""
    default = added.column.default
    if not isinstance(default, sa.ColumnDefault) or not default.is_scalar:
        name = f"{added.table_name}.{added.column.name}"
        raise CommandError(f"{name}: give the column a constant default for existing rows, or make it nullable.")
    value = default.arg
    return sa.true() if value is True else sa.false() if value is False else str(value)


def set_index_conditions(metadata: sa.MetaData) -> None:
    """Make indexes with `info={"where": …}` partial. With the dialects' own arguments in the models, every start of a
    server would import both dialects."""
    for table in metadata.tables.values():
        for index in table.indexes:
            if "where" in index.info:
                for dialect in ("postgresql", "sqlite"):
                    index.dialect_options[dialect]["where"] = index.info["where"]


def run(connection: sa.Connection) -> None:
    set_index_conditions(Base.metadata)
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        compare_type=True,
        render_item=render,
        process_revision_directives=complete,
        on_version_apply=report_step,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


async def connect_and_run() -> None:
    database = Database(Settings.from_environment().database_url)
    async with database.writer.connect() as connection:
        await connection.run_sync(run)
        await connection.commit()
    await database.close()


if (given := context.config.attributes.get("connection")) is not None:
    run(given)
else:
    asyncio.run(connect_and_run())
