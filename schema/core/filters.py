"""Filters, derived from node types, and `input_type`, which makes all derived inputs.

Every condition is true or false, never unknown: a comparison with a null is false, so that `not` means the rest.
"""

from __future__ import annotations

import datetime as dt
import enum
import operator
import re
import types
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Mapping
from decimal import Decimal
from operator import itemgetter
from typing import Any, ClassVar, Optional, TypeVar

import sqlalchemy as sa
import strawberry
from sqlalchemy.orm import aliased
from sqlalchemy.types import TypeEngine
from strawberry import UNSET
from strawberry.annotation import StrawberryAnnotation
from strawberry.types.base import get_object_definition
from strawberry.utils.str_converters import to_camel_case

from crm_graph.access import Viewer, visible
from crm_graph.database import TextArray, casefold_text, casefolded, in_array, is_storable
from crm_graph.errors import BadUserInput
from crm_graph.models import Entity
from crm_graph.models.types import Enum, Text
from crm_graph.records import TABLES
from loaders.core.pages import Where
from loaders.live.lists import Dependencies
from loaders.sql_json.expressions import Expression
from loaders.sql_json.variables import VariableRef, as_bind, merge_list

T = TypeVar("T")
MAX_TEXT_LENGTH = 1000
MAX_VALUES = 1000
MAX_TOTAL_VALUES = 10_000
MAX_CONDITIONS = 200
MAX_FILTER_DEPTH = 10


class Comparison:
    """A condition on one column: all of its operators must hold."""

    case_insensitive: ClassVar[bool]

    def where(self, column: Expression, name: str, present: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
        """`present` is true if there is a value. Raises BadUserInput for a value that cannot be stored."""
        conditions = []
        for each, value in vars(self).items():
            if each == "eq" and value is None:
                conditions.append(sa.not_(present))
            elif value is not UNSET and value is not None:
                conditions.append(self._condition(column, each, self._clean(value, name), present))
        return sa.and_(sa.true(), *conditions)

    def _clean(self, value: object, name: str) -> object:
        value = merge_list(value) if isinstance(value, list) else value
        if isinstance(value, VariableRef):
            return value.then(lambda given: self._clean(given, name))
        if isinstance(value, list):
            if len(value) > MAX_VALUES:
                raise BadUserInput(f"At most {MAX_VALUES} values are allowed.", f"filter.{_camel(name)}")
            return [self._clean(item, name) for item in value]
        if isinstance(value, str):
            if len(value) > MAX_TEXT_LENGTH or not is_storable(value):
                raise BadUserInput(
                    f"A storable text of at most {MAX_TEXT_LENGTH} characters is expected.",
                    f"filter.{_camel(name)}",
                )
            return casefold_text(unicodedata.normalize("NFC", value)) if self.case_insensitive else value
        return value

    def _condition(
        self, column: Expression, name: str, value: Any, present: sa.ColumnElement[bool]
    ) -> sa.ColumnElement[bool]:
        if name == "is_null":
            return sa.not_(present) if value else present
        side = casefolded(column) if self.case_insensitive else column
        match name:
            case "in_" | "not_in":
                condition = self._among(side, column.type, value)
            case "contains":
                condition = side.contains(as_bind(_escaped(value), sa.String()), escape="/")
            case "starts_with":
                condition = side.startswith(as_bind(_escaped(value), sa.String()), escape="/")
            case _:
                condition = _OPERATORS[name](side, as_bind(value, side.type))
        known = sa.and_(present, condition)
        return sa.not_(known) if name == "not_in" else known

    def _among(
        self, side: Expression, kind: TypeEngine[object], values: list[object] | VariableRef
    ) -> sa.ColumnElement[bool]:
        if isinstance(kind, (Text, Enum)):
            return in_array(
                side, values.bind(TextArray()) if isinstance(values, VariableRef) else [str(each) for each in values]
            )
        if isinstance(values, VariableRef):
            values = [values.then(itemgetter(place)) for place in range(values.then(len).specialize())]
        return side.in_([as_bind(each, kind) for each in values]) if values else sa.false()


_OPERATORS: dict[str, Callable[[Expression, Expression], sa.ColumnElement[bool]]] = {
    "eq": operator.eq,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


def _escaped(text: str | VariableRef) -> str | VariableRef:
    """The text with the wildcards of LIKE escaped."""
    if isinstance(text, VariableRef):
        return text.then(_escaped)
    return re.sub("[/%_]", r"/\g<0>", text)


def _comparison(
    name: str, kind: Any, *operators: str, description: str, case_insensitive: bool = False
) -> type[Comparison]:
    meanings = {
        "eq": ("Equal to this; null matches rows without a value.", Optional[kind]),
        "in_": ("Equal to one of these.", Optional[list[kind]]),
        "not_in": ("Equal to none of these. Also true for rows without a value.", Optional[list[kind]]),
        "gt": ("Greater or later than this.", Optional[kind]),
        "gte": ("Greater than or equal to this.", Optional[kind]),
        "lt": ("Less or earlier than this.", Optional[kind]),
        "lte": ("Less than or equal to this.", Optional[kind]),
        "contains": ("Contains this.", Optional[kind]),
        "starts_with": ("Starts with this.", Optional[kind]),
        "is_null": ("True for rows without a value, false for rows with one.", Optional[bool]),
    }
    fields = {each: (meanings[each][1], meanings[each][0]) for each in (*operators, "is_null")}
    made = input_type(name, Comparison, fields, description)
    made.case_insensitive = case_insensitive
    return made


def input_type(
    name: str,
    base: type[T],
    fields: Mapping[str, tuple[object, str]],
    description: str,
    left_out: object = UNSET,
) -> type[T]:
    """A subclass of `base` that is an input type of {name: (annotation, description)}.

    Omitted fields have the value `left_out`.
    """
    body: dict[str, object] = {"__annotations__": dict.fromkeys(fields, object), "__module__": __name__}
    for python_name, (_, meaning) in fields.items():
        spelled = to_camel_case(python_name.removesuffix("_"))
        body[python_name] = strawberry.field(name=spelled, description=meaning, default=left_out)
    made: type[T] = strawberry.input(
        types.new_class(name, (base,), {}, lambda space: space.update(body)), description=description
    )
    for field in get_object_definition(made, strict=True).fields:
        field.type_annotation = StrawberryAnnotation(fields[field.python_name][0], namespace=INPUT_TYPES)
    INPUT_TYPES[name] = made
    return made


INPUT_TYPES: dict[str, type[Any]] = {}
"""All input types by name. Annotations between them are resolved here."""

_EXACT = ("eq", "in_", "not_in")
_RANGE = (*_EXACT, "gt", "gte", "lt", "lte")
COMPARISONS: dict[object, type[Comparison]] = {
    strawberry.ID: _comparison("IDFilter", strawberry.ID, *_EXACT, description="Compares ids."),
    str: _comparison(
        "StringFilter",
        str,
        *_RANGE,
        "contains",
        "starts_with",
        description="Compares text, ignoring case.",
        case_insensitive=True,
    ),
    int: _comparison("IntFilter", int, *_RANGE, description="Compares whole numbers."),
    Decimal: _comparison("DecimalFilter", Decimal, *_RANGE, description="Compares decimal numbers."),
    dt.datetime: _comparison("DateTimeFilter", dt.datetime, *_RANGE, description="Compares times."),
    dt.date: _comparison("DateFilter", dt.date, *_RANGE, description="Compares dates."),
    bool: _comparison("BooleanFilter", bool, "eq", description="Compares booleans."),
}


def comparison_of(kind: object) -> type[Comparison] | None:
    """The comparison for values of a type; None if they cannot be compared."""
    if kind not in COMPARISONS and isinstance(kind, type) and issubclass(kind, enum.Enum):
        name = kind.__name__
        COMPARISONS[kind] = _comparison(f"{name}Filter", kind, *_EXACT, description=f"Compares values of {name}.")
    return COMPARISONS.get(kind)


class Filter:
    """A condition on a record: all of its fields must hold."""

    model: ClassVar[type[Entity]]
    edges: ClassVar[dict[str, str]]
    """The columns of the fields that lead to other records."""

    def where(self, model: object, viewer: Viewer) -> sa.ColumnElement[bool]:
        """The condition in SQL. Raises BadUserInput for a value that cannot be stored, and beyond the limits above."""
        self._check_size()
        return self._holds(model, viewer)

    def _check_size(self) -> None:
        level: list[object] = [self]
        count = values = 0
        for _ in range(MAX_FILTER_DEPTH):
            level = [part for each in level for part in _parts(each)]
            count += len(level)
            values += sum(_length(each) for each in level if isinstance(each, list))
            if count > MAX_CONDITIONS:
                raise BadUserInput(f"A filter has at most {MAX_CONDITIONS} conditions.", "filter")
            if values > MAX_TOTAL_VALUES:
                raise BadUserInput(f"A filter compares with at most {MAX_TOTAL_VALUES} values.", "filter")
            if not level:
                return
        raise BadUserInput(f"A filter is at most {MAX_FILTER_DEPTH} levels deep.", "filter")

    def _holds(self, model: object, viewer: Viewer) -> sa.ColumnElement[bool]:
        conditions: list[sa.ColumnElement[bool]] = []
        for name, value in vars(self).items():
            if value is UNSET or value is None:
                continue
            if name == "and_":
                conditions.extend(each._holds(model, viewer) for each in value)
            elif name == "or_":
                conditions.append(sa.or_(sa.false(), *(each._holds(model, viewer) for each in value)))
            elif name == "not_":
                conditions.append(sa.not_(value._holds(model, viewer)))
            elif isinstance(value, Filter):
                conditions.append(_exists(value.model, getattr(model, self.edges[name]), viewer, value._holds))
            else:
                column, target = getattr(model, name), self.model.__table__.columns[name].info.get("references")
                # An id of a record that the viewer may not see counts as no value: filters must not reveal it.
                present = column.is_not(None) if target is None else _exists(TABLES[target], column, viewer)
                conditions.append(value.where(column, name, present))
        return sa.and_(sa.true(), *conditions)

    def reaches(self) -> Dependencies:
        """The models of other records that the condition depends on, each with the names of the columns it reads."""
        found: dict[type[Entity], set[str]] = defaultdict(set)
        for name, value in vars(self).items():
            if name in {"and_", "or_", "not_"} and value:
                for each in value if isinstance(value, list) else [value]:
                    _merge(found, each.reaches())
            elif isinstance(value, Filter):
                _merge(found, {value.model: value._compared()}, value.reaches())
            elif isinstance(value, Comparison):
                target = self.model.__table__.columns[name].info.get("references")
                _merge(found, {TABLES[target]: set()} if target else {})
        return dict(found)

    def _compared(self) -> set[str]:
        """The names of the record's own columns that the condition reads."""
        found: set[str] = set()
        for name, value in vars(self).items():
            if name in {"and_", "or_", "not_"} and value:
                for each in value if isinstance(value, list) else [value]:
                    found |= each._compared()
            elif isinstance(value, Filter):
                found.add(self.edges[name])
            elif isinstance(value, Comparison):
                found.add(name)
        return found

    def mentions(self, name: str) -> bool:
        """True if the filter has a condition on a column of the record itself."""
        parts = [value for key, value in vars(self).items() if key in {"and_", "or_", "not_"} and value]
        nested = [each for part in parts for each in (part if isinstance(part, list) else [part])]
        return vars(self).get(name) not in (UNSET, None) or any(each.mentions(name) for each in nested)


def _merge(found: dict[type[Entity], set[str]], *others: Dependencies) -> None:
    for other in others:
        for model, names in other.items():
            found[model] |= names


def _parts(part: object) -> list[object]:
    """The conditions and values of a filter or a comparison; none for a value."""
    parts: list[object] = []
    for value in vars(part).values() if isinstance(part, (Filter, Comparison)) else ():
        if isinstance(value, list) and isinstance(part, Filter):
            parts.extend(value)
        elif value is not UNSET:
            parts.append(value)
    return parts


def _length(values: list[object]) -> int:
    """The largest number of values that a list can have."""
    return sum(MAX_VALUES if isinstance(each, VariableRef) and each.many else 1 for each in values)


def _exists(
    target: type[Entity], column: Expression, viewer: Viewer, where: Where | None = None
) -> sa.ColumnElement[bool]:
    """The condition that a column refers to a record that the viewer may see and that meets a condition."""
    other = aliased(target)
    found = sa.exists().where(other.id == column, visible(other, viewer))
    return found if where is None else found.where(where(other, viewer))


def filter_type(name: str, model: type[Entity], columns: dict[str, object], edges: dict[str, tuple[str, str]]) -> None:
    """Make the filter of a node type from its columns' types and the (column, target name) of each edge."""
    fields: dict[str, tuple[object, str]] = {}
    for column, kind in columns.items():
        comparison = comparison_of(kind)
        if comparison is not None:
            fields[column] = (Optional[comparison], f"A condition on `{_camel(column)}`.")
    for edge, (column, target) in edges.items():
        fields[column] = (Optional[COMPARISONS[strawberry.ID]], f"A condition on the id of `{_camel(edge)}`.")
        fields[edge] = (
            f"{target}Filter | None",
            f"A condition on `{_camel(edge)}`, which must exist and be visible to you.",
        )
    fields["and_"] = (f"list[{name}Filter] | None", "All of these hold.")
    fields["or_"] = (f"list[{name}Filter] | None", "At least one of these holds.")
    fields["not_"] = (f"{name}Filter | None", "This does not hold.")
    made = input_type(f"{name}Filter", Filter, fields, f"A filter of {name} records: all of its conditions must hold.")
    made.model, made.edges = model, {edge: column for edge, (column, _) in edges.items()}


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)
