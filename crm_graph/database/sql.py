"""SQL that differs between SQLite and PostgreSQL. Only the dialect in use is imported."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.sql.base import ReadOnlyColumnCollection
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import KeyedColumnElement
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

if TYPE_CHECKING:
    from sqlalchemy.dialects.postgresql import Insert as PostgresqlInsert
    from sqlalchemy.dialects.sqlite import Insert as SqliteInsert

F = TypeVar("F", bound=Callable[..., object])
SQLITE_FUNCTIONS: dict[str, tuple[int, Callable[..., object]]] = {}
"""Every new SQLite connection gets these: {name: (number of arguments, function)}."""
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def sqlite_function(name: str, arguments: int) -> Callable[[F], F]:
    """Register a deterministic SQL function for SQLite, which PostgreSQL has built in."""

    def register(function: F) -> F:
        SQLITE_FUNCTIONS[name] = arguments, function
        return function

    return register


def is_storable(text: str) -> bool:
    """Both databases accept the text: PostgreSQL refuses NUL, and UTF-8 has no unpaired surrogates."""
    return _UNSTORABLE.search(text) is None


@sqlite_function("fold", 1)
def casefold_text(text: str | None) -> str | None:
    """Text for comparisons that ignore case, in every alphabet. Sigma has two lowercase forms."""
    return None if text is None else text.lower().replace("ς", "σ")


class casefolded(FunctionElement[str]):
    """SQL form of `casefold_text`."""

    type = sa.String()
    inherit_cache = True
    name = "fold"


@compiles(casefolded, "sqlite")
def _casefolded_sqlite(element: casefolded, compiler: SQLCompiler, **kwargs: object) -> str:
    return f"fold({compiler.process(element.clauses, **kwargs)})"


@compiles(casefolded, "postgresql")
def _casefolded_postgresql(element: casefolded, compiler: SQLCompiler, **kwargs: object) -> str:
    # ICU's rules are the same on every machine; "C" sorts by code point, as SQLite does.
    lowered = f'lower({compiler.process(element.clauses, **kwargs)} COLLATE "und-x-icu")'
    return f"replace({lowered}, 'ς', 'σ') COLLATE \"C\""


class TextArray(TypeDecorator[Sequence[str]]):
    """A list of texts as one bind parameter: an array on PostgreSQL, JSON on SQLite."""

    impl = sa.JSON
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(sa.ARRAY(sa.String()) if dialect.name == "postgresql" else sa.JSON())

    def process_bind_param(self, value: Sequence[str] | None, dialect: Dialect) -> list[str]:
        return [each for each in value or () if is_storable(each)]


class Condition(FunctionElement[bool]):
    """A condition with its own SQL. SQLAlchemy would append `= 1` on SQLite, which prevents the use of an index."""

    type = sa.Boolean()
    inherit_cache = True

    def self_group(self, against: object = None) -> Condition:
        return self


class in_array(Condition):
    """`column IN (ids)` with the ids as one parameter, so that lists of any length share one cached statement.

    `ids` may also be a bind parameter, whose list comes when the statement is executed. Texts that cannot be stored
    match nothing.
    """

    inherit_cache = True
    name = "in_array"

    def __init__(
        self, column: sa.SQLColumnExpression[object], ids: Sequence[str] | sa.BindParameter[Sequence[str]]
    ) -> None:
        if isinstance(ids, sa.BindParameter):
            array = sa.bindparam(ids.key, type_=TextArray())
        else:
            array = sa.bindparam(None, list(ids), type_=TextArray(), unique=True)
        super().__init__(column, array)


@compiles(in_array, "sqlite")
def _in_array_sqlite(element: in_array, compiler: SQLCompiler, **kwargs: object) -> str:
    column, ids = (compiler.process(clause, **kwargs) for clause in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({ids}))"


@compiles(in_array, "postgresql")
def _in_array_postgresql(element: in_array, compiler: SQLCompiler, **kwargs: object) -> str:
    column, ids = (compiler.process(clause, **kwargs) for clause in element.clauses)
    return f"{column} = ANY({ids})"


Excluded = ReadOnlyColumnCollection[str, KeyedColumnElement[object]]


def upsert(
    dialect: str, model: type[DeclarativeBase], update: Callable[[Excluded], Mapping[str, object]] | None = None
) -> SqliteInsert | PostgresqlInsert:
    """An INSERT that, if a row with the same primary key exists, updates it instead.

    `update` returns the new values by column name, and may refer to the rejected row's columns, which it is given.
    Without it the existing row stays as it is.
    """
    insert: SqliteInsert | PostgresqlInsert
    if dialect == "sqlite":
        from sqlalchemy.dialects import sqlite

        insert = sqlite.insert(model)
    else:
        from sqlalchemy.dialects import postgresql

        insert = postgresql.insert(model)
    if update is None:
        return insert.on_conflict_do_nothing()
    key = [column.name for column in sa.inspect(model).primary_key]
    return insert.on_conflict_do_update(index_elements=key, set_=update(insert.excluded))
