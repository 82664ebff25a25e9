"""Requests of gateways to a subgraph: records by their keys, and its schema."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from graphql import GraphQLObjectType, GraphQLUnionType, parse
from starlette.applications import Starlette

from crm_graph.models import Role, Visibility
from schema import build_schema
from schema.core.federation import print_subgraph
from tests.support.world import World, build_world, running
from tests.test_architecture import parts

ENTITIES = """query ($representations: [_Any!]!) {
  _entities(representations: $representations) {
    __typename
    ... on Account { name owner { name } }
    ... on Contact { lastName account { name } }
    ... on ContactRole { id }
  }
}"""
SDL = "{ _service { sdl } }"
ONE = '{ _entities(representations: [{__typename: "Account", id: "1"}]) { __typename } }'


@pytest.fixture(scope="module")
async def subgraph(database_url: str) -> AsyncIterator[Starlette]:
    """An application that answers gateways, and watches its statements."""
    async with running(database_url, federation=True, explain=True) as application:
        yield application


@pytest.fixture
async def here(subgraph: Starlette) -> AsyncIterator[World]:
    world = await build_world(subgraph)
    yield world
    await world.close()
    assert subgraph.state.visibility_hook.breaches == []


async def entities(world: World, *representations: Any, **options: Any) -> list[Any]:
    found: list[Any] = (await world.data(ENTITIES, representations=representations, **options))["_entities"]
    return found


async def test_records_come_by_either_key_in_the_order_of_their_representations(here: World) -> None:
    acme = await here.make("account", name="Acme", externalId="C-1")
    bolt = await here.make("account", name="Bolt")
    ann = await here.make("contact", lastName="Ann", externalId="C-1", accountId=acme)

    found = await entities(
        here,
        {"__typename": "Contact", "externalId": "C-1"},
        {"__typename": "Account", "id": bolt},
        {"__typename": "Account", "externalId": "C-1"},
        {"__typename": "Account", "id": None, "externalId": "C-1"},
        {"__typename": "Account", "id": acme, "externalId": "another", "name": "of no account"},
        {"__typename": "Contact", "id": ann},
    )

    of_acme = {"__typename": "Account", "name": "Acme", "owner": {"name": "Ada Admin"}}
    of_ann = {"__typename": "Contact", "lastName": "Ann", "account": {"name": "Acme"}}
    assert found == [of_ann, {**of_acme, "name": "Bolt"}, of_acme, of_acme, of_acme, of_ann]


async def test_a_statement_for_each_type_and_key(here: World) -> None:
    representations = []
    for number in range(3):
        account = await here.make("account", name=f"A{number}", externalId=f"A-{number}")
        await here.make("contact", lastName=f"C{number}", externalId=f"C-{number}", accountId=account)
        representations += [
            {"__typename": "Account", "id": account},
            {"__typename": "Account", "externalId": f"A-{number}"},
            {"__typename": "Contact", "externalId": f"C-{number}"},
        ]

    counts = []
    for asked in (representations[:3], representations):
        with here.statements() as statements:
            found = await entities(here, *asked)
        assert None not in found
        counts.append(len([each for each in statements if re.search(r"FROM (accounts|contacts)\b", each)]))

    assert counts == [3, 3]  # accounts by id, accounts by external id, contacts


async def test_what_may_not_be_seen_is_null(here: World) -> None:
    person, other = await here.person(Role.REP), await build_world(here.application)
    hidden = await here.make("account", name="Hidden", externalId="H-1", ownerId=here.admin.id)
    mine = await here.make("account", name="Mine", externalId="M-1", ownerId=person.id)
    deleted = await here.make("account", name="Gone", externalId="G-1", ownerId=person.id)
    elsewhere = await other.make("account", name="Elsewhere", externalId="E-1")
    await here.default("account", Visibility.PRIVATE)
    await here.write("deleteAccount", "revision", id=deleted)
    ids, keys = (hidden, mine, deleted, elsewhere, "acc_x", "\0"), ("H-1", "M-1", "G-1", "E-1", "?", "\0", None)

    found = await entities(
        here,
        *({"__typename": "Account", "id": each} for each in ids),
        *({"__typename": "Account", "externalId": each} for each in keys),
        {"__typename": "Contact", "id": mine},
        by=person,
    )
    await other.close()

    seen = [index for index, each in enumerate(found) if each is not None]
    assert seen == [1, 7]
    assert len(found) == 14


@pytest.mark.parametrize(
    ("representation", "message", "field"),
    [
        ("acc_1", "An object with `__typename` is expected.", ""),
        ([], "An object with `__typename` is expected.", ""),
        ({"id": "acc_1"}, "An object with `__typename` is expected.", ""),
        ({"__typename": 5, "id": "acc_1"}, "An object with `__typename` is expected.", ""),
        ({"__typename": "Nobody", "id": "1"}, "There are no entities of a type 'Nobody'.", ".__typename"),
        ({"__typename": "Money", "amount": "1"}, "There are no entities of a type 'Money'.", ".__typename"),
        ({"__typename": "Account"}, "A key is missing: id or externalId.", ""),
        ({"__typename": "ContactRole", "externalId": "1"}, "A key is missing: id.", ""),
        ({"__typename": "Account", "id": 7}, "A string is expected.", ".id"),
        ({"__typename": "Account", "externalId": {"eq": "1"}}, "A string is expected.", ".externalId"),
    ],
)
async def test_the_first_wrong_representation_is_named(
    here: World, representation: Any, message: str, field: str
) -> None:
    representations = [{"__typename": "Account", "id": "acc_1"}, *[representation] * 3]

    answer = await here.ask(ENTITIES, representations=representations)

    assert answer["data"] is None
    [error] = answer["errors"]
    assert (error["message"], error["path"]) == (message, ["_entities"])
    assert error["extensions"] == {"code": "BAD_USER_INPUT", "field": f"representations.1{field}"}


async def test_looking_for_what_is_not_there_is_not_for_nothing(here: World) -> None:
    acme = await here.make("account", name="Acme")
    representations = [{"__typename": "Account", "id": each} for each in (acme, *map(str, range(50)))]

    answer = await here.ask(ENTITIES, representations=representations)

    assert answer["extensions"]["cost"]["requestedQueryCost"] == 51 * 3
    assert answer["extensions"]["cost"]["actualQueryCost"] == 2 + 50


async def test_nobody_gets_no_entities(here: World) -> None:
    acme = await here.make("account", name="Acme")

    variables = {"representations": [{"__typename": "Account", "id": acme}]}
    answer = await here.send({"query": ENTITIES, "variables": variables})

    assert answer["data"] is None
    assert [each["extensions"]["code"] for each in answer["errors"]] == ["UNAUTHENTICATED"]


async def test_what_else_is_asked_is_compiled_as_ever(here: World) -> None:
    answer = await here.ask("{ accounts { totalCount } }")

    assert answer["data"] == {"accounts": {"totalCount": 0}}
    assert answer["extensions"]["execution"] == "compiled"


# The schema


def test_every_node_type_has_its_keys_and_shared_types_say_so() -> None:
    printed = print_subgraph(build_schema(federation=True))

    assert printed.startswith(
        'extend schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: ["@key", "@shareable"])\n'
    )
    marks = re.findall(r"^type (\w+)[^@\n]*((?: @[^{]+)?) \{$", printed, re.MULTILINE)
    by_id, by_both = ' @key(fields: "id")', ' @key(fields: "id") @key(fields: "externalId")'
    assert {name for name, mark in marks if mark == by_id} == {"ApiToken", "CampaignMember", "ContactRole"}
    assert {name for name, mark in marks if mark == by_both} == {
        *("Account", "Activity", "Campaign", "Case", "Contact", "Lead", "Opportunity", "OpportunityLine", "Pipeline"),
        *("Product", "Stage", "Team", "User"),
    }
    shared = {"Address", "EmailAddress", "Money", "PageInfo", "PhoneNumber", "SocialProfile"}
    assert {name for name, mark in marks if mark == " @shareable"} == shared


def test_every_node_type_is_an_entity() -> None:
    core = build_schema(federation=True)._schema
    entity, node = core.type_map["_Entity"], core.type_map["Node"]
    assert isinstance(entity, GraphQLUnionType)
    nodes = {
        each.name for each in core.type_map.values() if isinstance(each, GraphQLObjectType) and node in each.interfaces
    }

    assert {each.name for each in entity.types} == nodes


def test_all_but_what_gateways_ask_is_as_without_them() -> None:
    plain, federated = build_schema(), build_schema(federation=True)
    core: Any = federated._schema
    query = core.type_map["Query"].fields

    assert set(core.type_map) - set(plain._schema.type_map) == {"_Any", "_Entity", "_Service"}
    assert set(query) - set(plain._schema.type_map["Query"].fields) == {"_entities", "_service"}  # type: ignore[attr-defined]
    assert parse(print_subgraph(federated)).definitions
    new = [core.type_map["_Any"], core.type_map["_Entity"], core.type_map["_Service"], core.type_map["Query"]]
    assert [place for each in new for place, description in parts(each) if not description] == []


async def test_the_schema_is_told_where_introspection_is(here: World) -> None:
    answer = await here.ask(SDL)

    assert [error["message"] for error in answer["errors"]] == ["Cannot query field '_service' on type 'Query'."]
    told = build_schema(federation=True, introspection=True)
    assert told.execute_sync(SDL).data == {"_service": {"sdl": print_subgraph(told)}}


@pytest.mark.parametrize("asked", [SDL, ONE])
async def test_without_the_setting_there_is_nothing_for_gateways(world: World, asked: str) -> None:
    answer = await world.ask(asked)

    assert [error["extensions"]["code"] for error in answer["errors"]] == ["BAD_USER_INPUT"]
    assert "data" not in answer
