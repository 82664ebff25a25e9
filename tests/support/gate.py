"""Watches every statement: none may read an entity's table without the gate's mark, or a stated reason to pass it."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import event

from crm_graph.db import Database
from crm_graph.models import Base, Entity

TABLES = "|".join(mapper.class_.__tablename__ for mapper in Base.registry.mappers if issubclass(mapper.class_, Entity))
READ = re.compile(rf'(?:\bFROM|\bJOIN|,)\s+(?:LATERAL\s+)?"?({TABLES})"?(?=[\s,)]|$)')
MARK = re.compile(rf"/\* (?:visible|unscoped) ({TABLES}) \*/")


class Gate:
    """Collects the statements that read more entity tables than they carry marks for, and counts all statements."""

    def __init__(self, database: Database) -> None:
        self.breaches: list[str] = []
        self.statements: list[str] = []
        for engine in {each.sync_engine for each in database.engines}:
            event.listen(engine, "before_cursor_execute", self.check)

    def check(self, connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        self.statements.append(statement)
        if statement.lstrip().upper().startswith(("SELECT", "WITH")):
            read, marked = READ.findall(statement), MARK.findall(statement)
            if any(read.count(table) > marked.count(table) for table in read):
                self.breaches.append(statement)
