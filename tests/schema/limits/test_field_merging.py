"""Our rule for merging fields rejects the same documents as GraphQL's own, in less time."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from random import Random

import pytest
from graphql import OverlappingFieldsCanBeMergedRule, build_schema, parse, validate

from crm_graph.errors import LimitExceeded
from schema.limits import field_merging as merging
from schema.limits.field_merging import FieldMergingRule

SCHEMA = build_schema(
    """
    interface Being { id: ID name: String friend: Being best(of: Int, near: Place): Dog all: [Being] }
    input Place { x: Int y: Int }
    type Dog implements Being {
      id: ID name: String friend: Being best(of: Int, near: Place): Dog all: [Being] size: Int! owner: Person
      toys: [String]
    }
    type Person implements Being {
      id: ID name: String friend: Being best(of: Int, near: Place): Dog all: [Being] size: String! owner: Dog
      toys: String
    }
    union Anything = Dog | Person
    type Query { being: Being dog: Dog person: Person anything: Anything all: [Anything!]! }
    """
)
FIELDS = {
    "Query": ["being", "dog", "person", "anything", "all"],
    "Anything": ["__typename"],
    "Being": ["id", "name", "friend", "best", "all"],
    "Dog": ["id", "name", "friend", "best", "all", "size", "owner", "toys"],
    "Person": ["id", "name", "friend", "best", "all", "size", "owner", "toys"],
}
LEADS = {"being": "Being", "dog": "Dog", "person": "Person", "anything": "Anything", "friend": "Being", "best": "Dog"}
ARGUMENTS = [
    "",
    "",
    "",
    "(of: 1)",
    "(of: 1)",
    "(of: 2)",
    "(of: 1, near: {x: 1, y: 2})",
    "(near: {y: 2, x: 1}, of: 1)",
    "(of: $v)",
]
FRAGMENTS = 3


class Documents:
    """Draws small documents with few names, so that fields often share a response key, with and without conflicts."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance

    def document(self) -> str:
        text = f"query ($v: Int) {self.selections('Query', 4, 0)}"
        for each in range(FRAGMENTS):
            if f"...F{each}" in text:  # unused fragments are errors of another rule
                kind = self.chance.choice(["Being", "Dog", "Person", "Anything"])
                text += f" fragment F{each} on {kind} {self.selections(kind, 2, each + 1)}"
        return text

    def selections(self, kind: str, depth: int, fragment: int) -> str:
        return (
            f"{{ {' '.join(self.selection(kind, depth, fragment) for _ in range(self.chance.choice([1, 2, 2, 3])))} }}"
        )

    def selection(self, kind: str, depth: int, fragment: int) -> str:
        """One random selection. `fragment` is the first fragment that it may spread, so that there are no cycles."""
        luck = self.chance.random()
        if luck < 0.15 and kind != "Query" and fragment < FRAGMENTS:
            return f"...F{self.chance.randrange(fragment, FRAGMENTS)}"
        if luck < 0.35 and depth and kind != "Query":
            on = self.chance.choice(["Being", "Dog", "Person", "Anything", ""])
            return f"...{f' on {on}' if on else ''} {self.selections(on or kind, depth - 1, fragment)}"
        name = self.chance.choice(FIELDS[kind])
        leads = {"all": "Anything" if kind == "Query" else "Being", "owner": "Dog" if kind == "Person" else "Person"}
        leads |= LEADS
        if name in leads and not depth:
            return "__typename"
        alias = self.chance.choice([*[""] * 9, "a: ", "b: "])
        arguments = self.chance.choice(ARGUMENTS) if name == "best" else ""
        stream = " @stream" if name == "all" and self.chance.random() < 0.1 else ""
        inner = self.selections(leads[name], depth - 1, fragment) if name in leads else ""
        return f"{alias}{name}{arguments}{stream} {inner}"


def drawn(count: int) -> Iterator[str]:
    documents = Documents(Random(4))
    return (documents.document() for _ in range(count))


def test_both_rules_tell_of_the_same_documents() -> None:
    seen: Counter[bool] = Counter()
    for text in drawn(2_000):
        document = parse(text)
        ours, theirs = (
            bool(validate(SCHEMA, document, [rule])) for rule in (FieldMergingRule, OverlappingFieldsCanBeMergedRule)
        )
        assert ours == theirs, text
        seen[ours] += 1

    assert min(seen[True], seen[False]) > 500, seen


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{ dog { a: id a: name } }", "'id' and 'name' are different fields"),
        ("{ dog { owner { a: id } ...F } } fragment F on Dog { owner { a: name } }", "'id' and 'name' are different"),
        ("{ dog { best(of: 1) { id } best(of: 2) { id } } }", "they have differing arguments"),
        ("{ being { ...on Dog { size } ...on Person { size } } }", "they return conflicting types 'Int!' and 'Str"),
        ("{ dog { all @stream { id } all { id } } }", "they have overlapping stream directives"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(text: str, message: str) -> None:
    [error] = validate(SCHEMA, parse(text), [FieldMergingRule])
    assert f"conflict because {message}" in error.message
    assert len(error.locations or ()) == 2


def steps_of(text: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """The number of comparisons that a document takes, rounded up to 10."""
    for most in range(10, 5_000, 10):
        monkeypatch.setattr(merging, "MAX_STEPS", most)
        with contextlib.suppress(LimitExceeded):
            assert validate(SCHEMA, parse(text), [FieldMergingRule]) == []
            return most
    raise AssertionError("It takes more steps than that.")


def test_it_takes_as_long_as_the_document(monkeypatch: pytest.MonkeyPatch) -> None:
    def many(count: int) -> str:
        spreads = " ".join(f"...F{each}" for each in range(count))
        return f"{{ dog {{ {spreads} }} }} " + " ".join(
            f"fragment F{each} on Dog {{ id name owner {{ id name }} }}" for each in range(count)
        )

    few, more = (steps_of(many(count), monkeypatch) for count in (20, 200))
    assert (few, more) == (430, 4210)
    monkeypatch.setattr(merging, "MAX_STEPS", 100)
    with pytest.raises(LimitExceeded, match="at most 100 fields to be compared"):
        validate(SCHEMA, parse(many(20)), [FieldMergingRule])
