"""Rollups: totals that the transaction which changes a record updates, so that reading them sums up nothing.

The models declare them (`crm_graph.models.base.Rollup`).
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from crm_graph.changelog.entries import Entry
from crm_graph.database import upsert
from crm_graph.database.prepared import send_many
from crm_graph.models import ROLLUPS, Rollup


class Deltas:
    """The differences that a transaction makes to the rollups."""

    def __init__(self) -> None:
        self._sums: dict[type[Rollup], dict[tuple[str, ...], list[int]]] = defaultdict(dict)

    def note(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            rollups = ROLLUPS.get(entry.entity, ())
            if rollups and entry.before != entry.after:
                for rollup in rollups:
                    self._add(rollup, rollup.contribution(entry.before), -1)
                    self._add(rollup, rollup.contribution(entry.after), 1)

    def _add(
        self, rollup: type[Rollup], contribution: tuple[tuple[str, ...], tuple[int, ...]] | None, sign: int
    ) -> None:
        if contribution is None:
            return
        key, sums = contribution
        known = self._sums[rollup].setdefault(key, [0] * len(sums))
        for place, each in enumerate(sums):
            known[place] += sign * each

    async def write(self, session: AsyncSession, workspace_id: str) -> None:
        """Add the differences to the rollups. The caller has locked the workspace's counter, so writers take turns."""
        for rollup, differences in self._sums.items():
            names = [*_key_columns(rollup), *_sum_columns(rollup)]
            rows = [
                dict(zip(names, [workspace_id, *key, *sums], strict=True))
                for key, sums in sorted(differences.items())
                if any(sums)
            ]
            if rows:
                await send_many(session, _addition(session.get_bind().dialect.name, rollup), rows)


@functools.cache
def _key_columns(rollup: type[Rollup]) -> list[str]:
    return [column.key for column in rollup.__table__.columns if column.primary_key]


@functools.cache
def _sum_columns(rollup: type[Rollup]) -> list[str]:
    return [column.key for column in rollup.__table__.columns if not column.primary_key]


@functools.cache
def _addition(dialect: str, rollup: type[Rollup]) -> sa.Insert:
    table = rollup.__table__.c
    return upsert(dialect, rollup, lambda new: {name: table[name] + new[name] for name in _sum_columns(rollup)})
