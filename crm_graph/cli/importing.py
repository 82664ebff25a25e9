"""`crm-graph import`."""

from __future__ import annotations

import asyncio
import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from crm_graph.cli.database import In
from crm_graph.cli.database_session import database_session
from crm_graph.settings import Settings

if TYPE_CHECKING:
    from crm_graph.services.importing import Report

SHOWN_REJECTS = 50


def import_files(
    mapping: Annotated[Path, typer.Argument(help="Says which column feeds which field.", exists=True, dir_okay=False)],
    folder: Annotated[Path, typer.Argument(help="The folder with the CSV files.", exists=True, file_okay=False)],
    workspace: In = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    skip_bad_rows: Annotated[
        bool, typer.Option("--skip-bad-rows", help="Import the good rows although there are bad ones.")
    ] = False,
    report: Annotated[Optional[Path], typer.Option(help="A file for all rejected rows, as CSV.")] = None,
) -> None:
    """Import CSV files as MAPPING says. A bad row stops all of it; importing twice changes nothing the second time."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    settings = Settings.from_environment()
    with Progress(*columns, console=console) as bar:
        tasks: dict[str, Any] = {}

        def progress(file: str, done: int, total: int) -> None:
            if file not in tasks:
                tasks[file] = bar.add_task(file, total=total)
            bar.update(tasks[file], completed=done, total=total)

        options = {"dry_run": dry_run, "skip_bad_rows": skip_bad_rows, "progress": progress}
        outcome = asyncio.run(_import(settings, workspace, mapping, folder, options))
    _show(console, outcome, dry_run)
    if report is not None:
        _write_rejects(report, outcome)
    if outcome.rejected and not skip_bad_rows:
        if not dry_run:
            print("Nothing was imported. Mend these rows, or leave them out with --skip-bad-rows.", file=sys.stderr)
        sys.exit(1)


async def _import(
    settings: Settings, wanted: str | None, mapping: Path, folder: Path, options: dict[str, Any]
) -> Report:
    from crm_graph.access import Viewer
    from crm_graph.services import importing
    from crm_graph.services.platform import setup

    async with database_session(settings) as changelog:
        async with changelog.database.read() as session:
            viewer = Viewer.of(await setup.find_workspace(session, wanted), None, setup.SYSTEM)
        return await importing.import_folder(changelog, viewer, mapping, folder, **options)


def _show(console: Any, outcome: Report, dry_run: bool) -> None:
    from rich.table import Table

    done = Table("entity", *("would be created" if dry_run else "created", "updated", "unchanged"))
    for entity in dict.fromkeys([*outcome.created, *outcome.updated, *outcome.unchanged]):
        counts = (outcome.created[entity], outcome.updated[entity], outcome.unchanged[entity])
        done.add_row(entity, *(f"{count:,}" for count in counts))
    console.print(done)
    if not outcome.rejected:
        return
    rejects = Table("file", "line", "column", "reason", title=f"{len(outcome.rejected):,} rejected rows")
    for each in outcome.rejected[:SHOWN_REJECTS]:
        rejects.add_row(each.file, str(each.line), each.column or "", each.reason)
    console.print(rejects)
    if len(outcome.rejected) > SHOWN_REJECTS:
        console.print(f"… and {len(outcome.rejected) - SHOWN_REJECTS:,} more: --report FILE has all of them.")


def _write_rejects(path: Path, outcome: Report) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "line", "column", "reason"])
        writer.writerows([each.file, each.line, each.column, each.reason] for each in outcome.rejected)
