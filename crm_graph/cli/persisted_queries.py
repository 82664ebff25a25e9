"""`crm-graph trust`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from crm_graph.cli.database_session import database_session
from crm_graph.settings import Settings

Manifest = Annotated[Path, typer.Argument(help="What the client's compiler wrote.", exists=True, dir_okay=False)]


def trust(
    manifest: Manifest,
    alone: Annotated[bool, typer.Option("--alone", help="Trust no other documents from now on.")] = False,
) -> None:
    """Trust the GraphQL documents of MANIFEST, which clients name by their ids: all of them, or none."""
    settings = Settings.from_environment()
    trusted, withdrawn = asyncio.run(_trust(settings, _read(settings, manifest), alone))
    print(f"{trusted} documents are trusted anew, and {withdrawn} no more.")


def _read(settings: Settings, manifest: Path) -> dict[str, str]:
    """The manifest's texts by their ids. Raises Invalid for one that is none, or that has a wrong document."""
    from crm_graph.errors import Invalid
    from crm_graph.services.platform import persisted_queries as documents
    from schema import build_schema

    try:
        texts = documents.read_manifest(manifest.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise Invalid("The manifest is not a text in UTF-8.") from None
    schema = build_schema(introspection=settings.introspection)
    for each, text in texts.items():
        for error in schema.read(text).errors:
            raise Invalid(f"The document is none that this server answers: {error.message}", each)
    return texts


async def _trust(settings: Settings, texts: Mapping[str, str], alone: bool) -> tuple[int, int]:
    from crm_graph.services.platform import persisted_queries as documents

    async with database_session(settings) as changelog:
        return await documents.trust(changelog.database, texts, alone=alone)
