"""The 360 of an account: every edge, its summary and its timeline."""

from __future__ import annotations

import datetime as dt
from typing import Any

from crm_graph.models import Role, Visibility
from tests.schema.sales.test_opportunities import move, pipeline
from tests.support.world import World

CUSTOMER = """
    query ($id: ID!) {
      account(id: $id) {
        name
        owner { name manager { name } }
        team { name }
        parent { name }
        children { totalCount nodes { name owner { name } } }
        contacts(first: 20) { totalCount nodes { lastName owner { name } activities(first: 3) { nodes { subject } } } }
        opportunities(first: 20) {
          totalCount
          nodes {
            name stage { name } owner { name }
            activities(first: 3) { nodes { subject } }
            contactRoles { nodes { contact { lastName } } }
            lines { nodes { product { name } } }
          }
        }
        cases(first: 20) { totalCount nodes { number contact { lastName } } }
        activities(first: 20) { totalCount nodes { subject owner { name } } }
        campaigns(first: 20) { totalCount nodes { name } }
        timeline(first: 20) { totalCount nodes { __typename id at actor { name }
          ... on ActivityEntry { activity { subject } }
          ... on StageMove { opportunity { name } fromStage { name } toStage { name } }
          ... on CaseStatusChange { case { number } fromStatus toStatus }
          ... on MemberResponse { campaignMember { campaign { name } } }
        } }
        summary {
          openPipeline { count sums { currency amount weighted } }
          weightedPipeline { amount currency }
          won { count } wonRevenue { amount currency } lost { count } openCases
          lastActivity { subject } nextActivity { subject }
        }
      }
    }
"""
SUMMARY = """
    query ($id: ID!) { account(id: $id) { summary {
      openPipeline { count sums { currency count amount weighted } }
      weightedPipeline { amount currency }
      won { count } wonRevenue { amount currency } lost { count } openCases
      lastActivity { subject } nextActivity { subject }
    } } }
"""


def hours(number: int) -> str:
    return (dt.datetime.now(dt.UTC) + dt.timedelta(hours=number)).isoformat()


async def fill(world: World, account: str, times: int) -> None:
    """Some of everything for an account."""
    product = await world.make("product", name="Box")
    for number in range(times):
        child = await world.make("account", name=f"Child {number}", parentId=account)
        contact = await world.make("contact", lastName=f"Contact {number}", accountId=account)
        await world.make("contact", lastName="Elsewhere", accountId=child)
        deal = await world.make("opportunity", name=f"Deal {number}", accountId=account, amount={"amount": "10"})
        await world.make("contactRole", opportunityId=deal, contactId=contact)
        await world.make("opportunityLine", opportunityId=deal, productId=product)
        await world.write("createCase", "case { id }", subject=f"Case {number}", contactId=contact)
        campaign = await world.make("campaign", name=f"Campaign {number}")
        await world.write("addCampaignMembers", "revision", campaignId=campaign, contactIds=[contact])
        await world.write(
            "logActivity",
            "revision",
            type="CALL",
            subject=f"Call {number}",
            opportunityIds=[deal],
            contactIds=[contact],
        )


async def test_the_360_takes_as_many_statements_for_fifty_times_the_data(world: World) -> None:
    await pipeline(world)
    account = await world.make("account", name="Acme")
    await fill(world, account, 1)
    with world.statements() as few:
        await world.data(CUSTOMER, id=account)
    await fill(world, account, 49)

    with world.statements() as many:
        data = await world.data(CUSTOMER, id=account)

    assert data["account"]["contacts"]["totalCount"] == 50
    assert data["account"]["timeline"]["totalCount"] == 50
    assert [len(few), len(many)] == [29, 29]


async def test_three_levels_are_three_statements(world: World) -> None:
    await pipeline(world)
    for name in ("A", "B"):
        await fill(world, await world.make("account", name=name), 2)

    with world.statements() as seen:
        data = await world.data(
            """{ accounts { nodes { opportunities(first: 5) { nodes {
              activities(first: 3) { nodes { subject } }
            } } } } }"""
        )

    deals = [deal for each in data["accounts"]["nodes"] for deal in each["opportunities"]["nodes"]]
    assert len(deals) == 4
    assert all(len(deal["activities"]["nodes"]) == 1 for deal in deals)
    assert len(seen) == (1 if world.compiled else 4)  # sign-in and one a level


async def test_the_summary_in_figures(world: World) -> None:
    _, stages = await pipeline(world)
    account = await world.make("account", name="Acme")
    for amount, currency, stage in (
        ("100", "USD", "Offer"),
        ("0.01", "USD", "New"),
        ("50", "EUR", "Offer"),
        ("7", "EUR", "Won"),
        ("9", "USD", "Lost"),
    ):
        money = {"amount": amount, "currency": currency}
        await world.make("opportunity", name="Deal", accountId=account, stageId=stages[stage], amount=money)
    await world.make("opportunity", name="Unpriced", accountId=account)
    for status in ("NEW", "RESOLVED"):
        case = await world.make("case", subject=status, accountId=account)
        if status == "RESOLVED":
            await world.write("changeCaseStatus", "revision", id=case, status=status, expectedVersion=1)
    for subject, kind, when in (
        ("Before", "CALL", hours(-5)),
        ("Just now", "EMAIL", hours(-1)),
        ("Open task", "TASK", hours(2)),
        ("Meeting", "MEETING", hours(3)),
    ):
        await world.write("logActivity", "revision", type=kind, subject=subject, happensAt=when, accountIds=[account])

    data = await world.data(SUMMARY, id=account)

    assert data["account"]["summary"] == {
        "openPipeline": {
            "count": 4,
            "sums": [
                {"currency": "EUR", "count": 1, "amount": "50", "weighted": "25"},
                {"currency": "USD", "count": 2, "amount": "100.01", "weighted": "50.001"},
            ],
        },
        "weightedPipeline": [{"amount": "25", "currency": "EUR"}, {"amount": "50.001", "currency": "USD"}],
        "won": {"count": 1},
        "wonRevenue": [{"amount": "7", "currency": "EUR"}],
        "lost": {"count": 1},
        "openCases": 1,
        "lastActivity": {"subject": "Just now"},
        "nextActivity": {"subject": "Open task"},
    }


async def timeline(world: World, account: str, **variables: Any) -> dict[str, Any]:
    data = await world.data(
        """
        query ($id: ID!, $first: Int, $after: String, $last: Int, $before: String) { account(id: $id) {
          timeline(first: $first, after: $after, last: $last, before: $before) {
            totalCount pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
            nodes { __typename actor { name }
              ... on ActivityEntry { activity { subject } }
              ... on StageMove { opportunity { name } fromStage { name } toStage { name } }
              ... on CaseStatusChange { case { subject } fromStatus toStatus }
              ... on MemberResponse { campaignMember { status campaign { name } } }
            } } } }
        """,
        id=account,
        **variables,
    )
    found: dict[str, Any] = data["account"]["timeline"]
    return found


async def test_the_timeline_has_everything_newest_first(world: World) -> None:
    _, stages = await pipeline(world)
    account = await world.make("account", name="Acme")
    contact = await world.make("contact", lastName="Ann", accountId=account)
    await world.write("logActivity", "revision", type="CALL", subject="Call", accountIds=[account], happensAt=hours(-1))
    deal = await world.make("opportunity", name="Deal", accountId=account)
    await move(world, deal, stages["Offer"], 1)
    case = await world.make("case", subject="Broken", accountId=account)
    await world.write("changeCaseStatus", "revision", id=case, status="IN_PROGRESS", expectedVersion=1)
    campaign = await world.make("campaign", name="Spring")
    added = await world.write(
        "addCampaignMembers", "campaign { members { nodes { id } } }", campaignId=campaign, contactIds=[contact]
    )
    [member] = added["campaign"]["members"]["nodes"]
    await world.write("setCampaignMemberStatus", "revision", memberId=member["id"], status="RESPONDED")

    whole = await timeline(world, account)

    ada = {"name": "Ada Admin"}
    assert whole["totalCount"] == 4
    assert whole["nodes"] == [
        {
            "__typename": "MemberResponse",
            "actor": ada,
            "campaignMember": {"status": "RESPONDED", "campaign": {"name": "Spring"}},
        },
        {
            "__typename": "CaseStatusChange",
            "actor": ada,
            "case": {"subject": "Broken"},
            "fromStatus": "NEW",
            "toStatus": "IN_PROGRESS",
        },
        {
            "__typename": "StageMove",
            "actor": ada,
            "opportunity": {"name": "Deal"},
            "fromStage": {"name": "New"},
            "toStage": {"name": "Offer"},
        },
        {"__typename": "ActivityEntry", "actor": ada, "activity": {"subject": "Call"}},
    ]
    first = await timeline(world, account, first=3)
    assert first["nodes"] == whole["nodes"][:3]
    assert (first["pageInfo"]["hasNextPage"], first["pageInfo"]["hasPreviousPage"]) == (True, False)
    second = await timeline(world, account, first=3, after=first["pageInfo"]["endCursor"])
    assert second["nodes"] == whole["nodes"][3:]
    assert (second["pageInfo"]["hasNextPage"], second["pageInfo"]["hasPreviousPage"]) == (False, True)
    back = await timeline(world, account, last=2, before=second["pageInfo"]["startCursor"])
    assert back["nodes"] == whole["nodes"][1:3]


async def test_the_timeline_and_the_summary_leave_out_what_is_not_seen(world: World) -> None:
    _, stages = await pipeline(world)
    account = await world.make("account", name="Acme")
    rep = await world.person(Role.REP)
    deal = await world.make("opportunity", name="Hidden", accountId=account, amount={"amount": "5"})
    await move(world, deal, stages["Offer"], 1)
    await world.default("opportunity", Visibility.PRIVATE)

    seen = await world.data("query ($id: ID!) { account(id: $id) { timeline { totalCount } } }", by=rep, id=account)
    summary = await world.data(SUMMARY, by=rep, id=account)

    assert seen["account"]["timeline"]["totalCount"] == 0
    assert summary["account"]["summary"]["openPipeline"] == {"count": 0, "sums": []}
    assert (await timeline(world, account))["totalCount"] == 1
