"""The command line. Each command imports what it needs when it runs, so that `serve` starts quickly."""

from __future__ import annotations

import sys

import click

from crm_graph.cli.database import create_workspace, migrate, token
from crm_graph.cli.exporting import schema
from crm_graph.cli.importing import import_files
from crm_graph.cli.persisted_queries import trust
from crm_graph.cli.serve import demo, serve
from crm_graph.errors import ConfigurationError, CrmError, DomainError

CONFIGURATION_EXIT_CODE = 2
ERROR_EXIT_CODE = 1


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def app() -> None:
    """A GraphQL CRM server with realtime subscriptions."""


@app.group()
def workspace() -> None:
    """Manage workspaces. Each workspace is one company's CRM."""


for command in (demo, serve, migrate, token, import_files, trust, schema):
    app.add_command(command)
workspace.add_command(create_workspace)


def main(arguments: list[str] | None = None) -> None:
    """The entry point. Errors are one sentence on stderr."""
    try:
        app(arguments)
    except ConfigurationError as error:
        _exit(error.message, CONFIGURATION_EXIT_CODE)
    except CrmError as error:
        field = f"{error.field}: " if isinstance(error, DomainError) and error.field else ""
        _exit(field + error.message, ERROR_EXIT_CODE)


def _exit(message: str, code: int) -> None:
    print(f"crm-graph: {message}", file=sys.stderr)
    sys.exit(code)
