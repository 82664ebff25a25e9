"""Documents are parsed once, and their cache is bounded."""

from __future__ import annotations

from typing import Any

import pytest
from graphql import GraphQLSchema

from crm_graph.bounded_cache import BoundedCache
from schema import build_schema
from schema.execution import parsing
from schema.execution.parsing import ParsedDocument, parse_document

SCHEMA: Any = build_schema()._schema
Cache = BoundedCache[tuple[GraphQLSchema, str], ParsedDocument]
CLOSED: Any = build_schema(introspection=False)._schema


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch) -> Cache:
    cache: Cache = BoundedCache(parsing.MAX_CACHED_CHARACTERS)
    monkeypatch.setattr(parsing, "_documents", cache)
    return cache


def test_a_good_document_is_read_once(cache: Cache) -> None:
    assert parse_document(SCHEMA, "{ viewer { id } }") is parse_document(SCHEMA, "{ viewer { id } }")
    assert parse_document(SCHEMA, "{ viewer { id } }") is not parse_document(CLOSED, "{ viewer { id } }")


def test_a_wrong_document_is_not_remembered(cache: Cache) -> None:
    for text in ("{", "{ nothing }", "{a" * 5_000, "{ viewer { id } } { viewer { id } }", "{ " + "a " * 20_000 + "}"):
        assert parse_document(SCHEMA, text).errors
    assert len(cache) == 0


def test_the_documents_asked_last_are_remembered(cache: Cache) -> None:
    texts = [f"{{ viewer {{ id }} }} #{number}" for number in range(4)]
    cache.max_weight = 3 * (parsing.ENTRY_CHARACTERS + len(texts[0]))

    first, *_ = [parse_document(SCHEMA, text) for text in texts[:3]]
    assert parse_document(SCHEMA, texts[0]) is first
    parse_document(SCHEMA, texts[3])

    assert [text for _, text in cache._entries] == [texts[2], texts[0], texts[3]]
    parse_document(SCHEMA, "{ viewer { id } } " + "#" * cache.max_weight)  # too long for the cache
    assert (len(cache), cache.weight) == (0, 0)


def test_the_operation_is_the_named_or_the_only_one() -> None:
    two = parse_document(SCHEMA, "query A { viewer { id } } query B { viewer { name } }")
    assert two.operation(None) is None
    assert two.operation("C") is None
    operation = two.operation("B")
    assert operation is not None
    assert operation.name is not None
    assert operation.name.value == "B"
    assert parse_document(SCHEMA, "{").operation_type(None) is None


def test_a_closed_schema_gives_no_hints() -> None:
    [told] = parse_document(SCHEMA, "{ workspac { id } }").errors
    [hidden] = parse_document(CLOSED, "{ workspac { id } }").errors
    assert told.message == "Cannot query field 'workspac' on type 'Query'. Did you mean 'workspace'?"
    assert hidden.message == "Cannot query field 'workspac' on type 'Query'."
    assert parse_document(CLOSED, "{ __schema { queryType { name } } }").errors
    assert not parse_document(CLOSED, "{ __typename }").errors
