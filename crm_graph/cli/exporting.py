"""`crm-graph schema`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Optional

import typer


def schema(
    federation: Annotated[bool, typer.Option("--federation", help="As a subgraph of Apollo Federation.")] = False,
    introspection: Annotated[bool, typer.Option("--introspection", help="As JSON, rather than as SDL.")] = False,
    output: Annotated[Optional[Path], typer.Option(help="The file to write; otherwise it is printed.")] = None,
) -> None:
    """Print the GraphQL schema."""
    from graphql import introspection_from_schema

    from schema import build_schema
    from schema.core.federation import print_subgraph

    built = build_schema(federation=federation)
    if introspection:
        text = json.dumps(introspection_from_schema(built._schema), indent=2)
    else:
        text = print_subgraph(built) if federation else built.as_str()
    if output is None:
        print(text)
    else:
        output.write_text(f"{text}\n")
