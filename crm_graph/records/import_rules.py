"""Import rules: the behaviour of an entity in a bulk import, beyond its columns. They stand beside its service.

    class QuoteImport(ImportRules[Quote]):
        model = Quote
        facts = {Opportunity: ("currency",)}

        def settle(self, quote: Quote, changed: Values) -> None:
            take_currency(quote, self.index.facts_of(Opportunity, quote.opportunity_id))

An entity without a declaration is imported by its columns alone.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.elements import KeyedColumnElement

from crm_graph.access import Viewer
from crm_graph.models import Entity, OwnedEntity, User
from crm_graph.models.types import Time
from crm_graph.records.crud import Values, default_currency, default_owner, fill_currency

E = TypeVar("E", bound=Entity)
Row = dict[str, Any]
RULES: dict[type[Entity], type[ImportRules[Any]]] = {}
"""The declared rules. Importing the services fills it."""


class Index(Protocol):
    """The records that rows can refer to: those in the database, and those that the import creates."""

    def facts_of(self, model: type[E], record_id: str | None) -> E | None:
        """A read-only record with its id and the columns in `ImportRules.facts`; None if there is none."""

    def all_facts(self, model: type[E]) -> Iterable[E]:
        """All records of an entity, as `facts_of` returns them."""

    def add(self, model: type[Entity], record_id: str, values: Values) -> None:
        """Add a created record."""


class ImportRules(Generic[E]):
    """The rules of one entity, for one import in one transaction.

    All methods raise DomainError, whose field is a column of the entity.
    """

    model: type[E]
    facts: ClassVar[Mapping[type[Entity], tuple[str, ...]]] = {}
    """Columns of other entities that the rules read. They are loaded if rows refer to the entity."""
    always_loaded: ClassVar[bool] = False
    """Load this entity's facts even if no row refers to it. For entities of which there are few."""
    name_scope: ClassVar[str | None] = None
    """A link by `name` looks among the records that have the row's value in this column."""
    assigned: ClassVar[frozenset[str]] = frozenset()
    """Columns that `before_insert` sets. A mapping cannot name them."""
    parts: ClassVar[Sequence[KeyedColumnElement[Any]]] = ()
    """Columns of another table that a mapping may name too. Their values are stored after all other records."""

    def __init__(self, session: AsyncSession, viewer: Viewer, index: Index, moment: dt.datetime) -> None:
        self.session = session
        self.viewer = viewer
        self.index = index
        self.moment = moment

    def __init_subclass__(cls) -> None:
        RULES[cls.model] = cls

    @classmethod
    def read_only(cls) -> sa.ColumnElement[bool]:
        """Condition for records that an import leaves as they are."""
        return sa.false()

    # New records

    def derive(self, values: Row) -> None:
        """Add what follows from a row's values, whether or not its record exists."""

    def complete(self, record: E, given: Values) -> None:
        """Complete a new record, which has the row's values `given` and the columns' defaults."""
        self.settle(record, given)

    def complete_new(self, record: E, given: Values, named: frozenset[str]) -> None:
        """Set owner, team and currency, and `complete` the record. `named` are the columns that the mapping names."""
        if isinstance(record, OwnedEntity) and default_owner(self.viewer, record, named):
            record.team_id = self.home_team(record.owner_id)
        self.complete(record, given)
        fill_currency(self.viewer, record)

    async def before_insert(self, rows: Sequence[Row]) -> None:
        """Set the `assigned` columns of complete rows, and take the `parts` out of them."""

    async def insert_parts(self, rows: Sequence[Row]) -> None:
        """Store the `parts` that `before_insert` took out of inserted rows, and add them to the rows for the log."""

    async def after_insert(self, rows: Sequence[Row], pending: Mapping[type[Entity], Mapping[str, Row]]) -> None:
        """Create the records that follow from inserted rows. `pending` are all rows of the flush, by entity and id."""

    # Existing records

    async def change(self, record: E, changed: Row, given: Values) -> bool:
        """Set `changed`, the values of `given` that differ, and what follows. Returns whether the record changed."""
        self.assign(record, changed, given)
        self.settle(record, changed)
        default_currency(self.viewer, record, given)
        return self.session.is_modified(record)

    def assign(self, record: E, changed: Values, given: Values) -> None:
        """Set values. A new owner brings the home team unless the row names a team."""
        for name, value in changed.items():
            setattr(record, name, value)
        if isinstance(record, OwnedEntity) and "owner_id" in changed and "team_id" not in given:
            record.team_id = self.home_team(record.owner_id)

    def settle(self, record: E, changed: Values) -> None:
        """Set what follows from changed values or, unless `complete` does, from those of a new record."""

    async def before_update(self, changes: Sequence[tuple[str, Row]]) -> set[str]:
        """Take the `parts` out of values, each with its record's id. Returns the ids of records whose parts differ."""
        return set()

    async def change_parts(self, record: E) -> bool:
        """Store the parts that `before_update` took. Returns whether that changed anything."""
        return False

    async def finish(self) -> None:
        """Bring derived tables up to date after the last row."""

    def home_team(self, user_id: str | None) -> str | None:
        user = self.index.facts_of(User, user_id)
        return None if user is None else user.team_id


@functools.cache
def rules_for(model: type[Entity]) -> type[ImportRules[Any]]:
    """The declared rules of an entity, or those of its columns alone."""
    return RULES.get(model, ImportRules)


@functools.lru_cache(64)
def blank(model: type[Entity], moment: dt.datetime) -> Row:
    """A row of the columns' defaults; a time's default is `moment`. Copy it before you change it."""
    return {column.key: _default(column, moment) for column in model.__table__.columns}


def _default(column: sa.ColumnElement[Any], moment: dt.datetime) -> object:
    default: Any = getattr(column, "default", None)
    if default is None or column.key == "id":
        return None
    if isinstance(column.type, Time):
        return moment
    return default.arg(None) if default.is_callable else default.arg
