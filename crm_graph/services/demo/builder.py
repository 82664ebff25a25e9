"""Collects the demo's rows as they are today, and the change log of their past."""

from __future__ import annotations

import datetime as dt
import functools
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from crm_graph.changelog import Entry, Journal
from crm_graph.models import Action, Base, Entity, WorkspaceRow
from crm_graph.models.types import wire
from crm_graph.services.demo.ids import demo_id

T = TypeVar("T")
Row = dict[str, Any]
SEED = 1_000
WORKING_HOURS = (8, 17)


@dataclass
class PastEntry(Entry):
    """A log entry of the past: its time, user and actor replace the transaction's."""

    happened_at: dt.datetime
    user_id: str | None
    actor: str


class Builder:
    """Rows and log entries. `add`, `change` and `remove` keep them consistent.

    `home` is the home team of each user.
    """

    def __init__(self, journal: Journal, moment: dt.datetime) -> None:
        self.journal = journal
        self.moment = moment
        self.random = random.Random(SEED)
        self.rows: dict[type[Base], list[Row]] = defaultdict(list)
        self.past: dict[str, list[PastEntry]] = defaultdict(list)
        self.home: dict[str | None, str | None] = {None: None}

    @property
    def today(self) -> dt.date:
        return self.moment.date()

    def add(self, model: type[Entity], at: dt.datetime, by: str | None, **values: object) -> Row:
        """Add a record that a user creates at a time, or now if that is in the future."""
        at = min(at, self.moment)
        row = self.link(model, **values, created_at=at, updated_at=at)
        self.journal.inserted(model, [row])
        self._note(self.journal.entries.pop((model.__name__, row["id"])), at, by)
        return row

    def link(self, model: type[WorkspaceRow], **values: object) -> Row:
        """Add a row without a log entry."""
        made = self.rows[model]
        key = {"workspace_id": self.journal.viewer.workspace_id, "id": demo_id(model.prefix, len(made) + 1)}
        row = {**{name: kind() if kind else value for name, kind, value in _defaults(model)}, **key, **values}
        made.append(row)
        return row

    def change(self, row: Row, model: type[Entity], at: dt.datetime, by: str | None, **values: object) -> None:
        """Change a record at a time; nothing if that is in the future."""
        fields: dict[str, Sequence[object]] = {
            name: [wire(row[name]), wire(value)] for name, value in values.items() if row[name] != value
        }
        if not fields or at > self.moment:
            return
        before = self.past[row["id"]][-1].after
        after = {**before, **{name: new for name, (_, new) in fields.items() if name in before}}
        action = next((Action(event) for name, event in model.EVENTS.items() if name in fields), Action.UPDATED)
        if "deleted_at" in fields:
            action = Action.DELETED
        self._note(Entry(model.__name__, row["id"], action, fields, before, after), at, by)
        row.update(values, version=row["version"] + 1, updated_at=at)

    def remove(self, row: Row, model: type[Entity], at: dt.datetime, by: str | None) -> None:
        self.change(row, model, at, by, deleted_at=at)

    def _note(self, entry: Entry, at: dt.datetime, by: str | None) -> None:
        actor = f"user:{by}" if by else self.journal.viewer.actor
        self.past[entry.record_id].append(PastEntry(**vars(entry), happened_at=at, user_id=by, actor=actor))

    def log(self) -> list[PastEntry]:
        """All entries in order of time."""
        return sorted((each for changes in self.past.values() for each in changes), key=lambda each: each.happened_at)

    # Chance

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def pick(self, items: Sequence[T]) -> T:
        return self.random.choice(items)

    def some(self, items: Sequence[T], least: int, most: int) -> list[T]:
        """`least` to `most` different items, or all if there are fewer."""
        return self.random.sample(items, min(len(items), self.random.randint(least, most)))

    def day(self, days: float) -> dt.datetime:
        """A moment in working hours about so many days from now; in the past if `days` is negative."""
        moment = self.moment + dt.timedelta(days=days)
        hour = self.random.randrange(*WORKING_HOURS)
        worked = moment.replace(hour=hour, minute=self.random.randrange(60), second=self.random.randrange(60))
        worked -= dt.timedelta(days=max(0, worked.weekday() - 4))
        return worked if (worked < self.moment) is (days < 0) else moment

    def after(self, start: dt.datetime, least: float, most: float) -> dt.datetime:
        """A moment in working hours so many days after another one, and in any case later than it."""
        moment = self.day((start - self.moment) / dt.timedelta(days=1) + self.random.uniform(least, most))
        return max(moment, start + dt.timedelta(minutes=self.random.randint(5, 90)))


@functools.cache
def _defaults(model: type[Base]) -> list[tuple[str, Callable[[], object] | None, object]]:
    """Each column's name, what makes its default (for lists, which no two rows may share) and its plain default."""
    found: list[tuple[str, Callable[[], object] | None, object]] = []
    for attribute in model.__mapper__.column_attrs:
        default = attribute.columns[0].default
        if attribute.key in {"workspace_id", "id", "created_at", "updated_at"}:
            continue
        if default is not None and default.is_callable:
            found.append((attribute.key, functools.partial(default.arg, None), None))
        else:
            found.append((attribute.key, None, default.arg if default is not None else None))
    return found
