"""Any record by its id."""

from __future__ import annotations

from tests.support.world import World

NODES = "query ($ids: [ID!]!) { nodes(ids: $ids) { id __typename ... on Account { name } } }"


async def test_nodes_come_in_the_order_of_their_ids(world: World) -> None:
    account = await world.make("account", name="Acme")
    contact = await world.make("contact", lastName="Ann")

    data = await world.data(NODES, ids=[contact, "acc_unknown", account, "nonsense", "", "acc_\0", account])

    assert data["nodes"] == [
        {"id": contact, "__typename": "Contact"},
        None,
        {"id": account, "__typename": "Account", "name": "Acme"},
        None,
        None,
        None,
        {"id": account, "__typename": "Account", "name": "Acme"},
    ]


async def test_one_node(world: World) -> None:
    account = await world.make("account", name="Acme")

    data = await world.data("query ($id: ID!) { node(id: $id) { id } }", id=account)

    assert data == {"node": {"id": account}}


async def test_too_many_nodes(world: World) -> None:
    answer = await world.ask(NODES, ids=["acc_1"] * 101)

    assert answer["errors"][0]["message"] == "At most 100 ids are allowed, not 101."
    assert answer["errors"][0]["extensions"] == {"code": "BAD_USER_INPUT", "field": "ids"}


async def test_nobody_sees_nothing(world: World) -> None:
    account = await world.make("account", name="Acme")

    answer = await world.send({"query": NODES, "variables": {"ids": [account, "acc_unknown"]}})

    assert answer["data"] is None
    assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
