"""The recipe for a new entity, docs/developers/new-entity.md, followed to the letter in a copy of the tree."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tests import conftest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "developers" / "new-entity.md"
PRODUCT = ("crm_graph", "loaders", "schema")
BLOCK = re.compile(r"^(?:\*\*(?P<path>[\w./]+)\*\*[^\n]*\n\n)?```(?P<language>\w+)\n(?P<text>.*?)^```$", re.M | re.S)
MAX_NEW_FILES = 5
MAX_SHARED_FILES = 3
SHAPE_WITH_QUOTES = 3
"""A shape of generated operations of which many select quotes."""
LEFT_OUT = shutil.ignore_patterns(".*", "node_modules", "__pycache__", "web", "*.egg-info")


@dataclass
class Copy:
    """A copy of the tree, in which commands run with the packages of this environment."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    @classmethod
    def make(cls, folder: Path) -> Copy:
        shutil.copytree(ROOT, folder, ignore=LEFT_OUT, dirs_exist_ok=True)
        (folder / ".venv").symlink_to(sys.prefix)
        if (ROOT / ".mypy_cache").is_dir():  # checking everything anew takes minutes
            shutil.copytree(ROOT / ".mypy_cache", folder / ".mypy_cache")
        return cls(folder, {"PYTHONPATH": str(folder), "PATH": f"{sys.prefix}/bin:{os.environ['PATH']}"})

    def write(self, path: str, text: str) -> None:
        assert not (self.folder / path).exists(), path
        (self.folder / path).write_text(text)

    def insert(self, path: str, diff: str) -> None:
        """Insert the lines with a plus between the others, which the file has once."""
        lines = diff.splitlines(keepends=True)
        old = "".join(line[1:] for line in lines if line.startswith(" "))
        text = (self.folder / path).read_text()
        assert text.count(old) == 1, diff
        (self.folder / path).write_text(text.replace(old, "".join(line[1:] for line in lines)))

    def shell(self, script: str) -> None:
        for line in script.splitlines():
            if line.startswith("export "):
                name, _, value = line.removeprefix("export ").partition("=")
                self.variables[name] = value
            elif line == "scripts/check --fix":
                self.check()
            else:
                self.run(line)

    def check(self) -> None:
        """The steps of scripts/check, without making a new environment."""
        self.run("ruff check --quiet --fix-only . && ruff format --quiet . && crm-graph schema > docs/schema.graphql")
        self.run("ruff check . && lint-imports --no-logo")
        if (ROOT / ".mypy_cache").is_dir():
            self.run("mypy")

    def test(self, *selection: str) -> None:
        self.run("pytest -n 0 -p no:cacheprovider --override-ini=addopts= -q " + " ".join(selection))

    def run(self, command: str) -> None:
        ended = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=self.folder,
            env={**os.environ, **self.variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            check=False,
        )
        assert ended.returncode == 0, f"{command}\n{ended.stdout}"

    def changes(self) -> tuple[list[str], list[str]]:
        """The new files of the product, and the files that the recipe changed."""
        new, changed = [], []
        for path in self.folder.rglob("*"):
            name = path.relative_to(self.folder).as_posix()
            if path.is_dir() or name.startswith(".") or "__pycache__" in name or name.endswith(".db"):
                continue
            old = ROOT / name
            if not old.exists():
                new.append(name)
            elif old.read_bytes() != path.read_bytes():
                changed.append(name)
        return sorted(name for name in new if name.startswith(PRODUCT)), sorted(changed)


def test_the_recipe_adds_an_entity(tmp_path: Path) -> None:
    copy = Copy.make(tmp_path / "copy")
    path = ""
    for block in BLOCK.finditer(PAGE.read_text()):
        path = block["path"] or path
        match block["language"]:
            case "python":
                copy.write(path, block["text"])
            case "diff":
                copy.insert(path, block["text"])
            case "sh":
                copy.shell(block["text"])
    del copy.variables["CRM_GRAPH_DATABASE_URL"]

    new, changed = copy.changes()
    assert len(new) <= MAX_NEW_FILES, new
    assert len(changed) <= MAX_SHARED_FILES, changed

    databases = ["sqlite"] if conftest.POSTGRES_URL is None else ["sqlite", "postgresql"]
    generated = "tests/differential/test_generated.py::test_both_executions_give_the_same_answer"
    copy.test("tests/test_architecture.py", "tests/schema/sales/test_quotes.py")
    copy.test("tests/access/test_policies.py", "-k", "'sqlite and PRIVATE'")
    copy.test("tests/differential/test_dataset.py", "-k", "Quote")
    copy.test(*(f"'{generated}[{each}-{SHAPE_WITH_QUOTES}]'" for each in databases))
    if "postgresql" in databases:
        copy.test("tests/database/test_plans.py", "-k", "quote")
