"""`crm-graph schema`."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command()
@click.option("--federation", is_flag=True, help="As a subgraph of Apollo Federation.")
@click.option("--introspection", is_flag=True, help="As introspection JSON instead of SDL.")
@click.option("--output", type=click.Path(path_type=Path), help="Write to this file instead of stdout.")
def schema(federation: bool, introspection: bool, output: Path | None) -> None:
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
