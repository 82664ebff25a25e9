"""Documents that cost a server far more than their sender, each with the error that refuses it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Abuse:
    """`limit` is the exceeded limit, or None if the document is invalid. `validated` is true if only validation detects
    it."""

    name: str
    text: str
    limit: str | None
    validated: bool = False

    @property
    def extensions(self) -> dict[str, object]:
        return {"code": "BAD_USER_INPUT"} if self.limit is None else {"code": "LIMIT_EXCEEDED", "limit": self.limit}


def _many(count: int, part: str) -> str:
    return " ".join(part.replace("#", str(number)) for number in range(count))


BESIDE, OF_ONE = "fields of one name beside each other", "characters of one string or name"
ABUSES = [
    Abuse("500 aliases", f"{{ {_many(500, 'a#: viewer { id }')} }}", "aliases"),
    Abuse(
        "spread aliases",
        f"{{ viewer {{ {'...F ' * 10} }} }} fragment F on User {{ {_many(30, 'a#:id')} }}",
        "aliases",
    ),
    Abuse("1,000 directives", f"{{ viewer {{ id {'@include(if: true) ' * 1000} }} }}", "tokens"),
    Abuse("250 directives", f"{{ viewer {{ {_many(250, 'a#: id @skip(if: false)')} }} }}", "directives"),
    Abuse("1,900 directives that are none", f"{{ viewer {{ {'id@abcde ' * 1_900} }} }}", "directives"),
    Abuse("depth 50", f"{{ viewer {{ {'manager { ' * 50} id {'} ' * 50} }} }}", "levels"),
    Abuse("depth 50 by inline fragments", f"{{ viewer {{ {'... { ' * 50} id {'} ' * 50} }} }}", "levels"),
    Abuse(
        "depth 60 by fragments",
        "{ viewer { ...F0 } } "
        + " ".join(f"fragment F{each} on User {{ manager {{ ...F{each + 1} }} }}" for each in range(60))
        + " fragment F60 on User { id }",
        "levels",
    ),
    Abuse("a circle of one", "{ viewer { ...A } } fragment A on User { manager { ...A } }", None),
    Abuse("a circle", "{ viewer { ...A } } fragment A on User { ...B } fragment B on User { manager { ...A } }", None),
    Abuse("a circle aside", "{ viewer { id } } fragment A on User { ...B } fragment B on User { ...A }", None),
    Abuse("10,000 fields", f"{{ viewer {{ {'id ' * 10_000} }} }}", "tokens"),
    Abuse("2,000 fields of one name", f"{{ viewer {{ {'id ' * 2_000} }} }}", BESIDE),
    Abuse("700 fields with fields", f"{{ viewer {{ {'manager { manager { id } } ' * 700} }} }}", BESIDE),
    Abuse("fields in pairs of inline fragments", f"{{ viewer {{ {'... { manager { id } } ' * 400} }} }}", BESIDE),
    Abuse("10,000 fragment spreads", f"{{ viewer {{ {'...F ' * 10_000} }} }} fragment F on User {{ id }}", "tokens"),
    Abuse("1,500 fragment spreads", f"{{ viewer {{ {'...F ' * 1_500} }} }} fragment F on User {{ id }}", "fields"),
    Abuse(
        "doubling fragments",
        "{ viewer { ...F0 } } "
        + " ".join(f"fragment F{each} on User {{ ...F{each + 1} ...F{each + 1} }}" for each in range(40))
        + " fragment F40 on User { id }",
        "fields",
    ),
    Abuse(
        "400 fragments",
        f"{{ viewer {{ {_many(400, '...F#')} }} }} {_many(400, 'fragment F# on User { id }')}",
        "fragments",
    ),
    Abuse("100 operations", _many(100, "query Q# { viewer { id } }"), "operations"),
    Abuse("500 variables", f"query ({_many(500, '$v#: Int')}) {{ viewer {{ id }} }}", "variables"),
    Abuse("150 root fields", f"{{ {_many(150, 'a#: viewer { id }')} }}", "root fields"),
    Abuse(
        "the schema within the schema",
        f"{{ __schema {{ types {{ {'fields { type { ' * 8} name {'} } ' * 8} }} }} }}",
        None,
        True,
    ),
    Abuse("99 fields that there are not", f"{{ {_many(99, 'opportunitx#')} }}", None, True),
    Abuse("a comment of a megabyte", f"{{ viewer {{ id }} }} #{'x' * 1_000_000}", "characters"),
    Abuse("a string of a megabyte", f'{{ account(id: "{"x" * 1_000_000}") {{ id }} }}', "characters"),
    Abuse("a string without an end", '{ account(id: """' + '\\"""' * 24_000, OF_ONE),
    Abuse("a string of escapes", '{ account(id: "' + "\\n" * 40_000 + '") { id } }', OF_ONE),
    Abuse("a long name", f"{{ {'a' * 90_000} }}", OF_ONE),
    Abuse("nothing but quotes", "{ account(id: " + '"' * 50_000, "tokens"),
    Abuse("a list in a list", f"{{ account(id: {'[' * 3_000}", None),
    Abuse("an object in an object", f"{{ accounts(filter: {'{and: ' * 1_000}", None),
]
