"""Links and file paths in the README and in docs/."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from graphql import build_schema, parse, validate

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[(?:[^\]\[]|\[[^\]]*\])*\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`]+)`")
SOURCE = re.compile(r"((?:crm_graph|schema|loaders|tests|scripts|docs)/[\w./-]*)(?:::(\w+))?")
"""A path, or the name of a function, class or constant in a file: `schema/build.py::build_schema`."""
GENERATED = {"crm_graph/static"}

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


@pages
def test_links_resolve(page: Path) -> None:
    assert list(broken_links(page)) == []


@pages
def test_source_references_exist(page: Path) -> None:
    assert list(missing_files(page)) == []


def test_broken_links_and_missing_files_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# One title\n\n## `Code`, and *more*\n\n## Again\n\n## Again\n\n"
        "[a](#one-title) [b](#code-and-more) [c](page.md#again-1) [d](https://example.com/nowhere)\n"
        "[e](#again-2) [f](other.md) ![g](picture.png)\n`schema/build.py` `schema/nowhere.py` `SCHEMA/x`\n"
        "`schema/build.py::build_schema` `schema/build.py::AREAS` `schema/build.py::nothing` `schema/nowhere.py::x`\n"
        "```text\n# Not a title\n[h](nowhere.md) `docs/nowhere.md`\n```\n[i](#not-a-title)\n"
    )

    assert list(broken_links(page)) == ["#again-2", "other.md", "picture.png", "#not-a-title"]
    assert list(missing_files(page)) == ["schema/nowhere.py", "schema/build.py::nothing", "schema/nowhere.py::x"]


def test_operations_fit_the_schema() -> None:
    schema = build_schema((ROOT / "docs" / "schema.graphql").read_text())
    errors = {
        (page.name, operations): validate(schema, parse(operations))
        for page in PAGES
        if page.name != "stitching.md"  # it shows other teams' schemas
        for operations in re.findall(r"^```graphql\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    }
    assert len(errors) >= 6
    assert {place: found for place, found in errors.items() if found} == {}


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "decisions").glob("0*.md")), ids=lambda page: page.stem)
def test_decisions_have_all_sections(page: Path) -> None:
    text = page.read_text()
    assert re.search(r"^Status: \w+\. Date: \d{4}-\d{2}-\d{2}\.", text, re.MULTILINE)
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Alternatives", "Consequences"]


def test_every_page_is_linked_from_the_readme() -> None:
    """Directly or through other pages."""
    found, new = set[Path](), [ROOT / "README.md"]
    while new:
        page = new.pop()
        found.add(page)
        new.extend({target for target, _ in links(page) if target.suffix == ".md"} - found)
    assert set(PAGES) - found == set()


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """The target file and the whole link, for each link to a file or an anchor."""
    for link in LINK.findall(FENCE.sub("", page.read_text())):
        if not re.match(r"[a-z]+:", link):
            path = link.partition("#")[0]
            yield ((page.parent / unquote(path)).resolve() if path else page), link


def broken_links(page: Path) -> Iterator[str]:
    for target, link in links(page):
        anchor = link.partition("#")[2]
        if not target.exists() or (anchor and anchor not in anchors(target)):
            yield link


def anchors(page: Path) -> set[str]:
    """Anchors of the headings, as GitHub derives them."""
    found: dict[str, int] = {}
    for heading in re.findall(r"^#{1,6} (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        count = found.get(anchor, 0)
        found[anchor] = count + 1
        if count:
            found[f"{anchor}-{count}"] = 1
    return set(found)


def missing_files(page: Path) -> Iterator[str]:
    for code in CODE.findall(FENCE.sub("", page.read_text())):
        source = SOURCE.fullmatch(code)
        if source is not None and source[1].rstrip("/") not in GENERATED and not is_there(*source.groups()):
            yield code


def is_there(path: str, name: str | None) -> bool:
    file = ROOT / path
    if name is None or not file.is_file():
        return name is None and file.exists()
    definition = rf"^(?:(?:async )?def|class) {name}\b|^{name}\b.* = "
    return re.search(definition, file.read_text(), re.MULTILINE) is not None
