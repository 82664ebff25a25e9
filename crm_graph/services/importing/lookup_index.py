"""Index of the records that rows update or refer to: loaded once, and extended with the records that rows create."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from crm_graph.access import Viewer, unscoped
from crm_graph.database.internals import plain_record
from crm_graph.errors import Duplicate, Invalid, NotFound
from crm_graph.models import Entity, OwnedEntity, User
from crm_graph.records import cycle, label
from crm_graph.records.import_rules import rules_for
from crm_graph.services.importing.mapping import Record, unique_columns

E = TypeVar("E", bound=Entity)
Key = object
"""A record's text in one column, or a tuple of the texts in several."""
Unique = tuple[tuple[str, ...], dict[Key, str]]
_ABSENT = object()


class LookupIndex:
    """Known records: `ids` by their keys and `facts` by id. `rollback` undoes each `add` since the last `commit`."""

    def __init__(self) -> None:
        self.ids: dict[tuple[type[Entity], str], dict[Key, str | None]] = {}
        self.facts: dict[type[Entity], dict[str, dict[str, Any]]] = {}
        self._keys: dict[type[Entity], list[tuple[tuple[str, ...], dict[Key, str | None]]]] = {}
        self._facts: dict[type[Entity], tuple[str, ...]] = {}
        self._uniques: dict[type[Entity], list[Unique]] = defaultdict(list)
        self._added: list[tuple[dict[Any, Any], object, object]] = []

    async def load(self, session: AsyncSession, viewer: Viewer, records: Iterable[Record]) -> None:
        """Load what the rows of these records refer to: one statement for each table."""
        keys: dict[type[Entity], set[tuple[str, ...]]] = defaultdict(set)
        facts: dict[type[Entity], set[str]] = defaultdict(set)
        uniques: dict[type[Entity], set[tuple[str, ...]]] = defaultdict(set)
        for record in records:
            keys[record.model].add(record.identity)
            uniques[record.model].update(_uniques(record))
            for each in record.fields:
                if each.target is not None:
                    keys[each.target].update(_link_keys(each.target, each.by))
                if each.target is record.model:
                    facts[record.model].add(each.name)
            if issubclass(record.model, OwnedEntity):
                facts[User].add("team_id")
            targets = {record.model, *(each.target for each in record.fields)}
            for model, columns in rules_for(record.model).facts.items():
                if model in targets or rules_for(model).always_loaded:
                    facts[model].update(columns)
        for model in keys.keys() | facts.keys():
            self._keys[model] = [(columns, {}) for columns in sorted(keys[model])]
            self.ids.update({(model, ",".join(columns)): found for columns, found in self._keys[model]})
            self._facts[model] = ("id", *sorted(facts[model])) if facts[model] else ()
            self._uniques[model] = [(columns, {}) for columns in sorted(uniques[model])]
            self.facts[model] = {}
            await self._load(session, viewer, model)

    async def _load(self, session: AsyncSession, viewer: Viewer, model: type[Entity]) -> None:
        wanted = {name for columns, _ in (*self._keys[model], *self._uniques[model]) for name in columns}
        columns = [getattr(model, name) for name in sorted({"id", "deleted_at", *wanted, *self._facts[model]})]
        statement = (
            sa.select(*columns)
            .where(unscoped(model, "rows are compared with, and point to, what nobody sees too"))
            .where(model.workspace_id == viewer.workspace_id)
            .order_by(model.deleted_at.is_not(None))
        )
        for part in (await session.execute(statement)).partitions(1000):
            for row in part:
                values = row._asdict()
                self.add(model, values["id"], values, deleted=values["deleted_at"] is not None)
        self.commit()

    def add(self, model: type[Entity], record_id: str, values: Mapping[str, object], *, deleted: bool = False) -> None:
        """Add a record, or its new values. A deleted one is found only if no other record has its key."""
        for columns, ids in self._keys.get(model, ()):
            key = key_of(columns, values)
            if key is not None:
                former = ids.get(key, _ABSENT)
                if former is _ABSENT or not deleted:
                    self._set(ids, key, record_id if former in (_ABSENT, record_id) else None)
        for columns, taken in self._uniques.get(model, ()):
            key = key_of(columns, values)
            if key is not None:
                self._set(taken, key, record_id)
        names = self._facts.get(model)
        if names:
            known = self.facts[model].get(record_id, {})
            facts = {name: values[name] if name in values else known.get(name) for name in names}
            self._set(self.facts[model], record_id, facts)

    def find(self, target: type[Entity], by: str, text: object, row: Mapping[str, object]) -> str:
        """Id of the record whose column `by` has the text, within the row's `name_scope` if the target has one.

        Raises NotFound; Invalid if several records have it.
        """
        key: Key = text
        columns = by
        if by == "name":
            scope = rules_for(target).name_scope
            if scope is not None and scope in row:
                columns, key = f"{scope},name", (row[scope], text)
        ids = self.ids[target, columns]
        if key not in ids:
            raise NotFound(f"There is no {label(target)} with the {by} '{text}'.")
        found = ids[key]
        if found is None:
            raise Invalid(f"Several {label(target)}s have the {by} '{text}'.")
        return found

    def facts_of(self, model: type[E], record_id: str | None) -> E | None:
        """A read-only record with its id and its known columns. See `ImportRules.facts`."""
        facts = self.facts.get(model, {}).get(record_id or "")
        return None if facts is None else plain_record(model, facts)

    def all_facts(self, model: type[E]) -> Iterable[E]:
        """All known records of an entity, as `facts_of` returns them."""
        return (plain_record(model, facts) for facts in self.facts[model].values())

    def known(self, record: Record, key: Key) -> str | None:
        """Id of the existing record that has this key in the columns of its identity."""
        return self.ids[record.model, ",".join(record.identity)].get(key)

    def check_unique(self, model: type[Entity], record_id: str | None, values: Mapping[str, object]) -> None:
        """Raises Duplicate for unique values that another record has."""
        for columns, taken in self._uniques[model]:
            key = key_of(columns, values)
            if key is not None and taken.get(key, record_id) != record_id:
                raise Duplicate(f"Another {label(model)} has this already.", columns[-1])

    def check_acyclic(self, model: type[Entity], record_id: str, name: str, above: str | None) -> None:
        """Raises Invalid if the record is its new parent, or above it."""
        for _ in self.facts[model]:
            if above == record_id:
                raise cycle(model, name)
            if above is None:
                return
            above = self.facts[model][above][name]

    def commit(self) -> None:
        self._added.clear()

    def rollback(self) -> None:
        for entries, key, former in reversed(self._added):
            if former is _ABSENT:
                del entries[key]
            else:
                entries[key] = former
        self._added.clear()

    def _set(self, entries: dict[Any, Any], key: object, value: object) -> None:
        self._added.append((entries, key, entries.get(key, _ABSENT)))
        entries[key] = value


def _link_keys(target: type[Entity], by: str) -> set[tuple[str, ...]]:
    """Keys that a link by a column is found with."""
    scope = rules_for(target).name_scope
    return {(by,), (scope, by)} if scope is not None and by == "name" else {(by,)}


def _uniques(record: Record) -> Iterable[tuple[str, ...]]:
    """Columns of unique constraints, apart from the identity, that the record's rows set."""
    for columns in unique_columns(record.model):
        if record.names.issuperset(columns) and columns != record.identity:
            yield columns


def key_of(columns: tuple[str, ...], values: Mapping[str, object]) -> Key:
    """Key of a record; None if one of its columns has no value."""
    if len(columns) == 1:
        return values.get(columns[0])
    key = tuple(values.get(column) for column in columns)
    return None if None in key else key
