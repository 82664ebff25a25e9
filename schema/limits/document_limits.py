"""Limits on documents, checked on their tokens before parsing and validation, which are slower (decision 0016)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from graphql import GraphQLError, Source

from crm_graph.errors import LimitExceeded

MAX_CHARACTERS = 100_000
"""Characters of a document, since long strings, comments and spaces are at most one token."""
MAX_VARIABLE_VALUES = 20_000
SAME_NAME, TOKEN_LENGTH = "fields of one name beside each other", "characters of one string or name"
LIMITS = {
    "tokens": 6_000,
    TOKEN_LENGTH: 20_000,
    "operations": 50,
    "fragments": 250,
    "variables": 250,
    "directives": 200,
    SAME_NAME: 50,
    "levels": 25,
    "fields": 2_000,
    "aliases": 250,
    "root fields": 100,
}
"""Tokens, operations, fragments and directives count for the whole document; variables for one operation; the others,
and directives, for one operation with its fragments, each as often as it is spread."""

# Lines end with \n or \r, as in the GraphQL specification. Unclosed strings extend to the end of
# the text, so that matching stays linear.
_TOKEN = re.compile(
    r'"""(?:[^"\\]|\\"""|"(?!"")|\\)*(?:"""|\Z)|"(?:[^"\\\n\r]|\\.)*"?|#[^\n\r]*|\.\.\.|[A-Za-z_]\w*|-?\d[\w.+-]*|[^\s,\ufeff]'
)
_NAME = re.compile(r"[A-Za-z_]\w*")
_END = ""


def check_document(text: str) -> None:
    """Raises LimitExceeded for a document that exceeds a limit, and GraphQLError for recursive or unused fragments.
    Syntax errors are left to the parser."""
    if len(text) > MAX_CHARACTERS:
        raise LimitExceeded("characters", MAX_CHARACTERS)
    tokens = [each for each in _TOKEN.findall(text) if each[0] != "#"]
    _check("tokens", len(tokens))
    _check(TOKEN_LENGTH, max(map(len, tokens), default=0))
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


def check_variables(variables: dict[str, object] | None) -> None:
    """Raises LimitExceeded if the variables have too many values, nested ones included."""
    count = 0
    left: list[dict[str, object] | list[object]] = [variables] if variables else []
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
    """Counts of a selection set with all nested ones; `roots` are root fields, `depth` is the number of levels."""

    fields: int = 0
    aliases: int = 0
    directives: int = 0
    roots: int = 0
    depth: int = 0


@dataclass(slots=True)
class _Spread:
    """A fragment spread at a token and a level; `is_root` if its fields are root fields there."""

    name: str
    place: int
    level: int
    is_root: bool


@dataclass(slots=True)
class _Part:
    """An operation, or a fragment if it has a name, without the fragments that it spreads."""

    name: str | None
    place: int
    variables: int = 0
    size: _Size = field(default_factory=_Size)
    spreads: list[_Spread] = field(default_factory=list)


class _Scanner:
    """Counts the tokens of a document in one pass."""

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
        """Scan up to the selection set; returns the position of its start."""
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
        """Scan a selection set; returns the position after it. Selections of inline fragments count as those of the
        selection set around them."""
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
                size.fields += 1  # a fragment counts as a field, so that documents of fragments are limited, too
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
                _check(SAME_NAME, names[token])
                inline = False
        return place

    def _closed(self, place: int) -> int:
        """The position after the bracket that closes the one at `place`."""
        depth = 0
        while token := self._tokens[place]:
            place += 1
            depth += (token == "(") - (token == ")")
            if not depth:
                break
        return place


class _Sizes:
    """Adds up the sizes of operations, measuring each fragment once."""

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
        return self.known.get(name) or _Size()  # validation reports the unknown fragment


def _error(message: str, text: str, places: Iterable[int]) -> GraphQLError:
    """An error with the locations of these tokens."""
    starts = [each.start() for each in _TOKEN.finditer(text) if each[0][0] != "#"]
    return GraphQLError(message, source=Source(text), positions=[starts[each] for each in places])


def _check(unit: str, count: int) -> None:
    if count > LIMITS[unit]:
        raise LimitExceeded(unit, LIMITS[unit])
