"""The change log for clients: every visible change once and in order, by query and by subscription."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
import sqlalchemy as sa

from crm_graph.models import ApiToken, Change, Role, Visibility, Workspace, now
from tests.schema.subscriptions.test_cases import do
from tests.schema.subscriptions.test_cases import now as stand
from tests.support.customers import CUSTOMER_UPDATES, Company
from tests.support.raw_rows import Row
from tests.support.subscribers import BOARD_UPDATES, Subscriber, following, number_of, settled
from tests.support.world import Person, World

CHANGE = """revision action happenedAt recordedAt actor { id } cause recordType recordId changedFields gone
  record { __typename id }"""
CHANGES = f"""query Changes($types: [RecordType!], $after: String, $first: Int) {{
  changes(types: $types, after: $after, first: $first) {{ revision caughtUp changes {{ {CHANGE} }} }}
}}"""
CHANGE_UPDATES = f"""subscription Changes($types: [RecordType!], $after: String) {{
  changes(types: $types, after: $after) {{ revision caughtUp changes {{ {CHANGE} }} }}
}}"""


def rows_of(follower: Subscriber) -> list[Row]:
    return [change for message in follower.messages for change in message["changes"]]


async def read(
    world: World, after: str, *, by: Person | None = None, first: int | None = None, **variables: Any
) -> list[Row]:
    """All pages after a revision."""
    pages: list[Row] = []
    while not pages or not pages[-1]["caughtUp"]:
        page = (await world.data(CHANGES, by=by, after=after, first=first, **variables))["changes"]
        assert number_of(page["revision"]) > number_of(after) or page["caughtUp"]
        after = page["revision"]
        pages.append(page)
    return [change for page in pages for change in page["changes"]]


def brief(changes: Sequence[Row]) -> list[tuple[Any, ...]]:
    return [(each["action"], each["recordType"], each["recordId"], each["gone"]) for each in changes]


async def fill(world: World) -> None:
    """Write changes of every action and to every kind of record of a deal and a customer."""
    pipeline = await world.make("pipeline", name="Sales")
    stages = [await world.make("stage", pipelineId=pipeline, name=name, probability=10) for name in ("New", "Offer")]
    account = await world.make("account", name="Acme")
    deal = await world.make("opportunity", name="Deal", stageId=stages[0], accountId=account)
    await do(world, "moveOpportunity", opportunityId=deal, stageId=stages[1], expectedVersion=1)
    contact = await world.make("contact", lastName="Doe", accountId=account)
    await world.make("contactRole", opportunityId=deal, contactId=contact)
    product = await world.make("product", name="Box")
    await world.make("opportunityLine", opportunityId=deal, productId=product)
    case = await world.make("case", subject="Broken", contactId=contact)
    await do(world, "escalateCase", id=case, reason="Late")
    await do(world, "changeCaseStatus", id=case, status="CLOSED", expectedVersion=2)
    task = await world.make("activity", type="TASK", subject="Call", caseIds=[case])
    await do(world, "completeTask", id=task)
    lead = await world.make("lead", lastName="Roe", company="New")
    campaign = await world.make("campaign", name="Fair")
    await do(world, "addCampaignMembers", campaignId=campaign, leadIds=[lead])
    await do(world, "convertLead", leadId=lead)
    await do(world, "updateUser", id=(await world.person()).id, name="Eve")
    await do(world, "createTeam", name="South")
    await do(world, "updateWorkspace", name="Example Ltd")
    await do(world, "updateAccount", id=account, industry="Rockets", name="Acme Ltd")


# Contents


async def test_every_row_of_the_log_comes_once_and_in_order(world: World) -> None:
    after = await stand(world)
    async with following(world, CHANGE_UPDATES) as live:
        await fill(world)
        await settled(world)
    async with following(world, CHANGE_UPDATES, after=after) as back:
        pass
    asked = await read(world, after)
    log = [row for row in await world.changes() if row["entity"] not in {"Workspace", "Membership"}]

    told = [(number_of(row["revision"]), row["action"], row["recordType"], row["recordId"]) for row in asked]
    assert told == [(row["revision"], row["action"], row["entity"], row["record_id"]) for row in log]
    assert rows_of(back) == asked
    assert [{**row, "record": None} for row in rows_of(live)] == [{**row, "record": None} for row in asked]
    assert {row["action"] for row in asked} >= {"CREATED", "UPDATED", "MOVED", "CONVERTED", "COMPLETED", "ESCALATED"}
    assert all(row["record"]["id"] == row["recordId"] and not row["gone"] for row in asked)
    assert live.messages[-1]["revision"] == back.messages[-1]["revision"] == await stand(world)


async def test_a_row_says_what_was_done_by_whom(world: World) -> None:
    rep = await world.person()
    account = await world.make("account", name="Acme", by=rep)
    after = await stand(world)
    await do(world, "updateAccount", id=account, by=rep, industry="Rockets", billingAddress={"city": "Oslo"})
    [row] = await read(world, after)
    [log] = [each for each in await world.changes() if each["revision"] == number_of(row["revision"])]

    assert row == {
        "revision": await stand(world),
        "action": "UPDATED",
        "happenedAt": log["happened_at"].strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "recordedAt": log["recorded_at"].strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "actor": {"id": rep.id},
        "cause": "update_account",
        "recordType": "Account",
        "recordId": account,
        "changedFields": ["industry", "billingAddress"],
        "gone": False,
        "record": {"__typename": "Account", "id": account},
    }


async def test_only_the_types_that_are_asked_for(world: World) -> None:
    after = await stand(world)
    variables: Row = {"types": ["Account", "Case"]}
    async with following(world, CHANGE_UPDATES, **variables) as live:
        await fill(world)
        await settled(world)
    asked = await read(world, after, **variables)

    assert [row["revision"] for row in rows_of(live)] == [row["revision"] for row in asked]
    assert [(row["recordType"], row["action"]) for row in asked] == [
        ("Account", "CREATED"),
        ("Case", "CREATED"),
        ("Case", "ESCALATED"),
        ("Case", "STATUS_CHANGED"),
        ("Account", "CREATED"),
        ("Account", "UPDATED"),
    ]
    assert await read(world, after, types=[]) == []


@pytest.mark.parametrize("first", [2, 7, 500])
async def test_pages_of_any_size_have_the_same_rows(world: World, first: int) -> None:
    after = await stand(world)
    await fill(world)

    assert await read(world, after, first=first) == await read(world, after)
    page = (await world.data(CHANGES, after=after, first=first))["changes"]
    assert (page["caughtUp"], len(page["changes"])) == ((True, 27) if first == 500 else (False, first))


async def test_without_a_revision_it_begins_now(world: World) -> None:
    await world.make("account", name="Acme")

    page = (await world.data(CHANGES))["changes"]

    assert page == {"revision": await stand(world), "caughtUp": True, "changes": []}


async def test_sign_ins_and_secrets_are_no_changes(world: World) -> None:
    after = await stand(world)
    user = await world.write("createUser", "user { id }", name="Eve", email="eve@example.com")
    await do(world, "setPassword", userId=user["user"]["id"], password="correct horse battery")
    signed_in = await world.write("signIn", "accessToken", email="eve@example.com", password="correct horse battery")
    assert signed_in["userErrors"] == []

    changes = await read(world, after)

    assert [(row["recordType"], row["action"], row["changedFields"]) for row in changes[1:]] == [
        ("User", "UPDATED", ["passwordHash"])
    ]


# Records that are gone, and records that were never visible


async def test_what_is_deleted_is_gone(world: World) -> None:
    account = await world.make("account", name="Acme")
    after = await stand(world)
    async with following(world, CHANGE_UPDATES) as live:
        await do(world, "updateAccount", id=account, industry="Rockets")
        await settled(world)
        await do(world, "deleteAccount", id=account)
        await settled(world)
        short = await world.make("account", name="Short")
        await settled(world)
        await do(world, "deleteAccount", id=short)
        await settled(world)
        await do(world, "restoreAccount", id=short)
        await settled(world)
    asked = await read(world, after)

    assert brief(rows_of(live)) == [
        ("UPDATED", "Account", account, False),
        ("DELETED", "Account", account, True),
        ("CREATED", "Account", short, False),
        ("DELETED", "Account", short, True),
        ("RESTORED", "Account", short, False),
    ]
    assert brief(asked) == [
        ("UPDATED", "Account", account, True),
        ("DELETED", "Account", account, True),
        ("CREATED", "Account", short, False),
        ("DELETED", "Account", short, False),
        ("RESTORED", "Account", short, False),
    ]
    assert [row["record"] for row in asked[:2]] == [None, None]


async def test_what_came_and_went_meanwhile_is_told_to_those_who_would_have_seen_it(world: World) -> None:
    rep, other = await world.person(), await world.person()
    await world.default("account", Visibility.PRIVATE)
    after = await stand(world)
    short = await world.make("account", name="Short", by=rep)
    await do(world, "deleteAccount", id=short)

    told = [(row["action"], row["recordId"], row["gone"]) for row in await read(world, after, by=rep)]

    assert told == [("CREATED", short, True), ("DELETED", short, True)]
    assert [row["action"] for row in await read(world, after)] == ["CREATED", "DELETED"]
    assert await read(world, after, by=other) == []


async def test_what_is_out_of_sight_is_gone_and_what_was_never_seen_is_not_told(world: World) -> None:
    rep, other = await world.person(), await world.person()
    await world.default("account", Visibility.PRIVATE)
    mine = await world.make("account", name="Mine", ownerId=rep.id)
    theirs = await world.make("account", name="Theirs", ownerId=other.id)
    after = await stand(world)
    async with (
        following(world, CHANGE_UPDATES, by=rep) as of_rep,
        following(world, CHANGE_UPDATES, by=other) as of_other,
    ):
        for account in (mine, theirs):
            await do(world, "updateAccount", id=account, industry="Rockets")
            await settled(world)
        await do(world, "updateAccount", id=mine, ownerId=other.id)
        await settled(world)
        await do(world, "updateAccount", id=mine, industry="Boats")
        await settled(world)
        await do(world, "deleteAccount", id=theirs)
        await settled(world)

    assert brief(rows_of(of_rep)) == [("UPDATED", "Account", mine, False), ("UPDATED", "Account", mine, True)]
    assert brief(rows_of(of_other)) == [
        ("UPDATED", "Account", theirs, False),
        ("UPDATED", "Account", mine, False),
        ("UPDATED", "Account", mine, False),
        ("DELETED", "Account", theirs, True),
    ]
    assert brief(await read(world, after, by=rep)) == 2 * [("UPDATED", "Account", mine, True)]
    assert {row["recordId"] for row in await read(world, after, by=other)} == {mine, theirs}


async def test_an_activity_that_is_about_something_else_now_is_gone(world: World) -> None:
    rep = await world.person()
    for entities in ("opportunity", "account"):
        await world.default(entities, Visibility.PRIVATE)
    mine, theirs = await world.make("account", name="Mine", ownerId=rep.id), await world.make("account", name="Theirs")
    relinked = await world.make("activity", type="NOTE", subject="Met", accountIds=[mine])
    left = await world.make(
        "activity", type="NOTE", subject="Met", accountIds=[theirs], participants=[{"userId": rep.id}]
    )
    contact = await world.make("contact", lastName="Doe", accountId=theirs)
    never = await world.make("activity", type="NOTE", subject="Met", contactIds=[contact])
    after = await stand(world)
    async with following(world, CHANGE_UPDATES, by=rep) as live:
        await do(world, "updateActivity", id=relinked, accountIds=[theirs])
        await do(world, "updateActivity", id=left, participants=[])
        await do(world, "updateActivity", id=never, contactIds=[], accountIds=[theirs])
        await do(world, "updateActivity", id=never, participants=[{"userId": world.admin.id}])
        await settled(world)

    expected = [("UPDATED", "Activity", relinked, True), ("UPDATED", "Activity", left, True)]
    assert brief(rows_of(live)) == expected
    assert brief(await read(world, after, by=rep)) == expected


async def test_the_account_that_a_deal_brings_along_gives_no_sight_of_an_activity(world: World) -> None:
    rep = await world.person()
    await world.default("opportunity", Visibility.PRIVATE)
    pipeline = await world.make("pipeline", name="Sales")
    stage = await world.make("stage", pipelineId=pipeline, name="New", probability=10)
    account = await world.make("account", name="Acme", ownerId=rep.id)
    deals = [await world.make("opportunity", name="Deal", stageId=stage, accountId=account) for _ in range(2)]
    note = await world.make("activity", type="NOTE", subject="Met", opportunityIds=deals[:1])
    after = await stand(world)
    await do(world, "updateActivity", id=note, opportunityIds=deals[1:], accountIds=[])
    await do(world, "updateActivity", id=note, opportunityIds=deals)

    assert await read(world, after, by=rep) == []


async def test_nothing_of_other_workspaces(world: World, other_world: World) -> None:
    after = await stand(world)
    async with following(world, CHANGE_UPDATES) as live:
        await fill(other_world)
        account = await world.make("account", name="Acme")
        await settled(world)

    assert [row["recordId"] for row in rows_of(live)] == [account]
    assert [row["recordId"] for row in await read(world, after)] == [account]


async def test_a_token_is_told_to_its_holder_alone(world: World) -> None:
    rep = await world.person()
    after = await stand(world)
    viewer = await world.viewer(rep)
    async with world.changelog.transaction(viewer, "test") as session:
        session.add(
            ApiToken(
                workspace_id=world.workspace_id,
                id=ApiToken.new_id(),
                user_id=rep.id,
                name="Sync",
                token_hash=world.workspace_id,
            )
        )
    stranger = await world.person()

    assert [row["recordType"] for row in await read(world, after, by=rep)] == ["ApiToken"]
    assert await read(world, after, by=stranger) == []


# Clients with an offline copy

LISTS = {
    "Account": "accounts",
    "Contact": "contacts",
    "Lead": "leads",
    "Opportunity": "opportunities",
    "Case": "cases",
    "Activity": "activities",
    "Campaign": "campaigns",
    "User": "users",
    "Team": "teams",
    "Product": "products",
}
EVERYTHING = (
    "{ changes { revision } "
    + " ".join(f"{name}(first: 100) {{ totalCount nodes {{ id version }} }}" for name in LISTS.values())
    + " }"
)
VERSIONS = " ".join(f"... on {name} {{ version }}" for name in LISTS)
SYNC = f"""query($after: String) {{ changes(after: $after, first: 3) {{
  revision caughtUp changes {{ recordId gone record {{ id {VERSIONS} }} }}
}} }}"""


class Mobile:
    """A mobile client with a copy of all lists, as versions by id."""

    def __init__(self, versions: dict[str, int], revision: str) -> None:
        self.versions, self.revision = versions, revision

    @classmethod
    async def read(cls, world: World, by: Person) -> Mobile:
        data = await world.data(EVERYTHING, by=by)
        nodes = [node for name in LISTS.values() for node in data[name]["nodes"]]
        assert len(nodes) == sum(data[name]["totalCount"] for name in LISTS.values())
        return cls({node["id"]: node["version"] for node in nodes}, data["changes"]["revision"])

    async def sync(self, world: World, by: Person) -> bool:
        """Apply the changes since the last sync; False if everything must be read again."""
        caught_up = False
        while not caught_up:
            answer = await world.ask(SYNC, by=by, after=self.revision)
            if "errors" in answer:
                assert [error["extensions"]["code"] for error in answer["errors"]] == ["RESYNC"]
                return False
            page = answer["data"]["changes"]
            for change in page["changes"]:
                if change["gone"]:
                    self.versions.pop(change["recordId"], None)
                elif "version" in change["record"]:
                    self.versions[change["recordId"]] = change["record"]["version"]
            self.revision, caught_up = page["revision"], page["caughtUp"]
        return True


@pytest.mark.parametrize("seed", range(2))
async def test_who_was_offline_has_what_a_fresh_read_has(world: World, seed: int) -> None:
    company, chance, steps, resyncs, syncs = await Company.open(world), Random(seed), [], 0, 0
    for entities in ("account", "opportunity"):
        await world.default(entities, Visibility.PRIVATE)
    mobiles = {name: await Mobile.read(world, person) for name, person in company.people.items()}
    for _ in range(10):
        steps += [await company.step(chance) for _ in range(chance.randint(1, 5))]
        for name, person in company.people.items():
            fresh = await Mobile.read(world, person)
            syncs += 1
            if await mobiles[name].sync(world, person):
                kept = mobiles[name].versions
                assert kept == fresh.versions, (name, kept.items() ^ fresh.versions.items(), steps)
            else:
                assert name != "admin"
                mobiles[name], resyncs = fresh, resyncs + 1
    assert resyncs < syncs / 2


# Resync


async def resync(world: World, after: str, *, by: Person | None = None, **variables: Any) -> None:
    """Both the query and the subscription return RESYNC, with the current revision."""
    expected = {"code": "RESYNC", "revision": await stand(world)}
    answer = await world.ask(CHANGES, by=by, after=after, **variables)
    assert [error["extensions"] for error in answer["errors"]] == [expected]
    async with following(world, CHANGE_UPDATES, by=by, live=False, after=after, **variables) as follower:
        assert (await follower.ended()).extensions == expected


@pytest.mark.parametrize("what", ["join", "leave", "manager", "role", "default"])
async def test_whose_sight_changed_reads_anew(world: World, what: str) -> None:
    rep, boss = await world.person(), await world.person(Role.MANAGER)
    team = await world.team(*([rep] if what == "leave" else []))
    await world.default("account", Visibility.PRIVATE)
    writes: dict[str, tuple[str, Row]] = {
        "join": ("addTeamMember", {"teamId": team, "userId": rep.id}),
        "leave": ("removeTeamMember", {"teamId": team, "userId": rep.id}),
        "manager": ("updateUser", {"id": boss.id, "managerId": rep.id}),
        "role": ("updateUser", {"id": rep.id, "role": "MANAGER"}),
        "default": ("updateWorkspace", {"accountVisibility": "PUBLIC"}),
    }
    mutation, values = writes[what]
    after = await stand(world)
    async with following(world, CHANGE_UPDATES, by=rep) as follower:
        await do(world, mutation, **values)
        error = await follower.ended()
    assert error.extensions == {"code": "RESYNC", "revision": await stand(world)}
    await resync(world, after, by=rep)
    assert await read(world, await stand(world), by=rep) == []


async def test_whose_sight_of_what_is_asked_for_did_not_change_reads_on(world: World) -> None:
    rep, other = await world.person(), await world.person()
    team = await world.team()
    after = await stand(world)
    async with (
        following(world, CHANGE_UPDATES, by=rep, types=["Account"]) as of_rep,
        following(world, CHANGE_UPDATES) as of_admin,
    ):
        await do(world, "addTeamMember", teamId=team, userId=rep.id)
        await do(world, "updateUser", id=other.id, managerId=rep.id)
        await do(world, "updateUser", id=rep.id, managerId=world.admin.id)
        account = await world.make("account", name="Acme")
        await settled(world)
    assert [row["recordId"] for row in rows_of(of_rep)] == [account]
    assert [row["recordId"] for row in rows_of(of_admin)] == [other.id, rep.id, account]
    assert brief(await read(world, after, by=rep, types=["Account"])) == [("CREATED", "Account", account, False)]
    await do(world, "updateWorkspace", accountVisibility="PRIVATE")
    assert len(await read(world, after)) == 3


async def test_who_gets_a_record_that_others_follow_reads_anew(world: World) -> None:
    rep = await world.person()
    await world.default("account", Visibility.PRIVATE)
    alone, followed = [await world.make("account", name=name) for name in ("Alone", "Followed")]
    await world.make("contact", lastName="Doe", accountId=followed)
    after = await stand(world)
    await do(world, "updateAccount", id=alone, ownerId=rep.id)
    assert brief(await read(world, after, by=rep)) == [("UPDATED", "Account", alone, False)]
    await do(world, "updateAccount", id=followed, ownerId=rep.id)
    await resync(world, after, by=rep)
    await resync(world, after, by=rep, types=["Contact"])
    assert len(await read(world, after, by=rep, types=["Account"])) == 2
    assert len(await read(world, after)) == 2


async def test_what_is_past_retention_is_read_anew(world: World) -> None:
    account = await world.make("account", name="Acme")
    revisions = [await stand(world)] + [
        await do(world, "updateAccount", id=account, industry=industry) for industry in ("Rockets", "Boats", "Ships")
    ]
    retention = world.application.state.settings.retention
    async with world.raw() as connection:
        old = sa.and_(Change.workspace_id == world.workspace_id, Change.revision <= number_of(revisions[2]))
        await connection.execute(sa.update(Change).where(old).values(recorded_at=now() - retention))

    await resync(world, revisions[0])
    await resync(world, revisions[1])
    assert len(await read(world, revisions[2])) == 1
    assert await read(world, revisions[3]) == []


@pytest.mark.parametrize("after", ["future", "epoch", "older epoch"])
async def test_where_the_log_never_stood_is_read_anew(world: World, after: str) -> None:
    await world.make("account", name="Acme")
    epoch, _, number = (await stand(world)).rpartition(".")
    revisions = {
        "future": f"{epoch}.{int(number) + 1}",
        "epoch": f"another.{number}",
        "older epoch": f"{epoch[:-1]}.{number}",
    }
    await resync(world, revisions[after])


@pytest.mark.parametrize("after", ["", "7", "x.y", "nonsense", "e.1.5", "e.-1", 9 * "9"])
async def test_what_is_no_revision_is_refused(world: World, after: str) -> None:
    expected = {"code": "BAD_USER_INPUT", "field": "after"}
    answer = await world.ask(CHANGES, after=after)
    assert [error["extensions"] for error in answer["errors"]] == [expected]
    async with following(world, CHANGE_UPDATES, live=False, after=after) as follower:
        assert (await follower.ended()).extensions == expected


@pytest.mark.parametrize("first", [0, -1, 501])
async def test_pages_have_a_size(world: World, first: int) -> None:
    answer = await world.ask(CHANGES, after=await stand(world), first=first)
    assert [error["extensions"] for error in answer["errors"]] == [{"code": "BAD_USER_INPUT", "field": "first"}]


async def test_after_a_backup_was_restored_all_read_anew(world: World) -> None:
    pipeline = await world.make("pipeline", name="Sales")
    account = await world.make("account", name="Acme")
    rep = await world.person()
    async with (
        following(world, CHANGE_UPDATES) as changes,
        following(world, CHANGE_UPDATES, by=rep) as of_rep,
        following(world, BOARD_UPDATES, pipelineId=pipeline) as board,
        following(world, CUSTOMER_UPDATES, accountId=account) as customer,
    ):
        lost = await world.make("account", name="Lost")
        await settled(world)
        async with world.raw() as connection:
            here = sa.and_(Change.workspace_id == world.workspace_id, Change.record_id == lost)
            await connection.execute(sa.delete(Change).where(here))
            restored = sa.update(Workspace).where(Workspace.id == world.workspace_id)
            await connection.execute(restored.values(revision=2, epoch="restored"))
        await world.changelog.notifier.poll_once()
        for follower in (changes, of_rep, board, customer):
            assert (await follower.ended()).extensions == {"code": "RESYNC", "revision": "restored.2"}

    async with following(world, CHANGE_UPDATES, after="restored.2") as back:
        new = await world.make("account", name="New")
        await settled(world)
    assert [(row["revision"], row["recordId"]) for row in rows_of(back)] == [("restored.3", new)]
