"""The import rules of all entities: the services of all areas declare them."""

from __future__ import annotations

import importlib
import pkgutil

from crm_graph import services
from crm_graph.records.import_rules import ImportRules, rules_for

__all__ = ["ImportRules", "rules_for"]

for _area in pkgutil.iter_modules(services.__path__, f"{services.__name__}."):
    if _area.name not in {f"{services.__name__}.importing", f"{services.__name__}.demo"}:
        for _module in pkgutil.iter_modules(importlib.import_module(_area.name).__path__, f"{_area.name}."):
            importlib.import_module(_module.name)
