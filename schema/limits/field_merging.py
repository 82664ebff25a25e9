"""Validates in linear time that fields with the same response key can be merged. GraphQL's own rule compares all pairs
of fields and of fragments.

Implements https://spec.graphql.org/draft/#sec-Field-Selection-Merging. The conditions are equivalence relations, so a
field is compared with the first one only: the shapes of all fields with one response key, and the names and arguments
of those that can belong to one object.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from graphql import (
    FieldNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLOutputType,
    GraphQLType,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValidationContext,
    ValidationRule,
    get_named_type,
    is_leaf_type,
    is_object_type,
    print_ast,
)
from graphql.utilities.sort_value_node import sort_value_node

from crm_graph.errors import LimitExceeded

MAX_STEPS = 30_000
"""Field comparisons per document. Ordinary documents stay far below."""
COMPARED = "fields to be compared"


class _Field(NamedTuple):
    node: FieldNode
    parent: GraphQLNamedType | None
    kind: GraphQLOutputType | None

    @property
    def is_streamed(self) -> bool:
        return any(each.name.value == "stream" for each in self.node.directives or ())


_Group = list[_Field]
"""Fields with the same response key in one place of the result."""
_Set = tuple[GraphQLNamedType | None, SelectionSetNode]
"""A selection set with its type."""


class FieldMergingRule(ValidationRule):
    """Raises LimitExceeded after MAX_STEPS comparisons."""

    def __init__(self, context: ValidationContext) -> None:
        super().__init__(context)
        self._steps = 0
        self._arguments: dict[int, dict[str, str]] = {}
        self._reported: set[tuple[int, int]] = set()
        self._inner: dict[tuple[int, ...], list[_Group]] = {}
        self._seen: set[tuple[str, tuple[int, ...]]] = set()
        """Groups that were compared already, by their nodes."""

    def enter_operation_definition(self, node: OperationDefinitionNode, *rest: object) -> None:
        groups = self._groups([(self.context.schema.get_root_type(node.operation), node.selection_set)])
        self._compare_fields(groups)
        self._compare_shapes(groups)

    def _compare_shapes(self, groups: Iterable[_Group]) -> None:
        for group in groups:
            if self._is_new("shape", group):
                first, *others = group
                different = next((each for each in others if _conflict(first.kind, each.kind)), None)
                streamed = others and any(each.is_streamed for each in group)
                if streamed:
                    self._report("they have overlapping stream directives", first, others[0])
                elif different is not None:
                    self._report(
                        f"they return conflicting types '{first.kind}' and '{different.kind}'", first, different
                    )
                else:
                    self._compare_shapes(self._within(group))

    def _compare_fields(self, groups: Iterable[_Group]) -> None:
        for group in groups:
            open_, parts = _by_object(group)
            good = [self._agree([*open_[:1], *part]) for part in (open_, *parts)]
            for part in parts or [[]] if all(good) else []:
                if self._is_new("fields", open_ + part):
                    self._compare_fields(self._within(open_ + part))

    def _agree(self, fields: _Group) -> bool:
        """True if all fields have the name and the arguments of the first."""
        self._count(len(fields))
        for each in fields[1:]:
            first, name, other = fields[0], fields[0].node.name.value, each.node.name.value
            if name != other:
                self._report(f"'{name}' and '{other}' are different fields", first, each)
                return False
            if not self._have_same_arguments(first.node, each.node):
                self._report("they have differing arguments", first, each)
                return False
        return True

    def _have_same_arguments(self, one: FieldNode, other: FieldNode) -> bool:
        if not (one.arguments or other.arguments):
            return True
        return _written(one) == _written(other) or self._printed(one) == self._printed(other)

    def _printed(self, node: FieldNode) -> dict[str, str]:
        printed = self._arguments.get(id(node))
        if printed is None:
            printed = {each.name.value: print_ast(sort_value_node(each.value)) for each in node.arguments or ()}
            self._arguments[id(node)] = printed
        return printed

    def _count(self, steps: int) -> None:
        self._steps += steps
        if self._steps > MAX_STEPS:
            raise LimitExceeded(COMPARED, MAX_STEPS)

    def _is_new(self, kind: str, group: _Group) -> bool:
        self._count(len(group))
        key = kind, tuple([id(each.node) for each in group])
        is_new = key not in self._seen
        self._seen.add(key)
        return is_new

    def _report(self, reason: str, one: _Field, other: _Field) -> None:
        pair = id(one.node), id(other.node)
        if pair in self._reported:
            return  # reported with another difference
        self._reported.add(pair)
        name = (one.node.alias or one.node.name).value
        message = f"Fields '{name}' conflict because {reason}. Use different aliases to ask for both."
        self.report_error(GraphQLError(message, [one.node, other.node]))

    def _within(self, group: _Group) -> list[_Group]:
        """The merged subfields of a group."""
        key = tuple([id(each.node) for each in group])
        found = self._inner.get(key)
        if found is None:
            sets = [
                (None if each.kind is None else get_named_type(each.kind), each.node.selection_set)
                for each in group
                if each.node.selection_set is not None
            ]
            found = self._inner[key] = self._groups(sets)
        return found

    def _groups(self, sets: Sequence[_Set]) -> list[_Group]:
        groups: dict[str, _Group] = {}
        spread: set[str] = set()
        for kind, selections in sets:
            self._collect(kind, selections, groups, spread)
        return list(groups.values())

    def _collect(
        self,
        kind: GraphQLNamedType | None,
        selections: SelectionSetNode,
        groups: dict[str, _Group],
        spread: set[str],
    ) -> None:
        self._count(len(selections.selections))
        types = self.context.schema.type_map
        fields = getattr(kind, "fields", {})
        for each in selections.selections:
            if isinstance(each, FieldNode):
                declared = fields.get(each.name.value)
                field = _Field(each, kind, None if declared is None else declared.type)
                groups.setdefault((each.alias or each.name).value, []).append(field)
            elif isinstance(each, InlineFragmentNode):
                on = each.type_condition
                self._collect(kind if on is None else types.get(on.name.value), each.selection_set, groups, spread)
            elif isinstance(each, FragmentSpreadNode) and each.name.value not in spread:
                spread.add(each.name.value)
                fragment = self.context.get_fragment(each.name.value)
                if fragment is not None:
                    on = fragment.type_condition
                    self._collect(types.get(on.name.value), fragment.selection_set, groups, spread)


def _by_object(group: _Group) -> tuple[_Group, list[_Group]]:
    """The fields of a group that apply to any object, and those of each object type."""
    parts: dict[GraphQLNamedType, _Group] = {}
    open_: _Group = []
    for each in group:
        if is_object_type(each.parent):
            parts.setdefault(each.parent, []).append(each)
        else:
            open_.append(each)
    return open_, list(parts.values())


def _conflict(one: GraphQLType | None, other: GraphQLType | None) -> bool:
    """True if values of two types have different shapes; None is an unknown type. Objects are compared by their
    subfields."""
    if one is other or one is None or other is None:
        return False
    for wrapper in (GraphQLNonNull, GraphQLList):
        if isinstance(one, wrapper) and isinstance(other, wrapper):
            return _conflict(one.of_type, other.of_type)
        if isinstance(one, wrapper) or isinstance(other, wrapper):
            return True
    return is_leaf_type(one) or is_leaf_type(other)


def _written(node: FieldNode) -> list[str]:
    """The source text of the arguments: equal arguments are mostly written equally, which is fast to compare."""
    places = [each.loc for each in node.arguments or ()]
    return [place.source.body[place.start : place.end] for place in places if place is not None]
