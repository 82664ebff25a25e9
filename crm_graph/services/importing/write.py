"""Turns the rows of an import into new records and changes of existing ones, and passes them to the bulk writer."""

from __future__ import annotations

import functools
import operator
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from crm_graph.access import Viewer
from crm_graph.database.internals import plain_record
from crm_graph.errors import DomainError, Duplicate, Invalid, NotFound, Required
from crm_graph.models import Base, Entity
from crm_graph.records import REQUIRED
from crm_graph.records.import_rules import blank
from crm_graph.services.importing.bulk_writer import BulkWriter, NewRow, RecordChange
from crm_graph.services.importing.lookup_index import LookupIndex, key_of
from crm_graph.services.importing.mapping import name_of
from crm_graph.services.importing.registry import ImportRules, rules_for
from crm_graph.services.importing.report import ImportReport, Rejection
from crm_graph.services.importing.rows import Read, Reader, RecordPlan, Row, Table

BATCH = 2000
PROGRESS_EVERY = 500
_TABLE_ORDER = {table.name: place for place, table in enumerate(Base.metadata.sorted_tables)}
Progress = Callable[[str, int, int], None]


class _WaitForLaterRow(Exception):
    """The row refers to a record that a later row may create."""


@dataclass
class _Reading:
    """A row in progress. Later rows may create records of `coming`; the row's own records of `failed` are invalid."""

    row: Row
    coming: frozenset[type[Entity]]
    failed: set[type[Entity]] = field(default_factory=set)
    faults: list[tuple[str | None, DomainError]] = field(default_factory=list)
    drafts: list[tuple[RecordPlan, object, str | None, NewRow]] = field(default_factory=list)


class Writer:
    """One import, in one transaction."""

    def __init__(self, session: AsyncSession, viewer: Viewer, report: ImportReport) -> None:
        self.session = session
        self.viewer = viewer
        self.report = report
        self.lookup = LookupIndex()
        self.bulk_writer = BulkWriter(session, viewer, self.lookup)
        self.fresh: dict[type[Entity], dict[str, NewRow]] = defaultdict(dict)
        self.changes: dict[type[Entity], list[RecordChange]] = defaultdict(list)
        self.waiting = 0

    async def write(self, tables: Sequence[Table], progress: Progress | None) -> None:
        """Write the rows of all tables, in order."""
        await self.lookup.load(self.session, self.viewer, [plan.record for each in tables for plan in each.plans])
        for table in tables:
            await self._write(table, progress)
        await self.bulk_writer.finish()

    async def _write(self, table: Table, progress: Progress | None) -> None:
        rejected = len(self.report.rejected)
        early: list[Row] = []
        for done, row in enumerate(table.rows()):
            if progress is not None and done % PROGRESS_EVERY == 0:
                progress(table.name, done, table.total)
            if not await self._take(table, row):
                early.append(row)
        while early:
            left = [row for row in early if not await self._take(table, row)]
            if len(left) == len(early):
                for row in left:
                    await self._take(table, row, last=True)
                break
            early = left
        await self._flush()
        self.report.rejected[rejected:] = sorted(self.report.rejected[rejected:], key=lambda each: each.line)
        if progress is not None:
            progress(table.name, table.total, table.total)

    async def _take(self, table: Table, row: Row, *, last: bool = False) -> bool:
        """Accept or reject a row. Returns False, without effect, for a row that has to wait for later rows."""
        if row.fault is not None:
            self._reject(table.name, row, [(None, row.fault)])
            return True
        reading = _Reading(row, frozenset() if last else table.models)
        try:
            for plan in row.plans:
                if plan.wanted(row.cells):
                    self._draft(plan, reading)
        except _WaitForLaterRow:
            self.lookup.rollback()
            return False
        if reading.faults:
            self.lookup.rollback()
            self._reject(table.name, row, reading.faults)
            return True
        self.lookup.commit()
        self._keep(table, reading)
        if self.waiting >= BATCH:
            await self._flush()
        return True

    def _draft(self, plan: RecordPlan, reading: _Reading) -> None:
        """Add the plan's record of the row, or its faults."""
        record, known = plan.record, len(reading.faults)
        try:
            values: NewRow = {}
            self._read(plan.reads, reading, values)
            key = key_of(record.identity, values)
            if key is None and len(reading.faults) == known and not reading.failed:
                raise Required(REQUIRED, next(name for name in record.identity if name not in values))
            if key is None or len(reading.faults) > known:
                reading.failed.add(record.model)
                return
            former = plan.seen.get(key)
            if former is not None:
                if former[1] != hash(plan.source_key(reading.row.cells)):
                    raise Duplicate(f"Line {former[0]} has other values for the same record.", record.identity[-1])
                return
            rules = self.bulk_writer.rules(record.model)
            rules.derive(values)
            record_id = self.lookup.known(record, key)
            if record_id is None:
                values = self._begin(plan, rules, values, reading)
            else:
                self._check(plan, record_id, values)
            if len(reading.faults) > known:
                reading.failed.add(record.model)
            else:
                reading.drafts.append((plan, key, record_id, values))
        except DomainError as error:
            reading.failed.add(record.model)
            reading.faults.append((_label(plan, error.field), error))

    def _read(self, reads: Iterable[tuple[Reader, Read]], reading: _Reading, values: NewRow) -> None:
        """Add the row's values; a link becomes the id of its record."""
        cells, find = reading.row.cells, self.lookup.find
        for reader, read in reads:
            try:
                value = read(cells)
                if value is not None:
                    values[reader.name] = (
                        value if reader.target is None else find(reader.target, reader.by, value, values)
                    )
            except NotFound as error:
                if reader.target in reading.failed:
                    continue  # the record is in this row, and its faults are reported
                if reader.target in reading.coming and not reading.faults:
                    raise _WaitForLaterRow from None
                reading.faults.append((reader.label, error))
            except Invalid as error:
                reading.faults.append((error.field or reader.label, error))

    def _begin(self, plan: RecordPlan, rules: ImportRules[Any], values: NewRow, reading: _Reading) -> NewRow:
        """A whole new row. Raises DomainError."""
        model = plan.record.model
        blanks = [each for each in plan.fills if each[0].name not in values]
        if blanks:
            self._read(blanks, reading, values)
            rules.derive(values)
        row = {
            **blank(model, rules.moment),
            **values,
            "workspace_id": self.viewer.workspace_id,
            "id": model.new_id(),
        }
        rules.complete_new(plain_record(model, row), values, plan.record.names)
        _check_complete(model, row)
        self.lookup.check_unique(model, None, row)
        self.lookup.add(model, row["id"], row)
        return row

    def _check(self, plan: RecordPlan, record_id: str, values: NewRow) -> None:
        """Check the values of a row for an existing record. Raises DomainError."""
        model = plan.record.model
        self.lookup.check_unique(model, record_id, values)
        for reader in plan.readers:
            if reader.target is model and reader.name in values:
                self.lookup.check_acyclic(model, record_id, reader.name, values[reader.name])
        self.lookup.add(model, record_id, values)

    def _keep(self, table: Table, reading: _Reading) -> None:
        row = reading.row
        for plan, key, record_id, values in reading.drafts:
            plan.seen[key] = (row.line, hash(plan.source_key(row.cells)))
            model = plan.record.model
            if record_id is None:
                self.fresh[model][values["id"]] = values
                self.report.created[name_of(model)] += 1
            else:
                self.changes[model].append(RecordChange(record_id, values, plan, table.name, row))
            self.waiting += 1

    async def _flush(self) -> None:
        """Store all pending rows: new records first, since changes may refer to them."""
        for model in sorted(self.fresh, key=_write_order):
            await self.bulk_writer.insert(model, self.fresh)
        for model in sorted(self.changes, key=_write_order):
            changes = self.changes[model]
            changed, faults = await self.bulk_writer.update(model, changes)
            for change, error in faults:
                self._reject(change.file, change.row, [(_label(change.plan, error.field), error)])
            unchanged = len(changes) - len(changed) - len(faults)
            for counts, count in ((self.report.updated, len(changed)), (self.report.unchanged, unchanged)):
                if count:
                    counts[name_of(model)] += count
        self.fresh.clear()
        self.changes.clear()
        self.waiting = 0
        self.session.expunge_all()

    def _reject(self, file: str, row: Row, faults: Sequence[tuple[str | None, DomainError]]) -> None:
        self.report.rejected.extend(Rejection(file, row.line, label, error.message) for label, error in faults)


def _label(plan: RecordPlan, name: str | None) -> str | None:
    """The file's column that feeds a field, or else the field."""
    return next((reader.label for reader in plan.readers if reader.name == name), name)


def _write_order(model: type[Entity]) -> tuple[bool, int]:
    """Referenced tables come first. Parts may refer to any entity, so that an entity with parts comes last."""
    return bool(rules_for(model).parts), _TABLE_ORDER[model.__tablename__]


def _check_complete(model: type[Entity], row: NewRow) -> None:
    """Raises Required for a column that must have a value before the row is written."""
    pick, names = _required(model)
    values = pick(row)
    if None in values:
        raise Required(REQUIRED, names[values.index(None)])


@functools.cache
def _required(model: type[Entity]) -> tuple[Callable[[NewRow], tuple[object, ...]], tuple[str, ...]]:
    assigned = rules_for(model).assigned
    names = tuple(each.key for each in model.__table__.columns if not each.nullable and each.key not in assigned)
    return operator.itemgetter(*names), names
