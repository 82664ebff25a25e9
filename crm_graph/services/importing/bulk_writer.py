"""Writes records in bulk: bulk inserts of new ones, and of existing ones only what differs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from crm_graph.access import Viewer, unscoped
from crm_graph.changelog import journal_of
from crm_graph.database import in_array
from crm_graph.database.prepared import insert_many
from crm_graph.errors import DomainError
from crm_graph.models import Entity
from crm_graph.records import Values
from crm_graph.services.importing.lookup_index import LookupIndex
from crm_graph.services.importing.registry import ImportRules, rules_for
from crm_graph.services.importing.rows import RecordPlan, Row

NewRow = dict[str, Any]
ANALYZE_ROWS = 100
REASON = "an import updates the records that its rows identify"


@dataclass(frozen=True)
class RecordChange:
    """The values of a row for an existing record."""

    record_id: str
    values: NewRow
    plan: RecordPlan
    file: str
    row: Row


class BulkWriter:
    """The writing half of an import, in one transaction."""

    def __init__(self, session: AsyncSession, viewer: Viewer, lookup: LookupIndex) -> None:
        self.session = session
        self.viewer = viewer
        self.lookup = lookup
        self.journal = journal_of(session)
        self._rules: dict[type[Entity], ImportRules[Any]] = {}
        self._inserted: Counter[type[Entity]] = Counter()

    def rules(self, model: type[Entity]) -> ImportRules[Any]:
        """The import rules of an entity, for this import."""
        found = self._rules.get(model)
        if found is None:
            rules = rules_for(model)
            found = self._rules[model] = rules(self.session, self.viewer, self.lookup, self.journal.happened_at)
        return found

    async def insert(self, model: type[Entity], pending: Mapping[type[Entity], Mapping[str, NewRow]]) -> None:
        """Insert the whole rows of an entity. `pending` are the rows of all entities that this flush inserts, by id."""
        rules, rows = self.rules(model), list(pending[model].values())
        await rules.before_insert(rows)
        await insert_many(self.session, model, rows)
        await rules.insert_parts(rows)
        self.journal.add_packed(model, rows)
        await self._analyze(model, len(rows))
        await rules.after_insert(rows, pending)

    async def _analyze(self, model: type[Entity], count: int) -> None:
        """Analyze a table that is filling up.

        PostgreSQL plans the checks of foreign keys once per connection. A plan for a table that was empty reads all
        rows of the workspace for each check.
        """
        before = self._inserted[model]
        self._inserted[model] += count
        if before < ANALYZE_ROWS <= before + count and self.session.get_bind().dialect.name == "postgresql":
            await self.session.execute(sa.text(f"ANALYZE (SKIP_LOCKED) {model.__tablename__}"))

    async def update(
        self, model: type[Entity], changes: Sequence[RecordChange]
    ) -> tuple[set[str], list[tuple[RecordChange, DomainError]]]:
        """Change existing records. Returns the ids of those that changed, and the changes that failed.

        Deleted records, and those that are `read_only`, stay as they are.
        """
        rules = self.rules(model)
        other_parts = await rules.before_update([(each.record_id, each.values) for each in changes])
        differing = await self._differing(model, changes)
        loaded = await self._load(model, {each.record_id for each in differing} | other_parts)
        changed: set[str] = set()
        failed: list[tuple[RecordChange, DomainError]] = []
        for each in differing:
            record = loaded.get(each.record_id)
            if record is None:
                continue
            try:
                if await self._change(rules, record, each.values):
                    changed.add(record.id)
            except DomainError as error:
                failed.append((each, error))
                self.session.expunge(record)
                del loaded[each.record_id]
        for record_id in dict.fromkeys(each.record_id for each in changes):
            if record_id in loaded and await rules.change_parts(loaded[record_id]):
                changed.add(record_id)
        await self.session.flush()
        return changed, failed

    async def finish(self) -> None:
        """Bring derived tables up to date after the last row."""
        for rules in self._rules.values():
            await rules.finish()

    async def _differing(self, model: type[Entity], changes: Sequence[RecordChange]) -> list[RecordChange]:
        names = sorted({name for each in changes for name in each.values})
        ids = [each.record_id for each in changes]
        statement = sa.select(model.id, *(getattr(model, name) for name in names)).where(
            unscoped(model, REASON), model.workspace_id == self.viewer.workspace_id, in_array(model.id, ids)
        )
        statement = statement.where(model.deleted_at.is_(None), sa.not_(rules_for(model).read_only()))
        current = {row.id: row._asdict() for row in await self.session.execute(statement)}
        return [
            each
            for each in changes
            if each.record_id in current
            and any(current[each.record_id][name] != value for name, value in each.values.items())
        ]

    async def _load(self, model: type[Entity], ids: set[str]) -> dict[str, Entity]:
        if not ids:
            return {}
        statement = (
            sa.select(model)
            .where(unscoped(model, REASON), model.workspace_id == self.viewer.workspace_id)
            .where(in_array(model.id, sorted(ids)), model.deleted_at.is_(None))
            .order_by(model.id)
            .with_for_update(of=model)
        )
        return {record.id: record for record in await self.session.scalars(statement)}

    async def _change(self, rules: ImportRules[Any], record: Entity, values: Values) -> bool:
        changed = {name: value for name, value in values.items() if getattr(record, name) != value}
        return bool(changed) and await rules.change(record, changed, values)
