"""What an import did, or would have done."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Rejection:
    """Why a row could not be imported: `column` is the file's, or the record's field where no column feeds it.

    Rows of the mapping's own are counted from 1 and have the mapping as their file.
    """

    file: str
    line: int
    column: str | None
    reason: str


@dataclass
class ImportReport:
    """How many records of each entity, and which rows were rejected.

    `revision` is what the data stands at afterwards; None where nothing was written: on a dry run, or because rows
    were rejected and were not to be skipped. The counts then say what would have been written.
    """

    created: Counter[str] = field(default_factory=Counter)
    updated: Counter[str] = field(default_factory=Counter)
    unchanged: Counter[str] = field(default_factory=Counter)
    rejected: list[Rejection] = field(default_factory=list)
    revision: int | None = None
