"""SQL expressions that return JSON, with the same text as Python's execution, on SQLite and on PostgreSQL.

They concatenate text: PostgreSQL's json_build_object takes at most 100 arguments.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import groupby
from typing import Any, NamedTuple

import orjson
import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import UserDefinedType

from crm_graph.database import sqlite_function
from crm_graph.models import types
from crm_graph.models.types import AMOUNT_SCALE, SPLIT, decimal_text
from loaders.core.cursors import mark, text_of

Expression = sa.ColumnElement[Any]
"""An SQL expression: a value, or JSON text."""
_NAME = re.compile(r'[\w."]+')


class JsonText(UserDefinedType[str]):
    """Text that is JSON; SQL's null stands for JSON's null."""

    cache_ok = True

    def get_col_spec(self, **kwargs: object) -> str:
        return "TEXT"


class PlainText(UserDefinedType[str]):
    """Text without characters that JSON escapes."""

    cache_ok = True

    def get_col_spec(self, **kwargs: object) -> str:
        return "TEXT"


class Fragment(NamedTuple):
    """A part of the JSON text: a literal, or an SQL expression of text."""

    text: str
    is_sql: bool


class JsonExpression(FunctionElement[str]):
    """An SQL expression of JSON, as fragments of its text. No fragment is null."""

    inherit_cache = False
    type = JsonText()

    def fragments(self, compiler: SQLCompiler, **kwargs: object) -> Iterator[Fragment]:
        raise NotImplementedError


@compiles(JsonExpression)
def _compile(element: JsonExpression, compiler: SQLCompiler, **kwargs: object) -> str:
    joined = []
    for is_sql, fragments in groupby(element.fragments(compiler, **kwargs), key=lambda piece: piece.is_sql):
        texts = [piece.text for piece in fragments]
        joined.extend(texts if is_sql else [compiler.render_literal_value("".join(texts), sa.String())])
    return " || ".join(joined)


def as_json(value: Expression) -> Expression:
    """A column or expression as JSON; JSON stays as it is."""
    return value if isinstance(value.type, JsonText) else JsonValue(value)


class JsonLiteral(JsonExpression):
    """A constant: a text without quotes, true, false or null."""

    name = "literal"

    def __init__(self, value: str | bool | None) -> None:
        super().__init__()
        self.text = orjson.dumps(value).decode()

    def fragments(self, compiler: SQLCompiler, **kwargs: object) -> Iterator[Fragment]:
        yield Fragment(self.text, False)


class JsonValue(JsonExpression):
    """The value of a column or expression."""

    name = "value"

    def __init__(self, value: Expression) -> None:
        super().__init__(value)
        self.kind = value.type
        self.nullable = getattr(value, "nullable", True)

    def fragments(self, compiler: SQLCompiler, **kwargs: object) -> Iterator[Fragment]:
        sql = compiler.process(self.clauses, **kwargs)
        sql = sql if _NAME.fullmatch(sql) else f"({sql})"
        sqlite = compiler.dialect.name == "sqlite"
        match self.kind:
            case types.Json() if not isinstance(self.kind, types.Value) or isinstance(self.kind, types.Values):
                text, quoted, empty = sql if sqlite else f"{sql}::text", False, "[]"
            case types.Boolean() | sa.Boolean():
                text, quoted, empty = _boolean(sql) if sqlite else f"{sql}::text", False, "null"
            case sa.Integer() | types.Integer() | sa.Numeric():
                text, quoted, empty = f"CAST({sql} AS TEXT)" if self.nullable or not sqlite else sql, False, "null"
            case types.Time():
                text, quoted, empty = sql if sqlite else _moment(sql), True, "null"
            case types.Amount():
                text, quoted, empty = f"amount_text({sql})" if sqlite else _amount(sql), True, "null"
            case PlainText() | types.Id() | types.Currency() | types.Enum() | types.Date():
                text, quoted, empty = sql if sqlite else f"{sql}::text", True, "null"
            case _ if sqlite:
                yield Fragment(f"json_quote({sql})", True)
                return
            case _:
                text, quoted, empty = f"to_json({sql})::text", False, "null"
        if not self.nullable:
            yield from (
                (Fragment('"', False), Fragment(text, True), Fragment('"', False))
                if quoted
                else (Fragment(text, True),)
            )
        else:
            yield Fragment(
                f"coalesce('\"' || {text} || '\"', '{empty}')" if quoted else f"coalesce({text}, '{empty}')", True
            )


def _boolean(sql: str) -> str:
    return f"CASE {sql} WHEN 0 THEN 'false' WHEN 1 THEN 'true' END"


def _moment(sql: str) -> str:
    return f"to_char({sql} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"


def _amount(sql: str) -> str:
    return f"trim_scale({sql} * {1 / AMOUNT_SCALE:.4f})::text"


class JsonObject(JsonExpression):
    """A JSON object with its members in order."""

    name = "object"

    def __init__(self, members: Mapping[str, Expression]) -> None:
        super().__init__(*(as_json(value) for value in members.values()))
        self.keys = list(members)

    def fragments(self, compiler: SQLCompiler, **kwargs: object) -> Iterator[Fragment]:
        yield Fragment("{", False)
        for place, (key, value) in enumerate(zip(self.keys, self.clauses, strict=True)):
            yield Fragment(f'{"," if place else ""}"{key}":', False)
            yield from _fragments(value, compiler, **kwargs)
        yield Fragment("}", False)


class JsonRows(JsonExpression):
    """The values of all rows, or of those that meet `when`, as a JSON array in the order of the rows."""

    name = "list"

    def __init__(self, value: Expression, when: sa.ColumnElement[bool] | None = None) -> None:
        super().__init__(value, *([] if when is None else [when]))

    def fragments(self, compiler: SQLCompiler, **kwargs: object) -> Iterator[Fragment]:
        value, *when = self.clauses
        chosen = f" FILTER (WHERE {compiler.process(when[0], **kwargs)})" if when else ""
        join = "group_concat" if compiler.dialect.name == "sqlite" else "string_agg"
        yield Fragment("[", False)
        yield Fragment(f"coalesce({join}({_text(value, compiler, **kwargs)}, ','){chosen}, '')", True)
        yield Fragment("]", False)


class JsonMember(JsonExpression):
    """A member of a JSON column."""

    name = "part"

    def __init__(self, value: Expression, key: str) -> None:
        super().__init__(value)
        self.key = key

    def fragments(self, compiler: SQLCompiler, **kwargs: object) -> Iterator[Fragment]:
        sql = compiler.process(self.clauses, **kwargs)
        sqlite = compiler.dialect.name == "sqlite"
        yield Fragment(
            f"coalesce({sql} -> '$.{self.key}', 'null')"
            if sqlite
            else f"coalesce(({sql} -> '{self.key}')::text, 'null')",
            True,
        )


ITEM = sa.literal_column("item.value", PlainText())


class JsonArray(JsonExpression):
    """A JSON array of an expression for each item of a JSON column's array, which is ITEM in it."""

    name = "items"
    source = "jsonb_array_elements({})"

    def fragments(self, compiler: SQLCompiler, **kwargs: object) -> Iterator[Fragment]:
        array, made = self.clauses
        sql, text = compiler.process(array, **kwargs), _text(made, compiler, **kwargs)
        if compiler.dialect.name == "sqlite":
            yield Fragment(
                f"(SELECT '[' || coalesce(group_concat({text}, ','), '') || ']' FROM json_each({sql}) AS item)", True
            )
        else:
            source = f"{self.source.format(sql)} WITH ORDINALITY AS item(value, place)"
            yield Fragment(
                f"(SELECT '[' || coalesce(string_agg({text}, ',' ORDER BY item.place), '') || ']' FROM {source})", True
            )


class JsonTextArray(JsonArray):
    """As JsonArray, for each text of an SQL array."""

    name = "each"
    source = "unnest({})"


class IsObject(FunctionElement[bool]):
    """True if a JSON column holds an object, false if null."""

    name = "is_object"
    type = sa.Boolean()
    inherit_cache = True


@compiles(IsObject)
def _is_object(element: IsObject, compiler: SQLCompiler, **kwargs: object) -> str:
    function = "json_type" if compiler.dialect.name == "sqlite" else "jsonb_typeof"
    return f"{function}({compiler.process(element.clauses, **kwargs)}) = 'object'"


class CursorText(FunctionElement[str]):
    """A row's cursor, in the format of loaders/core/cursors.py."""

    name = "cursor_text"
    type = PlainText()
    inherit_cache = False

    def __init__(self, of: str, keys: Sequence[Expression]) -> None:
        super().__init__(*(as_json(key) for key in keys))
        self.mark = mark(of)


@compiles(CursorText)
def _cursor(element: CursorText, compiler: SQLCompiler, **kwargs: object) -> str:
    texts = [_text(value, compiler, **kwargs) for value in element.clauses]
    content = " || ', ' || ".join([f"'[\"{element.mark}\"'", *texts]) + " || ']'"
    if compiler.dialect.name == "sqlite":
        return f"cursor_text({content})"
    return f"translate(encode(convert_to({content}, 'UTF8'), 'base64'), E'+/\\n', '-_')"


class SplitSum(FunctionElement[str]):
    """A sum stored as two parts, divided by 10 ** places, as decimal text: see models/sales/stage_totals.py."""

    name = "sum_text"
    type = PlainText()
    inherit_cache = False

    def __init__(self, high: Expression, low: Expression, places: int) -> None:
        super().__init__(high, low)
        self.places = places


@compiles(SplitSum)
def _sum(element: SplitSum, compiler: SQLCompiler, **kwargs: object) -> str:
    high, low = (compiler.process(clause, **kwargs) for clause in element.clauses)
    if compiler.dialect.name == "sqlite":
        return f"sum_text({high}, {low}, {element.places})"
    return f"trim_scale(({high}::numeric * {SPLIT} + {low}) * 1e-{element.places})::text"


def _fragments(value: Expression, compiler: SQLCompiler, **kwargs: object) -> Iterator[Fragment]:
    """The fragments of a JSON expression, or of nullable JSON text."""
    if isinstance(value, JsonExpression):
        yield from value.fragments(compiler, **kwargs)
    else:
        yield Fragment(f"coalesce({compiler.process(value, **kwargs)}, 'null')", True)


def _text(value: Expression, compiler: SQLCompiler, **kwargs: object) -> str:
    if isinstance(value, JsonExpression):
        return compiler.process(value, **kwargs)
    return f"coalesce({compiler.process(value, **kwargs)}, 'null')"


@sqlite_function("amount_text", 1)
def _amount_text(units: int | None) -> str | None:
    return None if units is None else decimal_text(Decimal(units).scaleb(-4))


@sqlite_function("sum_text", 3)
def _sum_text(high: int | None, low: int | None, places: int) -> str | None:
    return None if high is None or low is None else decimal_text(Decimal(high * SPLIT + low).scaleb(-places))


@sqlite_function("cursor_text", 1)
def _cursor_text(content: str) -> str:
    return text_of(orjson.loads(content))
