"""`crm-graph trust`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import click

from crm_graph.cli.database_session import database_session
from crm_graph.settings import Settings


@click.command()
@click.argument("manifest", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--alone", is_flag=True, help="Stop trusting all other documents.")
def trust(manifest: Path, alone: bool) -> None:
    """Trust the GraphQL documents of MANIFEST, which the client's compiler wrote.

    Clients send their ids. If one document is not valid, none is trusted.
    """
    settings = Settings.from_environment()
    trusted, withdrawn = asyncio.run(_trust(settings, _read(settings, manifest), alone))
    print(f"{trusted} documents newly trusted, {withdrawn} no longer trusted.")


def _read(settings: Settings, manifest: Path) -> dict[str, str]:
    """The manifest's documents by their ids. Raises Invalid for a malformed manifest or an invalid document."""
    from crm_graph.errors import Invalid
    from crm_graph.services.platform import persisted_queries as documents
    from schema import build_schema

    try:
        texts = documents.read_manifest(manifest.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise Invalid("The manifest is not UTF-8 text.") from None
    schema = build_schema(introspection=settings.introspection)
    for each, text in texts.items():
        for error in schema.parse(text).errors:
            raise Invalid(f"The document is not valid on this server: {error.message}", each)
    return texts


async def _trust(settings: Settings, texts: Mapping[str, str], alone: bool) -> tuple[int, int]:
    from crm_graph.services.platform import persisted_queries as documents

    async with database_session(settings) as changelog:
        return await documents.trust(changelog.database, texts, alone=alone)
