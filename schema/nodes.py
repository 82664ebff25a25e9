"""Any record by its id."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import strawberry

from crm_graph.errors import BadUserInput
from loaders.pages import LARGEST_PAGE
from schema.context import Info
from schema.node import TYPES, Node


async def _load(info: Info, record_id: str) -> Any:
    loaders = info.context.loaders
    models = {each.__model__.prefix: each.__model__ for each in TYPES.values()}
    model = models.get(record_id.partition("_")[0])
    return None if model is None else await loaders.one(model).load(record_id)


@strawberry.type
class NodeQuery:
    @strawberry.field(description="The record with an id; null if there is none, or if it may not be seen.")
    async def node(
        self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="Its id.")]
    ) -> Node | None:
        return await _load(info, id)

    @strawberry.field(
        description="The records with these ids, in their order; null in the place of one not to be seen."
    )
    async def nodes(
        self, info: Info, ids: Annotated[list[strawberry.ID], strawberry.argument(description="At most 100 ids.")]
    ) -> list[Node | None]:
        if len(ids) > LARGEST_PAGE:
            raise BadUserInput(f"At most {LARGEST_PAGE} ids can be asked for at once, not {len(ids)}.", "ids")
        return list(await asyncio.gather(*(_load(info, each) for each in ids)))
