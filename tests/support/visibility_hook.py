"""Checks that each statement that reads an entity's table or totals carries a visibility mark, or a reason for none."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

from sqlalchemy import event

from crm_graph.database import Database
from crm_graph.models import Base, Entity, StageTotal

KINDS = [each.class_ for each in Base.registry.mappers if issubclass(each.class_, (Entity, StageTotal))]
TABLES = "|".join(kind.__tablename__ for kind in KINDS)
READ = re.compile(rf'(?:\bFROM|\bJOIN|,)\s+(?:LATERAL\s+)?"?({TABLES})"?(?=[\s,)]|$)')
LOCK = re.compile(r"\bFOR (?:NO KEY )?(?:KEY )?(?:UPDATE|SHARE) OF [\w, ]+")
MARK = re.compile(rf"/\* (?:visible|unscoped) ({TABLES}) \*/")

Fetch = Callable[[str, Sequence[Any]], Coroutine[Any, Any, Any]]


class VisibilityHook:
    """Collects the statements that read more entity tables than they carry marks for."""

    def __init__(self, database: Database) -> None:
        self.breaches: list[str] = []
        self._passed: set[str] = set()
        self._recording: list[list[str]] = []
        for engine in {each.sync_engine for each in database.engines}:
            event.listen(engine, "before_cursor_execute", self.check)
        for way in ("fetch_text", "fetch_texts"):  # what goes past SQLAlchemy is watched too
            setattr(database, way, self._watched(getattr(database, way)))

    def _watched(self, fetch: Fetch) -> Fetch:
        async def watched(statement: str, values: Sequence[Any]) -> Any:
            self.check(None, None, statement)
            return await fetch(statement, values)

        return watched

    def check(self, connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        for recording in self._recording:
            recording.append(statement)
        if statement in self._passed:
            return
        if statement.lstrip().upper().startswith(("SELECT", "WITH")):
            read, marked = READ.findall(LOCK.sub("", statement)), MARK.findall(statement)
            if any(read.count(table) > marked.count(table) for table in read):
                self.breaches.append(statement)
                return
        self._passed.add(statement)

    @contextlib.contextmanager
    def record(self) -> Iterator[list[str]]:
        """The statements sent inside the block."""
        seen: list[str] = []
        self._recording.append(seen)
        yield seen
        self._recording = [each for each in self._recording if each is not seen]
