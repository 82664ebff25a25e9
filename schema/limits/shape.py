"""What a document may be made of. It is looked at before it is validated, which takes many times as long as this."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
)

from crm_graph.errors import LimitExceeded

LONGEST = 100_000
"""In characters: strings, comments and spaces take time too, and are one token or none."""
MOST_VALUES = 20_000
BESIDE = "fields of one name beside each other"
MOST = {
    "tokens": 6_000,
    "operations": 50,
    "fragments": 250,
    "variables": 250,
    "directives": 200,
    BESIDE: 50,
    "levels": 25,
    "fields": 2_000,
    "aliases": 250,
    "root fields": 100,
}
"""The first four are those of a whole document; the others, of one operation with its fragments, which count as often
as they are spread."""

# Strings run to the end of the text where they are not closed, so that no text is looked through twice.
_TOKEN = re.compile(
    r'"""(?:[^"\\]|\\"""|"(?!"")|\\)*(?:"""|\Z)|"(?:[^"\\\n]|\\.)*"?|#[^\n]*|\.\.\.|[A-Za-z_]\w*|-?\d[\w.+-]*|[^\s,\ufeff]'
)


def check_text(text: str) -> None:
    """Raises LimitExceeded for a text that would take long to parse."""
    if len(text) > LONGEST:
        raise LimitExceeded("characters", LONGEST)
    if len(text) > MOST["tokens"]:  # a token has a character
        tokens = [each for each in _TOKEN.findall(text) if each[0] != "#"]
        _check("tokens", len(tokens))
        _check("directives", tokens.count("@"))


def check_document(document: DocumentNode) -> None:
    """Raises LimitExceeded, and GraphQLError for fragments that are spread within themselves or nowhere."""
    operations = [each for each in document.definitions if isinstance(each, OperationDefinitionNode)]
    fragments = {each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)}
    _check("operations", len(operations))
    _check("fragments", len(fragments))
    _check("variables", max((len(each.variable_definitions or ()) for each in operations), default=0))
    measure = _Measure(fragments)
    for operation in operations:
        size = measure.of(operation.selection_set)
        _check("directives", size.directives + len(operation.directives or ()))
        _check("fields", size.fields)
        _check("aliases", size.aliases)
        _check("root fields", size.roots)
    unused = fragments.keys() - measure.known.keys()
    if unused:
        unfit = [each for name, each in fragments.items() if name in unused]
        raise GraphQLError(f"Fragment '{unfit[0].name.value}' is never used.", unfit)


def check_variables(variables: Mapping[str, Any] | None) -> None:
    """Raises LimitExceeded for values that would take long to look at one by one."""
    count = 0
    left: list[Any] = [variables] if variables else []
    while left:
        value = left.pop()
        count += len(value)
        if count > MOST_VALUES:
            raise LimitExceeded("values of variables", MOST_VALUES)
        for each in value.values() if isinstance(value, dict) else value:
            if isinstance(each, (dict, list)):
                left.append(each)


@dataclass(slots=True)
class _Size:
    """Of selections: all in them, and how many `roots` there are among them; `depth` counts levels."""

    fields: int = 0
    aliases: int = 0
    directives: int = 0
    roots: int = 0
    depth: int = 0

    def add(self, inner: _Size) -> None:
        self.fields += inner.fields
        self.aliases += inner.aliases
        self.directives += inner.directives
        self.depth = max(self.depth, inner.depth)


class _Measure:
    """Measures each fragment once, however often it is spread."""

    def __init__(self, fragments: dict[str, FragmentDefinitionNode]) -> None:
        self.fragments = fragments
        self.known: dict[str, _Size] = {}
        self._inside: list[str] = []

    def of(self, selections: SelectionSetNode, level: int = 1) -> _Size:
        _check("levels", level)
        size = _Size(depth=1)
        names = Counter(_names(selections))  # validation compares each of one name with all others
        _check(BESIDE, max(names.values(), default=0))
        for each in selections.selections:
            size.directives += len(each.directives or ())
            if isinstance(each, FieldNode):
                size.fields += 1
                size.aliases += each.alias is not None
                size.roots += 1
                size.add(self._deeper(each.selection_set, level))
            else:
                if isinstance(each, FragmentSpreadNode):
                    inner = self._spread(each)
                else:
                    assert isinstance(each, InlineFragmentNode)
                    inner = self._deeper(each.selection_set, level)
                size.fields += 1  # a fragment counts as one, too, so that nobody can make much of nothing else
                size.roots += inner.roots
                size.add(inner)
        _check("levels", size.depth)
        return size

    def _deeper(self, selections: SelectionSetNode | None, level: int) -> _Size:
        if selections is None:
            return _Size()
        inner = self.of(selections, level + 1)
        inner.depth += 1
        return inner

    def _spread(self, spread: FragmentSpreadNode) -> _Size:
        name = spread.name.value
        if name in self._inside:
            _refuse_circle([*self._inside[self._inside.index(name) :], name], spread)
        if name not in self.known and name in self.fragments:
            self._inside.append(name)
            self.known[name] = self.of(self.fragments[name].selection_set)
            self._inside.pop()
        return self.known.get(name) or _Size()  # validation will say that there is no such fragment


def _names(selections: SelectionSetNode) -> Iterator[str]:
    """The names in the answer."""
    for each in selections.selections:
        if isinstance(each, FieldNode):
            yield (each.alias or each.name).value
        elif isinstance(each, InlineFragmentNode):
            yield from _names(each.selection_set)


def _refuse_circle(names: Iterable[str], spread: FragmentSpreadNode) -> NoReturn:
    first, *between, _ = names
    via = f" via {', '.join(repr(each) for each in between)}" if between else ""
    raise GraphQLError(f"Cannot spread fragment '{first}' within itself{via}.", spread)


def _check(what: str, count: int) -> None:
    if count > MOST[what]:
        raise LimitExceeded(what, MOST[what])
