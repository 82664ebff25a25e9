"""A record of every entity. Most are made with what their create mutations require; MAKERS describes the others."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

from graphql import GraphQLInputObjectType, GraphQLSchema, get_named_type, is_non_null_type
from strawberry.utils.str_converters import to_snake_case

import schema
from crm_graph.access import inherits_from
from crm_graph.models import ENTITIES, TABLES, ApiToken, Entity, Membership
from tests.support.world import Person, World

Ids = dict[str, str]
"""The ids of records by the names of their entities in camel case: {"campaignMember": "cmem_…"}."""


def field_name(entity: str) -> str:
    return f"{entity[0].lower()}{entity[1:]}"


@functools.cache
def public_schema() -> GraphQLSchema:
    found: GraphQLSchema = schema.build_schema()._schema
    return found


async def _make_activity(world: World, owner: Person, ids: Ids) -> str:
    deal = await _id_of(world, owner, ids, "Opportunity")
    return await world.make("activity", by=owner, type="NOTE", subject="X", opportunityIds=[deal])


async def _make_campaign_member(world: World, owner: Person, ids: Ids) -> str:
    campaign, contact = [await _id_of(world, owner, ids, each) for each in ("Campaign", "Contact")]
    selection = "campaign { members { nodes { id } } }"
    added = await world.write("addCampaignMembers", selection, by=owner, campaignId=campaign, contactIds=[contact])
    member: str = added["campaign"]["members"]["nodes"][-1]["id"]
    return member


async def _find_membership(world: World, owner: Person, ids: Ids) -> str:
    """An existing one: a new one would change the records that users see."""
    return await _find(world, owner, Membership)


async def _find_api_token(world: World, owner: Person, ids: Ids) -> str:
    """The token that the owner signs in with: an API token cannot create another one."""
    return await _find(world, owner, ApiToken)


async def _find(world: World, owner: Person, kind: type[Entity]) -> str:
    [record_id] = [row["id"] for row in await world.rows(kind) if row["user_id"] == owner.id]
    return str(record_id)


MAKERS: Mapping[str, Callable[[World, Person, Ids], Awaitable[str]]] = {
    "Activity": _make_activity,
    "ApiToken": _find_api_token,
    "CampaignMember": _make_campaign_member,
    "Membership": _find_membership,
}
"""Makers of entities whose create mutation is not `create<Entity>`, or needs more than its required fields."""
WRITES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "ApiToken": ("revokeApiToken", {"id": None}),
    "CampaignMember": ("removeCampaignMember", {"memberId": None}),
}
"""A mutation that changes a record of an entity without `update<Entity>`, or without an own rule for it; None stands
for the record's id."""


async def make_all(world: World, owner: Person, ids: Ids, names: Collection[str] | None = None) -> Ids:
    """These records, and one of each other entity, or of those with these names in camel case."""
    for entity in ENTITIES:
        if names is None or field_name(entity) in names:
            await _id_of(world, owner, ids, entity)
    return ids


async def _id_of(world: World, owner: Person, ids: Ids, entity: str) -> str:
    name = field_name(entity)
    if name not in ids:
        ids[name] = await (MAKERS[entity](world, owner, ids) if entity in MAKERS else _make(world, owner, ids, entity))
    return ids[name]


async def _make(world: World, owner: Person, ids: Ids, entity: str) -> str:
    """A record with what `create<Entity>` requires, and with the records that decide who sees it."""
    model = ENTITIES[entity]
    values: dict[str, Any] = {}
    made = public_schema().get_type(f"Create{entity}Input")
    assert isinstance(made, GraphQLInputObjectType), f"describe in MAKERS how to make a record of {entity}"
    for name, field in made.fields.items():
        column = model.__table__.columns.get(to_snake_case(name))
        target = None if column is None else column.info.get("references")
        if target is not None and (is_non_null_type(field.type) or to_snake_case(name) in inherits_from(model)):
            values[name] = await _id_of(world, owner, ids, TABLES[target].__name__)
        elif is_non_null_type(field.type):
            kind = get_named_type(field.type).name
            assert kind == "String", f"describe in MAKERS how to make a record of {entity}: {name} is a {kind}"
            values[name] = "X"
    answer = await world.write(f"create{entity}", f"record: {field_name(entity)} {{ id }}", by=owner, **values)
    if any(error["code"] == "FORBIDDEN" for error in answer["userErrors"]):
        return await world.make(field_name(entity), **values)
    assert answer["userErrors"] == []
    record_id: str = answer["record"]["id"]
    return record_id


def change_of(entity: str, record_id: str) -> tuple[str, dict[str, Any]]:
    """A mutation that changes a record, and its input."""
    mutation, values = WRITES.get(entity, (f"update{entity}", {"id": None}))
    return mutation, {name: record_id if value is None else value for name, value in values.items()}
