"""The command line. Each command imports what it needs when it runs: `serve` begins to serve, and nothing else."""

from __future__ import annotations

import sys

import typer

from crm_graph.cli import database, exporting, importing
from crm_graph.cli import persisted_queries as documents
from crm_graph.cli import serve as serving
from crm_graph.errors import ConfigurationError, CrmError, DomainError

REFUSED = 2
FAILED = 1

app = typer.Typer(
    help="A GraphQL CRM server with realtime subscriptions.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
workspaces = typer.Typer(help="Workspaces: each is one company's CRM.", no_args_is_help=True)

app.command()(serving.demo)
app.command()(serving.serve)
app.command()(database.migrate)
app.add_typer(workspaces, name="workspace")
workspaces.command("create")(database.create_workspace)
app.command()(database.token)
app.command("import")(importing.import_files)
app.command()(documents.trust)
app.command()(exporting.schema)


def main(arguments: list[str] | None = None) -> None:
    """The entry point: what is wrong is said in a sentence, on stderr."""
    try:
        app(arguments)
    except ConfigurationError as refusal:
        _fail(refusal.message, REFUSED)
    except CrmError as error:
        where = f"{error.field}: " if isinstance(error, DomainError) and error.field else ""
        _fail(where + error.message, FAILED)


def _fail(message: str, code: int) -> None:
    print(f"crm-graph: {message}", file=sys.stderr)
    sys.exit(code)
