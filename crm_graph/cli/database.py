"""`crm-graph migrate`, `workspace create` and `token`."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Annotated, Any, Optional

import typer

from crm_graph.cli.database_session import database_session
from crm_graph.settings import Settings

In = Annotated[
    Optional[str], typer.Option("--workspace", help="Which workspace, by id or name; needed where there are several.")
]


def migrate() -> None:
    """Bring the database of CRM_GRAPH_DATABASE_URL to the newest revision."""
    from rich.console import Console

    console = Console(highlight=False)
    settings = Settings.from_environment()
    with console.status("Migrating …"):
        steps = asyncio.run(_migrate(settings, console))
    console.print(f"{steps} migrations done." if steps else "The database is at the newest revision already.")


async def _migrate(settings: Settings, console: Any) -> int:
    """How many steps were taken; each is told to the console."""
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


def create_workspace(
    name: Annotated[str, typer.Option(prompt="Name of the company", help="What the company is called.")],
    email: Annotated[str, typer.Option(prompt="Email of its first admin", help="The first admin signs in with it.")],
    user_name: Annotated[str, typer.Option(prompt="Name of the admin", help="The first admin's full name.")],
    currency: Annotated[str, typer.Option(help="The currency of amounts that name none.")] = "USD",
    password_stdin: Annotated[bool, typer.Option("--password-stdin", help="Read the password from stdin.")] = False,
) -> None:
    """Make a workspace with its first admin. The password is asked for, or taken from CRM_GRAPH_PASSWORD."""
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
    given = os.environ.get("CRM_GRAPH_PASSWORD")
    if given is not None:
        return given
    asked: str = typer.prompt("Password of the admin", hide_input=True, confirmation_prompt=True)
    return asked


async def _create_workspace(settings: Settings, **values: str) -> tuple[str, str]:
    from crm_graph.services.platform import setup

    async with database_session(settings) as changelog:
        return await setup.create_workspace(changelog, **values)


def token(
    email: Annotated[str, typer.Option(help="Whose token it is to be.")],
    name: Annotated[str, typer.Option(help="What the token is for.")] = "crm-graph token",
    workspace: In = None,
) -> None:
    """Make an API token for a user. It is printed once, and then nowhere to be found."""
    print(asyncio.run(_make_token(Settings.from_environment(), workspace, email, name)))


async def _make_token(settings: Settings, wanted: str | None, email: str, name: str) -> str:
    from crm_graph import auth
    from crm_graph.services.platform import setup

    async with database_session(settings) as changelog:
        async with changelog.database.read() as session:
            viewer = await setup.find_user(session, await setup.find_workspace(session, wanted), email)
        async with changelog.transaction(viewer, "createApiToken") as session:
            made = await auth.create_api_token(session, viewer, name=name)
    return made["token"]
