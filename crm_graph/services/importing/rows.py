"""Reads files row by row and converts their cells to clean values, with the column types that the API uses too."""

from __future__ import annotations

import csv
import datetime as dt
import functools
import itertools
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol, TypeVar

from crm_graph.errors import Invalid
from crm_graph.models import Entity, types
from crm_graph.services.importing.mapping import Field, Record, Source, Step, Template
from crm_graph.services.importing.numbers import MAX_NUMBER, PLAIN_NUMBERS, NumberFormat

CACHED_VALUES = 4096
MAX_QUOTED = 60
TRUTH = {**dict.fromkeys(("true", "yes", "1"), True), **dict.fromkeys(("false", "no", "0"), False)}
T = TypeVar("T")
Cells = Sequence[str]
Read = Callable[[Cells], object]


class ColumnType(Protocol):
    """A column's type, as far as an import uses it."""

    def clean(self, value: object) -> object:
        """The value in standard form. Raises Invalid."""


@dataclass(frozen=True)
class Reader:
    """Reader of a field. `read` returns the value of a row's cells, None for a blank. `fill` returns the value of a
    blank in a new record. For a link, both return the text by which the record is found.

    Both raise Invalid, whose field is the file's column.
    """

    name: str
    label: str
    target: type[Entity] | None
    by: str
    read: Read
    fill: Read | None


@dataclass(frozen=True)
class RecordPlan:
    """A record that rows become. `source_key` returns its cells; `seen` has line and hash of the cells by key."""

    record: Record
    readers: tuple[Reader, ...]
    reads: tuple[tuple[Reader, Read], ...]
    fills: tuple[tuple[Reader, Read], ...]
    wanted: Callable[[Cells], bool]
    source_key: Callable[[Cells], object]
    seen: dict[object, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """One row of a source; `fault` is set if it cannot be read."""

    line: int
    cells: Cells
    plans: Sequence[RecordPlan]
    fault: Invalid | None = None


@dataclass(frozen=True)
class Table:
    """Source of a step: a file, or rows of the mapping's own. The header is checked and the rows are counted."""

    name: str
    plans: tuple[RecordPlan, ...]
    step: Step
    path: Path | None
    header: tuple[str, ...]
    total: int

    @functools.cached_property
    def models(self) -> frozenset[type[Entity]]:
        """The entities of its records."""
        return frozenset(plan.record.model for plan in self.plans)

    def rows(self) -> Iterator[Row]:
        if self.path is None:
            yield from (Row(number, (), [plan]) for number, plan in enumerate(self.plans, 1))
            return
        words = [(self.header.index(column), table) for column, table in self.step.translate.items()]
        for line, cells in itertools.islice(_lines(self.path, self.step), 1, None):
            if isinstance(cells, Invalid):
                yield Row(line, (), self.plans, cells)
                continue
            if len(cells) != len(self.header):
                yield Row(
                    line, (), self.plans, Invalid(f"{len(cells)} cells, where the header has {len(self.header)}.")
                )
                continue
            for place, table in words:
                cells[place] = table.get(cells[place].strip(), cells[place])
            yield Row(line, cells, self.plans)


def open_table(step: Step, mapping: Path, folder: Path) -> Table:
    """Open the source of a step. Raises Invalid for a missing file, and for unknown columns and invalid constants."""
    if step.file is None:
        plans = _plans(step, ())
        return Table(mapping.name, plans, step, None, (), len(plans))
    path = folder / step.file
    try:
        lines = _lines(path, step)
        header = _header(next(lines, (1, [])), step)
        total = sum(1 for _ in lines)
    except OSError as error:
        raise Invalid(f"{step.key}: the file cannot be read: {error.strerror}.") from None
    named = [(column, f"{step.key}.translate.{column}") for column in step.translate]
    named += [each for record in step.records for each in record.columns]
    for column, key in named:
        if column not in header:
            raise Invalid(f"{key}: {step.file} has no column '{column}'. It has {', '.join(header)}.")
    return Table(step.file, _plans(step, header), step, path, header, total)


def _lines(path: Path, step: Step) -> Iterator[tuple[int, list[str] | Invalid]]:
    """Rows that are not blank, each with the number of its first line."""
    # Undecodable bytes become surrogates, which the column types reject.
    with path.open(encoding=step.encoding, errors="surrogateescape", newline="") as file:
        reader = csv.reader(file, delimiter=step.delimiter, strict=True)
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield line, Invalid(f"This is not a CSV row: {error}.")
                continue
            except UnicodeDecodeError:
                yield line, Invalid(f"From here on the file is not in {step.encoding}.")
                return
            if any(cells):
                yield line, cells


def _header(first: tuple[int, list[str] | Invalid], step: Step) -> tuple[str, ...]:
    cells = first[1]
    if isinstance(cells, Invalid):
        raise Invalid(f"{step.key}: the header cannot be read. {cells.message}")
    header = tuple(cell.strip() for cell in cells)
    twice = next((name for place, name in enumerate(header) if name and name in header[:place]), None)
    if not header or twice is not None:
        found = "is empty" if twice is None else f"has the column '{twice}' twice"
        raise Invalid(f"{step.key}: the file {found}.")
    return header


def _plans(step: Step, header: Sequence[str]) -> tuple[RecordPlan, ...]:
    shared: dict[str, Read] = {}
    return tuple(_plan(record, header, step, shared) for record in step.records)


def _plan(record: Record, header: Sequence[str], step: Step, shared: dict[str, Read]) -> RecordPlan:
    places = sorted({header.index(column) for column, _ in record.columns})
    when = record.when
    readers = tuple(_reader(each, header, step, shared) for each in record.fields)
    return RecordPlan(
        record=record,
        readers=readers,
        reads=tuple((each, each.read) for each in readers),
        fills=tuple((each, each.fill) for each in readers if each.fill is not None),
        wanted=(lambda cells: True)
        if when is None
        else _cached(when.columns, header, lambda row: bool(when.fill(row))),
        source_key=operator.itemgetter(*places) if places else lambda cells: None,
    )


def _reader(each: Field, header: Sequence[str], step: Step, shared: dict[str, Read]) -> Reader:
    """Reader of a field. Fields with equal sources and types share a cached function in `shared`."""
    sources = list(each.sources)
    columns = [column for source in sources if source.template for column in source.template.columns]
    kind = each.column.type
    fill = None
    if each.target is not None:
        kind = each.target.__table__.columns[sources[0].by].type
    if isinstance(each.shape, Source) and each.shape.default is not None:
        fill = _reading(each, kind, each.shape.default.columns, header, step, filling=True)
    same = repr((each.shape, kind))
    if same not in shared:
        shared[same] = _reading(each, kind, columns, header, step, filling=False)
    return Reader(
        name=each.name,
        label=", ".join(dict.fromkeys(columns)) or each.name.removesuffix("_id" if each.target else ""),
        target=each.target,
        by=sources[0].by if sources else "",
        read=shared[same],
        fill=fill,
    )


def _reading(
    each: Field, kind: Any, columns: Sequence[str], header: Sequence[str], step: Step, *, filling: bool
) -> Read:
    columns = tuple(dict.fromkeys(columns))
    make = functools.partial(_value, each.shape, kind, step, filling)
    if columns:
        return _cached(columns, header, make)
    try:
        constant = make({})
    except Invalid as fault:
        raise Invalid(f"{each.key}: {fault.message}") from None
    return lambda cells: constant


def _cached(
    columns: Sequence[str], header: Sequence[str], make: Callable[[Mapping[str, str]], T]
) -> Callable[[Cells], T]:
    """`make` for the columns of a row, called once for equal cells."""
    if not columns:
        return lambda cells: make({})
    places = [header.index(column) for column in columns]
    if len(places) == 1:
        [place], [column] = places, columns
        of_cell = functools.lru_cache(CACHED_VALUES)(lambda cell: make({column: cell}))
        return lambda cells: of_cell(cells[place])
    pick = operator.itemgetter(*places)
    of_cells = functools.lru_cache(CACHED_VALUES)(lambda picked: make(dict(zip(columns, picked, strict=True))))
    return lambda cells: of_cells(pick(cells))


def _value(shape: Any, kind: Any, step: Step, filling: bool, row: Mapping[str, str]) -> object:
    """A field's clean value for a row; None for a blank."""
    parts: object
    match shape:
        case Source():
            return _single(shape, shape.default if filling else shape.template, kind, step, row)
        case dict():
            parts = _parts(shape, kind.kind, step, row)
        case _ if isinstance(kind, types.Values):
            parts = [part for each in shape if (part := _parts(each, kind.kind, step, row)) is not None]
        case _:
            parts = [word for each in shape for word in _words(each, kind.item, step, row)]
    try:
        return kind.clean(parts) if parts else None
    except Invalid as fault:
        raise Invalid(fault.message) from None  # drop the part's name: our errors name columns


def _parts(shape: dict[str, Source], kind: Any, step: Step, row: Mapping[str, str]) -> dict[str, object] | None:
    """A value's parts; None if all its cells are blank."""
    kinds = {each.name: each.metadata["type"] for each in fields(kind)}
    found, blank = {}, any(source.template and source.template.columns for source in shape.values())
    for name, source in shape.items():
        value = _single(source, source.template, kinds[name], step, row)
        if value is not None and source.template is not None and source.template.columns:
            blank = False
        found[name] = _single(source, source.default, kinds[name], step, row) if value is None else value
    return None if blank else found


def _words(source: Source, kind: ColumnType, step: Step, row: Mapping[str, str]) -> list[object]:
    text = _text(source, source.template, row)
    words = text.split(source.split) if source.split else [text]
    return [_convert(source, kind, step, step.numbers, word.strip()) for word in words if word.strip()]


def _single(source: Source, template: Template | None, kind: ColumnType, step: Step, row: Mapping[str, str]) -> object:
    text = _text(source, template, row)
    if not text:
        return None
    numbers = step.numbers if template is not None and template.columns else PLAIN_NUMBERS
    try:
        return _convert(source, kind, step, numbers, text)
    except Invalid as fault:
        shown = text if len(text) <= MAX_QUOTED else f"{text[:MAX_QUOTED]}…"
        message = f"{fault.message} It is '{shown.encode(errors='replace').decode()}'."
        raise Invalid(message, ", ".join(template.columns if template else ()) or None) from None


def _text(source: Source, template: Template | None, row: Mapping[str, str]) -> str:
    text = template.fill(row) if template is not None else ""
    return source.translate.get(text, text) if source.translate else text


def _convert(source: Source, kind: ColumnType, step: Step, numbers: NumberFormat, text: str) -> object:
    """The clean value of a text; None for a number that is written as a dash for no value.

    `numbers` is the file's format for its cells, and the plain one for constants of the mapping.
    """
    if isinstance(kind, types.Text):
        return kind.clean(text)
    value: object = text
    match kind:
        case types.Amount() | types.Integer():
            number = _number(text, source, numbers)
            if number is None:
                return None
            if isinstance(kind, types.Integer) and number != number.to_integral_value():
                raise Invalid("A whole number is expected.")
            value = number
        case types.Boolean():
            value = TRUTH.get(text.lower())
        case types.Enum():
            value = re.sub(r"[\s-]+", "_", text).upper()
        case types.Date():
            value = _moment(text, step).date() if step.dates or step.times else text
        case types.Time():
            value = _moment(text, step)
    return kind.clean(value)


def _number(text: str, source: Source, numbers: NumberFormat) -> Decimal | None:
    number = numbers.read(text)
    if number is None or source.scale is None:
        return number
    number *= source.scale
    if abs(number) >= MAX_NUMBER:
        raise Invalid("The number is too large.")
    return number


def _moment(text: str, step: Step) -> dt.datetime:
    forms = [form for form in (step.times, step.dates) if form is not None]
    for form in forms:
        try:
            moment = dt.datetime.strptime(text, form)
            break
        except ValueError:
            continue
    else:
        try:
            moment = dt.datetime.fromisoformat("" if forms else text)
        except ValueError:
            expected = " or ".join(forms) or "2026-05-04T10:00:00Z"
            raise Invalid(f"A date or time is expected, in the form {expected}.") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=step.timezone)
