"""Cases through GraphQL: numbers, queues, status, assignment, escalation."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from crm_graph.models import Role, Visibility
from tests.support.world import World

CASE = """
    case {
      id number subject status priority version firstResponseAt resolvedAt closedAt escalationLevel escalationReason
      owner { id } team { id } account { id } contact { id }
    }
"""


async def new_case(world: World, **values: Any) -> dict[str, Any]:
    answer = await world.write("createCase", CASE, **{"subject": "It hums", **values})
    assert answer["userErrors"] == []
    case: dict[str, Any] = answer["case"]
    return case


def refusal(code: str, field: str | None, message: str) -> list[dict[str, Any]]:
    return [{"code": code, "field": field, "message": message}]


# Creating


async def test_a_new_case_has_the_next_number_and_belongs_to_the_viewer(world: World) -> None:
    first = await new_case(world)
    second = await new_case(world, subject="It hums again")

    assert first == {
        "id": first["id"],
        "number": 1,
        "subject": "It hums",
        "status": "NEW",
        "priority": "MEDIUM",
        "version": 1,
        "firstResponseAt": None,
        "resolvedAt": None,
        "closedAt": None,
        "escalationLevel": 0,
        "escalationReason": None,
        "owner": {"id": world.admin.id},
        "team": None,
        "account": None,
        "contact": None,
    }
    assert second["number"] == 2
    assert [(each["entity"], each["action"]) for each in await world.changes()] == [("Case", "CREATED")] * 2


async def test_cases_created_at_once_get_different_numbers(world: World) -> None:
    made = await asyncio.gather(*(new_case(world, subject=f"Case {n}") for n in range(12)))

    assert sorted(each["number"] for each in made) == list(range(1, 13))


async def test_a_refused_case_takes_no_number(world: World) -> None:
    await new_case(world)
    before = await world.everything()

    answer = await world.write("createCase", CASE, subject="It hums", accountId="acc_unknown")

    assert answer["userErrors"] == refusal("NOT_FOUND", "accountId", "There is no such account.")
    assert await world.everything() == before
    assert (await new_case(world))["number"] == 2


async def test_another_workspace_counts_for_itself(world: World, other_world: World) -> None:
    await new_case(world)

    assert (await new_case(other_world))["number"] == 1


async def test_a_case_with_a_team_and_no_owner_waits_in_its_queue(world: World) -> None:
    team_id = await world.team(name="Support")

    for values in ({"teamId": team_id}, {"teamId": team_id, "ownerId": None}):
        case = await new_case(world, **values)
        assert (case["owner"], case["team"]) == (None, {"id": team_id})

    data = await world.data("query ($id: ID!) { team(id: $id) { cases { nodes { number } } } }", id=team_id)
    assert data["team"]["cases"]["nodes"] == [{"number": 1}, {"number": 2}]


async def test_a_case_without_team_or_owner_is_the_viewers(world: World) -> None:
    team_id = await world.team()
    rep = await world.person(team_id=team_id)

    answer = await world.write("createCase", CASE, by=rep, subject="It hums", ownerId=None, teamId=None)

    assert (answer["case"]["owner"], answer["case"]["team"]) == ({"id": rep.id}, {"id": team_id})


async def test_a_contacts_case_is_the_case_of_the_contacts_account(world: World) -> None:
    acme = await world.make("account", name="Acme")
    bolt = await world.make("account", name="Bolt")
    ann = await world.make("contact", lastName="Ann", accountId=acme)
    free = await world.make("contact", lastName="Free")

    assert (await new_case(world, contactId=ann))["account"] == {"id": acme}
    assert (await new_case(world, contactId=ann, accountId=None))["account"] == {"id": acme}
    assert (await new_case(world, contactId=free, accountId=bolt))["account"] == {"id": bolt}
    before = await world.everything()
    answer = await world.write("createCase", CASE, subject="It hums", contactId=ann, accountId=bolt)
    assert answer["userErrors"] == refusal("INVALID", "contactId", "The contact works at another account.")
    assert await world.everything() == before


# Changing


async def test_a_case_is_changed_but_not_in_status_owner_or_number(world: World) -> None:
    case = await new_case(world)

    answer = await world.write("updateCase", CASE, id=case["id"], subject="It roars", priority="URGENT")
    assert answer["userErrors"] == []
    assert answer["case"] == {**case, "subject": "It roars", "priority": "URGENT", "version": 2}

    for field, value in (("status", "CLOSED"), ("ownerId", world.admin.id), ("teamId", None), ("number", 7)):
        refused = await world.ask(
            "mutation ($input: UpdateCaseInput!) { updateCase(input: $input) { revision } }",
            input={"id": case["id"], field: value},
        )
        assert refused["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_contact_and_account_go_on_agreeing(world: World) -> None:
    acme = await world.make("account", name="Acme")
    bolt = await world.make("account", name="Bolt")
    ann = await world.make("contact", lastName="Ann", accountId=acme)
    bob = await world.make("contact", lastName="Bob", accountId=bolt)
    case = await new_case(world, contactId=ann)
    before = await world.everything()

    changes: list[dict[str, Any]] = [{"contactId": bob}, {"accountId": bolt}]
    for change in changes:
        answer = await world.write("updateCase", CASE, id=case["id"], **change)
        assert answer["userErrors"] == refusal("INVALID", "contactId", "The contact works at another account.")
    assert await world.everything() == before

    answer = await world.write("updateCase", CASE, id=case["id"], contactId=bob, accountId=bolt)
    assert (answer["case"]["contact"], answer["case"]["account"]) == ({"id": bob}, {"id": bolt})
    answer = await world.write("updateCase", CASE, id=case["id"], contactId=ann, accountId=None)
    assert (answer["case"]["contact"], answer["case"]["account"]) == ({"id": ann}, {"id": acme})


async def test_a_stale_version_is_refused_with_the_case_as_it_is(world: World) -> None:
    case = await new_case(world)
    await world.write("updateCase", CASE, id=case["id"], subject="It roars")
    before = await world.everything()

    writes: list[tuple[str, dict[str, Any]]] = [
        ("updateCase", {"subject": "It sings"}),
        ("changeCaseStatus", {"status": "CLOSED"}),
        ("assignCase", {"ownerId": world.admin.id}),
        ("escalateCase", {"reason": "Loud"}),
        ("deleteCase", {}),
    ]
    for mutation, values in writes:
        answer = await world.write(mutation, CASE, id=case["id"], expectedVersion=1, **values)
        assert answer["userErrors"] == refusal(
            "CONFLICT", "expectedVersion", "The case was changed meanwhile: it is at version 2, not 1."
        )
        assert answer["case"] == {**case, "subject": "It roars", "version": 2}
    assert await world.everything() == before


# Status


async def test_the_times_of_the_end_follow_the_status(world: World) -> None:
    case = await new_case(world)

    async def change(status: str) -> dict[str, Any]:
        answer = await world.write(
            "changeCaseStatus", CASE, id=case["id"], status=status, expectedVersion=case["version"]
        )
        assert answer["userErrors"] == []
        case.update(answer["case"])
        return case

    await change("WAITING_ON_CUSTOMER")
    assert (case["status"], case["resolvedAt"], case["closedAt"]) == ("WAITING_ON_CUSTOMER", None, None)
    resolved_at = (await change("RESOLVED"))["resolvedAt"]
    assert resolved_at is not None
    assert case["closedAt"] is None
    await change("CLOSED")
    assert case["resolvedAt"] == resolved_at
    assert case["closedAt"] > resolved_at
    await change("IN_PROGRESS")
    assert (case["status"], case["resolvedAt"], case["closedAt"]) == ("IN_PROGRESS", None, None)
    await change("CLOSED")
    assert case["resolvedAt"] == case["closedAt"] > resolved_at
    assert case["version"] == 6

    history = [each["fields"]["status"] for each in await world.changes() if each["action"] == "STATUS_CHANGED"]
    assert history == [
        ["NEW", "WAITING_ON_CUSTOMER"],
        ["WAITING_ON_CUSTOMER", "RESOLVED"],
        ["RESOLVED", "CLOSED"],
        ["CLOSED", "IN_PROGRESS"],
        ["IN_PROGRESS", "CLOSED"],
    ]


@pytest.mark.parametrize("former", ["NEW", "IN_PROGRESS", "WAITING_ON_CUSTOMER", "RESOLVED"])
async def test_an_open_case_may_enter_any_status(world: World, former: str) -> None:
    for status in ("NEW", "IN_PROGRESS", "WAITING_ON_CUSTOMER", "RESOLVED", "CLOSED"):
        case = await new_case(world)
        await world.write("changeCaseStatus", CASE, id=case["id"], status=former, expectedVersion=1)
        version = 1 if former == "NEW" else 2
        answer = await world.write("changeCaseStatus", CASE, id=case["id"], status=status, expectedVersion=version)
        assert answer["userErrors"] == []
        assert answer["case"]["status"] == status
        assert answer["case"]["version"] == (version if former == status else version + 1)


async def test_a_closed_case_can_only_be_reopened(world: World) -> None:
    case = await new_case(world)
    await world.write("changeCaseStatus", CASE, id=case["id"], status="CLOSED", expectedVersion=1)
    before = await world.everything()

    for status in ("NEW", "WAITING_ON_CUSTOMER", "RESOLVED"):
        answer = await world.write("changeCaseStatus", CASE, id=case["id"], status=status, expectedVersion=2)
        assert answer["userErrors"] == refusal(
            "INVALID", "status", "A closed case can only be reopened, as IN_PROGRESS."
        )
    assert await world.everything() == before


async def test_of_two_changes_of_status_at_once_one_wins(world: World) -> None:
    case = await new_case(world)

    answers = await asyncio.gather(
        *(
            world.write("changeCaseStatus", CASE, id=case["id"], status=status, expectedVersion=1)
            for status in ("RESOLVED", "IN_PROGRESS")
        )
    )

    assert sorted(len(each["userErrors"]) for each in answers) == [0, 1]
    [error] = [error for each in answers for error in each["userErrors"]]
    assert (error["code"], error["field"]) == ("CONFLICT", "expectedVersion")
    assert len([each for each in await world.changes() if each["action"] == "STATUS_CHANGED"]) == 1


# Assigning


async def test_an_assigned_case_goes_to_the_persons_home_team(world: World) -> None:
    queue, home = await world.team(name="Queue"), await world.team(name="Home")
    rep = await world.person(team_id=home)
    case = await new_case(world, teamId=queue)

    answer = await world.write("assignCase", CASE, id=case["id"], ownerId=rep.id, expectedVersion=1)
    assert (answer["case"]["owner"], answer["case"]["team"]) == ({"id": rep.id}, {"id": home})
    change = (await world.changes())[-1]
    assert (change["action"], change["fields"]) == (
        "ASSIGNED",
        {"owner_id": [None, rep.id], "team_id": [queue, home]},
    )

    answer = await world.write("assignCase", CASE, id=case["id"], teamId=queue)
    assert (answer["case"]["owner"], answer["case"]["team"]) == (None, {"id": queue})
    change = (await world.changes())[-1]
    assert (change["action"], change["fields"]) == (
        "ASSIGNED",
        {"owner_id": [rep.id, None], "team_id": [home, queue]},
    )


async def test_a_case_is_brought_home_even_if_the_owner_stays(world: World) -> None:
    queue, home = await world.team(name="Queue"), await world.team(name="Home")
    rep = await world.person(team_id=home)
    case = await new_case(world, ownerId=rep.id, teamId=queue)
    assert (case["owner"], case["team"]) == ({"id": rep.id}, {"id": queue})

    answer = await world.write("assignCase", CASE, id=case["id"], ownerId=rep.id)

    assert (answer["case"]["owner"], answer["case"]["team"]) == ({"id": rep.id}, {"id": home})


async def test_a_case_is_assigned_to_somebody_there_is(world: World, other_world: World) -> None:
    team_id = await world.team()
    case = await new_case(world)
    before = await world.everything()

    refused: list[tuple[dict[str, Any], list[dict[str, Any]]]] = [
        ({}, refusal("REQUIRED", "ownerId", "Name an owner, or a team for its queue.")),
        (
            {"ownerId": world.admin.id, "teamId": team_id},
            refusal("INVALID", "teamId", "Name an owner or a team for its queue, not both."),
        ),
        ({"ownerId": "user_unknown"}, refusal("NOT_FOUND", "ownerId", "There is no such user.")),
        ({"ownerId": other_world.admin.id}, refusal("NOT_FOUND", "ownerId", "There is no such user.")),
        ({"ownerId": team_id}, refusal("NOT_FOUND", "ownerId", "There is no such user.")),
        ({"teamId": "team_unknown"}, refusal("NOT_FOUND", "teamId", "There is no such team.")),
        ({"ownerId": "\0"}, refusal("INVALID", "ownerId", "Control characters are not allowed.")),
    ]
    for values, expected in refused:
        assert (await world.write("assignCase", CASE, id=case["id"], **values))["userErrors"] == expected
    assert await world.everything() == before


async def test_who_assigns_a_private_case_away_sees_it_no_more(world: World) -> None:
    await world.default("case", Visibility.PRIVATE)
    rep, other = await world.person(), await world.person()
    case = (await world.write("createCase", CASE, by=rep, subject="It hums"))["case"]

    answer = await world.write("assignCase", CASE, by=rep, id=case["id"], ownerId=other.id)

    assert (answer["userErrors"], answer["case"]) == ([], None)
    assert answer["revision"].endswith(".2")
    taken = await world.data("query ($id: ID!) { case(id: $id) { owner { id } } }", by=other, id=case["id"])
    assert taken["case"] == {"owner": {"id": other.id}}


async def test_a_teammate_takes_a_private_case_from_the_queue(world: World) -> None:
    await world.default("case", Visibility.PRIVATE)
    rep, stranger = await world.person(), await world.person()
    queue = await world.team(rep)
    case = await new_case(world, teamId=queue)
    before = await world.everything()

    answer = await world.write("assignCase", CASE, by=stranger, id=case["id"], ownerId=stranger.id)
    assert answer["userErrors"] == refusal("NOT_FOUND", "id", "There is no such case.")
    assert await world.everything() == before
    answer = await world.write("assignCase", CASE, by=rep, id=case["id"], ownerId=rep.id)
    assert (answer["userErrors"], answer["case"]["owner"]) == ([], {"id": rep.id})


# Escalating


async def test_an_escalated_case_is_a_level_higher_and_at_least_high(world: World) -> None:
    home = await world.team(name="Home")
    senior = await world.person(team_id=home)
    case = await new_case(world, priority="LOW")

    answer = await world.write("escalateCase", CASE, id=case["id"], reason="It smokes", expectedVersion=1)
    assert answer["userErrors"] == []
    assert answer["case"] == {
        **case,
        "priority": "HIGH",
        "escalationLevel": 1,
        "escalationReason": "It smokes",
        "version": 2,
    }
    answer = await world.write("escalateCase", CASE, id=case["id"], reason="It burns", toOwnerId=senior.id)
    assert answer["case"] == {
        **case,
        "priority": "HIGH",
        "escalationLevel": 2,
        "escalationReason": "It burns",
        "owner": {"id": senior.id},
        "team": {"id": home},
        "version": 3,
    }
    answer = await world.write("escalateCase", CASE, id=case["id"], reason="It burns", toTeamId=home)
    assert (answer["case"]["escalationLevel"], answer["case"]["owner"]) == (3, None)
    assert [each["action"] for each in await world.changes()] == ["CREATED", "ESCALATED", "ESCALATED", "ESCALATED"]


async def test_an_urgent_case_stays_urgent(world: World) -> None:
    case = await new_case(world, priority="URGENT")

    answer = await world.write("escalateCase", CASE, id=case["id"], reason="It smokes")

    assert (answer["case"]["priority"], answer["case"]["escalationLevel"]) == ("URGENT", 1)


async def test_there_is_no_level_above_nine(world: World) -> None:
    case = await new_case(world)
    for level in range(1, 10):
        answer = await world.write("escalateCase", CASE, id=case["id"], reason=f"Reason {level}")
        assert answer["case"]["escalationLevel"] == level
    before = await world.everything()

    answer = await world.write("escalateCase", CASE, id=case["id"], reason="More")

    assert answer["userErrors"] == refusal("INVALID", "id", "The case is already at the highest level, 9.")
    assert await world.everything() == before


async def test_an_escalation_that_cannot_be_changes_nothing(world: World) -> None:
    team_id = await world.team()
    case = await new_case(world)
    before = await world.everything()

    refused: list[tuple[dict[str, Any], str, str]] = [
        ({"reason": "  "}, "REQUIRED", "reason"),
        ({"reason": "x" * 2001}, "INVALID", "reason"),
        ({"reason": "a\0b"}, "INVALID", "reason"),
        ({"reason": "It smokes", "toOwnerId": "user_unknown"}, "NOT_FOUND", "toOwnerId"),
        ({"reason": "It smokes", "toTeamId": "team_unknown"}, "NOT_FOUND", "toTeamId"),
        ({"reason": "It smokes", "toOwnerId": world.admin.id, "toTeamId": team_id}, "INVALID", "toTeamId"),
    ]
    for values, code, field in refused:
        [error] = (await world.write("escalateCase", CASE, id=case["id"], **values))["userErrors"]
        assert (error["code"], error["field"]) == (code, field)
    assert await world.everything() == before


# Sight and rights


WRITES: list[tuple[str, dict[str, Any]]] = [
    ("updateCase", {"subject": "It roars"}),
    ("changeCaseStatus", {"status": "RESOLVED", "expectedVersion": 1}),
    ("assignCase", {"ownerId": "$stranger"}),
    ("escalateCase", {"reason": "Loud"}),
]


@pytest.mark.parametrize(
    ("visibility", "code", "message"),
    [
        (
            Visibility.PUBLIC_READ,
            "FORBIDDEN",
            "Only its owner, the owner's managers and team, and an admin may change this record.",
        ),
        (Visibility.PRIVATE, "NOT_FOUND", "There is no such case."),
    ],
)
async def test_a_stranger_changes_nothing_of_a_case_that_is_not_public(
    world: World, visibility: Visibility, code: str, message: str
) -> None:
    await world.default("case", visibility)
    stranger = await world.person()
    case = await new_case(world)
    before = await world.everything()

    for mutation, values in WRITES:
        values = {name: stranger.id if value == "$stranger" else value for name, value in values.items()}
        answer = await world.write(mutation, CASE, by=stranger, id=case["id"], **values)
        assert answer["userErrors"] == refusal(code, None if code == "FORBIDDEN" else "id", message)
        assert answer["case"] is None
    assert await world.everything() == before


async def test_a_read_only_user_changes_no_case(world: World) -> None:
    reader = await world.person(Role.READ_ONLY)
    case = await new_case(world)
    before = await world.everything()

    for mutation, values in [("createCase", {"subject": "Mine"}), *WRITES, ("deleteCase", {})]:
        values = {name: reader.id if value == "$stranger" else value for name, value in values.items()}
        known = {} if mutation == "createCase" else {"id": case["id"]}
        answer = await world.write(mutation, CASE, by=reader, **known, **values)
        assert answer["userErrors"] == refusal("FORBIDDEN", None, "Your role READ_ONLY does not allow this.")
    assert await world.everything() == before


async def test_cases_are_deleted_and_restored_by_managers(world: World) -> None:
    rep, manager = await world.person(), await world.person(Role.MANAGER)
    case = (await world.write("createCase", CASE, by=rep, subject="It hums"))["case"]
    before = await world.everything()

    answer = await world.write("deleteCase", CASE, by=rep, id=case["id"])
    assert answer["userErrors"] == refusal("FORBIDDEN", None, "Your role REP does not allow this.")
    assert await world.everything() == before

    answer = await world.write("deleteCase", CASE, by=manager, id=case["id"])
    assert (answer["userErrors"], answer["case"]) == ([], None)
    assert (await world.data("{ cases { totalCount } }"))["cases"] == {"totalCount": 0}
    answer = await world.write("restoreCase", CASE, by=manager, id=case["id"])
    assert answer["case"] == {**case, "version": 3}
    assert [each["action"] for each in await world.changes()] == ["CREATED", "DELETED", "RESTORED"]
