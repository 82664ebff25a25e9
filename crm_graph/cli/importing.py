"""`crm-graph import`."""

from __future__ import annotations

import asyncio
import csv
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from crm_graph.cli.database import workspace_option
from crm_graph.cli.database_session import database_session
from crm_graph.settings import Settings

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

    from crm_graph.services.importing import ImportReport

MAX_SHOWN_REJECTS = 50


@click.command("import")
@click.argument("mapping", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@workspace_option
@click.option("--dry-run", is_flag=True, help="Report what would change, and change nothing.")
@click.option("--skip-bad-rows", is_flag=True, help="Import the good rows even if there are bad ones.")
@click.option("--report", type=click.Path(path_type=Path), help="Write all rejected rows to this CSV file.")
def import_files(
    mapping: Path, folder: Path, workspace: str | None, dry_run: bool, skip_bad_rows: bool, report: Path | None
) -> None:
    """Import the CSV files in FOLDER.

    MAPPING assigns their columns to fields. One bad row cancels the whole import. Importing the same files again
    changes nothing.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    settings = Settings.from_environment()
    with Progress(*columns, console=console) as bar:
        tasks: dict[str, TaskID] = {}

        def progress(file: str, done: int, total: int) -> None:
            if file not in tasks:
                tasks[file] = bar.add_task(file, total=total)
            bar.update(tasks[file], completed=done, total=total)

        run = _import(settings, workspace, mapping, folder, dry_run, skip_bad_rows, progress)
        outcome = asyncio.run(run)
    _show(console, outcome, dry_run)
    if report is not None:
        _write_rejects(report, outcome)
    if outcome.rejected and not skip_bad_rows:
        if not dry_run:
            print("Nothing was imported. Fix these rows, or skip them with --skip-bad-rows.", file=sys.stderr)
        sys.exit(1)


async def _import(
    settings: Settings,
    workspace: str | None,
    mapping: Path,
    folder: Path,
    dry_run: bool,
    skip_bad_rows: bool,
    progress: Callable[[str, int, int], None],
) -> ImportReport:
    from crm_graph.access import Viewer
    from crm_graph.services import importing
    from crm_graph.services.platform import setup

    async with database_session(settings) as changelog:
        async with changelog.database.read() as session:
            viewer = Viewer.of(await setup.find_workspace(session, workspace), None, setup.SYSTEM)
        return await importing.import_folder(
            changelog, viewer, mapping, folder, dry_run=dry_run, skip_bad_rows=skip_bad_rows, progress=progress
        )


def _show(console: Console, outcome: ImportReport, dry_run: bool) -> None:
    from rich.table import Table

    counts = Table("entity", *("would be created" if dry_run else "created", "updated", "unchanged"))
    for entity in dict.fromkeys([*outcome.created, *outcome.updated, *outcome.unchanged]):
        row = (outcome.created[entity], outcome.updated[entity], outcome.unchanged[entity])
        counts.add_row(entity, *(f"{count:,}" for count in row))
    console.print(counts)
    if not outcome.rejected:
        return
    rejects = Table("file", "line", "column", "reason", title=f"{len(outcome.rejected):,} rejected rows")
    for each in outcome.rejected[:MAX_SHOWN_REJECTS]:
        rejects.add_row(each.file, str(each.line), each.column or "", each.reason)
    console.print(rejects)
    if len(outcome.rejected) > MAX_SHOWN_REJECTS:
        console.print(f"… and {len(outcome.rejected) - MAX_SHOWN_REJECTS:,} more. --report FILE writes all of them.")


def _write_rejects(path: Path, outcome: ImportReport) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "line", "column", "reason"])
        writer.writerows([each.file, each.line, each.column, each.reason] for each in outcome.rejected)
