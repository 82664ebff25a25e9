"""Operations: selections of hypothesis-graphql with all other features of GraphQL: pages, arguments, aliases,
fragments, directives and variables."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from graphql import (
    FieldNode,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    NameNode,
    SelectionSetNode,
    get_named_type,
    get_nullable_type,
    is_leaf_type,
)
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from schema import build_schema
from schema.core import TYPES
from tests.support.differential.arguments import Arguments
from tests.support.differential.dataset import DEFAULTS, ROLES, Row, Who
from tests.support.differential.shapes import LEFT_OUT, SELDOM, selections

ALIASES = ["order", "select", "data", "json", "key", "row", "_position", "_parent", "__x", "count", "nodes_"]


WANTED = {"pipelineBoard", "revision", "summary", "totals"}
ADMIN = Who(0)


@dataclass(frozen=True)
class Case:
    """One operation and its viewer."""

    text: str
    name: str | None = None
    variables: Row = field(default_factory=dict)
    who: Who = ADMIN

    def __str__(self) -> str:
        variables = json.dumps(self.variables, ensure_ascii=False)
        return f"{self.text}\nvariables: {variables}\noperation: {self.name}, asked by {self.who}"


def cases(schema: GraphQLSchema, number: int) -> st.SearchStrategy[Case]:
    """Operations in one of the shapes of the schema."""
    chances = st.integers(0, 2**64 - 1).map(Random)
    return st.builds(lambda document, chance: dress(schema, document, chance), selections(schema, number), chances)


@functools.cache
def public() -> GraphQLSchema:
    """The schema of the operations."""
    return build_schema()._schema


@functools.cache
def drawn(number: int, count: int, run: int = 0) -> list[Case]:
    """A number of operations in one of the shapes, equal in every run of that number."""
    found: list[Case] = []

    @seed(run)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],  # they are asked later: `shrink` cuts down the one that matters
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases(public(), number))
    def collect(case: Case) -> None:
        found.append(case)

    collect()
    return found


def dress(schema: GraphQLSchema, document: Any, chance: Random) -> Case:
    """An operation with at least the selections of a document, for the real schema."""
    writer = _Writer(schema, chance)
    assert schema.query_type is not None
    body = writer.select(document.definitions[0].selection_set, schema.query_type)
    name = chance.choice([None, "Named", "Named"])
    declared = f"({', '.join(writer.declared)})" if writer.declared else ""
    parts = [f"query {name or ''}{declared} {body}", *writer.fragments]
    if name and chance.random() < 0.1:
        parts.append("query Other { __typename }")
    chance.shuffle(parts)
    user = None if chance.random() < 0.01 else chance.choice([0, *range(len(ROLES))])
    return Case("\n".join(parts), name, writer.variables, Who(user, chance.randrange(len(DEFAULTS))))


class _Writer:
    def __init__(self, schema: GraphQLSchema, chance: Random) -> None:
        self.schema = schema
        self.chance = chance
        self.arguments = Arguments(chance, schema)
        self.declared: list[str] = []
        self.variables: Row = {}
        self.fragments: list[str] = []
        self._spreads: dict[str, list[str]] = {}
        self._again: dict[tuple[str, str], list[str]] = {}
        self._aliases = list(ALIASES)
        chance.shuffle(self._aliases)
        self._number = 0

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _lucky(self, share: float) -> bool:
        return self.chance.random() < share

    # Selections

    def select(self, skeleton: SelectionSetNode, parent: Any) -> str:
        """A selection set of a type."""
        parts = self._more(parent) if self._lucky(0.3) else []
        for node in skeleton.selections:
            if isinstance(node, InlineFragmentNode) and node.type_condition is not None:
                kind = node.type_condition.name.value
                inside = self.select(node.selection_set, self.schema.type_map[kind])
                parts.append(f"... on {kind}{self._directives()} {inside}")
            elif isinstance(node, FieldNode):
                parts.extend(self._field(node, parent))
        return self._grouped(parts, parent)

    def _more(self, parent: Any) -> list[str]:
        """One more field, so that types with few selections occur, too."""
        names = [name for name in parent.fields if name not in LEFT_OUT and (name not in SELDOM or self._lucky(0.05))]
        name = self.chance.choices(names, [8 if each in WANTED else 1 for each in names])[0]
        found = parent.fields[name]
        alias = f"a{self._next()}" if found.args else None  # elsewhere it may have other arguments
        return self._written(name, alias, found, self._little(found), root=parent is self.schema.query_type)

    def _little(self, found: GraphQLField) -> SelectionSetNode | None:
        """Some leaves of the record that a field leads to, and of its parts."""
        name = get_named_type(found.type).name.removesuffix("Connection")
        kind: Any = self.schema.type_map[name]
        if is_leaf_type(kind):
            return None
        leaves = [each for each, field in kind.fields.items() if is_leaf_type(get_named_type(field.type))]
        chosen = self.chance.sample(leaves, min(len(leaves), 3))
        parts: dict[str, SelectionSetNode | None] = dict.fromkeys(chosen)
        if name not in TYPES and name != "TimelineEntry":
            parts |= {each: self._little(field) for each, field in kind.fields.items() if each not in leaves}
        nodes = [FieldNode(name=NameNode(value=each), selection_set=inside) for each, inside in parts.items()]
        return SelectionSetNode(selections=tuple(nodes))

    def _field(self, node: FieldNode, parent: Any) -> list[str]:
        """A field, sometimes twice: to be merged, or with an alias."""
        name, found = node.name.value, parent.fields[node.name.value]
        again = not is_leaf_type(get_named_type(found.type)) and self._lucky(0.1)
        answered = node.alias.value if node.alias else self._alias()
        parts = self._written(name, answered, found, node.selection_set, root=parent is self.schema.query_type)
        if again:
            key = f"a{self._next()}"
            parts += self._written(name, key, found, node.selection_set, root=parent is self.schema.query_type)
        return parts

    def _written(
        self, name: str, alias: str | None, found: GraphQLField, skeleton: SelectionSetNode | None, *, root: bool
    ) -> list[str]:
        head = f"{alias}: {name}" if alias else name
        target: Any = get_named_type(found.type)
        head += self._arguments(found, _kinds(skeleton) or [target.name], root=root)
        if is_leaf_type(target) or skeleton is None:
            return [f"{head}{self._directives()}"] * (2 if self._lucky(0.06) else 1)
        whole = self._page if target.name.endswith("Connection") else self.select
        parts = _halves(skeleton) if self._lucky(0.15) else [skeleton]
        return [f"{head}{self._directives()} {whole(part, target)}" for part in parts]

    def _page(self, skeleton: SelectionSetNode, parent: GraphQLObjectType) -> str:
        """The selection of a page; the skeleton selects from its rows."""
        node = get_named_type(parent.fields["nodes"].type)
        parts = []
        rows = self.chance.choices(["nodes", "edges", "both", "neither"], [10, 7, 2, 1])[0]
        if rows in {"nodes", "both"}:
            parts.append(f"{self._named('nodes')} {self.select(skeleton, node)}")
        if rows in {"edges", "both"}:
            edge = [f"{self._named('node')} {self.select(skeleton, node)}"]
            if self._lucky(0.7):
                edge.insert(self.chance.randrange(2), self._named("cursor"))
            kind = get_named_type(parent.fields["edges"].type)
            parts.append(f"{self._named('edges')} {self._grouped(edge, kind)}")
        if self._lucky(0.4):
            fields = ["hasNextPage", "hasPreviousPage", "startCursor", "endCursor"]
            some = [self._named(each) for each in self.chance.sample(fields, self.chance.randint(1, 4))]
            parts.append(f"{self._named('pageInfo')} {self._grouped(some, self.schema.type_map['PageInfo'])}")
        if self._lucky(0.35) or not parts:
            parts.append(self._named("totalCount"))
        self.chance.shuffle(parts)
        return self._grouped(parts, parent)

    def _named(self, name: str) -> str:
        alias = self._alias()
        return f"{alias}: {name}{self._directives()}" if alias else f"{name}{self._directives()}"

    def _alias(self) -> str | None:
        """A name that is unique in the operation, or none."""
        if not self._lucky(0.1):
            return None
        return self._aliases.pop() if self._aliases and self._lucky(0.4) else f"a{self._next()}"

    def _grouped(self, parts: list[str], parent: Any) -> str:
        """A selection set of these parts, some of them in a fragment."""
        if self._lucky(0.15):
            parts.insert(self.chance.randint(0, len(parts)), self._named("__typename"))
        if "Node" in {each.name for each in getattr(parent, "interfaces", ())} and self._lucky(0.08):
            parts.insert(self.chance.randint(0, len(parts)), f"... on Node{self._directives()} {{ id __typename }}")
        if self._lucky(0.05 if parent is self.schema.query_type else 0.2):
            start = self.chance.randrange(len(parts))
            end = self.chance.randint(start + 1, len(parts))
            parts[start:end] = [self._fragment(" ".join(parts[start:end]), parent.name)]
        if self._spreads.get(parent.name) and self._lucky(0.2):
            parts.append(f"...{self.chance.choice(self._spreads[parent.name])}{self._directives()}")
        return f"{{ {' '.join(parts)} }}"

    def _fragment(self, inside: str, kind: str) -> str:
        directives = self._directives()
        form = self.chance.choice(["...", f"... on {kind}", "named", "named"])
        if form != "named":
            return f"{form}{directives} {{ {inside} }}"
        name = f"F{self._next()}"
        self.fragments.append(f"fragment {name} on {kind} {{ {inside} }}")
        if "(" not in inside:  # elsewhere its arguments might not fit beside others
            self._spreads.setdefault(kind, []).append(name)
        return f"...{name}{directives}"

    def _directives(self) -> str:
        """@include, @skip, both, or mostly neither; their subject is mostly kept."""
        if not self._lucky(0.08):
            return ""
        names = self.chance.choice([["include"], ["skip"], ["skip", "include"]])
        parts = []
        for name in names:
            stays = self._lucky(0.75)
            value = self.write((name == "include") is stays, GraphQLNonNull(self.schema.type_map["Boolean"]))
            parts.append(f" @{name}(if: {value})")
        return "".join(parts)

    # Arguments and variables

    def _arguments(self, found: GraphQLField, kinds: list[str], *, root: bool) -> str:
        values = self.arguments.of(found, kinds, root=root)
        parts = [f"{name}: {self.write(value, found.args[name].type)}" for name, value in values.items()]
        self.chance.shuffle(parts)
        return f"({', '.join(parts)})" if parts else ""

    def write(self, value: Any, kind: Any, share: float = 0.35, *, sole: bool = False) -> str:
        """A value as a literal or as a variable. `sole` is the value of a list of one that is written without it."""
        if not sole and self._lucky(share):
            return self._variable(value, kind)
        return self._literal(value, kind, lambda part, its, sole: self.write(part, its, share / 3, sole=sole))

    def _literal(self, value: Any, kind: Any, write: Callable[[Any, Any, bool], str]) -> str:
        inner: Any = get_nullable_type(kind)
        if value is None:
            return "null"
        if isinstance(inner, GraphQLList):
            if not isinstance(value, list):
                return write(value, inner.of_type, True)
            return f"[{', '.join(write(each, inner.of_type, False) for each in value)}]"
        if isinstance(inner, GraphQLInputObjectType):
            parts = (f"{name}: {write(each, inner.fields[name].type, False)}" for name, each in value.items())
            return f"{{{', '.join(parts)}}}"
        return value if isinstance(inner, GraphQLEnumType) else json.dumps(value, ensure_ascii=False)

    def _variable(self, value: Any, kind: Any) -> str:
        """A variable with the value, sent or as its default; or no value, if allowed."""
        needed = isinstance(kind, GraphQLNonNull)
        declared = str(kind)
        key = (declared, json.dumps(value))
        if self._again.get(key) and self._lucky(0.5):
            return self.chance.choice(self._again[key])
        name = f"v{self._next()}"
        luck = self.chance.random()
        default = ""
        if luck < 0.12 and not needed:
            if luck < 0.04:
                self.variables[name] = None  # and not the default
                default = f" = {self._plain(value, kind)}" if self._lucky(0.5) else ""
            elif luck < 0.08:
                default = " = null"
        elif luck < 0.3 and value is not None:
            declared = declared.removesuffix("!") if needed else declared
            default = f" = {self._plain(value, kind)}"
            if self._lucky(0.5):
                self.variables[name] = value
        else:
            declared += "!" if not needed and value is not None and self._lucky(0.3) else ""
            self.variables[name] = value
        self.declared.append(f"${name}: {declared}{default}")
        self._again.setdefault(key, []).append(f"${name}")
        return f"${name}"

    def _plain(self, value: Any, kind: Any) -> str:
        return self._literal(value, kind, lambda part, its, _: self._plain(part, its))


def _halves(skeleton: SelectionSetNode) -> list[SelectionSetNode]:
    """The selections in two sets, if there are enough."""
    nodes = skeleton.selections
    parts = [nodes[: len(nodes) // 2], nodes[len(nodes) // 2 :]]
    return [SelectionSetNode(selections=part) for part in parts if part]


def _kinds(skeleton: SelectionSetNode | None) -> list[str]:
    """The types with fragments in a selection."""
    nodes = skeleton.selections if skeleton else ()
    return [
        each.type_condition.name.value for each in nodes if isinstance(each, InlineFragmentNode) and each.type_condition
    ]
