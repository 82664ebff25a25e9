"""Records of any type by id."""

from __future__ import annotations

import asyncio

import sqlalchemy as sa
import strawberry
from graphql import GraphQLObjectType
from strawberry import UNSET
from strawberry.types.arguments import StrawberryArgument

from crm_graph.database import TextArray, is_storable
from crm_graph.errors import BadUserInput
from crm_graph.models import Entity
from crm_graph.models.types import Id
from loaders.core.pages import MAX_PAGE_SIZE
from loaders.sql_json.expressions import ITEM, Expression, JsonLiteral, JsonText, JsonTextArray
from loaders.sql_json.pages import RowScope
from loaders.sql_json.variables import VariableRef, as_bind, merge_list, specialized
from schema.core import TYPES, Node, compile_one
from schema.core.context import Info
from schema.core.declared import Arguments, DeclaredField, argument, declared
from schema.core.registry import NodeType, query_fields
from schema.core.selection import FieldSelection

ID = Id()


def _type_of(record_id: str) -> NodeType | None:
    """The node type of an id; None for a malformed one."""
    types = {each.__model__.prefix: each for each in TYPES.values()}
    return types.get(record_id.partition("_")[0])


async def _load(info: Info, record_id: str) -> Entity | None:
    kind = _type_of(record_id)
    return None if kind is None else await info.context.loaders.by_key(kind.__model__).load(record_id)


def _write(selection: FieldSelection, scope: RowScope, kind: NodeType, key: object) -> Expression:
    """Expression for the record of a type whose id is `key`; its selection depends on the type."""
    graphql_type = selection.operation.schema.type_map[kind.__name__]
    assert isinstance(graphql_type, GraphQLObjectType)
    return compile_one(selection, scope, kind.__model__, key, graphql_type)


class _ById(DeclaredField):
    """A record of any type."""

    def declare_arguments(self) -> list[StrawberryArgument]:
        return [argument("id", strawberry.ID, "Id of the record.", UNSET)]

    async def resolve(self, source: object, info: Info, arguments: Arguments) -> object:
        return await _load(info, arguments["id"])

    def compile(self, selection: FieldSelection, scope: RowScope) -> Expression:
        record_id = selection.arguments["id"]
        kind = specialized(record_id.then(_type_of)) if isinstance(record_id, VariableRef) else _type_of(record_id)
        return JsonLiteral(None) if kind is None else _write(selection, scope, kind, as_bind(record_id, ID))


class _ByIds(DeclaredField):
    """Records of any types, in the order of their ids."""

    def declare_arguments(self) -> list[StrawberryArgument]:
        return [argument("ids", list[strawberry.ID], "At most 100 ids.", UNSET)]

    async def resolve(self, source: object, info: Info, arguments: Arguments) -> list[Entity | None]:
        ids = _few(arguments["ids"])
        return list(await asyncio.gather(*(_load(info, each) for each in ids)))

    def compile(self, selection: FieldSelection, scope: RowScope) -> Expression:
        ids = merge_list(selection.arguments["ids"])
        kinds = specialized(ids.then(_types_of)) if isinstance(ids, VariableRef) else _types_of(ids)
        found = [_write(selection, scope, TYPES[name], ITEM) for name in kinds]
        record = (
            sa.func.coalesce(*found, type_=JsonText()) if len(found) > 1 else found[0] if found else JsonLiteral(None)
        )
        kept = ids.then(_storable) if isinstance(ids, VariableRef) else _storable(ids)
        return JsonTextArray(as_bind(kept, TextArray()), record)


def _types_of(ids: list[str]) -> tuple[str, ...]:
    """The names of the node types of ids. Raises BadUserInput."""
    return tuple(sorted({kind.__name__ for each in _few(ids) if (kind := _type_of(each)) is not None}))


def _storable(ids: list[str]) -> list[str]:
    """The ids, with an empty text for each that is not storable: a text array cannot hold it."""
    return [each if is_storable(each) else "" for each in ids]


def _few(ids: list[str]) -> list[str]:
    if len(ids) > MAX_PAGE_SIZE:
        raise BadUserInput(f"At most {MAX_PAGE_SIZE} ids are allowed, not {len(ids)}.", "ids")
    return ids


@query_fields(0)
class NodeQuery:
    node: Node | None = declared(_ById, "The record with this id; null if it does not exist or you may not see it.")
    nodes: list[Node | None] = declared(
        _ByIds, "The records with these ids, in their order; null for each that does not exist or that you may not see."
    )
