"""Reads mappings, which map columns of CSV files to fields of records. Every key is checked.

A mapping is a list of `[[step]]`, done in order. A step either reads a file, and makes one or several records of each
of its rows, or has rows of its own:

    [[step]]
    file = "deals.csv"
    dates = "%m/%d/%Y"                          # also: times, timezone, decimal, numbers, encoding, delimiter
    translate.status = { "Closed" = "Won" }     # column by column, before anything else is made of it

    [[step.record]]
    entity = "opportunity"
    when = "{deal id}"                          # optional: no record where this is blank
    fields.external_id = "other-crm:{deal id}"  # a template: columns in braces; blank where one of them is
    fields.currency = "USD"                     # without braces the same for all
    fields.amount = { from = "{thousands}", scale = 1000 }
    fields.stage = { from = "{status}", by = "name", default = "Open" }
    fields.account = "other-crm:{company id}"   # links go by the external id unless `by` names another field

    [[step]]
    entity = "pipeline"
    rows = [{ external_id = "other-crm:sales", name = "Sales" }]

`from` is set on a new record, and on an existing one if it differs. `default` only fills blanks of a new record. A
blank never empties a field.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import re
import tomllib
import zoneinfo
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.elements import KeyedColumnElement

from crm_graph.errors import Invalid
from crm_graph.models import ENTITIES, Entity, types
from crm_graph.records import TABLES, label
from crm_graph.services.importing.numbers import PLAIN_NUMBERS, NumberFormat, number_format
from crm_graph.services.importing.registry import rules_for

NEVER = {"workspace_id", "id", "version", "created_at", "updated_at", "deleted_at", "custom"}
"""Columns that a mapping cannot name, besides those that the import rules assign."""
_COLUMN = re.compile(r"\{\{|\}\}|\{([^{}]+)\}|[{}]")


@dataclass(frozen=True)
class Template:
    """Text with columns of a file in it: `literals` stand before, between and after the `columns`."""

    literals: tuple[str, ...]
    columns: tuple[str, ...]

    def fill(self, cells: Mapping[str, str]) -> str:
        """The text for a row; empty if one of the columns is blank."""
        text = self.literals[0]
        for column, literal in zip(self.columns, self.literals[1:], strict=True):
            value = cells[column].strip()
            if not value:
                return ""
            text += value + literal
        return text


@dataclass(frozen=True)
class Source:
    """Source of one text of a field, and its transformations."""

    template: Template | None
    default: Template | None = None
    translate: Mapping[str, str] = field(default_factory=dict)
    scale: Decimal | None = None
    split: str | None = None
    by: str = "external_id"


@dataclass(frozen=True)
class Field:
    """A field of a record. `shape` is a Source; a dict of them for a value with parts; a list for several values."""

    name: str
    column: Any
    shape: Any
    target: type[Entity] | None
    key: str

    @property
    def by(self) -> str:
        """Column by which a link finds its record."""
        return next(self.sources).by

    @property
    def sources(self) -> Iterator[Source]:
        waiting = [self.shape]
        for each in waiting:
            if isinstance(each, Source):
                yield each
            else:
                waiting.extend(each.values() if isinstance(each, dict) else each)


@dataclass(frozen=True)
class Record:
    """A record that each row of a file becomes, or a row of the mapping's own."""

    model: type[Entity]
    fields: tuple[Field, ...]
    when: Template | None
    key: str

    @functools.cached_property
    def identity(self) -> tuple[str, ...]:
        """Columns that identify the existing record of a row."""
        return identity_of(self.model)

    @functools.cached_property
    def names(self) -> frozenset[str]:
        return frozenset(each.name for each in self.fields)

    @property
    def columns(self) -> list[tuple[str, str]]:
        """The file's columns that the record needs, each with the mapping key that names it."""
        named = [(column, f"{self.key}.when") for column in (self.when.columns if self.when else ())]
        for each in self.fields:
            for source in each.sources:
                for template in filter(None, (source.template, source.default)):
                    named.extend((column, each.key) for column in template.columns)
        return named


@dataclass(frozen=True)
class Step:
    """A file whose rows make `records`, or, without a file, a list of records."""

    key: str
    file: str | None
    records: tuple[Record, ...]
    translate: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    dates: str | None = None
    times: str | None = None
    timezone: dt.tzinfo = dt.UTC
    numbers: NumberFormat = PLAIN_NUMBERS
    encoding: str = "utf-8-sig"
    delimiter: str = ","


@functools.cache
def name_of(model: type[Entity]) -> str:
    """Name of an entity in mappings and reports: `opportunity_line`."""
    return label(model).replace(" ", "_")


def unique_columns(model: type[Entity]) -> Iterator[tuple[str, ...]]:
    """Columns that are unique in a workspace, constraint by constraint."""
    assert isinstance(model.__table__, sa.Table)
    for constraint in model.__table__.constraints:
        if isinstance(constraint, sa.UniqueConstraint) and "workspace_id" in constraint.columns:
            yield tuple(column.key for column in constraint.columns if column.key != "workspace_id")


@functools.cache
def identity_of(model: type[Entity]) -> tuple[str, ...]:
    """Columns that identify a record across imports: its external id or, without one, its unique columns.

    Empty for an entity that cannot be imported.
    """
    if "external_id" in model.__table__.columns:
        return ("external_id",)
    return next(unique_columns(model), ())


IMPORTED = {name_of(model): model for model in ENTITIES.values() if identity_of(model)}


def read_mapping(path: Path) -> list[Step]:
    """Raises Invalid, naming the mapping's file and key."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Invalid(f"{path.name}: there is no such file.") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Invalid(f"{path.name} cannot be read: {error}.") from None
    _check_keys(content, path.name, {"step"})
    steps = _list(content.get("step"), f"{path.name}: step")
    return [_step(each, f"{path.name}: step {number}") for number, each in enumerate(steps, 1)]


def _step(given: object, key: str) -> Step:
    step = _table(given, key)
    if "rows" in step:
        _check_keys(step, key, {"entity", "rows"})
        model = _entity(step, key)
        rows = enumerate(_list(step["rows"], f"{key}.rows"), 1)
        return Step(key, None, tuple(_record(model, fields, None, f"{key}.rows {row}") for row, fields in rows))
    _check_keys(
        step,
        key,
        {"file", "record", "translate", "dates", "times", "timezone", "decimal", "numbers", "encoding", "delimiter"},
    )
    file = _text(step, "file", key)
    if file is None:
        raise Invalid(f"{key}: either 'file' or 'rows' is needed.")
    records = []
    for number, each in enumerate(_list(step.get("record"), f"{key}.record"), 1):
        at = f"{key} ({file}), record {number}"
        record = _check_keys(each, at, {"entity", "when", "fields"})
        when = None if "when" not in record else _template(record["when"], f"{at}.when")
        records.append(_record(_entity(record, at), record.get("fields"), when, at))
    texts = {name: _text(step, name, key) for name in ("dates", "times", "encoding", "delimiter")}
    _check_formats(texts, key)
    return Step(
        key=f"{key} ({file})",
        file=file,
        records=tuple(records),
        translate={column: _words(words, f"{key}.translate.{column}") for column, words in _translate(step, key)},
        timezone=_timezone(step, key),
        numbers=number_format(step.get("decimal"), _table(step.get("numbers", {}), f"{key}.numbers"), key),
        **{name: text for name, text in texts.items() if text is not None},
    )


def _record(model: type[Entity], fields: object, when: Template | None, key: str) -> Record:
    known = _columns_of(model)
    found = []
    for name, value in _table(fields, f"{key}.fields").items():
        at = f"{key}.{name}"
        if name not in known:
            raise Invalid(f"{at}: a {label(model)} has no such field. It has {', '.join(sorted(known))}.")
        column = known[name]
        target = TABLES.get(column.info.get("references", ""))
        found.append(Field(column.key, column, _shape(value, column.type, target, at), target, at))
    for needed in identity_of(model):
        if needed not in {each.name for each in found}:
            raise Invalid(f"{key}.{needed.removesuffix('_id') if needed != 'external_id' else needed}: is needed.")
    order = list(known.values())
    return Record(model, tuple(sorted(found, key=lambda each: order.index(each.column))), when, key)


def _columns_of(model: type[Entity]) -> dict[str, KeyedColumnElement[Any]]:
    """The fields that a mapping may name, in the table's order: `account` is the column `account_id`."""
    rules = rules_for(model)
    never = NEVER | rules.assigned
    columns = [each for each in model.__table__.columns if each.key not in never and not each.info.get("secret")]
    columns += rules.parts
    return {each.key.removesuffix("_id") if "references" in each.info else each.key: each for each in columns}


def _names_of(model: type[Entity]) -> set[str]:
    """Text columns, by which links may find a record."""
    texts = {name for name, column in _columns_of(model).items() if isinstance(column.type, types.Text)}
    return {name for name in texts if name in model.__table__.columns}


def _shape(value: object, kind: Any, target: type[Entity] | None, key: str) -> Any:
    match kind:
        case types.Values():
            return [_parts(each, kind.kind, key) for each in _list(value, key)]
        case types.Value():
            return _parts(value, kind.kind, key)
        case types.TextList() | types.Enums() if isinstance(value, list):
            return [_source(each, None, key) for each in value]
        case types.TextList() | types.Enums():
            return [_source(value, None, key, {"split"})]
    return _source(value, target, key)


def _parts(value: object, kind: Any, key: str) -> dict[str, Source]:
    known = {each.name for each in dataclasses.fields(kind)}
    parts = _check_keys(value, key, known)
    return {name: _source(each, None, f"{key}.{name}") for name, each in parts.items()}


def _source(value: object, target: type[Entity] | None, key: str, more: set[str] = frozenset()) -> Source:  # type: ignore[assignment]
    if not isinstance(value, dict):
        return Source(_template(value, key))
    _check_keys(value, key, {"from", "default", "translate", "scale", *more, *(["by"] if target else [])})
    if "from" not in value and "default" not in value:
        raise Invalid(f"{key}: 'from' or 'default' is needed.")
    scale = value.get("scale")
    if scale is not None and (isinstance(scale, bool) or not isinstance(scale, int | float)):
        raise Invalid(f"{key}.scale: a number is expected.")
    by = _text(value, "by", key) or "external_id"
    if target is not None and by not in _names_of(target):
        raise Invalid(f"{key}.by: there is no link by '{by}'. There are {', '.join(sorted(_names_of(target)))}.")
    return Source(
        template=_template(value["from"], f"{key}.from") if "from" in value else None,
        default=_template(value["default"], f"{key}.default") if "default" in value else None,
        translate=_words(value.get("translate", {}), f"{key}.translate"),
        scale=None if scale is None else Decimal(str(scale)),
        split=_text(value, "split", key),
        by=by,
    )


def _template(value: object, key: str) -> Template:
    if isinstance(value, bool):
        value = str(value).lower()
    if isinstance(value, int | float | dt.date):
        value = value.isoformat() if isinstance(value, dt.date) else str(value)
    if not isinstance(value, str):
        raise Invalid(f'{key}: a text is expected, with columns in braces: "{{column}}".')
    literals, columns = [""], []
    end = 0
    for match in _COLUMN.finditer(value):
        literals[-1] += value[end : match.start()]
        end = match.end()
        if match[1] is not None:
            columns.append(match[1])
            literals.append("")
        elif match[0] in ("{{", "}}"):
            literals[-1] += match[0][0]
        else:
            raise Invalid(f"{key}: write a literal brace twice, as {{{{ or }}}}.")
    literals[-1] += value[end:]
    return Template(tuple(literals), tuple(columns))


def _entity(table: Mapping[str, object], key: str) -> type[Entity]:
    name = _text(table, "entity", key)
    if name not in IMPORTED:
        found = "is needed" if name is None else f"'{name}' cannot be imported"
        raise Invalid(f"{key}.entity: {found}. There are {', '.join(IMPORTED)}.")
    return IMPORTED[name]


def _translate(step: Mapping[str, object], key: str) -> Iterator[tuple[str, object]]:
    yield from _table(step.get("translate", {}), f"{key}.translate").items()


def _words(value: object, key: str) -> dict[str, str]:
    words: dict[str, str] = {}
    for word, meaning in _table(value, key).items():
        if not isinstance(meaning, str):
            raise Invalid(f"{key}.{word}: a text is expected.")
        words[word] = meaning
    return words


def _timezone(step: Mapping[str, object], key: str) -> dt.tzinfo:
    name = _text(step, "timezone", key)
    try:
        return dt.UTC if name is None else zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        raise Invalid(f"{key}.timezone: there is no time zone '{name}'.") from None


def _check_formats(texts: Mapping[str, str | None], key: str) -> None:
    try:
        "".encode(texts["encoding"] or "utf-8")
    except LookupError:
        raise Invalid(f"{key}.encoding: there is no encoding '{texts['encoding']}'.") from None
    if texts["delimiter"] is not None and len(texts["delimiter"]) != 1:
        raise Invalid(f"{key}.delimiter: one character is expected.")


def _check_keys(value: object, key: str, known: set[str]) -> Mapping[str, object]:
    table = _table(value, key)
    for each in table:
        if each not in known:
            raise Invalid(f"{key}: there is no key '{each}' here. There are {', '.join(sorted(known))}.")
    return table


def _table(value: object, key: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise Invalid(f"{key}: a table is expected.")
    return value


def _list(value: object, key: str) -> list[object]:
    if not isinstance(value, list) or not value:
        raise Invalid(f"{key}: a non-empty list is expected.")
    return value


def _text(table: Mapping[str, object], name: str, key: str) -> str | None:
    value = table.get(name)
    if value is not None and not isinstance(value, str):
        raise Invalid(f"{key}.{name}: a text is expected.")
    return value
