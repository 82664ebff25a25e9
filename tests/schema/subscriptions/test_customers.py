"""Subscriptions to an account: changes to all records of its 360 view, and to no others."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest

from crm_graph.models import Role, Visibility
from tests.schema.subscriptions.test_cases import do, now
from tests.schema.subscriptions.test_changes import CHANGE_UPDATES, rows_of
from tests.support.customers import CUSTOMER_UPDATES, Company, CustomerClient
from tests.support.raw_rows import Row
from tests.support.subscribers import Subscriber, following, settled
from tests.support.world import Person, World


def told(follower: Subscriber) -> list[tuple[str, str]]:
    return [(event["kind"], event["recordId"]) for event in follower.events]


class Customer:
    """A subscribed account, another account, and the events of each write."""

    def __init__(self, world: World, follower: Subscriber, account: str, other: str) -> None:
        self.world, self.follower, self.account, self.other = world, follower, account, other

    async def make(self, entity: str, **values: Any) -> str:
        """Create a record and discard its events; returns its id."""
        made = await self.world.make(entity, **values)
        await self.news()
        return made

    async def do(self, mutation: str, **values: Any) -> list[tuple[str, str]]:
        """Execute a mutation; returns its events."""
        await do(self.world, mutation, **values)
        return await self.news()

    async def news(self) -> list[tuple[str, str]]:
        await settled(self.world)
        news = told(self.follower)
        self.follower.messages.clear()
        return news


@contextlib.asynccontextmanager
async def customer_of(world: World, *, by: Person | None = None) -> AsyncIterator[Customer]:
    account, other = [await world.make("account", name=name) for name in ("Acme", "Other")]
    async with following(world, CUSTOMER_UPDATES, by=by, accountId=account) as follower:
        yield Customer(world, follower, account, other)


async def deal_of(world: World, **values: Any) -> str:
    pipeline = await world.make("pipeline", name="Sales")
    stage = await world.make("stage", pipelineId=pipeline, name="New", probability=10)
    return await world.make("opportunity", name="Deal", stageId=stage, **values)


# Each kind of record


async def test_the_account_and_those_below_it(world: World) -> None:
    async with customer_of(world) as of:
        assert await of.do("updateAccount", id=of.account, industry="Rockets") == [("UPDATED", of.account)]
        assert await of.do("updateAccount", id=of.other, industry="Boats") == []
        assert await of.do("updateAccount", id=of.other, parentId=of.account) == [("ENTERED", of.other)]
        assert await of.do("updateAccount", id=of.other, industry="Ships") == [("UPDATED", of.other)]
        assert await of.do("updateAccount", id=of.other, parentId=None) == [("LEFT", of.other)]
        child = await of.make("account", name="Child")
        assert await of.do("updateAccount", id=child, parentId=of.account) == [("ENTERED", child)]
        grandchild = await world.make("account", name="Grandchild", parentId=child)
        assert await of.news() == []
        came = await of.do("updateAccount", id=of.account, parentId=of.other)
        assert set(came) == {("UPDATED", of.account), ("ENTERED", of.other)}
        assert await of.do("deleteAccount", id=child) == [("LEFT", child)]
        assert await of.do("restoreAccount", id=child) == [("ENTERED", child)]
        assert await of.do("deleteAccount", id=grandchild) == []
        assert await of.do("deleteAccount", id=of.account) == [("LEFT", of.account)]
        assert await of.do("restoreAccount", id=of.account) == [("ENTERED", of.account)]


@pytest.mark.parametrize("entity", ["contact", "opportunity", "case"])
async def test_what_belongs_to_the_account(world: World, entity: str) -> None:
    name = entity.capitalize()
    async with customer_of(world) as of:
        if entity == "opportunity":
            record = await deal_of(world)
        else:
            values: Row = {"lastName": "One"} if entity == "contact" else {"subject": "One"}
            record = await world.make(entity, **values)
        assert await of.news() == []
        assert await of.do(f"update{name}", id=record, accountId=of.account) == [("ENTERED", record)]
        assert await of.do(f"update{name}", id=record, description="x") == [("UPDATED", record)]
        assert await of.do(f"update{name}", id=record, accountId=of.other) == [("LEFT", record)]
        assert await of.do(f"update{name}", id=record, description="y") == []
        assert await of.do(f"update{name}", id=record, accountId=of.account) == [("ENTERED", record)]
        assert await of.do(f"delete{name}", id=record) == [("LEFT", record)]
        assert await of.do(f"restore{name}", id=record) == [("ENTERED", record)]


async def test_the_parts_of_deals_come_and_go_with_them(world: World) -> None:
    async with customer_of(world) as of:
        deal = await deal_of(world, accountId=of.other)
        contact, product = await of.make("contact", lastName="Doe"), await of.make("product", name="Box")
        role = await of.make("contactRole", opportunityId=deal, contactId=contact)
        line = await of.make("opportunityLine", opportunityId=deal, productId=product)
        assert await of.news() == []
        parts = {deal, role, line}

        came = await of.do("updateOpportunity", id=deal, accountId=of.account)
        assert (came[0], set(came)) == (("ENTERED", deal), {("ENTERED", each) for each in parts})
        assert await of.do("updateContactRole", id=role, role="Sponsor") == [("UPDATED", role)]
        assert await of.do("updateContact", id=contact, title="Poet") == []
        [(kind, changed), *rest] = await of.do("updateOpportunityLine", id=line, quantity="2")
        assert (kind, changed) == ("UPDATED", line)
        assert rest in ([], [("UPDATED", deal)])
        assert set(await of.do("deleteOpportunity", id=deal)) == {("LEFT", each) for each in parts}
        assert set(await of.do("restoreOpportunity", id=deal)) == {("ENTERED", each) for each in parts}
        assert ("LEFT", role) in await of.do("deleteContactRole", id=role)
        again = await world.make("contactRole", opportunityId=deal, contactId=contact)
        assert [each for each in await of.news() if each[1] != deal] == [("ENTERED", again)]
        assert ("LEFT", line) in await of.do("deleteOpportunityLine", id=line)
        gone = await of.do("updateOpportunity", id=deal, accountId=None)
        assert set(gone) == {("LEFT", deal), ("LEFT", again)}


async def test_a_deal_with_parts_that_came_at_once(world: World) -> None:
    """Converting a lead creates a contact and a deal of the account, with a contact role and a campaign membership."""
    async with customer_of(world) as of:
        await deal_of(world)
        lead = await of.make("lead", lastName="Roe", company="Acme")
        campaign = await of.make("campaign", name="Fair")
        assert await of.do("addCampaignMembers", campaignId=campaign, leadIds=[lead]) == []
        note = await of.make("activity", type="NOTE", subject="Met", leadIds=[lead])
        news = await of.do("convertLead", leadId=lead, accountId=of.account)

    kinds = sorted((kind, key.partition("_")[0]) for kind, key in news if key != of.account)
    assert kinds == [("ENTERED", prefix) for prefix in ("act", "camp", "cmem", "con", "opp", "role")]
    assert {note, campaign} < {key for _, key in news}


async def test_activities_by_whatever_they_are_about(world: World) -> None:
    async with customer_of(world) as of:
        contact = await of.make("contact", lastName="Doe", accountId=of.account)
        case = await of.make("case", subject="Broken", contactId=contact)
        deal = await deal_of(world, accountId=of.account)
        theirs = await of.make("contact", lastName="Roe", accountId=of.other)
        await of.news()
        some: list[Row] = [{"accountIds": [of.account]}, {"contactIds": [contact]}, {"caseIds": [case]}]
        for about in some:
            note = await world.make("activity", type="NOTE", subject="Met", **about)
            assert await of.news() == [("ENTERED", note)]
        note = await world.make("activity", type="TASK", subject="Call", opportunityIds=[deal])
        assert await of.news() == [("ENTERED", note)]
        assert await of.do("completeTask", id=note) == [("UPDATED", note)]
        assert await of.do("updateActivity", id=note, opportunityIds=[]) == [("LEFT", note)]
        assert await of.do("updateActivity", id=note, contactIds=[theirs]) == []
        assert await of.do("updateActivity", id=note, accountIds=[of.account]) == [("ENTERED", note)]
        assert await of.do("updateActivity", id=note, participants=[{"email": "a@b.example"}]) == [("UPDATED", note)]
        assert await of.do("deleteActivity", id=note) == [("LEFT", note)]
        assert await of.do("restoreActivity", id=note) == [("ENTERED", note)]
        elsewhere = await world.make("activity", type="NOTE", subject="Met", contactIds=[theirs])
        assert await of.do("updateActivity", id=elsewhere, subject="x") == []
        # The activities of a contact stay with the account when the contact moves to another account.
        assert await of.do("updateContact", id=contact, accountId=of.other) == [("LEFT", contact)]


async def test_campaigns_by_their_members(world: World) -> None:
    async with customer_of(world) as of:
        one, two = [await of.make("contact", lastName=name, accountId=of.account) for name in ("One", "Two")]
        theirs = await of.make("contact", lastName="Three", accountId=of.other)
        campaign = await of.make("campaign", name="Fair")
        assert await of.do("addCampaignMembers", campaignId=campaign, contactIds=[theirs]) == []
        assert await of.do("updateCampaign", id=campaign, name="Great Fair") == []

        [(_, member), *rest] = await of.do("addCampaignMembers", campaignId=campaign, contactIds=[one])
        assert rest == [("ENTERED", campaign)]
        [(kind, second)] = await of.do("addCampaignMembers", campaignId=campaign, contactIds=[two])
        assert kind == "ENTERED"
        assert await of.do("setCampaignMemberStatus", memberId=second, status="RESPONDED") == [("UPDATED", second)]
        assert await of.do("updateCampaign", id=campaign, name="Fair") == [("UPDATED", campaign)]
        assert await of.do("removeCampaignMember", memberId=second) == [("LEFT", second)]
        gone = {("LEFT", each) for each in (one, member, campaign)}
        assert set(await of.do("updateContact", id=one, accountId=of.other)) == gone
        came = {("ENTERED", each) for each in (one, member, campaign)}
        assert set(await of.do("updateContact", id=one, accountId=of.account)) == came
        assert set(await of.do("deleteContact", id=one)) == gone
        assert set(await of.do("restoreContact", id=one)) == came
        assert await of.do("deleteCampaign", id=campaign) == [("LEFT", campaign)]
        assert await of.do("restoreCampaign", id=campaign) == [("ENTERED", campaign)]
        assert set(await of.do("removeCampaignMember", memberId=member)) == {("LEFT", member), ("LEFT", campaign)}


async def test_nothing_of_others_is_told(world: World, other_world: World) -> None:
    async with customer_of(world) as of:
        contact = await world.make("contact", lastName="Doe", accountId=of.other)
        deal = await deal_of(world, accountId=of.other)
        await world.make("contactRole", opportunityId=deal, contactId=contact)
        case = await world.make("case", subject="Broken", contactId=contact)
        await world.make("activity", type="NOTE", subject="Met", caseIds=[case])
        await world.make("lead", lastName="Roe", company="Acme")
        await other_world.make("account", name="Acme")
        assert await of.news() == []


# Resuming


async def test_who_comes_back_is_told_what_came_and_went(world: World) -> None:
    account, other = [await world.make("account", name=name) for name in ("Acme", "Other")]
    child = await world.make("account", name="Child", parentId=account)
    stays, goes = [await world.make("contact", lastName=name, accountId=account) for name in ("One", "Two")]
    case = await world.make("case", subject="Broken", accountId=other)
    linked, unlinked = [
        await world.make("activity", type="NOTE", subject="Met", accountIds=[each]) for each in (other, account)
    ]
    deleted = await world.make("activity", type="NOTE", subject="Met", accountIds=[account])
    after = await now(world)
    await do(world, "updateAccount", id=child, parentId=None)
    await do(world, "updateContact", id=stays, title="Poet")
    await do(world, "updateContact", id=goes, accountId=other)
    await do(world, "updateCase", id=case, accountId=account)
    await do(world, "updateActivity", id=linked, accountIds=[account])
    await do(world, "updateActivity", id=unlinked, accountIds=[other])
    await do(world, "updateActivity", id=unlinked, subject="x")
    await do(world, "deleteActivity", id=deleted)
    new = await world.make("activity", type="NOTE", subject="New", contactIds=[stays])
    short = await world.make("contact", lastName="Short", accountId=account)
    await do(world, "deleteContact", id=short)
    async with following(world, CUSTOMER_UPDATES, accountId=account, after=after) as back:
        pass

    assert told(back) == [
        ("LEFT", child),
        ("UPDATED", stays),
        ("LEFT", goes),
        ("ENTERED", case),
        ("ENTERED", linked),
        ("LEFT", unlinked),
        ("LEFT", deleted),
        ("ENTERED", new),
    ]


@pytest.mark.parametrize("what", ["deal", "contact", "member"])
async def test_who_comes_back_reads_anew_where_records_took_others_along(world: World, what: str) -> None:
    account = await world.make("account", name="Acme")
    contact = await world.make("contact", lastName="Doe", accountId=account)
    deal = await deal_of(world, accountId=account)
    campaign = await world.make("campaign", name="Fair")
    after = await now(world)
    if what == "member":
        await do(world, "addCampaignMembers", campaignId=campaign, contactIds=[contact])
    elif what == "deal":
        await world.make("contactRole", opportunityId=deal, contactId=contact)
        after = await now(world)
        await do(world, "deleteOpportunity", id=deal)
    else:
        await do(world, "addCampaignMembers", campaignId=campaign, contactIds=[contact])
        after = await now(world)
        await do(world, "updateContact", id=contact, accountId=None)
    async with following(world, CUSTOMER_UPDATES, live=False, accountId=account, after=after) as back:
        error = await back.ended()

    assert error.extensions == {"code": "RESYNC", "revision": await now(world)}


# Visibility


async def test_private_records_are_told_to_those_who_see_them(world: World) -> None:
    boss = await world.person(Role.MANAGER)
    rep, stranger = await world.person(manager=boss), await world.person()
    for entities in ("opportunity", "case"):
        await world.default(entities, Visibility.PRIVATE)
    account = await world.make("account", name="Acme")
    variables: Row = {"accountId": account}
    async with (
        following(world, CUSTOMER_UPDATES, by=boss, **variables) as of_boss,
        following(world, CUSTOMER_UPDATES, by=rep, **variables) as of_rep,
        following(world, CUSTOMER_UPDATES, by=stranger, **variables) as of_stranger,
    ):
        deal = await deal_of(world, accountId=account, ownerId=rep.id)
        await settled(world)
        note = await world.make("activity", type="NOTE", subject="Met", opportunityIds=[deal])
        await settled(world)
        case = await world.make("case", subject="Broken", accountId=account, ownerId=boss.id)
        await settled(world)
        await do(world, "updateOpportunity", id=deal, ownerId=boss.id)
        await settled(world)
        await do(world, "updateActivity", id=note, participants=[{"userId": stranger.id}])
        await settled(world)
        await do(world, "updateActivity", id=note, participants=[])
        await settled(world)

    assert told(of_boss) == [
        ("ENTERED", deal),
        ("ENTERED", note),
        ("ENTERED", case),
        ("UPDATED", deal),
        ("UPDATED", note),
        ("UPDATED", note),
    ]
    assert told(of_rep) == [("ENTERED", deal), ("ENTERED", note), ("LEFT", deal), ("LEFT", note)]
    assert told(of_stranger) == [("ENTERED", note), ("LEFT", note)]


async def test_what_follows_records_of_other_accounts_comes_into_sight_with_them(world: World) -> None:
    """An activity of the account and of another account's deal, and a contact role of another account's contact."""
    rep = await world.person()
    account, other = await world.make("account", name="Acme", ownerId=rep.id), await world.make("account", name="Other")
    for entities in ("account", "opportunity", "lead", "campaign"):
        await world.default(entities, Visibility.PRIVATE)
    theirs = await deal_of(world, accountId=other)
    ours = await deal_of(world, accountId=account, ownerId=rep.id)
    contact = await world.make("contact", lastName="Doe", accountId=account)
    person = await world.make("contact", lastName="Roe", accountId=other)
    role = await world.make("contactRole", opportunityId=ours, contactId=person)
    lead = await world.make("lead", lastName="Poe", company="New")
    hidden = await world.make("activity", type="NOTE", subject="Met", opportunityIds=[theirs], contactIds=[contact])
    await do(world, "updateActivity", id=hidden, contactIds=[], leadIds=[lead], accountIds=[])
    campaign = await world.make("campaign", name="Fair")
    await do(world, "addCampaignMembers", campaignId=campaign, contactIds=[contact])
    async with following(world, CUSTOMER_UPDATES, by=rep, accountId=account) as follower:
        of = Customer(world, follower, account, other)
        gone = await of.do("updateAccount", id=other, ownerId=rep.id)
        assert gone == [("ENTERED", role)]
        assert await of.do("updateContact", id=person, accountId=None) == [("LEFT", role)]
        came = await of.do("updateCampaign", id=campaign, ownerId=rep.id)
        assert [(kind, key.partition("_")[0]) for kind, key in came] == [("ENTERED", "camp"), ("ENTERED", "cmem")]
        assert await of.do("updateLead", id=lead, ownerId=rep.id) == []
        lost = await of.do("updateAccount", id=account, ownerId=world.admin.id)
        assert {key.partition("_")[0] for kind, key in lost if kind == "LEFT"} == {"acc", "con", "camp", "cmem"}


async def test_the_parent_comes_changes_and_goes(world: World) -> None:
    rep = await world.person()
    await world.default("account", Visibility.PRIVATE)
    account = await world.make("account", name="Acme", ownerId=rep.id)
    above, other = [await world.make("account", name=name, ownerId=rep.id) for name in ("Above", "Other")]
    async with following(world, CUSTOMER_UPDATES, by=rep, accountId=account) as follower:
        of = Customer(world, follower, account, other)
        assert set(await of.do("updateAccount", id=account, parentId=above)) == {
            ("UPDATED", account),
            ("ENTERED", above),
        }
        assert await of.do("updateAccount", id=above, name="Higher") == [("UPDATED", above)]
        assert await of.do("updateAccount", id=other, name="Else") == []
        assert await of.do("updateAccount", id=above, ownerId=world.admin.id) == [("LEFT", above)]
        assert await of.do("updateAccount", id=above, ownerId=rep.id) == [("ENTERED", above)]
        assert await of.do("deleteAccount", id=above) == [("LEFT", above)]
        assert await of.do("restoreAccount", id=above) == [("ENTERED", above)]
        assert set(await of.do("updateAccount", id=account, parentId=other)) == {
            ("UPDATED", account),
            ("LEFT", above),
            ("ENTERED", other),
        }
        assert set(await of.do("updateAccount", id=account, parentId=None)) == {("UPDATED", account), ("LEFT", other)}


async def test_activities_that_a_change_of_links_hides(world: World) -> None:
    rep = await world.person()
    await world.default("opportunity", Visibility.PRIVATE)
    account = await world.make("account", name="Acme")
    mine, theirs = await deal_of(world, accountId=account, ownerId=rep.id), await deal_of(world, accountId=account)
    note = await world.make("activity", type="NOTE", subject="Met", opportunityIds=[mine])
    never = await world.make("activity", type="NOTE", subject="Met", opportunityIds=[theirs])
    after = await now(world)
    async with following(world, CUSTOMER_UPDATES, by=rep, accountId=account) as follower:
        await do(world, "updateActivity", id=note, opportunityIds=[theirs])
        await do(world, "updateActivity", id=never, subject="x")
        await do(world, "updateActivity", id=never, opportunityIds=[theirs], caseIds=[])
        await settled(world)
    async with following(world, CUSTOMER_UPDATES, by=rep, accountId=account, after=after) as back:
        pass

    assert told(follower) == told(back) == [("LEFT", note)]


async def test_activities_that_a_link_to_the_account_alone_showed(world: World) -> None:
    rep = await world.person()
    await world.default("opportunity", Visibility.PRIVATE)
    account, other = await world.make("account", name="Acme"), await world.make("account", name="Bolt")
    deal, far = await deal_of(world, accountId=account), await deal_of(world, accountId=other)
    note = await world.make("activity", type="NOTE", subject="Met", accountIds=[account], opportunityIds=[deal])
    gone = await world.make("activity", type="NOTE", subject="Met", accountIds=[account], opportunityIds=[deal])
    after = await now(world)
    async with (
        following(world, CUSTOMER_UPDATES, by=rep, accountId=account) as follower,
        following(world, CHANGE_UPDATES, by=rep) as reader,
    ):
        of = Customer(world, follower, account, account)
        assert await of.do("updateActivity", id=note, accountIds=[]) == [("LEFT", note)]  # it still belongs to the deal
        assert await of.do("updateActivity", id=note, accountIds=[account]) == [("ENTERED", note)]
        assert await of.do("updateActivity", id=gone, accountIds=[], opportunityIds=[far]) == [("LEFT", gone)]
        await settled(world)
    async with (
        following(world, CUSTOMER_UPDATES, by=rep, accountId=account, after=after) as back,
        following(world, CHANGE_UPDATES, by=rep, after=after) as late,
    ):
        pass

    assert sorted(told(back)) == [("LEFT", gone), ("UPDATED", note)]
    assert [(each["recordId"], each["gone"]) for each in rows_of(reader)] == [(note, True), (note, False), (gone, True)]
    assert [(each["recordId"], each["gone"]) for each in rows_of(late)][-1] == (gone, True)


async def test_who_becomes_a_rep_is_told_as_a_rep_from_then_on(world: World) -> None:
    user, boss = await world.person(Role.ADMIN), await world.person()
    await world.default("opportunity", Visibility.PRIVATE)
    account = await world.make("account", name="Acme")
    deal = await deal_of(world, accountId=account)
    note = await world.make("activity", type="NOTE", subject="Met", opportunityIds=[deal])
    async with following(world, CUSTOMER_UPDATES, by=user, accountId=account) as follower:
        of = Customer(world, follower, account, account)
        assert set(await of.do("updateUser", id=user.id, role="REP")) == {("LEFT", deal), ("LEFT", note)}
        assert await of.do("updateOpportunity", id=deal, ownerId=boss.id) == []
        came = await of.do("updateOpportunity", id=deal, ownerId=user.id)
        assert set(came) == {("ENTERED", deal), ("ENTERED", note)}


# Random writes


@pytest.mark.parametrize("seed", range(2))
async def test_everybody_has_what_the_360_shows(world: World, seed: int) -> None:
    company, chance, steps = await Company.open(world), Random(seed), []
    for entities in ("account", "opportunity", "case"):
        await world.default(entities, Visibility.PRIVATE)
    clients: dict[str, CustomerClient] = {}
    async with contextlib.AsyncExitStack() as following_:
        followers = {}
        for name, person in company.people.items():
            clients[name] = client = await CustomerClient.query(world, company.account, by=person)
            if client.shown:
                variables: Row = {"accountId": company.account, "after": client.revision}
                opened = following(world, CUSTOMER_UPDATES, by=person, **variables)
                followers[name] = await following_.enter_async_context(opened)
        assert list(followers) == ["admin", "chief", "owner"]
        for round_ in range(1, 41):
            steps.append(await company.step(chance))
            if round_ % 4 == 0:
                await settled(world)
                for name, follower in followers.items():
                    assert follower.error is None, (name, follower.error)
                    for message in follower.messages:
                        clients[name].apply(message)
                    follower.messages.clear()
                    fresh = await CustomerClient.query(world, company.account, by=company.people[name])
                    assert clients[name].shown == fresh.shown, (name, clients[name].shown ^ fresh.shown, steps)


@pytest.mark.parametrize("seed", range(2))
async def test_everybody_who_comes_back_has_what_the_360_shows(world: World, seed: int) -> None:
    company, chance, steps, resyncs, returns = await Company.open(world), Random(seed), [], 0, 0
    for entities in ("account", "opportunity", "case"):
        await world.default(entities, Visibility.PRIVATE)
    clients = {
        name: await CustomerClient.query(world, company.account, by=person) for name, person in company.people.items()
    }
    for _ in range(10):
        steps += [await company.step(chance) for _ in range(chance.randint(1, 5))]
        for name, person in company.people.items():
            client = clients[name]
            fresh = await CustomerClient.query(world, company.account, by=person)
            if not client.shown or not fresh.shown:  # the account is or was invisible
                clients[name] = fresh
                continue
            returns += 1
            variables: Row = {"accountId": company.account, "after": client.revision}
            async with following(world, CUSTOMER_UPDATES, by=person, live=False, **variables) as follower:
                await follower.until_told()
            if follower.error is not None:
                assert (follower.error.extensions or {})["code"] == "RESYNC"
                clients[name], resyncs = fresh, resyncs + 1
                continue
            for message in follower.messages:
                client.apply(message)
            assert client.shown == fresh.shown, (name, client.shown ^ fresh.shown, steps)
    assert resyncs < returns
