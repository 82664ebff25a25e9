"""The dataloaders of one operation, made on first use."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from strawberry.dataloader import DataLoader

from crm_graph.access import Viewer, visible
from crm_graph.database import Database, in_array
from crm_graph.database.prepared import Connectable, fetch_records
from crm_graph.errors import TimedOut
from crm_graph.models import Entity
from loaders.core.pages import Page, PageRequest, Relation, load_counts, load_page, load_pages, load_total
from loaders.core.records import AccessProfile, columns_of, profile_viewer
from loaders.sql_json.statement import viewer_parameters

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
L = TypeVar("L")
E = TypeVar("E", bound=Entity)
Values = Callable[[AsyncSession, Viewer, list[K]], Awaitable[Sequence[V]]]
Batch = Callable[[AsyncSession, list[K]], Awaitable[Sequence[V]]]


class _Shared(DataLoader[K, V]):
    """A dataloader whose results several fields share: a cancelled field does not cancel the load for the others."""

    def load(self, key: K) -> Awaitable[V]:
        return asyncio.shield(super().load(key))


class Loaders:
    """The dataloaders of a viewer's operation. Inside `snapshot`, they all read one snapshot of the database.

    `until` is the event loop's time at which every read is cancelled.
    """

    def __init__(self, database: Database, viewer: Viewer, until: float | None = None) -> None:
        self.database = database
        self.viewer = viewer
        self.until = until
        self._made: dict[Hashable, DataLoader[Any, Any]] = {}
        self._known: dict[Hashable, Any] = {}
        self._snapshot: AsyncSession | None = None
        self._turn = asyncio.Lock()

    def forget(self) -> None:
        """Forget all results, after a write."""
        self._made.clear()

    @contextlib.asynccontextmanager
    async def snapshot(self) -> AsyncIterator[None]:
        """Inside, the batches run one after the other on one session, which keeps the snapshot of the first."""
        async with self.database.snapshot() as session, self.use_session(session):
            yield

    @contextlib.asynccontextmanager
    async def use_session(self, session: AsyncSession) -> AsyncIterator[None]:
        """As `snapshot`, on the session of a snapshot that is already open."""
        self._snapshot = session
        try:
            yield
        finally:
            async with self._turn:
                self._snapshot = None

    async def read(self, load: Callable[[AsyncSession], Awaitable[V]]) -> V:
        """The result of `load`. It runs to its end even if the caller is cancelled: GraphQL cancels the siblings of a
        failed field, and a cancelled statement would break the snapshot for the other fields.

        Raises TimedOut after `until`.
        """
        return await self._read(load, self._session)

    async def fetch(self, load: Callable[[Connectable], Awaitable[V]]) -> V:
        """As `read`, for a single statement, which needs no session outside of a snapshot."""
        return await self._read(load, self._link)

    async def _read(self, load: Callable[[L], Awaitable[V]], link: Callable[[], AbstractAsyncContextManager[L]]) -> V:
        async def run() -> V:
            try:
                async with asyncio.timeout_at(self.until) as timer, link() as open_:
                    return await load(open_)
            except TimeoutError:
                if timer.expired():
                    raise TimedOut from None
                raise

        reading = asyncio.ensure_future(run())
        ignore_result(reading)
        return await asyncio.shield(reading)

    def _link(self) -> AbstractAsyncContextManager[Connectable]:
        return contextlib.nullcontext(self.database) if self._snapshot is None else self._session()

    @contextlib.asynccontextmanager
    async def _session(self) -> AsyncIterator[AsyncSession]:
        if self._snapshot is None:
            async with self.database.read() as session:
                yield session
        else:
            async with self._turn:
                yield self._snapshot

    def memoize(self, key: Hashable, make: Callable[[], V]) -> V:
        """The value of `make`, called once per key."""
        if key not in self._known:
            self._known[key] = make()
        known: V = self._known[key]
        return known

    def batch(self, key: Hashable, load: Batch[K, V], *, single_statement: bool = False) -> DataLoader[K, V]:
        """The dataloader of a key, made on first use; `load` reads its batches.

        The key must determine `load`: the function itself, or a tuple with all that `load` closes over, such as a model
        and a column, or a field and its arguments. `single_statement` is true if `load` needs only one statement and
        takes a Connectable.
        """
        if key not in self._made:
            read: Any = self.fetch if single_statement else self.read

            async def load_batch(keys: list[K]) -> Sequence[V]:
                batch: Sequence[V] = await read(lambda link: load(link, keys))
                return batch

            self._made[key] = _Shared(load_batch)
        return self._made[key]

    def by_parent_ids(self, load: Values[K, V]) -> DataLoader[K, V]:
        """The dataloader of `load`, which returns one value for each id, in the order of the ids."""
        return self.batch(load, lambda session, ids: load(session, self.viewer, ids))

    def by_key(self, model: type[E], by: str = "id") -> DataLoader[str, E | None]:
        """Records by a unique column; None for a record that the viewer cannot see."""
        return self.batch((model, by), lambda link, keys: self._records(link, model, by, keys), single_statement=True)

    async def preload_written(self, session: AsyncSession, record: Entity) -> Callable[[], None]:
        """Read a record in the transaction that writes it.

        Call the result after the commit: it forgets all other results and keeps the record, which then needs no read.
        """
        model = type(record)
        [seen] = await self._records(session, model, "id", [record.id])

        def know() -> None:
            self.forget()
            self.by_key(model).prime(record.id, seen)

        return know

    async def _records(self, link: Connectable, model: type[E], by: str, keys: list[str]) -> list[E | None]:
        statement, given = (
            _by_key(model, by, AccessProfile.of(self.viewer)),
            {**viewer_parameters(self.viewer), "keys": keys},
        )
        found = {getattr(row[0], by): row[0] for row in await fetch_records(link, model, statement, given)}
        return [found.get(each) for each in keys]

    async def total(self, model: type[Entity], request: PageRequest) -> int:
        """The number of records of an entity."""
        return await self.read(lambda session: load_total(session, self.viewer, model, request))

    async def page(self, model: type[Entity], request: PageRequest) -> Page:
        """A page of all records of an entity."""
        return await self.fetch(lambda link: load_page(link, self.viewer, model, request))

    def pages(self, key: Hashable, relation: Relation, request: PageRequest) -> DataLoader[str, Page]:
        """Pages of the records of a parent, by the parent's id. `key` determines relation and request."""
        return self.batch(
            key, lambda link, ids: load_pages(link, self.viewer, relation, request, ids), single_statement=True
        )

    def counts(self, key: Hashable, relation: Relation, request: PageRequest) -> DataLoader[str, int]:
        """The number of records of a parent, by the parent's id."""
        return self.batch(
            ("count", key), lambda session, ids: load_counts(session, self.viewer, relation, request, ids)
        )


def ignore_result(reading: asyncio.Future[V]) -> None:
    """Retrieve its exception when it ends: without a waiting caller, asyncio would log it as never retrieved."""
    reading.add_done_callback(lambda done: done.cancelled() or done.exception())


@functools.lru_cache(maxsize=500)
def _by_key(model: type[Entity], by: str, profile: AccessProfile) -> sa.Select[*tuple[object, ...]]:
    key = getattr(model, by)
    return sa.select(*columns_of(model)).where(
        visible(model, profile_viewer(profile)), in_array(key, sa.bindparam("keys"))
    )
