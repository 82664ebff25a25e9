"""Campaigns and their members, through GraphQL."""

from __future__ import annotations

from typing import Any

from crm_graph.models import Role, Visibility
from tests.support.world import Person, World

STATUSES = [
    {"name": "Invited", "responded": False},
    {"name": "Came", "responded": True},
    {"name": "Bought", "responded": True},
]
MEMBERS = """
    query ($id: ID!) {
      campaign(id: $id) {
        response { memberCount responseCount }
        members { nodes { id status firstRespondedAt contact { id } lead { id } version } }
      }
    }
"""


async def refusal(world: World, mutation: str, *, by: Person | None = None, **values: Any) -> tuple[str, str | None]:
    """Code and field of a write that is refused and changes nothing."""
    before = await world.everything()
    answer = await world.write(mutation, "__typename", by=by, **values)
    assert await world.everything() == before
    assert answer["revision"] is None
    [error] = answer["userErrors"]
    return error["code"], error["field"]


async def add(world: World, campaign: str, *, by: Person | None = None, **values: Any) -> int:
    """Add members, and return their number."""
    answer = await world.write("addCampaignMembers", "added campaign { id }", by=by, campaignId=campaign, **values)
    assert answer["userErrors"] == []
    assert answer["campaign"] == {"id": campaign}
    added: int = answer["added"]
    return added


async def members(world: World, campaign: str) -> list[dict[str, Any]]:
    """A campaign's members in the order they were added."""
    data = await world.data(MEMBERS, id=campaign)
    nodes: list[dict[str, Any]] = data["campaign"]["members"]["nodes"]
    return nodes


async def test_a_campaign_has_two_statuses_unless_it_names_its_own(world: World) -> None:
    usual = await world.write("createCampaign", "campaign { memberStatuses { name responded } }", name="Spring")
    own = await world.write(
        "createCampaign", "campaign { memberStatuses { name responded } }", name="Fall", memberStatuses=STATUSES
    )

    assert usual["campaign"]["memberStatuses"] == [
        {"name": "SENT", "responded": False},
        {"name": "RESPONDED", "responded": True},
    ]
    assert own["campaign"]["memberStatuses"] == STATUSES


async def test_the_statuses_of_a_campaign_differ_and_are_not_none(world: World) -> None:
    campaign = await world.make("campaign", name="Spring")
    twice = [{"name": name, "responded": False} for name in ("Sent", "Came", "SENT")]
    writes: dict[str, dict[str, Any]] = {"createCampaign": {"name": "Fall"}, "updateCampaign": {"id": campaign}}
    for mutation, which in writes.items():
        assert await refusal(world, mutation, **which, memberStatuses=[]) == ("INVALID", "memberStatuses")
        assert await refusal(world, mutation, **which, memberStatuses=None) == ("REQUIRED", "memberStatuses")
        assert await refusal(world, mutation, **which, memberStatuses=twice) == ("INVALID", "memberStatuses.2.name")
        assert await refusal(world, mutation, **which, memberStatuses=[{**STATUSES[0], "name": " "}]) == (
            "REQUIRED",
            "memberStatuses.0.name",
        )


async def test_a_status_that_members_have_stays_in_the_list(world: World) -> None:
    campaign = await world.make("campaign", name="Spring", memberStatuses=STATUSES)
    contact = await world.make("contact", lastName="Hopper")
    await add(world, campaign, contactIds=[contact], status="came")
    [member] = await members(world, campaign)

    assert await refusal(world, "updateCampaign", id=campaign, memberStatuses=[STATUSES[0], STATUSES[2]]) == (
        "INVALID",
        "memberStatuses",
    )
    answer = await world.write("updateCampaign", "campaign { version }", id=campaign, memberStatuses=STATUSES[1:])
    assert (answer["userErrors"], answer["campaign"]) == ([], {"version": 2})
    await world.write("removeCampaignMember", "revision", memberId=member["id"])
    answer = await world.write("updateCampaign", "campaign { version }", id=campaign, memberStatuses=STATUSES[:1])
    assert (answer["userErrors"], answer["campaign"]) == ([], {"version": 3})

    # A member whose status was removed comes back with a new one.
    assert await add(world, campaign, contactIds=[contact]) == 1
    assert [each["status"] for each in await members(world, campaign)] == ["Invited"]


async def test_a_campaign_is_not_a_part_of_itself(world: World) -> None:
    year = await world.make("campaign", name="Year")
    spring = await world.make("campaign", name="Spring", parentId=year)
    week = await world.make("campaign", name="Week", parentId=spring)

    assert await refusal(world, "updateCampaign", id=year, parentId=week) == ("INVALID", "parentId")
    assert await refusal(world, "updateCampaign", id=year, parentId=year) == ("INVALID", "parentId")
    assert await refusal(world, "createCampaign", name="Day", parentId="camp_unknown") == ("NOT_FOUND", "parentId")


async def test_a_deleted_campaign_comes_back(world: World) -> None:
    campaign = await world.make("campaign", name="Spring")
    contact = await world.make("contact", lastName="Hopper")

    await world.write("deleteCampaign", "revision", id=campaign)
    assert await world.data(MEMBERS, id=campaign) == {"campaign": None}
    assert await refusal(world, "addCampaignMembers", campaignId=campaign, contactIds=[contact]) == (
        "NOT_FOUND",
        "campaignId",
    )
    answer = await world.write("restoreCampaign", "campaign { name version }", id=campaign)
    assert answer["campaign"] == {"name": "Spring", "version": 3}


async def test_people_are_added_once(world: World) -> None:
    campaign = await world.make("campaign", name="Spring", memberStatuses=STATUSES)
    contacts = [await world.make("contact", lastName=name) for name in ("Hopper", "Lovelace")]
    lead = await world.make("lead", lastName="Noether")

    assert await add(world, campaign, contactIds=[contacts[0], contacts[0]], leadIds=[lead]) == 2
    assert await add(world, campaign, contactIds=contacts, leadIds=[lead], status="BOUGHT") == 1
    assert await add(world, campaign, contactIds=contacts) == 0

    data = await world.data(MEMBERS, id=campaign)
    assert data["campaign"]["response"] == {"memberCount": 3, "responseCount": 1}
    first, second, third = data["campaign"]["members"]["nodes"]
    untouched = {"status": "Invited", "firstRespondedAt": None, "version": 1}
    assert first == {"id": first["id"], "contact": {"id": contacts[0]}, "lead": None, **untouched}
    assert second == {"id": second["id"], "contact": None, "lead": {"id": lead}, **untouched}
    assert (third["contact"], third["status"]) == ({"id": contacts[1]}, "Bought")
    log = [row for row in await world.changes() if row["entity"] == "CampaignMember"]
    assert [(row["action"], row["cause"], row["after"]["campaign_id"]) for row in log] == [
        ("CREATED", "add_campaign_members", campaign)
    ] * 3
    assert log[2]["fields"]["first_responded_at"] == [None, third["firstRespondedAt"]]


async def test_a_removed_member_comes_back_as_it_was(world: World) -> None:
    campaign = await world.make("campaign", name="Spring", memberStatuses=STATUSES)
    contact = await world.make("contact", lastName="Hopper")
    await add(world, campaign, contactIds=[contact], status="Came")
    [member] = await members(world, campaign)

    answer = await world.write(
        "removeCampaignMember", "campaign { id } campaignMember { id }", memberId=member["id"], expectedVersion=1
    )
    assert (answer["userErrors"], answer["campaign"], answer["campaignMember"]) == ([], {"id": campaign}, None)
    assert await members(world, campaign) == []
    assert await refusal(world, "setCampaignMemberStatus", memberId=member["id"], status="Came") == (
        "NOT_FOUND",
        "memberId",
    )
    assert await add(world, campaign, contactIds=[contact], status="Invited") == 1
    assert await members(world, campaign) == [{**member, "version": 3}]


async def test_all_are_added_or_none(world: World) -> None:
    campaign = await world.make("campaign", name="Spring")
    contact = await world.make("contact", lastName="Hopper")
    deleted = await world.make("contact", lastName="Lovelace")
    await world.write("deleteContact", "revision", id=deleted)
    lead = await world.make("lead", lastName="Noether")

    async def refused(**values: Any) -> tuple[str, str | None]:
        return await refusal(world, "addCampaignMembers", **{"campaignId": campaign, **values})

    assert await refused(contactIds=[contact, "con_unknown"], leadIds=[lead]) == ("NOT_FOUND", "contactIds.1")
    assert await refused(contactIds=[contact, deleted]) == ("NOT_FOUND", "contactIds.1")
    assert await refused(contactIds=[contact], leadIds=[contact]) == ("NOT_FOUND", "leadIds.0")
    assert await refused(contactIds=[contact, "con_\0"]) == ("INVALID", "contactIds.1")
    assert await refused(contactIds=[contact], status="Came") == ("INVALID", "status")
    assert await refused(contactIds=[contact], status="") == ("INVALID", "status")
    assert await refused(contactIds=[], leadIds=[]) == ("REQUIRED", "contactIds")
    assert await refused() == ("REQUIRED", "contactIds")
    assert await refused(contactIds=[contact] * 250, leadIds=[lead] * 251) == ("INVALID", "contactIds")
    assert await refused(leadIds=[lead] * 501) == ("INVALID", "leadIds")
    assert await refused(campaignId="camp_unknown", contactIds=[contact]) == ("NOT_FOUND", "campaignId")
    assert await add(world, campaign, contactIds=[contact] * 500) == 1


async def test_the_number_of_statements_does_not_grow_with_the_people(world: World) -> None:
    campaign = await world.make("campaign", name="Spring")
    leads = [await world.make("lead", lastName=f"Person {n}") for n in range(21)]

    with world.statements() as one:
        await add(world, campaign, leadIds=leads[:1])
    with world.statements() as twenty:
        await add(world, campaign, leadIds=leads[1:])

    assert len(twenty) == len(one)


async def test_the_first_response_is_dated(world: World) -> None:
    campaign = await world.make("campaign", name="Spring", memberStatuses=STATUSES)
    contact = await world.make("contact", lastName="Hopper")
    await add(world, campaign, contactIds=[contact])
    [member] = await members(world, campaign)

    async def move(status: str) -> dict[str, Any]:
        answer = await world.write(
            "setCampaignMemberStatus",
            "campaignMember { status firstRespondedAt version }",
            memberId=member["id"],
            status=status,
        )
        assert answer["userErrors"] == []
        moved: dict[str, Any] = answer["campaignMember"]
        return moved

    came = await move("CAME")
    assert (came["status"], came["version"]) == ("Came", 2)
    assert came["firstRespondedAt"] is not None
    assert await move("bought") == {**came, "status": "Bought", "version": 3}
    assert await move("Invited") == {**came, "status": "Invited", "version": 4}
    log = [row for row in await world.changes() if row["record_id"] == member["id"]]
    assert [row["action"] for row in log] == ["CREATED", "RESPONDED", "UPDATED", "UPDATED"]


async def test_a_member_gets_no_status_of_another_campaign(world: World) -> None:
    campaign = await world.make("campaign", name="Spring", memberStatuses=STATUSES)
    contact = await world.make("contact", lastName="Hopper")
    await add(world, campaign, contactIds=[contact])
    [member] = await members(world, campaign)

    async def refused(**values: Any) -> tuple[str, str | None]:
        arguments = {"memberId": member["id"], "status": "Came", **values}
        return await refusal(world, "setCampaignMemberStatus", **arguments)

    assert await refused(status="RESPONDED") == ("INVALID", "status")
    assert await refused(memberId="cmem_unknown") == ("NOT_FOUND", "memberId")
    assert await refused(expectedVersion=2) == ("CONFLICT", "expectedVersion")
    assert await refusal(world, "removeCampaignMember", memberId=member["id"], expectedVersion=2) == (
        "CONFLICT",
        "expectedVersion",
    )
    answer = await world.write(
        "setCampaignMemberStatus", "campaignMember { status }", memberId=member["id"], status="Came", expectedVersion=2
    )
    assert answer["campaignMember"] == {"status": "Invited"}


async def test_members_are_changed_by_those_who_may_change_the_campaign(world: World) -> None:
    owner, rep, reader = await world.person(), await world.person(), await world.person(Role.READ_ONLY)
    campaign = await world.make("campaign", name="Spring", ownerId=owner.id)
    contact, other = [await world.make("contact", lastName=name, ownerId=owner.id) for name in ("Hopper", "Noether")]
    await add(world, campaign, by=owner, contactIds=[contact])
    [member] = await members(world, campaign)

    async def refused(by: Person) -> list[tuple[str, str | None]]:
        return [
            await refusal(world, "addCampaignMembers", by=by, campaignId=campaign, contactIds=[other]),
            await refusal(world, "setCampaignMemberStatus", by=by, memberId=member["id"], status="RESPONDED"),
            await refusal(world, "removeCampaignMember", by=by, memberId=member["id"]),
        ]

    assert await refused(reader) == [("FORBIDDEN", "campaignId"), ("FORBIDDEN", None), ("FORBIDDEN", None)]
    await world.default("campaign", Visibility.PUBLIC_READ)
    assert await refused(rep) == [("FORBIDDEN", "campaignId"), ("FORBIDDEN", None), ("FORBIDDEN", None)]
    await world.default("campaign", Visibility.PRIVATE)
    hidden = [("NOT_FOUND", "campaignId"), ("NOT_FOUND", "memberId"), ("NOT_FOUND", "memberId")]
    assert await refused(rep) == hidden
    assert await add(world, campaign, by=owner, contactIds=[other]) == 1


async def test_a_person_whom_the_viewer_cannot_see_is_not_added_and_not_counted(world: World) -> None:
    rep = await world.person()
    campaign = await world.make("campaign", name="Spring")
    own, hidden = await world.make("lead", lastName="Own", by=rep), await world.make("lead", lastName="Hidden")
    await world.default("lead", Visibility.PRIVATE)

    assert await refusal(world, "addCampaignMembers", by=rep, campaignId=campaign, leadIds=[own, hidden]) == (
        "NOT_FOUND",
        "leadIds.1",
    )
    assert await add(world, campaign, leadIds=[own, hidden]) == 2
    data = await world.data(MEMBERS, by=rep, id=campaign)
    assert data["campaign"]["response"] == {"memberCount": 1, "responseCount": 0}
    assert [each["lead"] for each in data["campaign"]["members"]["nodes"]] == [{"id": own}]
