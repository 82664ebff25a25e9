"""Requests of all kinds, most of them wrong: valid documents, mutated ones, and other texts."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from random import Random
from typing import Any

from graphql import (
    GraphQLInputObjectType,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    build_schema,
    print_schema,
)
from graphql import is_specified_scalar_type as is_specified
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis_graphql import mutations, nodes

from tests.support.differential.operations import drawn, public
from tests.support.differential.shapes import SHAPES

BATCH = 25
PIECES = [
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    "...",
    "$a",
    "!",
    ":",
    "=",
    "|",
    "&",
    "@include(if: $a)",
    "@skip(if: true)",
    '"',
]
PIECES += [
    '"""',
    '"\\u0000"',
    '"\\ud800"',
    "\\u{110000}",
    "\0",
    "\ufeff",
    "é",
    "🦊",
    "null",
    "true",
    "1e999",
    "-1",
    "#",
    "\n",
]
PIECES += ["99999999999999999999", "query", "mutation", "subscription", "fragment F on Query", "...F", "__typename"]
PIECES += [
    "__schema { types { name } }",
    'node(id: "acc_x")',
    "on",
    "first: 101",
    "first: -1",
    'after: "x"',
    "extend type",
]
VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    2**31,
    2**63,
    10**30,
    1.5,
    1e308,
    "",
    "x",
    "x" * 5_000,
    "\0",
    "\ud800",
    "acc_x",
    "1",
]
VALUES += [
    [],
    {},
    [None],
    [[[]]],
    {"x": {"x": {}}},
    [1, "x"],
    {"eq": 1},
    "2026-02-30",
    "2026-01-01T00:00:00Z",
    "NaN",
    "🦊",
]
HEADERS: dict[bytes, list[bytes]] = {
    b"accept": [
        b"*/*",
        b"application/json",
        b"application/graphql-response+json",
        b"text/html",
        b"",
        b"a/b;q=x",
        b"\xff",
    ],
    b"content-type": [
        b"application/json",
        b"application/json; charset=utf-16",
        b"text/plain",
        b"",
        b"\xff",
        b"x" * 999,
    ],
    b"accept-encoding": [b"gzip", b"zstd", b"br;q=1, *;q=0", b"gzip;q=", b",,,", b"\x00"],
    b"authorization": [b"Bearer", b"Bearer x.y.z", b"Bearer crm_x", b"Basic eA==", b"\xff", b"Bearer " + b"x" * 9_999],
    b"x-request-id": [b"\xff", b"a b", b"x" * 999, b"\t", b"ok"],
    b"x-crm-graph-cost": [b"1", b"\xff"],
    b"content-encoding": [b"gzip", b"x"],
    b"content-length": [b"-1", b"x", b"99999999999999999999", b"0"],
}


@dataclass(frozen=True)
class Sent:
    """One request, signed in unless its headers differ."""

    kind: str
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()
    method: str = "POST"
    query: bytes = b""


def requests(count: int, run: int) -> list[Sent]:
    """This number of requests, equal in every run of that number."""
    chance = Random(run)
    each = max(BATCH, count // 4)
    texts = [case.text for number in range(SHAPES) for case in drawn(number, each // SHAPES + 1, run)] + _writes(
        each, run
    )
    return [_request(chance, texts) for _ in range(count)]


def _request(chance: Random, texts: list[str]) -> Sent:
    text, headers = chance.choice(texts), _headers(chance) if chance.random() < 0.25 else ()
    variables = _variables(chance) if chance.random() < 0.3 else {}
    match chance.choices(["valid", "changed", "shape", "bytes", "address"], [35, 40, 10, 10, 5])[0]:
        case "valid":
            return Sent("valid", _json({"query": text, "variables": variables}), headers)
        case "changed":
            for _ in range(chance.choice([1, 1, 1, 2, 5, 20])):
                text = _changed(chance, text)
            return Sent("changed", _json({"query": text, "variables": variables}), headers)
        case "shape":
            names = ["query", "operationName", "variables", "extensions", "id", "x"]
            shape: Any = {name: chance.choice([text, *VALUES]) for name in chance.sample(names, chance.randrange(5))}
            shape = chance.choice([shape, shape, [shape] * chance.randrange(4), chance.choice(VALUES)])
            return Sent("shape", _json(shape), headers)
        case "bytes":
            body = bytearray(_json({"query": text}))
            for _ in range(chance.choice([1, 3, 30])):
                body[chance.randrange(len(body))] = chance.randrange(256)
            whole = chance.randbytes(chance.choice([0, 1, 100, 5_000])) if chance.random() < 0.3 else bytes(body)
            return Sent("bytes", whole, headers)
        case _:
            query = chance.choice(
                [b"query=%7B__typename%7D", b"query=%ff", b"variables={", b"&&==", b"query=" + b"%7B" * 2_000]
            )
            return Sent("address", b"", headers, chance.choice(["GET", "PUT", "DELETE", "OPTIONS", "HEAD", "X"]), query)


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _changed(chance: Random, text: str) -> str:
    """The text with one mutation."""
    start = chance.randrange(len(text) + 1)
    end = min(len(text), start + chance.choice([1, 3, 10, 50]))
    piece, cut = chance.choice(PIECES), text[start:end]
    instead = chance.choice(["", piece, f" {piece} ", cut * 2, cut[::-1], cut.upper(), chr(chance.randrange(0xD000))])
    return text[:start] + instead + text[end:]


def _variables(chance: Random) -> Any:
    names = ["a", "v1", "v2", "id", "first", "filter", ":user", "", "__proto__"]
    return {name: chance.choice(VALUES) for name in chance.sample(names, chance.randrange(4))}


def _headers(chance: Random) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((name, chance.choice(HEADERS[name])) for name in chance.sample(list(HEADERS), chance.randint(1, 3)))


@functools.cache
def _writes(count: int, run: int) -> list[str]:
    """Documents of mutations that select little, with all possible inputs."""
    found: list[str] = []

    @seed(run)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(text=mutations(_writing(), custom_scalars=_scalars(public())))
    def collect(text: str) -> None:
        found.append(text)

    collect()
    return found


def _writing() -> GraphQLSchema:
    """The schema with payloads that have only errors."""
    schema = build_schema(print_schema(public()))
    for name, kind in schema.type_map.items():
        if isinstance(kind, GraphQLObjectType) and name.endswith("Payload"):
            kind.fields = {each: field for each, field in kind.fields.items() if each in {"revision", "userErrors"}}
        elif isinstance(kind, GraphQLInputObjectType):
            kind.fields.pop("idempotencyKey", None)
    return schema


def _scalars(schema: GraphQLSchema) -> dict[str, Any]:
    """For each custom scalar, valid and invalid values."""
    values = ["", "x", "1", "-1.5", "1e9", "2026-01-01", "2026-01-01T00:00:00Z", "USD", "9" * 30, "\0", "🦊", "12:00"]
    scalars = [
        each for each in schema.type_map.values() if isinstance(each, GraphQLScalarType) and not is_specified(each)
    ]
    return {each.name: st.sampled_from(values).map(nodes.String) for each in scalars}
