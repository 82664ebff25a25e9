"""`crm-graph migrate`, `crm-graph workspace create` and `crm-graph token`."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

import click

from crm_graph.cli.database_session import database_session
from crm_graph.settings import Settings

if TYPE_CHECKING:
    from rich.console import Console

workspace_option = click.option("--workspace", help="The workspace, by id or name. Required if there are several.")


@click.command()
def migrate() -> None:
    """Migrate the database of CRM_GRAPH_DATABASE_URL to the newest revision."""
    from rich.console import Console

    console = Console(highlight=False)
    settings = Settings.from_environment()
    with console.status("Migrating …"):
        steps = asyncio.run(_migrate(settings, console))
    console.print(f"{steps} migrations done." if steps else "The database is at the newest revision already.")


async def _migrate(settings: Settings, console: Console) -> int:
    """The number of steps taken. Prints each of them."""
    import sqlalchemy as sa

    from crm_graph import migrations
    from crm_graph.database import Database

    steps: list[str] = []

    def applied(revision: str, title: str) -> None:
        steps.append(revision)
        console.print(f"{revision}  {title}")

    database = Database(settings.database_url, pool_size=1)
    try:
        revision = await migrations.current(database.writer)
        if revision is None or revision < migrations.newest():
            await migrations.upgrade(database.writer, applied)
        else:
            await migrations.require_current(database)
    except (sa.exc.OperationalError, sa.exc.InterfaceError, OSError) as error:
        raise migrations.unreachable(error) from error
    finally:
        await database.close()
    return len(steps)


@click.command("create")
@click.option("--name", required=True, prompt="Company name", help="Name of the company.")
@click.option("--email", required=True, prompt="Email of the first admin", help="The first admin signs in with it.")
@click.option("--user-name", required=True, prompt="Name of the first admin", help="The first admin's full name.")
@click.option("--currency", default="USD", show_default=True, help="Currency of amounts without one.")
@click.option("--password-stdin", is_flag=True, help="Read the password from stdin.")
def create_workspace(name: str, email: str, user_name: str, currency: str, password_stdin: bool) -> None:
    """Create a workspace with its first admin.

    The password is prompted for, unless CRM_GRAPH_PASSWORD is set.
    """
    settings = Settings.from_environment()
    workspace_id, user_id = asyncio.run(
        _create_workspace(
            settings,
            name=name,
            currency=currency,
            user_name=user_name,
            email=email,
            password=_password(password_stdin),
        )
    )
    print(f"Workspace {workspace_id} ({name}) with the admin {user_id} ({email}).")


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    password: str | None = os.environ.get("CRM_GRAPH_PASSWORD")
    if password is None:
        password = click.prompt("Password of the first admin", hide_input=True, confirmation_prompt=True)
    return password


async def _create_workspace(settings: Settings, **values: str) -> tuple[str, str]:
    from crm_graph.services.platform import setup

    async with database_session(settings) as changelog:
        return await setup.create_workspace(changelog, **values)


@click.command()
@click.option("--email", required=True, help="Email of the user.")
@click.option("--name", default="crm-graph token", show_default=True, help="The token's purpose.")
@workspace_option
def token(email: str, name: str, workspace: str | None) -> None:
    """Create an API token for a user. It is printed once and cannot be shown again."""
    print(asyncio.run(_create_token(Settings.from_environment(), workspace, email, name)))


async def _create_token(settings: Settings, workspace: str | None, email: str, name: str) -> str:
    from crm_graph import auth
    from crm_graph.services.platform import setup

    async with database_session(settings) as changelog:
        async with changelog.database.read() as session:
            viewer = await setup.find_user(session, await setup.find_workspace(session, workspace), email)
        async with changelog.transaction(viewer, "createApiToken") as session:
            created = await auth.create_api_token(session, viewer, name=name)
    return created["token"]
