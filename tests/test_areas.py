"""An area imports from another area only the names that its package exports."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
LAYERS = ("crm_graph.models", "crm_graph.services", "loaders", "schema")
AREAS = ("accounts", "activities", "marketing", "platform", "sales", "service")


def area_of(module: str) -> tuple[str, str] | None:
    """The layer and the area of a module, if it is in an area."""
    for layer in LAYERS:
        area = module.removeprefix(f"{layer}.").partition(".")[0]
        if module.startswith(f"{layer}.") and area in AREAS:
            return layer, area
    return None


def imports_of_other_areas() -> Iterator[tuple[str, str, str]]:
    """(importing file, imported module, name) for each import from one area to another."""
    for layer in LAYERS:
        for path in (ROOT / layer.replace(".", "/")).rglob("*.py"):
            file = path.relative_to(ROOT)
            own = area_of(".".join(file.with_suffix("").parts))
            for node in ast.walk(ast.parse(path.read_text())):
                other = area_of(f"{node.module}.") if isinstance(node, ast.ImportFrom) and node.module else None
                if own is not None and other is not None and other[1] != own[1]:
                    assert isinstance(node, ast.ImportFrom)
                    for name in node.names:
                        yield str(file), str(node.module), name.name


def test_an_area_imports_from_another_only_what_its_package_exports() -> None:
    imports = list(imports_of_other_areas())

    assert imports
    assert [
        f"{file}: {name} is not exported by {'.'.join(area)}"
        for file, module, name in imports
        if (area := area_of(f"{module}.")) is not None
        and (module != ".".join(area) or name not in getattr(importlib.import_module(module), "__all__", ()))
    ] == []
