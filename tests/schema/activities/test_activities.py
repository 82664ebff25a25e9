"""Activities through GraphQL: what they are about, who took part, tasks, and who sees them."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any

import pytest
import sqlalchemy as sa

from crm_graph.models import (
    Account,
    Activity,
    ActivityLink,
    Campaign,
    Case,
    Contact,
    Lead,
    Opportunity,
    Participant,
    Pipeline,
    Role,
    Stage,
    User,
    Visibility,
)
from tests.support.world import Person, World

Input = dict[str, Any]
KINDS = ("accounts", "contacts", "leads", "opportunities", "cases", "campaigns")
ABOUT = " ".join(f"{kind} {{ nodes {{ id }} }}" for kind in KINDS)
PARTICIPANTS = "participants { user { id } contact { id } lead { id } email }"
ACTIVITY = f"""
    activity {{
      id type subject version done doneAt happensAt dueAt outcome owner {{ id }} {ABOUT}
      {PARTICIPANTS}
    }}
"""


async def log(world: World, *, by: Person | None = None, **values: Any) -> dict[str, Any]:
    answer = await world.write("logActivity", ACTIVITY, by=by, **{"type": "NOTE", "subject": "Hello", **values})
    assert answer["userErrors"] == []
    activity: dict[str, Any] = answer["activity"]
    return activity


def refusal(code: str, field: str | None, message: str) -> list[dict[str, Any]]:
    return [{"code": code, "field": field, "message": message}]


def about(activity: dict[str, Any]) -> dict[str, list[str]]:
    """The ids of what an activity is about, kinds without any left out."""
    ids = {kind: sorted(each["id"] for each in activity[kind]["nodes"]) for kind in KINDS}
    return {kind: found for kind, found in ids.items() if found}


def attendees(activity: dict[str, Any]) -> list[Any]:
    """The ids and addresses of the participants, sorted; None for a hidden one."""
    people = []
    for each in activity["participants"]:
        named = [person["id"] for person in (each["user"], each["contact"], each["lead"]) if person] + [each["email"]]
        people.append(named[0])
    return sorted(people, key=str)


def links(field: str, *ids: str) -> Input:
    return {field: [*ids]}


async def one_of_each(world: World, owner_id: str | None = None) -> dict[str, str]:
    """A record of each kind that an activity can be about, by the input's field; none belongs to another."""
    owner: Input = {"ownerId": owner_id or world.admin.id}
    pipeline = await world.make("pipeline", name="Sales")
    stage = await world.make("stage", name="Talk", pipelineId=pipeline, position=1)
    deal: Input = {"name": "Deal", "pipelineId": pipeline, "stageId": stage}
    return {
        "accountIds": await world.make("account", name="Acme", **owner),
        "contactIds": await world.make("contact", lastName="Ann", **owner),
        "leadIds": await world.make("lead", lastName="Lea", **owner),
        "opportunityIds": await world.make("opportunity", **deal, **owner),
        "caseIds": await world.make("case", subject="It hums", **owner),
        "campaignIds": await world.make("campaign", name="Spring", **owner),
    }


# Logging


async def test_an_activity_is_about_many_records_and_people_at_once(world: World) -> None:
    rep = await world.person()
    records = await one_of_each(world)

    activity = await log(
        world,
        type="MEETING",
        subject="Kick-off",
        happensAt="2026-05-04T12:00:00+02:00",
        **dict[str, Any]({field: [record_id] for field, record_id in records.items()}),
        participants=[
            {"userId": rep.id},
            {"contactId": records["contactIds"]},
            {"leadId": records["leadIds"]},
            {"email": "Guest@EXAMPLE.com"},
            {"email": "Guest@example.com"},
        ],
    )

    assert (activity["type"], activity["version"], activity["owner"]) == ("MEETING", 1, {"id": world.admin.id})
    assert activity["happensAt"] == "2026-05-04T10:00:00.000000Z"
    assert about(activity) == dict(zip(KINDS, ([each] for each in records.values()), strict=True))
    people = sorted([rep.id, records["contactIds"], records["leadIds"], "Guest@example.com"])
    assert attendees(activity) == people
    change = (await world.changes())[-1]
    assert (change["entity"], change["action"]) == ("Activity", "CREATED")
    assert change["fields"]["links"] == [None, sorted(records.values())]
    assert change["fields"]["participants"] == [None, people]
    assert change["fields"]["subject"] == [None, "Kick-off"]
    for kind in KINDS:
        data = await world.data(f"{{ {kind} {{ nodes {{ activities {{ totalCount nodes {{ subject }} }} }} }} }}")
        assert data[kind]["nodes"] == [{"activities": {"totalCount": 1, "nodes": [{"subject": "Kick-off"}]}}]


async def test_what_is_about_a_contact_a_deal_or_a_case_is_about_its_account(world: World) -> None:
    accounts = [await world.make("account", name=name) for name in ("Acme", "Bolt", "Cogs")]
    contact = await world.make("contact", lastName="Ann", accountId=accounts[0])
    case = await world.make("case", subject="It hums", accountId=accounts[1])
    pipeline = await world.make("pipeline", name="Sales")
    stage = await world.make("stage", name="Talk", pipelineId=pipeline, position=1)
    deal = await world.make("opportunity", name="Deal", accountId=accounts[2], pipelineId=pipeline, stageId=stage)

    for field, kind, record_id, account_id in (
        ("contactIds", "contacts", contact, accounts[0]),
        ("caseIds", "cases", case, accounts[1]),
        ("opportunityIds", "opportunities", deal, accounts[2]),
    ):
        activity = await log(world, **links(field, record_id, record_id))
        assert about(activity) == {"accounts": [account_id], kind: [record_id]}
    everything = await log(world, accountIds=[accounts[0]], contactIds=[contact], caseIds=[case], opportunityIds=[deal])
    assert about(everything)["accounts"] == sorted(accounts)
    assert len([each for each in await world.rows(ActivityLink) if each["activity_id"] == everything["id"]]) == 6


async def test_an_account_that_the_viewer_cannot_see_is_not_linked(world: World) -> None:
    await world.default("account", Visibility.PRIVATE)
    rep = await world.person()
    hidden = await world.make("account", name="Hidden")
    case = await world.make("case", subject="It hums", accountId=hidden)

    activity = await log(world, by=rep, caseIds=[case])

    assert about(activity) == {"cases": [case]}
    assert [each["account_id"] for each in await world.rows(ActivityLink)] == [None]


async def test_a_task_is_planned_for_when_it_is_due(world: World) -> None:
    due, later = "2031-01-02T09:00:00.000000Z", "2031-01-03T09:00:00.000000Z"
    start = dt.datetime.now(dt.UTC)

    task = await log(world, type="TASK", dueAt=due)
    assert (task["happensAt"], task["dueAt"], task["done"]) == (due, due, False)
    timed = await log(world, type="TASK", dueAt=due, happensAt=later)
    assert timed["happensAt"] == later
    without: list[Input] = [{"type": "TASK"}, {"type": "CALL", "dueAt": due}]
    for values in without:
        happens_at = dt.datetime.fromisoformat((await log(world, **values))["happensAt"])
        assert start <= happens_at <= dt.datetime.now(dt.UTC)

    moved = await world.write("updateActivity", ACTIVITY, id=task["id"], dueAt=later)
    assert (moved["activity"]["happensAt"], moved["activity"]["dueAt"]) == (later, later)
    kept = await world.write("updateActivity", ACTIVITY, id=timed["id"], dueAt="2031-01-05T09:00:00Z")
    assert kept["activity"]["happensAt"] == later


async def test_an_activity_that_cannot_be_is_refused_naming_the_field(world: World, other_world: World) -> None:
    theirs = await other_world.make("account", name="Theirs")
    acme = await world.make("account", name="Acme")
    gone = await world.make("lead", lastName="Gone")
    await world.write("deleteLead", "", id=gone)
    before = await world.everything()
    exactly_one = "A participant is a user, a contact, a lead or an email address: one of them."

    refused: list[tuple[Input, list[Input]]] = [
        ({"accountIds": [acme, "acc_unknown"]}, refusal("NOT_FOUND", "accountIds.1", "There is no such account.")),
        ({"accountIds": [theirs]}, refusal("NOT_FOUND", "accountIds.0", "There is no such account.")),
        ({"contactIds": [acme]}, refusal("NOT_FOUND", "contactIds.0", "There is no such contact.")),
        ({"leadIds": [gone]}, refusal("NOT_FOUND", "leadIds.0", "There is no such lead.")),
        ({"caseIds": ["\0"]}, refusal("INVALID", "caseIds.0", "Control characters are not allowed.")),
        ({"campaignIds": [""]}, refusal("REQUIRED", "campaignIds.0", "The text is empty.")),
        ({"leadIds": [gone] * 101}, refusal("INVALID", "leadIds", "At most 100 records are allowed.")),
        ({"participants": [{}]}, refusal("INVALID", "participants.0", exactly_one)),
        (
            {"participants": [{"userId": world.admin.id}, {"userId": world.admin.id, "email": "a@example.com"}]},
            refusal("INVALID", "participants.1", exactly_one),
        ),
        (
            {"participants": [{"userId": other_world.admin.id}]},
            refusal("NOT_FOUND", "participants.0.userId", "There is no such user."),
        ),
        (
            {"participants": [{"leadId": gone}]},
            refusal("NOT_FOUND", "participants.0.leadId", "There is no such lead."),
        ),
        (
            {"participants": [{"email": "a@example.com"}] * 51},
            refusal("INVALID", "participants", "At most 50 entries are allowed."),
        ),
        ({"subject": " "}, refusal("REQUIRED", "subject", "The text is empty.")),
        ({"happensAt": None}, refusal("REQUIRED", "happensAt", "A value is needed.")),
    ]
    for values, expected in refused:
        answer = await world.write("logActivity", ACTIVITY, **{"type": "NOTE", "subject": "Hello", **values})
        assert (answer["userErrors"], answer["activity"]) == (expected, None)
    [error] = (
        await world.write("logActivity", ACTIVITY, type="NOTE", subject="Hello", participants=[{"email": "nobody"}])
    )["userErrors"]
    assert (error["code"], error["field"]) == ("INVALID", "participants.0.email")
    assert await world.everything() == before


async def test_nobody_links_what_he_cannot_see(world: World) -> None:
    for entity in ("account", "lead", "opportunity", "case", "campaign"):
        await world.default(entity, Visibility.PRIVATE)
    records = await one_of_each(world)
    rep = await world.person()
    mine = (await log(world, by=rep))["id"]
    before = await world.everything()

    for field, record_id in records.items():
        known: dict[str, Input] = {"logActivity": {"type": "NOTE", "subject": "Hello"}, "updateActivity": {"id": mine}}
        for mutation, values in known.items():
            answer = await world.write(mutation, ACTIVITY, by=rep, **values, **links(field, record_id))
            [error] = answer["userErrors"]
            assert (error["code"], error["field"]) == ("NOT_FOUND", f"{field}.0")
    for field, of in (("contactId", "contactIds"), ("leadId", "leadIds")):
        answer = await world.write("updateActivity", ACTIVITY, by=rep, id=mine, participants=[{field: records[of]}])
        [error] = answer["userErrors"]
        assert (error["code"], error["field"]) == ("NOT_FOUND", f"participants.0.{field}")
    assert await world.everything() == before


async def test_logging_again_with_the_same_key_logs_nothing_more(world: World) -> None:
    acme = await world.make("account", name="Acme")
    values: Input = {"accountIds": [acme], "participants": [{"email": "a@example.com"}], "idempotencyKey": "k"}

    first, second = await log(world, **values), await log(world, **values)

    assert first == second
    assert len(await world.rows(ActivityLink)) == len(await world.rows(Participant)) == 1


# The first response to a case


async def first_response(world: World, case_id: str) -> Any:
    data = await world.data("query ($id: ID!) { case(id: $id) { firstResponseAt version } }", id=case_id)
    return data["case"]["firstResponseAt"], data["case"]["version"]


@pytest.mark.parametrize("type_", ["EMAIL", "CALL", "MEETING"])
async def test_the_first_that_is_sent_or_said_about_a_case_is_the_response(world: World, type_: str) -> None:
    case = await world.make("case", subject="It hums")
    outbound: dict[str, Any] = {"type": type_, "direction": "OUTBOUND", "caseIds": [case]}

    await log(world, type=type_, direction="INBOUND", caseIds=[case])
    await log(world, type=type_, caseIds=[case])
    await log(world, type="NOTE", direction="OUTBOUND", caseIds=[case])
    await log(world, **outbound, happensAt="2999-01-01T00:00:00Z")
    assert await first_response(world, case) == (None, 1)
    await log(world, **outbound, happensAt="2026-05-04T10:00:00Z")
    assert await first_response(world, case) == ("2026-05-04T10:00:00.000000Z", 2)
    await log(world, **outbound, happensAt="2026-05-03T10:00:00Z")
    assert await first_response(world, case) == ("2026-05-04T10:00:00.000000Z", 2)
    [change] = [
        each for each in await world.changes() if "first_response_at" in each["fields"] and each["entity"] == "Case"
    ]
    assert change["fields"] == {"first_response_at": [None, "2026-05-04T10:00:00.000000Z"]}


async def test_of_two_responses_at_once_one_is_the_first(world: World) -> None:
    case = await world.make("case", subject="It hums")

    await asyncio.gather(
        *(log(world, type="CALL", subject=f"Call {n}", direction="OUTBOUND", caseIds=[case]) for n in range(4))
    )

    assert (await first_response(world, case))[1] == 2


# Changing


async def test_what_is_given_replaces_and_the_rest_stays(world: World) -> None:
    records = await one_of_each(world)
    acme, lead = records["accountIds"], records["leadIds"]
    bolt = await world.make("account", name="Bolt")
    activity = await log(
        world, accountIds=[acme], leadIds=[lead], participants=[{"email": "a@example.com"}, {"leadId": lead}]
    )

    answer = await world.write("updateActivity", ACTIVITY, id=activity["id"], accountIds=[bolt], expectedVersion=1)
    assert answer["userErrors"] == []
    assert about(answer["activity"]) == {"accounts": [bolt], "leads": [lead]}
    assert attendees(answer["activity"]) == sorted(["a@example.com", lead])
    assert answer["activity"]["version"] == 2
    change = (await world.changes())[-1]
    assert (change["action"], change["fields"]) == (
        "UPDATED",
        {"links": [sorted([acme, lead]), sorted([bolt, lead])]},
    )

    answer = await world.write(
        "updateActivity",
        ACTIVITY,
        id=activity["id"],
        subject="Bye",
        leadIds=[],
        participants=[{"email": "b@example.com"}],
    )
    assert about(answer["activity"]) == {"accounts": [bolt]}
    assert attendees(answer["activity"]) == ["b@example.com"]
    assert (answer["activity"]["subject"], answer["activity"]["version"]) == ("Bye", 3)
    change = (await world.changes())[-1]
    assert change["fields"] == {
        "subject": ["Hello", "Bye"],
        "links": [sorted([bolt, lead]), [bolt]],
        "participants": [sorted(["a@example.com", lead]), ["b@example.com"]],
    }

    before = await world.everything()
    same = await world.write(
        "updateActivity", ACTIVITY, id=activity["id"], accountIds=[bolt], participants=[{"email": "b@example.com"}]
    )
    assert same["activity"] == answer["activity"]
    assert await world.everything() == before


async def test_a_new_contact_brings_its_account(world: World) -> None:
    acme = await world.make("account", name="Acme")
    ann = await world.make("contact", lastName="Ann", accountId=acme)
    activity = await log(world)

    answer = await world.write("updateActivity", ACTIVITY, id=activity["id"], contactIds=[ann])
    assert about(answer["activity"]) == {"accounts": [acme], "contacts": [ann]}
    answer = await world.write("updateActivity", ACTIVITY, id=activity["id"], accountIds=[])
    assert about(answer["activity"]) == {"accounts": [acme], "contacts": [ann]}
    answer = await world.write("updateActivity", ACTIVITY, id=activity["id"], accountIds=[], contactIds=[])
    assert about(answer["activity"]) == {}


async def test_what_the_viewer_cannot_see_stays_when_the_rest_is_replaced(world: World) -> None:
    await world.default("account", Visibility.PRIVATE)
    rep = await world.person()
    hidden = await world.make("account", name="Hidden")
    secret = await world.make("contact", lastName="Secret", accountId=hidden)
    mine = await world.make("account", by=rep, name="Mine")
    activity = await log(world, ownerId=rep.id, accountIds=[hidden, mine], participants=[{"contactId": secret}])

    answer = await world.write(
        "updateActivity", ACTIVITY, by=rep, id=activity["id"], accountIds=[], participants=[{"userId": rep.id}]
    )

    assert answer["userErrors"] == []
    assert about(answer["activity"]) == {}
    assert attendees(answer["activity"]) == [None, rep.id]
    assert {each["account_id"] for each in await world.rows(ActivityLink)} == {hidden}
    assert {each["contact_id"] for each in await world.rows(Participant)} == {secret, None}


async def test_what_was_brought_along_goes_with_the_last_record_that_was_chosen(world: World) -> None:
    await world.default("account", Visibility.PRIVATE)
    rep = await world.person()
    hidden = await world.make("account", name="Hidden")
    case = await world.make("case", subject="It does not start", accountId=hidden)
    activity = await log(world, ownerId=rep.id, caseIds=[case])
    brought = {(each["case_id"], each["account_id"], each["derived"]) for each in await world.rows(ActivityLink)}

    answer = await world.write("updateActivity", ACTIVITY, by=rep, id=activity["id"], caseIds=[])

    assert brought == {(case, None, False), (None, hidden, True)}
    assert answer["userErrors"] == []
    assert await world.rows(ActivityLink) == []


async def test_a_stale_version_is_refused_with_the_activity_as_it_is(world: World) -> None:
    acme = await world.make("account", name="Acme")
    task = await log(world, type="TASK")
    changed = (await world.write("updateActivity", ACTIVITY, id=task["id"], accountIds=[acme]))["activity"]
    before = await world.everything()

    for mutation in ("updateActivity", "completeTask", "deleteActivity"):
        answer = await world.write(mutation, ACTIVITY, id=task["id"], expectedVersion=1)
        assert answer["userErrors"] == refusal(
            "CONFLICT", "expectedVersion", "The activity was changed meanwhile: it is at version 2, not 1."
        )
        assert answer["activity"] == changed
    assert await world.everything() == before


async def test_two_who_replace_links_at_once_lose_nothing_they_did_not_mean_to(world: World) -> None:
    records = await one_of_each(world)
    activity = await log(world)

    answers = await asyncio.gather(
        *(
            world.write("updateActivity", ACTIVITY, id=activity["id"], **links(field, record_id))
            for field, record_id in records.items()
        )
    )

    assert [each["userErrors"] for each in answers] == [[]] * 6
    data = await world.data(f"query ($id: ID!) {{ activity(id: $id) {{ version {ABOUT} }} }}", id=activity["id"])
    assert about(data["activity"]) == dict(zip(KINDS, ([each] for each in records.values()), strict=True))
    assert data["activity"]["version"] == 7


# Tasks


async def test_a_task_is_done_once_and_reopened(world: World) -> None:
    task = await log(world, type="TASK", outcome="None yet")

    answer = await world.write("completeTask", ACTIVITY, id=task["id"], outcome="Sold", expectedVersion=1)
    done = answer["activity"]
    assert answer["userErrors"] == []
    assert (done["done"], done["outcome"], done["version"]) == (True, "Sold", 2)
    assert done["doneAt"] is not None
    before = await world.everything()
    again = await world.write("completeTask", ACTIVITY, id=task["id"], outcome="Sold", expectedVersion=1)
    assert (again["userErrors"], again["activity"], again["revision"]) == ([], done, answer["revision"])
    assert await world.everything() == before

    answer = await world.write("reopenTask", ACTIVITY, id=task["id"], expectedVersion=2)
    assert answer["activity"] == {**done, "done": False, "doneAt": None, "version": 3}
    before = await world.everything()
    assert (await world.write("reopenTask", ACTIVITY, id=task["id"]))["activity"] == answer["activity"]
    assert await world.everything() == before
    answer = await world.write("completeTask", ACTIVITY, id=task["id"])
    assert (answer["activity"]["done"], answer["activity"]["outcome"]) == (True, "Sold")
    assert [each["action"] for each in await world.changes()] == ["CREATED", "COMPLETED", "UPDATED", "COMPLETED"]


@pytest.mark.parametrize("type_", ["EMAIL", "CALL", "MEETING", "NOTE"])
async def test_only_a_task_is_done_or_open(world: World, type_: str) -> None:
    activity = await log(world, type=type_)
    before = await world.everything()

    for mutation in ("completeTask", "reopenTask"):
        answer = await world.write(mutation, ACTIVITY, id=activity["id"])
        assert answer["userErrors"] == refusal(
            "INVALID", "id", f"Only a task can be done or open, not a {type_.lower()}."
        )
    assert await world.everything() == before


# Sight and rights


async def seen_by(world: World, person: Person, ids: dict[str, str]) -> set[str]:
    """The subjects of the activities that a user sees; all paths to them must agree. `ids` are by subject."""
    one_by_one = " ".join(f'one_{n}: activity(id: "{each}") {{ id }}' for n, each in enumerate(ids.values()))
    data = await world.data(
        f"""
        {{
          activities {{ totalCount nodes {{ subject }} }}
          backward: activities(last: 100, orderBy: [{{field: SUBJECT}}]) {{ nodes {{ subject }} }}
          filtered: activities(filter: {{subject: {{startsWith: "about"}}}}) {{ totalCount nodes {{ subject }} }}
          {one_by_one}
        }}
        """,
        by=person,
    )
    subjects = [each["subject"] for each in data["activities"]["nodes"]]
    assert data["activities"]["totalCount"] == len(subjects)
    assert [each["subject"] for each in data["backward"]["nodes"]] == sorted(subjects)
    assert data["filtered"]["totalCount"] == len([each for each in subjects if each.startswith("about")])
    assert {each for n, each in enumerate(ids) if data[f"one_{n}"] is not None} == set(subjects)
    return set(subjects)


@pytest.mark.parametrize("visibility", list(Visibility))
async def test_who_sees_and_who_changes_an_activity(world: World, visibility: Visibility) -> None:
    """Records of one user, and activities of another user about each of them, and about none."""
    home, writers = await world.team(name="Home"), await world.team(name="Writers")
    boss = await world.person()
    owner = await world.person(manager=boss, team_id=home)
    mate = await world.person(team_id=home)
    writers_boss = await world.person()
    writer = await world.person(manager=writers_boss, team_id=writers)
    writers_mate = await world.person(team_id=writers)
    guest = await world.person()
    stranger = await world.person()
    manager = await world.person(Role.MANAGER)
    reader = await world.person(Role.READ_ONLY)
    reading_guest = await world.person(Role.READ_ONLY)
    for entity in ("account", "lead", "opportunity", "case", "campaign"):
        await world.default(entity, visibility)
    records = await one_of_each(world, owner.id)
    activities = {}
    common: Input = {"ownerId": writer.id, "participants": [{"userId": guest.id}, {"userId": reading_guest.id}]}
    for field, record_id in records.items():
        subject = f"about {field}"
        activities[subject] = (await log(world, **common, subject=subject, **links(field, record_id)))["id"]
    activities["alone"] = (await log(world, **common, subject="alone"))["id"]

    every, none = {*activities}, set[str]()
    related = every - {"alone"}
    by_record = related
    to_others = none if visibility is Visibility.PRIVATE else related
    expected: list[tuple[Person, set[str], set[str]]] = [
        # who, what is seen, what of that is changed
        (world.admin, every, every),
        (writer, every, every),
        (writers_boss, to_others, to_others),
        (writers_mate, to_others, to_others),
        (guest, every, none),
        (reading_guest, every, none),
        (owner, by_record, none),
        (boss, by_record, none),
        (mate, by_record, none),
        (stranger, to_others, none),
        (manager, to_others, none),
        (reader, to_others, none),
    ]
    tried = ("about accountIds", "alone")
    before = await world.everything()
    for person, sees, changes in expected:
        assert await seen_by(world, person, activities) == sees
        for subject in tried:
            if subject not in changes:
                answer = await world.write("updateActivity", "", by=person, id=activities[subject], body="No")
                code = "FORBIDDEN" if subject in sees else "NOT_FOUND"
                assert [each["code"] for each in answer["userErrors"]] == [code]
    assert await world.everything() == before
    for person, _, changes in expected:
        for subject in tried:
            if subject in changes:
                answer = await world.write("updateActivity", "", by=person, id=activities[subject], body="Yes")
                assert answer["userErrors"] == []


async def test_one_visible_record_is_enough_and_the_others_stay_hidden(world: World) -> None:
    await world.default("account", Visibility.PRIVATE)
    stranger = await world.person()
    acme = await world.make("account", name="Acme")
    ann = await world.make("contact", lastName="Ann", accountId=acme)
    spring = await world.make("campaign", name="Spring")
    activity = await log(
        world, contactIds=[ann], campaignIds=[spring], participants=[{"contactId": ann}, {"email": "a@example.com"}]
    )

    selection = f"{ABOUT} accounts {{ totalCount }} {PARTICIPANTS}"
    data = await world.data(
        f"query ($id: ID!) {{ activity(id: $id) {{ {selection} }} }}", by=stranger, id=activity["id"]
    )

    assert about(data["activity"]) == {"campaigns": [spring]}
    assert data["activity"]["accounts"]["totalCount"] == 0
    assert attendees(data["activity"]) == [None, "a@example.com"]
    assert about(activity) == {"accounts": [acme], "contacts": [ann], "campaigns": [spring]}


async def test_an_activity_about_a_private_record_comes_and_goes_with_its_owner(world: World) -> None:
    await world.default("case", Visibility.PRIVATE)
    rep = await world.person()
    case = await world.make("case", subject="It hums")
    ours = {"Ours": (await log(world, subject="Ours", caseIds=[case]))["id"]}
    assert await seen_by(world, rep, ours) == set()

    await world.write("assignCase", "", id=case, ownerId=rep.id)
    assert await seen_by(world, rep, ours) == {"Ours"}
    await world.write("assignCase", "", id=case, ownerId=world.admin.id)
    assert await seen_by(world, rep, ours) == set()


async def test_another_workspaces_activity_is_as_good_as_not_there(world: World, other_world: World) -> None:
    task = await log(other_world, type="TASK")
    before = await other_world.everything()

    data = await world.data("query ($id: ID!) { activity(id: $id) { id } }", id=task["id"])
    assert data == {"activity": None}
    for mutation in ("updateActivity", "completeTask", "reopenTask", "deleteActivity", "restoreActivity"):
        for unknown in (task["id"], "act_unknown"):
            answer = await world.write(mutation, ACTIVITY, id=unknown)
            assert answer["userErrors"] == refusal("NOT_FOUND", "id", "There is no such activity.")
    assert await other_world.everything() == before


async def test_a_read_only_user_writes_no_activity(world: World) -> None:
    reader = await world.person(Role.READ_ONLY)
    task = await log(world, type="TASK", ownerId=reader.id)
    before = await world.everything()

    for mutation, values in (
        ("logActivity", {"type": "NOTE", "subject": "Mine"}),
        ("updateActivity", {"id": task["id"], "subject": "Mine"}),
        ("completeTask", {"id": task["id"]}),
        ("reopenTask", {"id": task["id"]}),
        ("deleteActivity", {"id": task["id"]}),
    ):
        answer = await world.write(mutation, ACTIVITY, by=reader, **values)
        assert answer["userErrors"] == refusal("FORBIDDEN", None, "Your role READ_ONLY does not allow this.")
    assert await world.everything() == before


async def test_a_deleted_activity_comes_back_with_what_it_is_about(world: World) -> None:
    rep = await world.person()
    acme = await world.make("account", name="Acme")
    activity = await log(world, ownerId=rep.id, accountIds=[acme], participants=[{"userId": rep.id}])
    count = "query ($id: ID!) { account(id: $id) { activities { totalCount } } }"

    answer = await world.write("deleteActivity", ACTIVITY, by=rep, id=activity["id"])
    assert answer["userErrors"] == refusal("FORBIDDEN", None, "Your role REP does not allow this.")
    answer = await world.write("deleteActivity", ACTIVITY, id=activity["id"])
    assert (answer["userErrors"], answer["activity"]) == ([], None)
    assert (await world.data(count, id=acme))["account"]["activities"] == {"totalCount": 0}
    answer = await world.write("restoreActivity", ACTIVITY, id=activity["id"])
    assert answer["activity"] == {**activity, "version": 3}
    assert (await world.data(count, id=acme))["account"]["activities"] == {"totalCount": 1}
    assert [each["action"] for each in await world.changes()][-2:] == ["DELETED", "RESTORED"]


# Statements


PAGE = f"""
    {{
      activities(first: 100) {{
        totalCount
        nodes {{
          subject
          owner {{ name }}
          participants {{ user {{ name }} contact {{ lastName }} lead {{ lastName }} email }}
          {" ".join(f"{kind}(first: 5) {{ totalCount nodes {{ id }} }}" for kind in KINDS)}
        }}
      }}
    }}
"""


async def fill(world: World, count: int) -> None:
    """So many activities, each about a record of each kind of its own, with four participants."""
    shared = {"workspace_id": world.workspace_id}
    pipeline, stage = {**shared, "id": Pipeline.new_id(), "name": "Sales"}, {**shared, "id": Stage.new_id()}
    deal = {"pipeline_id": pipeline["id"], "stage_id": stage["id"], "rank": "a"}
    kinds: dict[str, tuple[Any, dict[str, Any]]] = {
        "account_id": (Account, {"name": "Acme"}),
        "contact_id": (Contact, {"last_name": "Ann"}),
        "lead_id": (Lead, {"last_name": "Lea"}),
        "opportunity_id": (Opportunity, {"name": "Deal", **deal}),
        "case_id": (Case, {"subject": "It hums"}),
        "campaign_id": (Campaign, {"name": "Spring"}),
        "user_id": (User, {"name": "Una"}),
    }
    async with world.raw() as connection:
        await connection.execute(sa.insert(Pipeline), [pipeline])
        await connection.execute(
            sa.insert(Stage), [{**stage, "name": "Talk", "pipeline_id": pipeline["id"], "position": 1}]
        )
        made = {}
        for column, (model, values) in kinds.items():
            rows = [{**shared, "id": model.new_id(), **values} for _ in range(count)]
            if model is Case:
                rows = [{**row, "number": number} for number, row in enumerate(rows)]
            await connection.execute(sa.insert(model), rows)
            made[column] = [row["id"] for row in rows]
        activities = [
            {**shared, "id": Activity.new_id(), "type": "CALL", "subject": "Hello", "owner_id": world.admin.id}
            for _ in range(count)
        ]
        await connection.execute(sa.insert(Activity), activities)
        for n, activity in enumerate(activities):
            place = {**shared, "activity_id": activity["id"]}
            for column in ActivityLink.TARGETS:
                await connection.execute(sa.insert(ActivityLink), [{**place, column: made[column][n]}])
            for column in ("user_id", "contact_id", "lead_id"):
                await connection.execute(sa.insert(Participant), [{**place, column: made[column][n]}])
            await connection.execute(sa.insert(Participant), [{**place, "email": "a@example.com"}])


@pytest.mark.parametrize("count", [1, 50])
async def test_a_list_with_all_edges_takes_the_same_statements_at_any_size(world: World, count: int) -> None:
    await fill(world, count)
    await world.data("{ __typename }")

    with world.statements() as seen:
        data = await world.data(PAGE)

    # Sign-in, the list and its count, owners, participants, six kinds with their counts, and three kinds of people.
    assert len(seen) == (1 if world.compiled else 1 + 2 + 1 + 1 + 6 * 2 + 3)
    assert data["activities"]["totalCount"] == len(data["activities"]["nodes"]) == count
    for node in data["activities"]["nodes"]:
        assert node["owner"] == {"name": "Ada Admin"}
        assert [node[kind]["totalCount"] for kind in KINDS] == [1] * 6
        assert [len(node[kind]["nodes"]) for kind in KINDS] == [1] * 6
        assert len(node["participants"]) == 4
