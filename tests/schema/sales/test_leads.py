"""Leads and what they become, through GraphQL."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
import sqlalchemy as sa

from crm_graph.models import Activity, ActivityLink, ActivityType, Role, Visibility, now
from crm_graph.services.sales.leads import end_of_quarter
from tests.support.world import Person, World

CONVERTED = """
    lead { id status convertedAt version convertedAccount { id } convertedContact { id } convertedOpportunity { id } }
    account {
      id name phone website industry employees annualRevenue { amount currency }
      billingAddress { street city region postalCode country } owner { id } team { id } version
    }
    contact {
      id firstName lastName title description email emails { address label } phone phones { number label }
      mailingAddress { city } leadSource emailOptOut emailOptOutAt phoneOptOut phoneOptOutAt
      account { id } owner { id } team { id } version
    }
    opportunity {
      id name amount { amount currency } pipeline { id } stage { id } probability closeDate leadSource
      account { id } campaign { id } owner { id } team { id } version
      contactRoles { nodes { primary contact { id } } }
    }
"""
PERSON: dict[str, Any] = {
    "firstName": "Grace",
    "lastName": "Hopper",
    "company": "Eckert-Mauchly",
    "title": "Director",
    "email": "grace@emcc.example",
    "phone": "(415) 555-2671",
    "mobile": "(415) 555-2672",
    "website": "emcc.example",
    "industry": "Computers",
    "employees": 120,
    "annualRevenue": {"amount": "2500000.5", "currency": "EUR"},
    "address": {"street": "Ridge Ave 3747", "city": "Philadelphia", "country": "US"},
    "description": "Met at the\nfair.",
    "source": "Trade show",
    "emailOptOut": True,
}


async def make_stages(world: World) -> tuple[str, str, str]:
    """A pipeline and its two open stages."""
    pipeline = await world.make("pipeline", name="Sales")
    first = await world.make("stage", name="New", pipelineId=pipeline, probability=10)
    second = await world.make("stage", name="Talking", pipelineId=pipeline, probability=40)
    return pipeline, first, second


async def convert(world: World, lead: str, *, by: Person | None = None, **values: Any) -> dict[str, Any]:
    """Convert a lead, which must succeed, and return the payload."""
    answer = await world.write("convertLead", CONVERTED, by=by, leadId=lead, **values)
    assert answer["userErrors"] == []
    return answer


async def refusal(world: World, mutation: str, *, by: Person | None = None, **values: Any) -> tuple[str, str | None]:
    """Code and field of a write that is refused and changes nothing."""
    before = await world.everything()
    answer = await world.write(mutation, "__typename", by=by, **values)
    assert await world.everything() == before
    assert answer["revision"] is None
    [error] = answer["userErrors"]
    return error["code"], error["field"]


async def log_activity(world: World, links: list[dict[str, str]], **columns: Any) -> str:
    """The id of an activity with its links."""
    place, activity = {"workspace_id": world.workspace_id}, Activity.new_id()
    async with world.raw() as connection:
        await connection.execute(sa.insert(Activity).values(**place, id=activity, subject="Call", **columns))
        for link in links:
            values = {**place, "id": ActivityLink.new_id(), "activity_id": activity, **link}
            await connection.execute(sa.insert(ActivityLink).values(**values))
    return activity


async def test_a_new_lead_is_read_back_and_its_opt_out_has_a_date(world: World) -> None:
    answer = await world.write(
        "createLead",
        "lead { id company phone status emailOptOut emailOptOutAt phoneOptOutAt owner { id } version }",
        **PERSON,
    )

    lead = answer["lead"]
    [row] = [change for change in await world.changes() if change["entity"] == "Lead"]
    assert answer["userErrors"] == []
    assert lead == {
        "id": row["record_id"],
        "company": "Eckert-Mauchly",
        "phone": "+14155552671",
        "status": "NEW",
        "emailOptOut": True,
        "emailOptOutAt": row["fields"]["email_opt_out_at"][1],
        "phoneOptOutAt": None,
        "owner": {"id": world.admin.id},
        "version": 1,
    }
    assert lead["emailOptOutAt"] is not None

    answer = await world.write(
        "updateLead", "lead { emailOptOutAt status version }", id=lead["id"], emailOptOut=False, status="WORKING"
    )
    assert answer["lead"] == {"emailOptOutAt": None, "status": "WORKING", "version": 2}


async def test_clients_cannot_set_a_lead_converted(world: World) -> None:
    lead = await world.make("lead", lastName="Hopper")

    assert await refusal(world, "createLead", lastName="Lovelace", status="CONVERTED") == ("INVALID", "status")
    assert await refusal(world, "updateLead", id=lead, status="CONVERTED") == ("INVALID", "status")


async def test_a_conversion_copies_every_field(world: World) -> None:
    pipeline, first, _ = await make_stages(world)
    team = await world.team()
    owner = await world.person(team_id=team)
    lead = await world.make("lead", **PERSON, ownerId=owner.id)
    [stored] = [row for row in await world.changes() if row["entity"] == "Lead"]
    campaigns = [await world.make("campaign", name=name) for name in ("Spring", "Fall")]
    for campaign in campaigns:
        await world.write("addCampaignMembers", "added", campaignId=campaign, leadIds=[lead])
    before = len(await world.changes())

    answer = await convert(world, lead, amount={"amount": "1200.50", "currency": "NOK"}, expectedVersion=1)

    account, contact, opportunity = answer["account"], answer["contact"], answer["opportunity"]
    whose = {"owner": {"id": owner.id}, "team": {"id": team}, "version": 1}
    assert account == {
        "id": account["id"],
        "name": "Eckert-Mauchly",
        "phone": "+14155552671",
        "website": "https://emcc.example",
        "industry": "Computers",
        "employees": 120,
        "annualRevenue": {"amount": "2500000.5", "currency": "EUR"},
        "billingAddress": {
            "street": "Ridge Ave 3747",
            "city": "Philadelphia",
            "region": None,
            "postalCode": None,
            "country": "US",
        },
        **whose,
    }
    assert contact == {
        "id": contact["id"],
        "firstName": "Grace",
        "lastName": "Hopper",
        "title": "Director",
        "description": "Met at the\nfair.",
        "email": "grace@emcc.example",
        "emails": [{"address": "grace@emcc.example", "label": None}],
        "phone": "+14155552671",
        "phones": [{"number": "+14155552671", "label": None}, {"number": "+14155552672", "label": "mobile"}],
        "mailingAddress": {"city": "Philadelphia"},
        "leadSource": "Trade show",
        "emailOptOut": True,
        "emailOptOutAt": stored["fields"]["email_opt_out_at"][1],
        "phoneOptOut": False,
        "phoneOptOutAt": None,
        "account": {"id": account["id"]},
        **whose,
    }
    assert opportunity == {
        "id": opportunity["id"],
        "name": "Eckert-Mauchly",
        "amount": {"amount": "1200.5", "currency": "NOK"},
        "pipeline": {"id": pipeline},
        "stage": {"id": first},
        "probability": 10,
        "closeDate": end_of_quarter(now().date()).isoformat(),
        "leadSource": "Trade show",
        "account": {"id": account["id"]},
        "campaign": {"id": campaigns[1]},
        "contactRoles": {"nodes": [{"primary": True, "contact": {"id": contact["id"]}}]},
        **whose,
    }
    assert answer["lead"] == {
        "id": lead,
        "status": "CONVERTED",
        "convertedAt": answer["lead"]["convertedAt"],
        "version": 2,
        "convertedAccount": {"id": account["id"]},
        "convertedContact": {"id": contact["id"]},
        "convertedOpportunity": {"id": opportunity["id"]},
    }
    assert answer["lead"]["convertedAt"] is not None
    log = (await world.changes())[before:]
    assert {change["cause"] for change in log} == {"convert_lead"}
    assert sorted((change["entity"], change["action"]) for change in log) == [
        ("Account", "CREATED"),
        ("CampaignMember", "UPDATED"),
        ("CampaignMember", "UPDATED"),
        ("Contact", "CREATED"),
        ("ContactRole", "CREATED"),
        ("Lead", "CONVERTED"),
        ("Opportunity", "CREATED"),
    ]
    assert answer["revision"].endswith(f".{log[-1]['revision']}")


async def test_what_the_client_names_comes_before_the_defaults(world: World) -> None:
    pipeline, _, second = await make_stages(world)
    team = await world.team()
    owner = await world.person(team_id=team)
    lead = await world.make("lead", firstName="Grace", lastName="Hopper", mobile="+14155552672")

    answer = await convert(
        world,
        lead,
        opportunityName="A compiler",
        pipelineId=pipeline,
        stageId=second,
        closeDate="2031-02-03",
        ownerId=owner.id,
    )

    whose = {"owner": {"id": owner.id}, "team": {"id": team}}
    for name in ("account", "contact", "opportunity"):
        assert {key: answer[name][key] for key in whose} == whose
    assert (answer["account"]["name"], answer["account"]["phone"]) == ("Grace Hopper", None)
    assert answer["contact"]["phones"] == [{"number": "+14155552672", "label": "mobile"}]
    opportunity = answer["opportunity"]
    assert (opportunity["name"], opportunity["closeDate"]) == ("A compiler", "2031-02-03")
    assert (opportunity["stage"]["id"], opportunity["probability"]) == (second, 40)
    assert (opportunity["amount"], opportunity["campaign"]) == (None, None)
    data = await world.data("query ($id: ID!) { lead(id: $id) { owner { id } } }", id=lead)
    assert data["lead"]["owner"]["id"] == world.admin.id


async def test_no_deal_is_made_unless_wanted(world: World) -> None:
    lead = await world.make("lead", **PERSON)

    assert await refusal(world, "convertLead", leadId=lead, createOpportunity=False, opportunityName="Deal") == (
        "INVALID",
        "createOpportunity",
    )
    answer = await convert(world, lead, createOpportunity=False)

    assert answer["opportunity"] is None
    assert answer["lead"]["convertedOpportunity"] is None
    assert await world.data("{ opportunities { totalCount } }") == {"opportunities": {"totalCount": 0}}


async def test_existing_records_only_get_what_they_lack(world: World) -> None:
    await make_stages(world)
    other = await world.person()
    account = await world.make(
        "account", name="EMCC", industry="Machines", annualRevenue={"amount": "7", "currency": "USD"}, ownerId=other.id
    )
    contact = await world.make(
        "contact", lastName="Hopper-Murray", phone="+14155550000", phoneOptOut=True, accountId=account, ownerId=None
    )
    lead = await world.make("lead", **PERSON)

    answer = await convert(world, lead, accountId=account, contactId=contact)

    assert answer["account"] == {
        "id": account,
        "name": "EMCC",
        "phone": "+14155552671",
        "website": "https://emcc.example",
        "industry": "Machines",
        "employees": 120,
        "annualRevenue": {"amount": "7", "currency": "USD"},
        "billingAddress": {
            "street": "Ridge Ave 3747",
            "city": "Philadelphia",
            "region": None,
            "postalCode": None,
            "country": "US",
        },
        "owner": {"id": other.id},
        "team": None,
        "version": 2,
    }
    assert answer["contact"] == {
        "id": contact,
        "firstName": "Grace",
        "lastName": "Hopper-Murray",
        "title": "Director",
        "description": "Met at the\nfair.",
        "email": "grace@emcc.example",
        "emails": [{"address": "grace@emcc.example", "label": None}],
        "phone": "+14155550000",
        "phones": [{"number": "+14155550000", "label": None}, {"number": "+14155552672", "label": "mobile"}],
        "mailingAddress": {"city": "Philadelphia"},
        "leadSource": "Trade show",
        "emailOptOut": False,
        "emailOptOutAt": None,
        "phoneOptOut": True,
        "phoneOptOutAt": answer["contact"]["phoneOptOutAt"],
        "account": {"id": account},
        "owner": {"id": world.admin.id},
        "team": None,
        "version": 2,
    }
    assert answer["contact"]["phoneOptOutAt"] is not None
    assert answer["opportunity"]["name"] == "EMCC"
    assert answer["opportunity"]["owner"] == {"id": world.admin.id}


async def test_a_contact_brings_its_account_or_gets_one(world: World) -> None:
    await make_stages(world)
    account = await world.make("account", name="EMCC")
    employed = await world.make("contact", lastName="Hopper", accountId=account)
    free = await world.make("contact", lastName="Lovelace")
    leads = [await world.make("lead", lastName="Hopper", company="Analytical Engines") for _ in range(2)]

    first = await convert(world, leads[0], contactId=employed)
    second = await convert(world, leads[1], contactId=free)

    assert first["account"]["id"] == account
    assert second["account"]["name"] == "Analytical Engines"
    assert second["contact"]["account"] == {"id": second["account"]["id"]}


async def test_revenue_fills_an_empty_account_with_its_own_currency(world: World) -> None:
    account = await world.make("account", name="EMCC", annualRevenue={"amount": "7", "currency": "USD"})
    await world.write("updateAccount", "revision", id=account, annualRevenue=None)
    lead = await world.make("lead", **PERSON)

    answer = await convert(world, lead, accountId=account, createOpportunity=False)

    assert answer["account"]["annualRevenue"] == {"amount": "2500000.5", "currency": "EUR"}


async def test_memberships_move_to_the_contact_or_are_united_with_the_contacts_own(world: World) -> None:
    await make_stages(world)
    names = ("Only lead", "Lead responded", "Both responded", "Contact removed", "Lead removed")
    campaigns = {name: await world.make("campaign", name=name) for name in names}
    lead = await world.make("lead", lastName="Hopper")
    contact = await world.make("contact", lastName="Hopper")
    member: dict[tuple[str, str], str] = {}
    both = [name for name in names if name not in ("Only lead", "Lead removed")]
    for who, key, person, places in (("lead", "leadIds", lead, names), ("contact", "contactIds", contact, both)):
        for name in places:
            status = "Sent" if who == "contact" and name == "Lead responded" else "responded"
            people: dict[str, Any] = {key: [person]}
            await world.write("addCampaignMembers", "added", campaignId=campaigns[name], status=status, **people)
            data = await world.data(
                "query ($id: ID!) { campaign(id: $id) { members(orderBy: [{field: ID, direction: DESC}], first: 1)"
                " { nodes { id } } } }",
                id=campaigns[name],
            )
            member[name, who] = data["campaign"]["members"]["nodes"][0]["id"]
    await world.write("removeCampaignMember", "revision", memberId=member["Contact removed", "contact"])
    await world.write("removeCampaignMember", "revision", memberId=member["Lead removed", "lead"])
    rows = {row["id"]: row for row in (await world.everything())["campaign_members"]}

    answer = await convert(world, lead, contactId=contact)

    # The lead's last place is the campaign that was added last, and the lead was not removed from.
    assert answer["opportunity"]["campaign"] == {"id": campaigns["Contact removed"]}
    after = {row["id"]: row for row in (await world.everything())["campaign_members"]}

    def place(name: str, who: str) -> tuple[Any, ...]:
        row = after[member[name, who]]
        person = (row["contact_id"], row["lead_id"])
        return (*person, row["status"], row["first_responded_at"], row["deleted_at"] is not None)

    def responded(name: str, who: str) -> Any:
        return rows[member[name, who]]["first_responded_at"]

    assert place("Only lead", "lead") == (contact, None, "RESPONDED", responded("Only lead", "lead"), False)
    first = responded("Lead responded", "lead")
    assert place("Lead responded", "contact") == (contact, None, "RESPONDED", first, False)
    assert place("Lead responded", "lead")[4] is True
    earlier = responded("Both responded", "lead")
    assert earlier < responded("Both responded", "contact")
    assert place("Both responded", "contact") == (contact, None, "RESPONDED", earlier, False)
    earlier = responded("Contact removed", "lead")
    assert place("Contact removed", "contact") == (contact, None, "RESPONDED", earlier, False)
    removed = after[member["Lead removed", "lead"]]
    assert (removed["lead_id"], removed["contact_id"]) == (lead, None)


async def test_activities_count_for_all_three_and_open_ones_follow_the_owner(world: World) -> None:
    await make_stages(world)
    owner, colleague = await world.person(), await world.person()
    account = await world.make("account", name="EMCC")
    lead = await world.make("lead", lastName="Hopper")
    past, future = now() - dt.timedelta(days=9), now() + dt.timedelta(days=9)
    mine = {"owner_id": colleague.id}
    both = [{"lead_id": lead}, {"account_id": account}]
    call = await log_activity(world, both, type=ActivityType.CALL, happens_at=past, **mine)
    meeting = await log_activity(world, [{"lead_id": lead}], type=ActivityType.MEETING, happens_at=future, **mine)
    task = await log_activity(world, [{"lead_id": lead}], type=ActivityType.TASK, happens_at=past, **mine)
    done = await log_activity(world, [{"lead_id": lead}], type=ActivityType.TASK, happens_at=past, done=True, **mine)
    other = await log_activity(world, [{"account_id": account}], type=ActivityType.TASK, happens_at=future, **mine)

    answer = await convert(world, lead, accountId=account, ownerId=owner.id)

    made = {f"{name}_id": answer[name]["id"] for name in ("lead", "account", "contact", "opportunity")}
    links = [
        (row["activity_id"], key, row[key])
        for row in await world.rows(ActivityLink)
        for key in ActivityLink.TARGETS
        if row[key] is not None
    ]
    expected = [(each, key, value) for each in (call, meeting, task, done) for key, value in made.items()]
    assert sorted(links) == sorted([*expected, (other, "account_id", account)])
    stands = {row["id"]: (row["owner_id"], row["version"]) for row in await world.rows(Activity)}
    assert stands == {
        call: (colleague.id, 2),
        meeting: (owner.id, 2),
        task: (owner.id, 2),
        done: (colleague.id, 2),
        other: (colleague.id, 1),
    }
    log = {row["record_id"]: row for row in await world.changes() if row["entity"] == "Activity"}
    assert sorted(log) == sorted([call, meeting, task, done])
    assert log[task]["fields"] == {"owner_id": [colleague.id, owner.id], "links": [[lead], sorted(made.values())]}
    assert log[call]["fields"] == {"links": [sorted([account, lead]), sorted(made.values())]}
    assert (log[task]["before"]["owner_id"], log[task]["after"]["owner_id"]) == (colleague.id, owner.id)


async def test_a_conversion_that_fails_changes_nothing(world: World) -> None:
    pipeline, first, second = await make_stages(world)
    foreign = await world.make("pipeline", name="Partners")
    foreign_stage = await world.make("stage", name="New", pipelineId=foreign)
    await world.write("updateStage", "revision", id=second, requiredFields=["AMOUNT"])
    account = await world.make("account", name="EMCC")
    elsewhere = await world.make("account", name="Elsewhere")
    contact = await world.make("contact", lastName="Hopper", accountId=elsewhere)
    lead = await world.make("lead", **PERSON)
    campaign = await world.make("campaign", name="Spring")
    await world.write("addCampaignMembers", "added", campaignId=campaign, leadIds=[lead])
    await log_activity(world, [{"lead_id": lead}], type=ActivityType.TASK)

    async def refused(**values: Any) -> tuple[str, str | None]:
        return await refusal(world, "convertLead", **{"leadId": lead, **values})

    assert await refused(pipelineId=pipeline, stageId=foreign_stage) == ("INVALID", "stageId")
    assert await refused(stageId=second) == ("GATE_CLOSED", "amount")
    assert await refused(stageId="stg_unknown") == ("NOT_FOUND", "stageId")
    assert await refused(pipelineId="pipe_unknown") == ("NOT_FOUND", "pipelineId")
    assert await refused(accountId="acc_unknown") == ("NOT_FOUND", "accountId")
    assert await refused(accountId=lead) == ("NOT_FOUND", "accountId")
    assert await refused(contactId="con_unknown") == ("NOT_FOUND", "contactId")
    assert await refused(contactId=contact, accountId=account) == ("INVALID", "contactId")
    assert await refused(ownerId="user_unknown") == ("NOT_FOUND", "ownerId")
    assert await refused(opportunityName=" ") == ("REQUIRED", "opportunityName")
    assert await refused(opportunityName="x" * 201) == ("INVALID", "opportunityName")
    assert await refused(leadId="lead_unknown") == ("NOT_FOUND", "leadId")
    assert await refused(expectedVersion=2) == ("CONFLICT", "expectedVersion")
    answer = await world.write("convertLead", "lead { id version }", leadId=lead, expectedVersion=2)
    assert answer["lead"] == {"id": lead, "version": 1}
    assert (await convert(world, lead, stageId=first))["lead"]["version"] == 2


async def test_a_converted_lead_is_read_only(world: World) -> None:
    lead = await world.make("lead", **PERSON)
    campaign = await world.make("campaign", name="Spring")
    await convert(world, lead, createOpportunity=False)

    assert await refusal(world, "convertLead", leadId=lead, createOpportunity=False) == ("INVALID", "leadId")
    assert await refusal(world, "updateLead", id=lead, company="Univac") == ("INVALID", "id")
    assert await refusal(world, "deleteLead", id=lead) == ("INVALID", "id")
    assert await refusal(world, "addCampaignMembers", campaignId=campaign, leadIds=[lead]) == ("INVALID", "leadIds.0")


async def test_a_repeated_conversion_answers_the_first_one(world: World) -> None:
    lead = await world.make("lead", **PERSON)

    first = await convert(world, lead, createOpportunity=False, idempotencyKey="once")
    before = await world.everything()
    second = await convert(world, lead, createOpportunity=False, idempotencyKey="once")

    assert second == first
    assert await world.everything() == before


async def test_who_may_not_change_the_lead_or_a_target_converts_nothing(world: World) -> None:
    await make_stages(world)
    rep, reader = await world.person(), await world.person(Role.READ_ONLY)
    lead = await world.make("lead", **PERSON)
    account = await world.make("account", name="EMCC")
    contact = await world.make("contact", lastName="Hopper", accountId=account)

    assert await refusal(world, "convertLead", by=reader, leadId=lead) == ("FORBIDDEN", None)
    await world.default("account", Visibility.PUBLIC_READ)
    assert await refusal(world, "convertLead", by=rep, leadId=lead, accountId=account) == ("FORBIDDEN", "accountId")
    assert await refusal(world, "convertLead", by=rep, leadId=lead, contactId=contact) == ("FORBIDDEN", "contactId")
    await world.default("account", Visibility.PRIVATE)
    assert await refusal(world, "convertLead", by=rep, leadId=lead, accountId=account) == ("NOT_FOUND", "accountId")
    assert await refusal(world, "convertLead", by=rep, leadId=lead, contactId=contact) == ("NOT_FOUND", "contactId")
    await world.default("lead", Visibility.PUBLIC_READ)
    assert await refusal(world, "convertLead", by=rep, leadId=lead) == ("FORBIDDEN", None)
    await world.default("lead", Visibility.PRIVATE)
    assert await refusal(world, "convertLead", by=rep, leadId=lead) == ("NOT_FOUND", "leadId")


async def test_a_lead_may_be_converted_for_somebody_whose_records_the_viewer_cannot_see(world: World) -> None:
    await make_stages(world)
    rep, owner = await world.person(), await world.person()
    lead = await world.make("lead", **PERSON, ownerId=rep.id)
    campaign = await world.make("campaign", name="Spring")
    await world.write("addCampaignMembers", "added", campaignId=campaign, leadIds=[lead])
    for entity in ("account", "opportunity", "campaign"):
        await world.default(entity, Visibility.PRIVATE)

    answer = await convert(world, lead, by=rep, ownerId=owner.id)

    assert (answer["account"], answer["contact"], answer["opportunity"]) == (None, None, None)
    assert answer["lead"]["status"] == "CONVERTED"
    data = await world.data(
        "{ opportunities { nodes { campaign { id } owner { id } account { name } contactRoles { totalCount } } } }"
    )
    assert data["opportunities"]["nodes"] == [
        {
            "campaign": {"id": campaign},
            "owner": {"id": owner.id},
            "account": {"name": "Eckert-Mauchly"},
            "contactRoles": {"totalCount": 1},
        }
    ]


@pytest.mark.parametrize(
    ("day", "end"),
    [
        ("2026-01-01", "2026-03-31"),
        ("2026-06-30", "2026-06-30"),
        ("2026-08-15", "2026-09-30"),
        ("2026-12-31", "2026-12-31"),
    ],
)
def test_a_quarter_ends_on_its_last_day(day: str, end: str) -> None:
    assert end_of_quarter(dt.date.fromisoformat(day)) == dt.date.fromisoformat(end)
