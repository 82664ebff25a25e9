"""Values for arguments, mostly ones that match something: taken from the existing rows."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable, Sequence
from random import Random
from types import SimpleNamespace
from typing import Any

from graphql import GraphQLField, GraphQLSchema, get_named_type

from crm_graph import models
from crm_graph.database import casefold_text
from crm_graph.models.types import Amount, Enum, Text, Time, wire
from loaders import SortKey
from loaders.core.cursors import encode
from schema.core import TYPES
from schema.core.filters import INPUT_TYPES
from schema.core.orders import order_terms
from tests.support.differential.dataset import HERE, THERE, Row, rows_of

DEEPEST_FILTER = 2
NO_IDS = ["", "acc_", "acc_999", "nonsense", "\0", "'; --", "acc_001 ", "ACC_001", "ws_here", 7]
CARDS = (SortKey("rank"), SortKey("id"))


class Arguments:
    """Draws the arguments of fields, as JSON values."""

    def __init__(self, chance: Random, schema: GraphQLSchema) -> None:
        self.chance = chance
        self.schema = schema

    def of(self, field: GraphQLField, kinds: Sequence[str], *, root: bool) -> Row:
        """The arguments of a field. `kinds` are the types of records whose fields are selected."""
        arguments: Row = {}
        names, target = field.args.keys(), get_named_type(field.type).name.removesuffix("Connection")
        chance = self.chance.random
        if "id" in names:
            arguments["id"] = self.record_id(self.chance.choice(kinds))
        if "ids" in names:
            arguments["ids"] = [self.record_id(self.chance.choice(kinds)) for _ in range(self.chance.randrange(7))]
        if "pipelineId" in names:
            arguments["pipelineId"] = self.record_id("Pipeline")
        if "filter" in names and chance() < (0.4 if root else 0.2):
            arguments["filter"] = self.filter("Opportunity" if "pipelineId" in names else target)
        if "orderBy" in names and chance() < 0.5:
            arguments["orderBy"] = self.order(target)
        if "first" in names:
            arguments |= self.page(target, names, lambda: self._order(target, arguments, names))
        for name in sorted(names - arguments.keys()):
            if chance() < 0.04 and name not in {"id", "ids", "pipelineId"}:
                arguments[name] = None
        return arguments

    def record_id(self, target: str) -> Any:
        """The id of a record of a type: existing, deleted or hidden; or of another type or workspace, or of no
        record."""
        model = TYPES[target if target in TYPES else self.chance.choice(list(TYPES))].__model__
        rows, luck = rows_of(HERE)[model], self.chance.random()
        if luck < 0.75:
            rows = [row for row in rows if row["deleted_at"] is None]
        if luck < 0.88:
            return self.chance.choice(rows)["id"]
        if luck < 0.92:
            return self.chance.choice(rows_of(THERE)[model])["id"]
        if luck < 0.96:
            return self.chance.choice(rows_of(HERE)[models.Account])["id"]
        return self.chance.choice(NO_IDS)

    # Pages

    def page(self, target: str, names: Any, order: Callable[[], tuple[SortKey, ...]]) -> Row:
        """The arguments of a page; `order` is the one of its cursors."""
        kinds = ["all", "first", "after"] + (["last", "before", "between", "odd"] if "last" in names else [])
        kind = self.chance.choices(kinds, [3, 5, 4, 3, 2, 1, 0.2][: len(kinds)])[0]
        size = self.chance.choice([1, 1, 2, 2, 3, 3, 5, 8, 25, 100])
        cursors = target in TYPES
        match kind:
            case "first":
                return {"first": size}
            case "after" if cursors:
                return {"after": self.cursor(target, order()), **self._sized("first", size)}
            case "last":
                return {"last": size}
            case "before" if cursors:
                return {"before": self.cursor(target, order()), **self._sized("last", size)}
            case "between" if cursors:
                both = {"after": self.cursor(target, order()), "before": self.cursor(target, order())}
                return {**both, self.chance.choice(["first", "last"]): size}
            case "odd":
                return self.chance.choice([{"first": 0}, {"last": 101}, {"first": 1, "last": 1}, {"after": "nonsense"}])
        return {}

    def _sized(self, name: str, size: int) -> Row:
        return {name: size} if self.chance.random() < 0.8 else {}

    def cursor(self, target: str, terms: tuple[SortKey, ...]) -> str:
        """The cursor of a page for one of the rows, deleted ones included."""
        model = TYPES[target].__model__
        row = self.chance.choice(rows_of(HERE)[model])
        if self.chance.random() < 0.01:
            terms = (SortKey("version"), SortKey("id"))
        return encode(f"{model.__name__}{terms}", [_key(model, term, row) for term in terms])

    def _order(self, target: str, arguments: Row, names: Any) -> tuple[SortKey, ...]:
        if "orderBy" not in names:
            return CARDS
        chosen = arguments.get("orderBy")
        terms: list[Any] = [
            SimpleNamespace(
                field=SimpleNamespace(value=term["field"].lower()),
                direction=SimpleNamespace(value=term.get("direction", "ASC")),
                nulls=SimpleNamespace(value=term.get("nulls", "LAST")),
            )
            for term in (chosen if isinstance(chosen, list) else [chosen] if chosen else [])
        ]
        return order_terms(TYPES[target], terms)

    def order(self, target: str) -> Any:
        """Some terms, or a single one without a list."""
        fields = list(self.schema.type_map[f"{target}OrderField"].values)  # type: ignore[attr-defined]
        terms = []
        for _ in range(self.chance.choices([0, 1, 2, 3], [1, 12, 6, 2])[0]):
            term = {"field": self.chance.choice(fields)}
            if self.chance.random() < 0.6:
                term["direction"] = self.chance.choice(["ASC", "DESC"])
            if self.chance.random() < 0.6:
                term["nulls"] = self.chance.choice(["FIRST", "LAST"])
            terms.append(term)
        return terms[0] if len(terms) == 1 and self.chance.random() < 0.2 else terms

    # Filters

    def filter(self, target: str) -> Row:
        """A filter that at least one row matches, visible or not."""
        rows = rows_of(HERE)[TYPES[target].__model__]
        living = [row for row in rows if row["deleted_at"] is None]
        return self._holds(target, self.chance.choice(living), 0)

    def _holds(self, target: str, row: Row, depth: int) -> Row:
        fields: Any = self.schema.type_map[f"{target}Filter"].fields  # type: ignore[attr-defined]
        model = TYPES[target].__model__
        edges = INPUT_TYPES[f"{target}Filter"].edges
        found: Row = {}
        for name in self.chance.sample(list(fields), self.chance.choices([0, 1, 2, 3], [1, 8, 4, 1])[0]):
            kind = get_named_type(fields[name].type)
            rest = kind.name.removesuffix("Filter")
            if self.chance.random() < 0.03:
                found[name] = None
            elif name in {"and", "or", "not"}:
                if depth < DEEPEST_FILTER:
                    found[name] = self._combined(name, target, row, depth + 1)
            elif rest in TYPES:
                if depth < DEEPEST_FILTER:
                    other = _referred(rest, row[edges[_snake(name)]])
                    other = other or self.chance.choice(rows_of(HERE)[TYPES[rest].__model__])
                    found[name] = self._holds(rest, other, depth + 1)
            elif name != "deletedAt" or self.chance.random() < 0.3:
                found[name] = self._comparison(kind, model, _snake(name), row)
        return found

    def _combined(self, name: str, target: str, row: Row, depth: int) -> Any:
        another = self.chance.choice(rows_of(HERE)[TYPES[target].__model__])
        if name == "not":
            return self._holds(target, another, depth)
        parts = [self._holds(target, row, depth) for _ in range(self.chance.randrange(3))]
        if name == "or" and self.chance.random() < 0.8:
            parts.append(self._holds(target, another, depth))
        return parts

    def _comparison(self, kind: Any, model: Any, column: str, row: Row) -> Row:
        value, pool = row[column], [each[column] for each in rows_of(HERE)[model] if each[column] is not None]
        found: Row = {}
        for operator in self.chance.sample(list(kind.fields), self.chance.choices([1, 2], [5, 1])[0]):
            given = self.chance.choice(pool) if value is None and pool else value
            if given is None:
                found["isNull"] = value is None
                continue
            match operator:
                case "isNull":
                    found[operator] = (value is None) is (self.chance.random() < 0.85)
                case "eq":
                    found[operator] = None if value is None else self._said(given)
                case "in":
                    some = [*self.chance.sample(pool, min(len(pool), self.chance.randrange(3))), given]
                    found[operator] = [self._said(each) for each in some]
                case "notIn":
                    some = self.chance.sample(pool, min(len(pool), self.chance.randrange(3)))
                    found[operator] = [self._said(each) for each in some]
                case "contains" | "startsWith":
                    start = 0 if operator == "startsWith" else self.chance.randrange(len(given))
                    found[operator] = self._said(given[start : start + self.chance.randrange(1, 5)])
                case "lt" | "gt":
                    found[operator] = self._said(self.chance.choice(pool))
                case _:
                    found[operator] = self._said(given)
        return found

    def _said(self, value: Any) -> Any:
        """A value in one of its spellings."""
        luck, said = self.chance.random(), wire(value)
        match model_kind(value):
            case "text" if luck < 0.3:
                return said.swapcase() if luck < 0.2 else unicodedata.normalize("NFD", said)
            case "text" if luck > 0.995:
                return "x" * 1001
            case "number" if luck < 0.3 and abs(value) < 10**9:
                return float(said) if "." in said else int(said)
            case "time" if luck < 0.3:
                return said.replace("Z", "+00:00")
        return said


def model_kind(value: Any) -> str:
    kinds = {"str": "text", "Decimal": "number", "datetime": "time"}
    return kinds.get(type(value).__name__, "")


def _key(model: Any, term: SortKey, row: Row) -> Any:
    """The value of a row in a cursor, for a term of an order."""
    kind, value = model.__table__.columns[term.column].type, row[term.column]
    if value is None or isinstance(kind, (Amount, Time)):
        return value
    if isinstance(kind, Enum):
        return list(kind.members).index(value)
    return casefold_text(value) if isinstance(kind, Text) and term.column not in {"id", "rank"} else value


@functools.cache
def _by_id(target: str) -> dict[str, Row]:
    return {row["id"]: row for row in rows_of(HERE)[TYPES[target].__model__]}


def _referred(target: str, record_id: str | None) -> Row | None:
    return None if record_id is None else _by_id(target)[record_id]


def _snake(name: str) -> str:
    return re.sub(r"([A-Z])", r"_\1", name).lower()
