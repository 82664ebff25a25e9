"""Reads of one kind that several ask for at the same moment, as one statement: to send one, and to be woken by what
comes back, takes longer than PostgreSQL takes to look up a record."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

MOST = 20
"""How many are asked for by one statement, which takes them one after the other."""
Values = Sequence[Any]
log = logging.getLogger(__name__)


class Fetches(Protocol):
    async def fetch_text(self, statement: str, values: Values) -> str | None: ...

    async def fetch_texts(self, statement: str, values: Values) -> list[str | None]: ...


@dataclass(frozen=True, eq=False)
class BatchedStatement:
    """A statement that answers one text for each of several: its parameters at the places `own` are lists of their
    values, and the others are those of anybody. Where at other places, too, they may have values of their own, `wider`
    is for those who do."""

    text: str
    own: tuple[int, ...]
    wider: BatchedStatement | None = None

    def of(self, asked: Sequence[Values]) -> tuple[str, Values]:
        """The statement for these, and its values."""
        found: list[Any] = list(asked[0])
        if self.wider is not None:
            apart = [place for place in self.wider.own if place not in self.own]
            if any(values[place] != found[place] for values in asked for place in apart):
                return self.wider.of(asked)
        for place in self.own:
            found[place] = [values[place] for values in asked]
        return self.text, found


@dataclass(eq=False)
class _Group:
    """Those who are asked for together, and what answers them."""

    loop: asyncio.AbstractEventLoop
    asked: list[tuple[Values, asyncio.Future[str | None]]] = field(default_factory=list)
    task: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> list[tuple[Values, asyncio.Future[str | None]]]:
        return [each for each in self.asked if not each[1].done()]


class StatementBatcher:
    """What is asked for in one turn of the loop goes to the database as one statement."""

    def __init__(self, database: Fetches) -> None:
        self._database = database
        self._groups: dict[BatchedStatement, _Group] = {}

    async def fetch(self, one: str, several: BatchedStatement, values: Values) -> str | None:
        """What the statement `one` answers; `several` is made of it, and it alone. Raises what `fetch_text` does. Who
        no longer waits ends it for nobody else; where nobody waits, it is ended."""
        group = self._groups.get(several)
        if group is None or len(group.asked) >= MOST:
            group = self._groups[several] = _Group(asyncio.get_running_loop())
            group.loop.call_soon(self._send, one, several, group)
        answer: asyncio.Future[str | None] = group.loop.create_future()
        group.asked.append((values, answer))
        try:
            return await answer
        finally:
            if group.task is not None and not group.waiting:
                group.task.cancel()

    def _send(self, one: str, several: BatchedStatement, group: _Group) -> None:
        if self._groups.get(several) is group:
            del self._groups[several]
        group.task = group.loop.create_task(self._answer(one, several, group))

    async def _answer(self, one: str, several: BatchedStatement, group: _Group) -> None:
        waiting = group.waiting
        try:
            if len(waiting) > 1:
                try:
                    found = await self._database.fetch_texts(*several.of([values for values, _ in waiting]))
                except Exception as error:  # whose fault it is shows when each is asked for alone
                    log.warning("Several cannot be answered at once, and are one by one: %s", error)
                else:
                    for (_, answer), text in zip(waiting, found, strict=True):
                        if not answer.done():
                            answer.set_result(text)
            if waiting := group.waiting:
                await asyncio.gather(*(self._answer_one(one, *each) for each in waiting))
        finally:
            for _, answer in group.waiting:
                answer.cancel()

    async def _answer_one(self, one: str, values: Values, answer: asyncio.Future[str | None]) -> None:
        try:
            text = await self._database.fetch_text(one, values)
        except Exception as error:
            if not answer.done():
                answer.set_exception(error)
        else:
            if not answer.done():
                answer.set_result(text)
