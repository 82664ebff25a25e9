"""The names of node types, and of types that are made from declarations. Import them under TYPE_CHECKING:

    if TYPE_CHECKING:
        from schema.core.node_types import Account, User

The types of areas refer to each other in circles, so their modules do not import each other. `link_type_names` defines
the names when all types are declared; a name that no type has fails when the schema is built.
"""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    raise AttributeError(f"{name} is only there for type checkers: import it under TYPE_CHECKING.")
