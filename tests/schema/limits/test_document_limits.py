"""Limits on the size of documents. `pytest -s` prints the processor time that refusing each abuse takes."""

from __future__ import annotations

import gc
import time
from typing import Any

import pytest
from graphql import get_introspection_query

from crm_graph.bounded_cache import BoundedCache
from crm_graph.errors import LimitExceeded
from schema import build_schema
from schema.execution import parsing
from schema.execution.parsing import parse_document
from schema.limits.document_limits import LIMITS
from schema.transports.graphiql_examples import EXAMPLES
from tests.support.abuse import ABUSES, Abuse

SCHEMA: Any = build_schema()._schema
RELAY = " ".join(
    f"fragment Row{each} on Account {{ __typename id name owner {{ __typename id name ...Person }} }}"
    for each in range(50)
)


@pytest.fixture(autouse=True)
def _read_afresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsing, "_documents", BoundedCache(parsing.MAX_CACHED_CHARACTERS))
    parse_document(SCHEMA, "{ viewer { id } }")


@pytest.mark.parametrize("abuse", ABUSES, ids=lambda abuse: abuse.name)
def test_an_abuse_is_refused(abuse: Abuse, monkeypatch: pytest.MonkeyPatch) -> None:
    if not abuse.validated:
        monkeypatch.setattr(parsing, "validate", None)  # a document that reaches validation would take long
    gc.disable()  # garbage of other tests is not part of the figure
    try:
        begun = time.process_time()
        document = parse_document(SCHEMA, abuse.text)
        print(f"{abuse.name}: {1000 * (time.process_time() - begun):.1f} ms of processor")
    finally:
        gc.enable()

    cause = document.errors[0].original_error
    assert (cause.unit if isinstance(cause, LimitExceeded) else None) == abuse.limit
    assert len(document.errors) <= parsing.MAX_ERRORS + 1
    assert parsing.cached_document(SCHEMA, abuse.text) is None


@pytest.mark.parametrize(
    "text",
    [
        get_introspection_query(descriptions=True, specified_by_url=True, input_value_deprecation=True),
        *(example["query"] for example in EXAMPLES),
        "query Page { accounts { nodes { " + " ".join(f"...Row{each}" for each in range(50)) + " } } } "
        "fragment Person on User { __typename id email } " + RELAY,
        "{ viewer { "
        + " ".join(f"...F{each}" for each in range(200))
        + " } } "
        + " ".join(f"fragment F{each} on User {{ id name }}" for each in range(200)),
        "mutation { " + " ".join(f'a{each}: signOut {{ revision }}' for each in range(100)) + " }",
    ],
)  # fmt: skip
def test_what_clients_send_is_good(text: str) -> None:
    assert parse_document(SCHEMA, text).errors == ()


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("operations", lambda count: " ".join(f"query Q{each} {{ viewer {{ id }} }}" for each in range(count))),
        ("aliases", lambda count: f"{{ viewer {{ {' '.join(f'a{each}: id' for each in range(count))} }} }}"),
        ("root fields", lambda count: f"{{ {' '.join(f'a{each}: revision' for each in range(count))} }}"),
        ("levels", lambda count: f"{{ viewer {{ {'manager { ' * (count - 2)} id {'} ' * (count - 2)} }} }}"),
        ("directives", lambda count: f"{{ viewer {{ {' '.join(f'a{each}: id @a' for each in range(count))} }} }}"),
        ("variables", lambda count: f"query ({' '.join(f'$v{each}: Int' for each in range(count))}) {{ __typename }}"),
        ("fields of one name beside each other", lambda count: f"{{ viewer {{ {'id ' * count} }} }}"),
    ],
)  # fmt: skip
def test_as_much_as_is_allowed_is_good_and_one_more_is_not(what: str, text: Any) -> None:
    most = LIMITS[what]
    causes = [error.original_error for error in parse_document(SCHEMA, text(most)).errors]
    assert not any(isinstance(each, LimitExceeded) for each in causes)
    [error] = parse_document(SCHEMA, text(most + 1)).errors
    assert error.message == f"A document may have at most {most} {what}."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{ viewer { ...A } } fragment A on User { manager { ...A } }", "Cannot spread fragment 'A' within itself."),
        (
            "{ viewer { ...A } } fragment A on User { ...B } fragment B on User { ...C } fragment C on User { ...A }",
            "Cannot spread fragment 'A' within itself via 'B', 'C'.",
        ),
        ("{ viewer { ...A } } fragment A on User { id } fragment B on User { id }", "Fragment 'B' is never used."),
        ("{ viewer { ...A } }", "Unknown fragment 'A'."),
    ],
)
def test_wrong_fragments_are_told_as_validation_tells_them(text: str, message: str) -> None:
    [error] = parse_document(SCHEMA, text).errors
    assert error.message == message
    assert error.original_error is None


@pytest.mark.parametrize("comment", ["#\r", "# ...\n", "#\r\n", '"""', "\ufeff#\r"])
def test_a_line_ends_where_graphql_ends_it(comment: str) -> None:
    text = f"{comment}{{ viewer {{ {'manager { ' * 30} id {'} ' * 30} }} }}"
    [error] = parse_document(SCHEMA, text).errors
    expected = "Syntax Error: Unterminated string." if comment == '"""' else "A document may have at most 25 levels."
    assert error.message == expected


@pytest.mark.parametrize(
    "text", ["fragment", "{a} fragment", "fragment {a}", "{a:", "{a @", "{a ... on", "}", "{a(", "..."]
)
def test_what_is_cut_off_is_told_by_the_parser(text: str) -> None:
    [error] = parse_document(SCHEMA, text).errors
    assert error.message.startswith("Syntax Error: ")


def test_strings_and_comments_are_not_counted_for_what_is_in_them() -> None:
    filler = "@ { } ... " * 700
    for text in (f'{{ account(id: "{filler}") {{ id }} }}', f'{{ account(id: """{filler}""") {{ id }} }}'):
        assert len(text) > LIMITS["tokens"]
        assert parse_document(SCHEMA, text).errors == ()
    assert parse_document(SCHEMA, f"{{ viewer {{ id }} }} # {filler}").errors == ()
