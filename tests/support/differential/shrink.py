"""Shrinks an operation whose two answers differ, while they still differ."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from graphql import (
    REMOVE,
    ArgumentNode,
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    Node,
    ObjectFieldNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    Visitor,
    parse,
    print_ast,
    visit,
)

from tests.support.differential.operations import Case

REMOVABLE = (
    *(FieldNode, FragmentSpreadNode, InlineFragmentNode),
    *(ArgumentNode, DirectiveNode, ObjectFieldNode, OperationDefinitionNode),
)
MAX_TRIES = 300


async def shrink(case: Case, still: Callable[[Case], Awaitable[bool]], most: int = MAX_TRIES) -> Case:
    """The smallest case that is found by removing pieces while `still` holds."""
    place = tries = 0
    while tries < most:
        document = parse(case.text)
        target = next((node for number, node in enumerate(_pieces(document)) if number == place), None)
        if target is None:
            break
        without = _without(case, document, target)
        tries += 1
        if without is not None and await still(without):
            case = without
        else:
            place += 1
    return case


def _pieces(document: DocumentNode) -> Iterator[Node]:
    """The removable pieces, each before its parts."""
    found: list[Node] = []

    class Collect(Visitor):
        def enter(self, node: Node, *_: Any) -> None:
            if isinstance(node, REMOVABLE):
                found.append(node)

    visit(document, Collect())
    yield from found


def _without(case: Case, document: DocumentNode, target: Node) -> Case | None:
    """The case without one piece, and without the fragments and variables that nothing else uses."""

    class Remove(Visitor):
        def enter(self, node: Node, *_: Any) -> Any:
            return REMOVE if node is target else None

    document = visit(document, Remove())
    while True:
        spread = {each.name.value for each in _all(document, FragmentSpreadNode)}
        kept = [
            each
            for each in document.definitions
            if not isinstance(each, FragmentDefinitionNode) or each.name.value in spread
        ]
        if len(kept) == len(document.definitions):
            break
        document = dataclasses.replace(document, definitions=tuple(kept))
    if any(not each.selections for each in _all(document, SelectionSetNode)):
        return None
    used = {each.name.value for each in _all(_body(document), VariableNode)}

    class Undeclare(Visitor):
        def enter_variable_definition(self, node: Any, *_: Any) -> Any:
            return None if node.variable.name.value in used else REMOVE

    try:
        text = print_ast(visit(document, Undeclare()))
        parse(text)
    except GraphQLError:
        return None
    variables = {name: value for name, value in case.variables.items() if name in used}
    return dataclasses.replace(case, text=text, variables=variables)


def _body(document: DocumentNode) -> DocumentNode:
    """The document without the declarations of its operations."""

    class Remove(Visitor):
        def enter_variable_definition(self, *_: Any) -> Any:
            return REMOVE

    found: DocumentNode = visit(document, Remove())
    return found


def _all(document: DocumentNode, kind: type[Any]) -> list[Any]:
    found: list[Any] = []

    class Collect(Visitor):
        def enter(self, node: Node, *_: Any) -> None:
            if isinstance(node, kind):
                found.append(node)

    visit(document, Collect())
    return found
