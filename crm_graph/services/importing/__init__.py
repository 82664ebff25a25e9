"""Import of CSV files, as a mapping says: any of the entities, all or nothing, the same however often it is done."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from pathlib import Path

from crm_graph.access import Permission, Viewer, require
from crm_graph.changelog import ChangeLog, advance
from crm_graph.services.importing.mapping import read_mapping
from crm_graph.services.importing.report import ImportReport, Rejection
from crm_graph.services.importing.rows import open_table
from crm_graph.services.importing.write import Progress, Writer

__all__ = ["ImportReport", "Rejection", "import_folder"]

GC_THRESHOLD = 50_000


class _Rollback(Exception):
    """Ends a transaction that is not to be committed."""


async def import_folder(
    changelog: ChangeLog,
    viewer: Viewer,
    mapping_file: Path,
    folder: Path,
    *,
    dry_run: bool = False,
    skip_bad_rows: bool = False,
    progress: Progress | None = None,
) -> ImportReport:
    """Import a folder's files in one transaction. A row that is rejected undoes all of it, unless it may be skipped.

    Rows are compared with, and point to, all records of the workspace, whoever sees them. `progress` is told a file's
    name, how many of its rows are done, and how many there are. Raises Forbidden; Invalid for a mapping that cannot
    be, naming its file and key; Conflict and Duplicate where somebody else was first.
    """
    require(viewer, Permission.IMPORT)
    tables = [open_table(step, mapping_file, folder) for step in read_mapping(mapping_file)]
    report = ImportReport()
    try:
        async with changelog.transaction(viewer, "import") as session:
            with _less_garbage_collection():
                await Writer(session, viewer, report).write(tables, progress)
                if dry_run or (report.rejected and not skip_bad_rows):
                    raise _Rollback
                report.revision = await advance(session)
    except _Rollback:
        pass
    return report


@contextlib.contextmanager
def _less_garbage_collection() -> Iterator[None]:
    """While rows come and go by the thousand, the garbage collector looks less often, and not at what was there before.

    It would take a quarter of the time."""
    usual = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        gc.unfreeze()
