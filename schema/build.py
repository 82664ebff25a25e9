"""Builds the schema of all areas' declarations."""

from __future__ import annotations

import importlib
import pkgutil

from schema.core import nodes  # noqa: F401  # it declares the fields that find any record
from schema.core.federation import subgraph_query
from schema.core.registry import INTERFACE_TYPES, TYPES, link_type_names, root_type
from schema.core.scalars import config
from schema.execution.schema import CrmSchema

AREAS = ("accounts", "activities", "marketing", "platform", "sales", "service")

for _area in AREAS:
    _package = importlib.import_module(f"schema.{_area}")
    for _module in pkgutil.iter_modules(_package.__path__, f"{_package.__name__}."):
        importlib.import_module(_module.name)

Query = root_type("Query", "Everything that can be read.")
Mutation = root_type("Mutation", "Everything that can be written. Each field is one transaction: all of it or nothing.")
Subscription = root_type(
    "Subscription", "Everything that can be followed live. Each message has the revision that it brings you to."
)


def build_schema(*, introspection: bool = True, compiled: bool = True, federation: bool = False) -> CrmSchema:
    """The schema, ready to execute.

    Without `introspection`, clients cannot query the schema. With `compiled`, queries are compiled to SQL where
    possible. With `federation`, the schema is a subgraph for gateways.
    """
    link_type_names()
    return CrmSchema(
        query=subgraph_query(Query, introspection=introspection) if federation else Query,
        mutation=Mutation,
        subscription=Subscription,
        types=[*TYPES.values(), *INTERFACE_TYPES],
        introspection=introspection,
        compiled=compiled,
        config=config(incremental=True),
    )
