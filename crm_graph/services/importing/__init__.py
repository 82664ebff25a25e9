"""Import of CSV files by a mapping: any entity, in one transaction, and with the same result when repeated."""

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
    """Rolls the transaction back."""


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
    """Import a folder's files in one transaction. A rejected row rolls it back, unless `skip_bad_rows` is set.

    Rows update and refer to all records of the workspace, whether or not the viewer sees them. `progress` receives a
    file's name, the number of its rows that are done, and their total. Raises Forbidden; Invalid for an invalid
    mapping, with its file and key; Conflict and Duplicate if a concurrent write was first.
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
    """Collect garbage less often, and skip what existed before: an import creates and drops rows by the thousand."""
    usual = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        gc.unfreeze()
