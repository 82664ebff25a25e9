"""Rows inserted directly into the tables: many, fast, and with any values."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from crm_graph.models import types
from crm_graph.records import TABLES
from tests.support.world import World

Row = dict[str, Any]
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
TEXTS = ["a", "A", "Ä", "ä", "ς", "Σ", "z", "_", "%", "🦊"]


def values_of(model: Any, column: str, number: int) -> list[Any]:
    """Possible values of a column in the row with a number: few, so that rows tie, and null if allowed."""
    table = model.__table__
    attribute = table.columns[column]
    unique = any(
        isinstance(each, sa.UniqueConstraint) and each.columns.keys()[-1] == column for each in table.constraints
    )
    kind = attribute.type
    some: list[Any]
    match kind:
        case types.Enum():
            some = list(kind.members)
        case types.Text() if unique or column == "rank":
            some = [f"{'aA'[number % 2]}{number * 7 % 101}"]
        case types.Text():
            some = TEXTS
        case types.Integer() if unique:
            some = [number * 7 % 101]
        case types.Integer():
            some = [kind.minimum, kind.minimum + 1, min(kind.minimum + 10, kind.maximum)]
        case types.Amount():
            some = [Decimal("-1.5"), Decimal("9"), Decimal("10.25")]
        case types.Boolean():
            some = [False, True]
        case types.Date():
            some = [START.date(), START.date() + dt.timedelta(1)]
        case _:
            some = [START, START + dt.timedelta(microseconds=1), START + dt.timedelta(1)]
    return [*some, None] if attribute.nullable and column != "deleted_at" else some


@dataclass
class RawRows:
    """The rows of one example, which are removed afterwards."""

    world: World
    planted: list[tuple[Any, str]] = field(default_factory=list)

    async def plant(self, model: Any, **values: Any) -> str:
        """Insert a row with at least these values, and the rows that it needs. Returns its id."""
        async with self.world.raw() as connection:
            return await self._plant(connection, model, values)

    async def _plant(self, connection: Any, model: Any, values: Row) -> str:
        number = len(self.planted)
        row = {"workspace_id": self.world.workspace_id, "id": model.new_id(), **values}
        for column in model.__table__.columns:
            if column.key in row or column.nullable or column.default is not None:
                continue
            if target := column.info.get("references"):
                row[column.key] = await self._plant(connection, TABLES[target], {})
            elif column.key == "token_hash":  # unique across workspaces
                row[column.key] = f"{self.world.workspace_id}{number}"
            else:
                row[column.key] = values_of(model, column.key, number)[0]
        await connection.execute(sa.insert(model).values(row))
        self.planted.append((model, row["id"]))
        return str(row["id"])

    async def change(self, model: Any, record_id: str, **values: Any) -> None:
        async with self.world.raw() as connection:
            table = model.__table__
            here = sa.and_(table.c.workspace_id == self.world.workspace_id, table.c.id == record_id)
            await connection.execute(sa.update(table).where(here).values(values))

    async def clear(self) -> None:
        async with self.world.raw() as connection:
            for model, record_id in reversed(self.planted):
                table = model.__table__
                here = sa.and_(table.c.workspace_id == self.world.workspace_id, table.c.id == record_id)
                await connection.execute(sa.delete(table).where(here))


@contextlib.asynccontextmanager
async def temporary_rows(world: World) -> AsyncIterator[RawRows]:
    raw = RawRows(world)
    try:
        yield raw
    finally:
        await raw.clear()
