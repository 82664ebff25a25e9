"""The cost of an operation: the number of records that it can return, with full pages.

    an object that stands for something    1, in a list for each row of the page
    connections, edges, amounts, addresses 0, plus the cost of their fields
    totals                                 TOTAL, as declared
    a mutation                             MUTATION_COST, plus the cost of its payload
    the schema itself                      INTROSPECTION_COST, and the same for each list beyond those that tools select

It is computed once per document and combination of page sizes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from graphql import (
    BooleanValueNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLNamedType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    OperationDefinitionNode,
    OperationType,
    SelectionNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    get_named_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    print_ast,
    value_from_ast_untyped,
)

from crm_graph.bounded_cache import BoundedCache
from loaders.core.pages import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE
from schema.core.costs import cost_of
from schema.core.selection import DEFINITION

MIN_COST = 1
MUTATION_COST = 10
INTROSPECTION_COST = 5_000
INTROSPECTION_LISTS = {
    "types",
    "fields",
    "args",
    "inputFields",
    "interfaces",
    "enumValues",
    "possibleTypes",
    "directives",
}
INCLUDED_INTROSPECTION_LISTS = 12
"""The usual introspection query selects as many lists."""
ASSUMED_LIST_SIZE = 10
"""Assumed length of a list without pages, such as the stages of a board."""
MAX_CACHED = 100

INTROSPECTION_FIELDS = {"__schema", "__type", "_service"}

Variables = Mapping[str, object]
Size = Callable[[Variables], int]
Condition = Callable[[Variables], bool]
T = TypeVar("T")


@dataclass(slots=True)
class _CostNode:
    """A field and its selection: `price` per object, for `size` objects."""

    price: int
    each: bool
    """True for a list."""
    size: Size | None = None
    parts: _CostNodes = field(default_factory=dict)
    conditions: list[Condition] | None = None
    """The field is executed if one of these holds; None if it always is."""
    sought: bool = False
    """True if looking for a record costs 1 even if there is none, since the number of keys is unbounded."""

    def requested(self, variables: Variables, page: int = ASSUMED_LIST_SIZE) -> int:
        """The maximal cost. `page` is the size of the page that the field is in, if any."""
        if self.conditions is not None and not any(holds(variables) for holds in self.conditions):
            return 0
        size = page if self.size is None else self.size(variables)
        inner = _requested(self.parts, variables, ASSUMED_LIST_SIZE if self.each else size)
        return (self.price + inner) * (size if self.each else 1)

    def actual(self, value: object) -> int:
        """The cost of a result."""
        if value is None:
            return self.price if self.sought else 0
        if isinstance(value, list):
            return sum(self.actual(each) for each in value)
        return self.price + (_actual(self.parts, value) if isinstance(value, dict) else 0)


_CostNodes = dict[str, list[_CostNode]]
"""By response key, which can be different fields for values of different types."""


def _requested(parts: _CostNodes, variables: Variables, page: int = ASSUMED_LIST_SIZE) -> int:
    return sum(each.requested(variables, page) for some in parts.values() for each in some)


def _actual(parts: _CostNodes, data: Mapping[str, object]) -> int:
    return sum(max(each.actual(data.get(key)) for each in some) for key, some in parts.items())


class Cost:
    """The cost of one operation of a document."""

    def __init__(self, schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode) -> None:
        reading = _Analysis(schema, document, operation)
        self._parts = reading.roots()
        self._reads = list(reading.reads.values())
        self._requested: BoundedCache[Hashable, int] = BoundedCache(MAX_CACHED)

    def requested(self, variables: Variables | None) -> int:
        """The maximal cost with these variables."""
        given = variables or {}
        key = tuple([read(given) for read in self._reads])
        cost = self._requested.get(key)
        if cost is None:
            cost = max(MIN_COST, _requested(self._parts, given))
            self._requested.set(key, cost)
        return cost

    def actual(self, data: Mapping[str, object]) -> int:
        """The cost of the operation's result."""
        return _actual(self._parts, data)


_Found = dict[tuple[str, ...], tuple[GraphQLNamedType | None, list[FieldNode], list[list[Condition]]]]
"""Fields by their identity, with the types of their parents, and the conditions under which they are executed."""


class _Analysis:
    """Analyzes an operation. `reads` reads the variables that its cost depends on."""

    def __init__(self, schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode) -> None:
        self.schema, self.operation = schema, operation
        self.fragments = {
            each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)
        }
        self.defaults = {
            each.variable.name.value: value_from_ast_untyped(each.default_value)
            for each in operation.variable_definitions or ()
            if each.default_value is not None
        }
        self.reads: dict[Hashable, Callable[[Variables], Any]] = {}
        self._lists: dict[str, int] = {}

    def roots(self) -> _CostNodes:
        root = self.schema.get_root_type(self.operation.operation)
        parts = self._parts(root, [self.operation.selection_set])
        if self.operation.operation is OperationType.MUTATION:
            for [part] in parts.values():
                part.price += MUTATION_COST
        return parts

    def _parts(self, kind: GraphQLNamedType | None, sets: Iterable[SelectionSetNode]) -> _CostNodes:
        """The fields of selection sets, with fields merged as in the result."""
        found: _Found = {}
        for each in sets:
            self._collect(kind, each, [], found)
        parts: _CostNodes = defaultdict(list)
        for (key, *_), (parent, nodes, conditions) in found.items():
            part = self._part(parent, nodes)
            if part is not None and (part.price or part.parts or kind is self.schema.mutation_type):
                part.conditions = None if [] in conditions else [_all(each) for each in conditions]
                parts[key].append(part)
        return dict(parts)

    def _collect(
        self,
        kind: GraphQLNamedType | None,
        selections: SelectionSetNode,
        conditions: list[Condition],
        found: _Found,
    ) -> None:
        for each in selections.selections:
            here = [*conditions, *self._conditions(each)]
            if isinstance(each, FieldNode):
                _, nodes, all_conditions = found.setdefault(self._key(kind, each), (kind, [], []))
                nodes.append(each)
                all_conditions.append(here)
            elif isinstance(each, InlineFragmentNode):
                on = each.type_condition
                inner = kind if on is None else self.schema.type_map.get(on.name.value)
                self._collect(inner, each.selection_set, here, found)
            elif isinstance(each, FragmentSpreadNode):
                fragment = self.fragments[each.name.value]
                inner = self.schema.type_map.get(fragment.type_condition.name.value)
                self._collect(inner, fragment.selection_set, here, found)

    def _key(self, parent: GraphQLNamedType | None, node: FieldNode) -> tuple[str, ...]:
        """The identity of a field: its response key, name, type and arguments."""
        declared = getattr(parent, "fields", {}).get(node.name.value)
        kind = "" if declared is None else str(declared.type).replace("!", "")
        return (node.alias or node.name).value, node.name.value, kind, *map(print_ast, node.arguments or ())

    def _lists_of(self, selections: SelectionSetNode | None) -> int:
        """The number of introspection lists in a selection."""
        count = 0
        for each in selections.selections if selections is not None else ():
            if isinstance(each, FragmentSpreadNode):
                name = each.name.value
                if name not in self._lists:
                    self._lists[name] = self._lists_of(self.fragments[name].selection_set)
                count += self._lists[name]
            elif isinstance(each, (FieldNode, InlineFragmentNode)):
                count += isinstance(each, FieldNode) and each.name.value in INTROSPECTION_LISTS
                count += self._lists_of(each.selection_set)
        return count

    def _part(self, parent: GraphQLNamedType | None, nodes: list[FieldNode]) -> _CostNode | None:
        """None for a leaf value."""
        name = nodes[0].name.value
        if name in INTROSPECTION_FIELDS:
            lists = sum(self._lists_of(node.selection_set) for node in nodes)
            return _CostNode(INTROSPECTION_COST * max(1, lists - INCLUDED_INTROSPECTION_LISTS), each=False)
        declared = getattr(parent, "fields", {}).get(name)
        if declared is None:
            return None  # __typename
        kind = get_named_type(declared.type)
        price = _declared_cost(declared, kind)
        if price is None:
            return None
        each = is_list_type(declared.type.of_type if is_non_null_type(declared.type) else declared.type)
        sets = [node.selection_set for node in nodes if node.selection_set is not None]
        size = self._size(declared, kind, nodes[0])
        return _CostNode(price, each, size, self._parts(kind, sets), sought="representations" in declared.args)

    def _size(self, declared: GraphQLField, kind: GraphQLNamedType, node: FieldNode) -> Size | None:
        """The number of rows that the field requests; None if it has no such argument."""
        given = {each.name.value: each.value for each in node.arguments or ()}
        if "ids" in declared.args:
            return self._value(given.get("ids"), _length)
        if "representations" in declared.args:
            return self._value(given.get("representations"), _whole_length)
        if "first" not in declared.args:
            return None
        definition = declared.extensions.get(DEFINITION)
        usual, largest = getattr(definition, "page_sizes", None) or (DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)
        first, last = (self._value(given.get(name), _number) for name in ("first", "last"))
        return lambda variables: min(first(variables) or last(variables) or usual, largest)

    def _conditions(self, node: SelectionNode) -> Iterable[Condition]:
        """The conditions of @include and @skip."""
        for directive in node.directives or ():
            wanted = {"include": True, "skip": False}.get(directive.name.value)
            if wanted is None:
                continue
            [argument] = directive.arguments or ()
            yield _condition(self._value(argument.value, bool), wanted)

    def _value(self, node: ValueNode | None, read: Callable[[object], T]) -> Callable[[Variables], T]:
        """A function that reads an argument's value from the variables."""
        if isinstance(node, VariableNode):
            name = node.name.value
            default = self.defaults.get(name)
            return self.reads.setdefault((name, read), lambda variables: read(variables.get(name, default)))
        if isinstance(node, ListValueNode):
            value = read(node.values)
        elif isinstance(node, IntValueNode):
            value = read(int(node.value))
        else:
            value = read(node.value if isinstance(node, BooleanValueNode) else None)
        return lambda variables: value


def _declared_cost(field: GraphQLField, kind: GraphQLNamedType) -> int | None:
    """The cost of each object of a field, from the declaration of the field or else of its type; None for a value."""
    cost: int | None = getattr(field.extensions.get(DEFINITION), "cost", None)
    if cost is not None or is_leaf_type(kind):
        return cost
    return cost_of(getattr(kind.extensions.get(DEFINITION), "origin", None))


def _condition(given: Callable[[Variables], object], wanted: bool) -> Condition:
    return lambda variables: given(variables) is wanted


def _all(conditions: list[Condition]) -> Condition:
    return lambda variables: all(holds(variables) for holds in conditions)


def _number(value: object) -> int:
    """0 for an invalid number, which execution rejects."""
    return max(0, int(value)) if isinstance(value, (int, float)) and abs(value) < 2**31 else 0


def _length(value: object) -> int:
    """The length of a list, at most a page: execution rejects longer ones."""
    return min(_whole_length(value), MAX_PAGE_SIZE)


def _whole_length(value: object) -> int:
    return len(value) if isinstance(value, (list, tuple)) else 1
