"""Documents are read once, and what is remembered of them is bounded."""

from __future__ import annotations

from typing import Any

import pytest

from schema import build_schema
from schema.execution import documents
from schema.execution.documents import parse_document

SCHEMA: Any = build_schema()._schema
CLOSED: Any = build_schema(introspection=False)._schema


@pytest.fixture
def cached_document(monkeypatch: pytest.MonkeyPatch) -> documents._Remembered:
    cached_document = documents._Remembered()
    monkeypatch.setattr(documents, "_remembered", cached_document)
    return cached_document


def test_a_good_document_is_read_once(cached_document: documents._Remembered) -> None:
    assert parse_document(SCHEMA, "{ viewer { id } }") is parse_document(SCHEMA, "{ viewer { id } }")
    assert parse_document(SCHEMA, "{ viewer { id } }") is not parse_document(CLOSED, "{ viewer { id } }")


def test_a_wrong_document_is_not_remembered(cached_document: documents._Remembered) -> None:
    for text in ("{", "{ nothing }", "{a" * 5_000, "{ viewer { id } } { viewer { id } }", "{ " + "a " * 20_000 + "}"):
        assert parse_document(SCHEMA, text).errors
    assert len(cached_document._documents) == 0


def test_the_documents_asked_last_are_remembered(
    cached_document: documents._Remembered, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [f"{{ viewer {{ id }} }} #{number}" for number in range(4)]
    monkeypatch.setattr(documents._Remembered, "ROOM", 3 * (documents._Remembered.EACH + len(texts[0])))

    first, *_ = [parse_document(SCHEMA, text) for text in texts[:3]]
    assert parse_document(SCHEMA, texts[0]) is first
    parse_document(SCHEMA, texts[3])

    assert [text for _, text in cached_document._documents] == [texts[2], texts[0], texts[3]]
    parse_document(SCHEMA, "{ viewer { id } } " + "#" * cached_document.ROOM)  # has no room at all
    assert (len(cached_document._documents), cached_document._length) == (0, 0)


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
