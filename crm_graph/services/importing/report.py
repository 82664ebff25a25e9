"""Results of an import or of a dry run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Rejection:
    """A rejected row: `column` is the file's or, without one, the record's field.

    The file of a mapping's own rows is the mapping, and their lines count from 1.
    """

    file: str
    line: int
    column: str | None
    reason: str


@dataclass
class ImportReport:
    """Counts of records by entity, and the rejected rows.

    `revision` is the revision after the import; None if nothing was written, because of a dry run or of rejected rows.
    The counts then are those of a successful import.
    """

    created: Counter[str] = field(default_factory=Counter)
    updated: Counter[str] = field(default_factory=Counter)
    unchanged: Counter[str] = field(default_factory=Counter)
    rejected: list[Rejection] = field(default_factory=list)
    revision: int | None = None
