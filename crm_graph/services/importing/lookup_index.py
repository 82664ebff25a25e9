"""What is known of the records that rows are compared with and point to: loaded once, and kept up with what is made."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from crm_graph.access import Viewer, unscoped
from crm_graph.errors import Duplicate, Invalid, NotFound
from crm_graph.models import (
    Activity,
    Campaign,
    CampaignMember,
    Case,
    Contact,
    Entity,
    Opportunity,
    OpportunityLine,
    OwnedEntity,
    Pipeline,
    Product,
    Stage,
    User,
)
from crm_graph.records import label
from crm_graph.services.importing.mapping import Record

FACTS: Mapping[type[Entity], Mapping[type[Entity], tuple[str, ...]]] = {
    Opportunity: {Stage: ("pipeline_id", "name", "probability", "forecast_category", "required_fields")},
    OpportunityLine: {Opportunity: ("currency",), Product: ("price", "currency")},
    CampaignMember: {Campaign: ("member_statuses",)},
    Case: {Contact: ("account_id",)},
    Activity: dict.fromkeys((Contact, Opportunity, Case), ("account_id",)),
    Pipeline: {Pipeline: ("position",)},
    Stage: {Stage: ("pipeline_id", "position")},
}
"""What the rules for an entity ask about others."""
ALWAYS = {Stage, Product, Campaign}
"""What there are few of; of others the facts are read where rows point to them."""
Unique = tuple[tuple[str, ...], dict[Any, str]]
_ABSENT = object()


class LookupIndex:
    """Known records: `ids` by their keys and `facts` by id. `rollback` undoes each `add` since the last `commit`."""

    def __init__(self) -> None:
        self.ids: dict[tuple[type[Entity], str], dict[Any, str | None]] = {}
        self.facts: dict[type[Entity], dict[str, dict[str, Any]]] = {}
        self._keys: dict[type[Entity], list[tuple[tuple[str, ...], dict[Any, str | None]]]] = {}
        self._facts: dict[type[Entity], tuple[str, ...]] = {}
        self._uniques: dict[type[Entity], list[Unique]] = defaultdict(list)
        self._added: list[tuple[dict[Any, Any], Any, Any]] = []

    async def load(self, session: AsyncSession, viewer: Viewer, records: Iterable[Record]) -> None:
        """Read what rows of these records will ask for: one statement a table."""
        keys: dict[type[Entity], set[tuple[str, ...]]] = defaultdict(set)
        facts: dict[type[Entity], set[str]] = defaultdict(set)
        uniques: dict[type[Entity], set[tuple[str, ...]]] = defaultdict(set)
        for record in records:
            keys[record.model].add(record.identity)
            uniques[record.model].update(_uniques(record))
            for each in record.fields:
                if each.target is not None:
                    keys[each.target].update(_ways(each.target, each.by))
                if each.target is record.model:
                    facts[record.model].add(each.name)
            if issubclass(record.model, OwnedEntity):
                facts[User].add("team_id")
            near = {record.model, *ALWAYS, *(each.target for each in record.fields)}
            for model, columns in FACTS.get(record.model, {}).items():
                if model in near:
                    facts[model].update(columns)
        for model in keys.keys() | facts.keys():
            self._keys[model] = [(columns, {}) for columns in sorted(keys[model])]
            self.ids.update({(model, ",".join(columns)): found for columns, found in self._keys[model]})
            self._facts[model] = tuple(sorted(facts[model]))
            self._uniques[model] = [(columns, {}) for columns in sorted(uniques[model])]
            self.facts[model] = {}
            await self._load(session, viewer, model)

    async def _load(self, session: AsyncSession, viewer: Viewer, model: Any) -> None:
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

    def add(self, model: type[Entity], record_id: str, values: Mapping[str, Any], *, deleted: bool = False) -> None:
        """A record as it is now. A deleted one is found where no other has its name."""
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
        if self._facts.get(model):
            known = self.facts[model].get(record_id, {})
            facts = {name: values[name] if name in values else known.get(name) for name in self._facts[model]}
            self._set(self.facts[model], record_id, facts)

    def find(self, target: type[Entity], by: str, text: str, row: Mapping[str, Any]) -> str:
        """The id of the record that a text names. A stage's name is looked for in the row's pipeline.

        Raises NotFound; Invalid where several have the name.
        """
        key: Any = text
        if target is Stage and by == "name" and "pipeline_id" in row:
            by, key = "pipeline_id,name", (row["pipeline_id"], text)
        found = self.ids[target, by].get(key, _ABSENT)
        if found is _ABSENT:
            raise NotFound(f"There is no {label(target)} with the {by.rpartition(',')[2]} «{text}».")
        if found is None:
            raise Invalid(f"Several {label(target)}s have the {by.rpartition(',')[2]} «{text}».")
        return found  # type: ignore[return-value]  # neither of the two above

    def known(self, record: Record, values: Mapping[str, Any]) -> str | None:
        """The id of the record that the values are of, if there is one."""
        return self.ids[record.model, ",".join(record.identity)].get(key_of(record.identity, values))

    def check_unique(self, model: type[Entity], record_id: str | None, values: Mapping[str, Any]) -> None:
        """Raises Duplicate for values that only one record may have."""
        for columns, taken in self._uniques[model]:
            key = key_of(columns, values)
            if key is not None and taken.get(key, record_id) != record_id:
                raise Duplicate(f"Another {label(model)} has this already.", columns[-1])

    def check_acyclic(self, model: type[Entity], record_id: str, name: str, above: str | None) -> None:
        """Raises Invalid where the record is what it is put under, or stands above it."""
        for _ in self.facts[model]:
            if above == record_id:
                raise Invalid(f"This {label(model)} stands above that one already: it would close a circle.", name)
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

    def _set(self, entries: dict[Any, Any], key: Any, value: Any) -> None:
        self._added.append((entries, key, entries.get(key, _ABSENT)))
        entries[key] = value


def _ways(target: type[Entity], by: str) -> set[tuple[str, ...]]:
    return {(by,), ("pipeline_id", "name")} if target is Stage and by == "name" else {(by,)}


def _uniques(record: Record) -> Iterable[tuple[str, ...]]:
    """The columns of which no two records may have the same, where rows set them all; the identity apart."""
    identity = record.identity
    for constraint in record.model.__table__.constraints:  # type: ignore[attr-defined]  # it is a Table
        columns = tuple(column.key for column in getattr(constraint, "columns", ()) if column.key != "workspace_id")
        if isinstance(constraint, sa.UniqueConstraint) and record.names.issuperset(columns) and columns != identity:
            yield columns


def key_of(columns: tuple[str, ...], values: Mapping[str, Any]) -> Any:
    """What `ids` are found by; None where something of it is missing."""
    if len(columns) == 1:
        return values.get(columns[0])
    key = tuple(values.get(column) for column in columns)
    return None if None in key else key
