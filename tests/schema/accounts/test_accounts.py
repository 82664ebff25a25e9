"""Accounts and contacts through GraphQL."""

from __future__ import annotations

from tests.support.world import World


async def test_a_new_account_is_read_back_as_it_was_written(world: World) -> None:
    answer = await world.write(
        "createAccount",
        "account { name domain phone annualRevenue { amount currency } billingAddress { city } owner { id } version }",
        name="  Acme  ",
        domain="https://WWW.Acme.example/x",
        phone="(415) 555-2671",
        annualRevenue={"amount": "1250000.50"},
        billingAddress={"city": "Oslo"},
    )

    assert answer["userErrors"] == []
    assert answer["account"] == {
        "name": "Acme",
        "domain": "acme.example",
        "phone": "+14155552671",
        "annualRevenue": {"amount": "1250000.5", "currency": "USD"},
        "billingAddress": {"city": "Oslo"},
        "owner": {"id": world.admin.id},
        "version": 1,
    }
    [change] = await world.changes()
    assert (change["entity"], change["action"], change["revision"]) == ("Account", "CREATED", 1)
    assert change["fields"]["annual_revenue"] == [None, "1250000.5"]


async def test_pages_and_edges(world: World) -> None:
    parent = await world.make("account", name="Parent")
    for n in range(5):
        child = await world.make("account", name=f"Child {n}", parentId=parent)
        await world.make("contact", lastName=f"Person {n}", accountId=child)
    document = """
        query ($id: ID!, $after: String) {
          account(id: $id) {
            children(first: 2, after: $after, orderBy: [{field: NAME, direction: DESC}]) {
              totalCount
              pageInfo { hasNextPage endCursor }
              nodes { name parent { name } contacts { totalCount nodes { lastName account { name } } } }
            }
          }
        }
    """
    with world.statements() as seen:
        data = await world.data(document, id=parent)
    assert len(seen) == (1 if world.compiled else 7)
    children = data["account"]["children"]
    assert children["totalCount"] == 5
    assert [each["name"] for each in children["nodes"]] == ["Child 4", "Child 3"]
    assert children["nodes"][0]["contacts"] == {
        "totalCount": 1,
        "nodes": [{"lastName": "Person 4", "account": {"name": "Child 4"}}],
    }
    data = await world.data(document, id=parent, after=children["pageInfo"]["endCursor"])
    assert [each["name"] for each in data["account"]["children"]["nodes"]] == ["Child 2", "Child 1"]
