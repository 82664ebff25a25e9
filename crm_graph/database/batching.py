"""Batches single-record reads that arrive in the same turn of the event loop: a round trip costs more than the lookup.
Gains 25% (decision 0011)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

MAX_BATCH = 20
"""Requests in one statement, which PostgreSQL looks up one after the other."""
Parameters = Sequence[object]
log = logging.getLogger(__name__)


class TextFetcher(Protocol):
    async def fetch_text(self, statement: str, values: Parameters) -> str | None: ...

    async def fetch_texts(self, statement: str, values: Parameters) -> list[str | None]: ...


@dataclass(frozen=True, eq=False)
class BatchedStatement:
    """One statement for many requests, with one row of text for each.

    The parameters at the positions `batched_params` are arrays, one value per request. The others must be equal in all
    requests; if they are not, `fallback` is used, which batches more of them.

    All positions are those of the statement for one request. `order` has the positions in the order in which this
    statement takes the parameters, if that is another one.
    """

    text: str
    batched_params: tuple[int, ...]
    fallback: BatchedStatement | None = None
    order: tuple[int, ...] | None = None

    def combine(self, requests: Sequence[Parameters]) -> tuple[str, Parameters]:
        """The statement for these requests, and its parameters."""
        parameters: list[object] = list(requests[0])
        if self.fallback is not None:
            added = [place for place in self.fallback.batched_params if place not in self.batched_params]
            if any(values[place] != parameters[place] for values in requests for place in added):
                return self.fallback.combine(requests)
        for place in self.batched_params:
            parameters[place] = [values[place] for values in requests]
        return self.text, parameters if self.order is None else [parameters[place] for place in self.order]


@dataclass(eq=False)
class _Batch:
    """Requests that share one statement, and the task that sends it."""

    loop: asyncio.AbstractEventLoop
    requests: list[tuple[Parameters, asyncio.Future[str | None]]] = field(default_factory=list)
    task: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> list[tuple[Parameters, asyncio.Future[str | None]]]:
        return [each for each in self.requests if not each[1].done()]


class StatementBatcher:
    """Sends the reads of one turn of the event loop as one statement."""

    def __init__(self, database: TextFetcher) -> None:
        self._database = database
        self._batches: dict[BatchedStatement, _Batch] = {}

    async def fetch(self, single: str, batched: BatchedStatement, values: Parameters) -> str | None:
        """The text of the statement `single`, of which `batched` is the version for many requests.

        Raises the errors of `Database.fetch_text`. A cancelled request leaves the rest of its batch running; the
        statement is cancelled with the last one.
        """
        batch = self._batches.get(batched)
        if batch is None or len(batch.requests) >= MAX_BATCH:
            batch = self._batches[batched] = _Batch(asyncio.get_running_loop())
            batch.loop.call_soon(self._send, single, batched, batch)
        answer: asyncio.Future[str | None] = batch.loop.create_future()
        batch.requests.append((values, answer))
        try:
            return await answer
        finally:
            if batch.task is not None and not batch.waiting:
                batch.task.cancel()

    def _send(self, single: str, batched: BatchedStatement, batch: _Batch) -> None:
        if self._batches.get(batched) is batch:
            del self._batches[batched]
        batch.task = batch.loop.create_task(self._answer(single, batched, batch))

    async def _answer(self, single: str, batched: BatchedStatement, batch: _Batch) -> None:
        waiting = batch.waiting
        try:
            if len(waiting) > 1:
                try:
                    texts = await self._database.fetch_texts(*batched.combine([values for values, _ in waiting]))
                except Exception as error:  # sent one by one, the request at fault gets its own error
                    log.warning("A batch of %d reads failed and is sent one by one: %s", len(waiting), error)
                else:
                    for (_, answer), text in zip(waiting, texts, strict=True):
                        if not answer.done():
                            answer.set_result(text)
            if waiting := batch.waiting:
                await asyncio.gather(*(self._answer_one(single, *each) for each in waiting))
        finally:
            for _, answer in batch.waiting:
                answer.cancel()

    async def _answer_one(self, single: str, values: Parameters, answer: asyncio.Future[str | None]) -> None:
        try:
            text = await self._database.fetch_text(single, values)
        except Exception as error:
            if not answer.done():
                answer.set_exception(error)
        else:
            if not answer.done():
                answer.set_result(text)
