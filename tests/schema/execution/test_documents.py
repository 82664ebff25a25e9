"""Documents are read once, and what is remembered of them is bounded."""

from __future__ import annotations

from typing import Any

import pytest

from schema import build_schema
from schema.execution import documents
from schema.execution.documents import read_document

SCHEMA: Any = build_schema()._schema
CLOSED: Any = build_schema(introspection=False)._schema


@pytest.fixture
def remembered(monkeypatch: pytest.MonkeyPatch) -> documents._Remembered:
    remembered = documents._Remembered()
    monkeypatch.setattr(documents, "_remembered", remembered)
    return remembered


def test_a_good_document_is_read_once(remembered: documents._Remembered) -> None:
    assert read_document(SCHEMA, "{ viewer { id } }") is read_document(SCHEMA, "{ viewer { id } }")
    assert read_document(SCHEMA, "{ viewer { id } }") is not read_document(CLOSED, "{ viewer { id } }")


def test_a_wrong_document_is_not_remembered(remembered: documents._Remembered) -> None:
    for text in ("{", "{ nothing }", "{a" * 5_000, "{ viewer { id } } { viewer { id } }", "{ " + "a " * 20_000 + "}"):
        assert read_document(SCHEMA, text).errors
    assert len(remembered._documents) == 0


def test_the_documents_asked_last_are_remembered(
    remembered: documents._Remembered, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [f"{{ viewer {{ id }} }} #{number}" for number in range(4)]
    monkeypatch.setattr(documents._Remembered, "ROOM", 3 * (documents._Remembered.EACH + len(texts[0])))

    first, *_ = [read_document(SCHEMA, text) for text in texts[:3]]
    assert read_document(SCHEMA, texts[0]) is first
    read_document(SCHEMA, texts[3])

    assert [text for _, text in remembered._documents] == [texts[2], texts[0], texts[3]]
    read_document(SCHEMA, "{ viewer { id } } " + "#" * remembered.ROOM)  # has no room at all
    assert (len(remembered._documents), remembered._length) == (0, 0)


def test_the_operation_is_the_named_or_the_only_one() -> None:
    two = read_document(SCHEMA, "query A { viewer { id } } query B { viewer { name } }")
    assert two.operation(None) is None
    assert two.operation("C") is None
    operation = two.operation("B")
    assert operation is not None
    assert operation.name is not None
    assert operation.name.value == "B"
    assert read_document(SCHEMA, "{").type_of(None) is None


def test_a_closed_schema_gives_no_hints() -> None:
    [told] = read_document(SCHEMA, "{ workspac { id } }").errors
    [hidden] = read_document(CLOSED, "{ workspac { id } }").errors
    assert told.message == "Cannot query field 'workspac' on type 'Query'. Did you mean 'workspace'?"
    assert hidden.message == "Cannot query field 'workspac' on type 'Query'."
    assert read_document(CLOSED, "{ __schema { queryType { name } } }").errors
    assert not read_document(CLOSED, "{ __typename }").errors
