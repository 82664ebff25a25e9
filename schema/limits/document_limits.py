"""What a document may be made of. Its text is looked through before it is parsed, which takes many times as long as
this, and validated, which takes longer still."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql import GraphQLError, Source

from crm_graph.errors import LimitExceeded

MAX_CHARACTERS = 100_000
"""In characters: strings, comments and spaces take time too, and are one token or none."""
MAX_VARIABLE_VALUES = 20_000
BESIDE, OF_ONE = "fields of one name beside each other", "characters of one string or name"
LIMITS = {
    "tokens": 6_000,
    OF_ONE: 20_000,
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
"""Tokens, operations, fragments and directives are those of a whole document; variables, those of one operation; the
others, of one operation with its fragments, which count as often as they are spread, as directives do there."""

# Lines end in \n or in \r, as GraphQL has it. Strings run to the end of the text where they are not closed, so that no
# text is looked through twice.
_TOKEN = re.compile(
    r'"""(?:[^"\\]|\\"""|"(?!"")|\\)*(?:"""|\Z)|"(?:[^"\\\n\r]|\\.)*"?|#[^\n\r]*|\.\.\.|[A-Za-z_]\w*|-?\d[\w.+-]*|[^\s,\ufeff]'
)
_NAME = re.compile(r"[A-Za-z_]\w*")
_END = ""


def check_document(text: str) -> None:
    """Raises LimitExceeded for a text that would take long to parse or to validate, and GraphQLError for fragments that
    are spread within themselves or nowhere. What is no GraphQL is for the parser to tell."""
    if len(text) > MAX_CHARACTERS:
        raise LimitExceeded("characters", MAX_CHARACTERS)
    tokens = [each for each in _TOKEN.findall(text) if each[0] != "#"]
    _check("tokens", len(tokens))
    _check(OF_ONE, max(map(len, tokens), default=0))
    _check("directives", tokens.count("@"))
    parts = _Scanner(tokens).parts()
    operations = [each for each in parts if each.name is None]
    fragments = {each.name: each for each in parts if each.name is not None}
    _check("operations", len(operations))
    _check("fragments", len(fragments))
    _check("variables", max((each.variables for each in operations), default=0))
    sizes = _Sizes(text, fragments)
    for operation in operations:
        size = sizes.of(operation)
        _check("directives", size.directives)
        _check("fields", size.fields)
        _check("aliases", size.aliases)
        _check("root fields", size.roots)
    unused = [each for name, each in fragments.items() if name not in sizes.known]
    if unused:
        raise _error(f"Fragment '{unused[0].name}' is never used.", text, (each.place for each in unused))


def check_variables(variables: Mapping[str, Any] | None) -> None:
    """Raises LimitExceeded for values that would take long to look at one by one."""
    count = 0
    left: list[Any] = [variables] if variables else []
    while left:
        value = left.pop()
        count += len(value)
        if count > MAX_VARIABLE_VALUES:
            raise LimitExceeded("values of variables", MAX_VARIABLE_VALUES)
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


@dataclass(slots=True)
class _Spread:
    """Of a fragment, at which token and level; and whether its fields are roots there."""

    name: str
    place: int
    level: int
    is_root: bool


@dataclass(slots=True)
class _Part:
    """An operation, or a fragment, which has a name: what is selected in it without the fragments that are spread."""

    name: str | None
    place: int
    variables: int = 0
    size: _Size = field(default_factory=_Size)
    spreads: list[_Spread] = field(default_factory=list)


class _Scanner:
    """Reads the tokens of a document, none of which is looked at twice."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = [*tokens, _END, _END]

    def parts(self) -> list[_Part]:
        parts, place, tokens = list[_Part](), 0, self._tokens
        while tokens[place]:
            name = None
            if tokens[place] == "fragment" and _NAME.fullmatch(tokens[place + 1]):
                name, place = tokens[place + 1], place + 1
            elif tokens[place] not in {"query", "mutation", "subscription", "{"}:
                place += 1
                continue
            part = _Part(name, place)
            parts.append(part)
            place = self._selections(part, self._head(part, place))
        return parts

    def _head(self, part: _Part, place: int) -> int:
        """Read up to the selections; answers where they begin."""
        tokens = self._tokens
        while tokens[place] not in {"{", _END}:
            if tokens[place] == "(":
                end = self._closed(place)
                part.variables = part.variables or tokens[place:end].count("$")
                place = end
            else:
                part.size.directives += tokens[place] == "@"
                place += 1
        return place

    def _selections(self, part: _Part, place: int) -> int:
        """Read selections to their end; answers what comes after them. Those of a fragment without a name are of the
        ones around it."""
        tokens, size, open_, inline = self._tokens, part.size, list[tuple[Counter[str], bool]](), False
        while token := tokens[place]:
            place += 1
            if token == "{":
                names = open_[-1][0] if inline else Counter[str]()
                open_.append((names, open_[-1][1] if inline else not open_))
                inline = False
                size.depth = max(size.depth, len(open_))
                _check("levels", len(open_))
            elif token == "}":
                open_.pop()
                if not open_:
                    break
            elif token == "(":
                place = self._closed(place - 1)
            elif token == "@":
                size.directives += 1
                place += 1
            elif not open_:
                break
            elif token == "...":
                size.fields += 1  # a fragment counts as one, too, so that nobody can make much of nothing else
                inline = tokens[place] in {"on", "@", "{"}
                if tokens[place] == "on":
                    place += 2
                elif not inline:
                    part.spreads.append(_Spread(tokens[place], place - 1, len(open_), open_[-1][1]))
                    place += 1
            else:
                if tokens[place] == ":":
                    size.aliases += 1
                    place += 2
                size.fields += 1
                names, is_root = open_[-1]
                size.roots += is_root
                names[token] += 1
                _check(BESIDE, names[token])
                inline = False
        return place

    def _closed(self, place: int) -> int:
        """What comes after the bracket that closes the one here."""
        depth = 0
        while token := self._tokens[place]:
            place += 1
            depth += (token == "(") - (token == ")")
            if not depth:
                break
        return place


class _Sizes:
    """Measures each fragment once, however often it is spread."""

    def __init__(self, text: str, fragments: Mapping[str, _Part]) -> None:
        self.known: dict[str, _Size] = {}
        self._text, self._fragments = text, fragments
        self._inside: list[str] = []

    def of(self, part: _Part) -> _Size:
        size = part.size
        for spread in part.spreads:
            inner = self._spread(spread)
            size.fields += inner.fields
            size.aliases += inner.aliases
            size.directives += inner.directives
            size.roots += inner.roots if spread.is_root else 0
            size.depth = max(size.depth, spread.level - 1 + inner.depth)
        _check("levels", size.depth)
        return size

    def _spread(self, spread: _Spread) -> _Size:
        name = spread.name
        if name in self._inside:
            first, *between = self._inside[self._inside.index(name) :]
            via = f" via {', '.join(repr(each) for each in between)}" if between else ""
            raise _error(f"Cannot spread fragment '{first}' within itself{via}.", self._text, [spread.place])
        if name not in self.known and name in self._fragments:
            self._inside.append(name)
            self.known[name] = self.of(self._fragments[name])
            self._inside.pop()
        return self.known.get(name) or _Size()  # validation will say that there is no such fragment


def _error(message: str, text: str, places: Iterable[int]) -> GraphQLError:
    """An error that names the tokens at these places."""
    starts = [each.start() for each in _TOKEN.finditer(text) if each[0][0] != "#"]
    return GraphQLError(message, source=Source(text), positions=[starts[each] for each in places])


def _check(what: str, count: int) -> None:
    if count > LIMITS[what]:
        raise LimitExceeded(what, LIMITS[what])
