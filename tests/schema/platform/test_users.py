"""Users, teams, who reports to whom, and the workspace, through GraphQL."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
import sqlalchemy as sa

from crm_graph.errors import Invalid
from crm_graph.models import Membership, ReportingLine, Role, Team, User, Visibility
from crm_graph.services.platform import users
from tests.support.world import Person, World


def errors(answer: dict[str, Any]) -> list[tuple[str, str | None]]:
    return [(each["code"], each["field"]) for each in answer["userErrors"]]


async def closure(world: World) -> set[tuple[str, str, int]]:
    return {(each["manager_id"], each["user_id"], each["depth"]) for each in await world.rows(ReportingLine)}


async def recomputed(world: World) -> set[tuple[str, str, int]]:
    """The closure as it has to be, from the users' managers."""
    managers = {each["id"]: each["manager_id"] for each in await world.rows(User)}
    lines = set()
    for user_id in managers:
        above, depth = user_id, 0
        while above is not None:
            lines.add((above, user_id, depth))
            above, depth = managers[above], depth + 1
    return lines


async def places(world: World) -> set[tuple[str, str]]:
    """The members of each team."""
    return {(each["team_id"], each["user_id"]) for each in await world.rows(Membership) if each["deleted_at"] is None}


# Users


async def test_a_new_user_is_read_back_as_written(world: World) -> None:
    manager, team = await world.person(Role.MANAGER), await world.team(name="North")

    answer = await world.write(
        "createUser",
        "user { name email phone title role active manager { id } team { name } teams { nodes { name } } version }",
        name="  Rita Rep ",
        email="Rita.Rep@ACME.example",
        phone="(415) 555-2671",
        title="Account executive",
        managerId=manager.id,
        teamId=team,
    )

    assert answer["userErrors"] == []
    assert answer["user"] == {
        "name": "Rita Rep",
        "email": "rita.rep@acme.example",
        "phone": "+14155552671",
        "title": "Account executive",
        "role": "REP",
        "active": True,
        "manager": {"id": manager.id},
        "team": {"name": "North"},
        "teams": {"nodes": [{"name": "North"}]},
        "version": 1,
    }
    logged = [(each["entity"], each["action"]) for each in await world.changes()]
    assert logged == [("User", "CREATED"), ("Membership", "CREATED")]
    assert await closure(world) == await recomputed(world)


async def test_changes_of_a_user_are_logged_with_old_and_new(world: World) -> None:
    rep = await world.person(name="Rita")

    answer = await world.write("updateUser", "user { name role version }", id=rep.id, name="Rita Rep", role="MANAGER")

    assert answer["user"] == {"name": "Rita Rep", "role": "MANAGER", "version": 2}
    [change] = await world.changes()
    assert change["fields"] == {"name": ["Rita", "Rita Rep"], "role": ["REP", "MANAGER"]}
    assert (change["before"]["role"], change["after"]["role"]) == ("REP", "MANAGER")


async def test_a_deleted_user_comes_back(world: World) -> None:
    manager = await world.person(Role.MANAGER)
    rep = await world.person(manager=manager)
    account = await world.make("account", by=rep, name="Acme")

    deleted = await world.write("deleteUser", "user { id }", id=manager.id, expectedVersion=1)

    assert (deleted["userErrors"], deleted["user"]) == ([], None)
    document = """
        query ($user: ID!, $account: ID!) {
          user(id: $user) { manager { id } }
          account(id: $account) { owner { id } }
        }
    """
    data = await world.data(document, user=rep.id, account=account)
    assert data == {"user": {"manager": None}, "account": {"owner": {"id": rep.id}}}
    assert await closure(world) == await recomputed(world)
    assert errors(await world.write("updateUser", "user { id }", id=manager.id, name="x")) == [("NOT_FOUND", "id")]

    restored = await world.write("restoreUser", "user { id deletedAt }", id=manager.id)

    assert restored["user"] == {"id": manager.id, "deletedAt": None}
    data = await world.data(document, user=rep.id, account=account)
    assert data["user"] == {"manager": {"id": manager.id}}


async def test_an_email_belongs_to_one_user_of_a_workspace(world: World, other_world: World) -> None:
    await other_world.make("user", name="Elsewhere", email="rita@acme.example")
    rita = await world.make("user", name="Rita", email="rita@acme.example")
    rolf = await world.make("user", name="Rolf", email="rolf@acme.example")
    await world.write("deleteUser", "user { id }", id=rita)
    before = await world.everything()

    taken = [("DUPLICATE", "email")]
    assert errors(await world.write("createUser", "user { id }", name="Ria", email="RITA@acme.example")) == taken
    assert errors(await world.write("updateUser", "user { id }", id=rolf, email="rita@Acme.example")) == taken
    assert await world.everything() == before
    assert errors(await world.write("updateUser", "user { id }", id=rolf, email="ROLF@acme.example")) == []


async def test_of_two_new_users_with_one_email_one_is_made(world: World) -> None:
    answers = await asyncio.gather(
        *(world.write("createUser", "user { id }", name=name, email="rita@acme.example") for name in ("A", "B"))
    )
    assert sorted(errors(answer) for answer in answers) == [[], [("DUPLICATE", "email")]]
    assert len(await world.rows(User)) == 2


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"name": " "}, ("REQUIRED", "name")),
        ({"name": None}, ("REQUIRED", "name")),
        ({"email": "nobody"}, ("INVALID", "email")),
        ({"phone": "12"}, ("INVALID", "phone")),
        ({"role": None}, ("REQUIRED", "role")),
        ({"managerId": "user_01h455vb4pex5vsknk084sn02q"}, ("NOT_FOUND", "managerId")),
        ({"teamId": "team_01h455vb4pex5vsknk084sn02q"}, ("NOT_FOUND", "teamId")),
        ({"expectedVersion": 7}, ("CONFLICT", "expectedVersion")),
    ],
)
async def test_what_a_user_cannot_be_is_refused(world: World, values: dict[str, Any], error: tuple[str, str]) -> None:
    rep = await world.person()
    before = await world.everything()
    assert errors(await world.write("updateUser", "user { id }", id=rep.id, **values)) == [error]
    assert await world.everything() == before


# Permissions


def writes(user: str, other: str, team: str) -> list[tuple[str, dict[str, Any]]]:
    """Every mutation of this domain, on users who are no admins."""
    return [
        ("createUser", {"name": "New"}),
        ("updateUser", {"id": user, "name": "Changed"}),
        ("addTeamMember", {"teamId": team, "userId": user}),
        ("removeTeamMember", {"teamId": team, "userId": other}),
        ("deleteUser", {"id": user}),
        ("restoreUser", {"id": user}),
        ("createTeam", {"name": "New"}),
        ("updateTeam", {"id": team, "name": "Changed"}),
        ("deleteTeam", {"id": team}),
        ("restoreTeam", {"id": team}),
    ]


@pytest.mark.parametrize("role", list(Role))
async def test_managers_and_admins_look_after_users_and_teams(world: World, role: Role) -> None:
    by, user, other = await world.person(role), await world.person(), await world.person()
    team = await world.team(other)
    allowed = role in {Role.ADMIN, Role.MANAGER}
    for mutation, values in writes(user.id, other.id, team):
        before = await world.everything()
        answer = await world.write(mutation, "revision", by=by, **values)
        assert errors(answer) == ([] if allowed else [("FORBIDDEN", None)]), mutation
        assert (await world.everything() == before) is not allowed, mutation


async def test_nobody_writes_without_a_token(world: World) -> None:
    before = await world.everything()
    nobody = Person("", "", Role.ADMIN)
    for mutation, values in [*writes("x", "y", "z"), ("updateWorkspace", {"name": "x"})]:
        kind = (
            "RecordInput" if mutation.startswith(("delete", "restore")) else f"{mutation[0].upper()}{mutation[1:]}Input"
        )
        answer = await world.ask(
            f"mutation ($input: {kind}!) {{ {mutation}(input: $input) {{ revision }} }}", by=nobody, input=values
        )
        assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED", mutation
    assert await world.everything() == before


async def test_the_ids_of_another_workspace_are_unknown_ones(world: World, other_world: World) -> None:
    their_rep, their_team = await other_world.person(), await other_world.team()
    rep, team = await world.person(), await world.team()
    before, theirs = await world.everything(), await other_world.everything()
    for mutation, values in [
        *writes(their_rep.id, their_rep.id, team),
        *writes(rep.id, rep.id, their_team),
        ("createUser", {"name": "x", "managerId": their_rep.id}),
        ("createUser", {"name": "x", "teamId": their_team}),
        ("updateUser", {"id": rep.id, "managerId": their_rep.id}),
        ("updateUser", {"id": rep.id, "teamId": their_team}),
    ]:
        if not {their_rep.id, their_team} & set(values.values()):
            continue
        unknown = {their_rep.id: User.new_id(), their_team: Team.new_id()}
        answer = await world.write(mutation, "revision", **values)
        assert answer == await world.write(
            mutation, "revision", **{name: unknown.get(value, value) for name, value in values.items()}
        )
        assert [each[0] for each in errors(answer)] == ["NOT_FOUND"], mutation
    assert (await world.everything(), await other_world.everything()) == (before, theirs)


# Admins


async def test_only_an_admin_makes_changes_and_unmakes_an_admin(world: World) -> None:
    manager, rep = await world.person(Role.MANAGER), await world.person()
    gone = await world.person(Role.ADMIN)
    await world.write("deleteUser", "user { id }", id=gone.id)
    before = await world.everything()
    for mutation, values in [
        ("createUser", {"name": "New", "role": "ADMIN"}),
        ("updateUser", {"id": rep.id, "role": "ADMIN"}),
        ("updateUser", {"id": manager.id, "role": "ADMIN"}),
        ("updateUser", {"id": world.admin.id, "role": "REP"}),
        ("updateUser", {"id": world.admin.id, "name": "Changed"}),
        ("deleteUser", {"id": world.admin.id}),
        ("restoreUser", {"id": gone.id}),
    ]:
        assert errors(await world.write(mutation, "user { id }", by=manager, **values)) == [("FORBIDDEN", None)]
    assert await world.everything() == before

    assert errors(await world.write("updateUser", "user { id }", id=rep.id, role="ADMIN")) == []
    assert errors(await world.write("createUser", "user { id }", name="New", role="ADMIN")) == []
    assert errors(await world.write("deleteUser", "user { id }", id=rep.id)) == []


async def test_the_last_active_admin_stays(world: World) -> None:
    await world.write("createUser", "user { id }", name="Asleep", role="ADMIN", active=False)
    deleted = await world.make("user", name="Gone", role="ADMIN")
    await world.write("deleteUser", "user { id }", id=deleted)
    admin = world.admin.id
    before = await world.everything()
    tries: list[tuple[str, dict[str, Any], str]] = [
        ("updateUser", {"id": admin, "role": "MANAGER"}, "role"),
        ("updateUser", {"id": admin, "active": False}, "active"),
        ("deleteUser", {"id": admin}, "id"),
    ]
    for mutation, values, field in tries:
        assert errors(await world.write(mutation, "user { id }", **values)) == [("FORBIDDEN", field)]
    assert await world.everything() == before

    await world.make("user", name="Another", role="ADMIN")
    assert errors(await world.write("updateUser", "user { role }", id=admin, role="REP")) == []


async def test_two_admins_who_unmake_each_other_at_once_leave_one(world: World) -> None:
    other = await world.person(Role.ADMIN)
    pairs = [(world.admin, other), (other, world.admin)]

    await asyncio.gather(
        *(world.write("updateUser", "user { id }", by=by, id=whom.id, role="REP") for by, whom in pairs)
    )

    assert sorted(each["role"] for each in await world.rows(User)) == [Role.ADMIN, Role.REP]


# Reporting lines


async def test_a_manager_must_not_close_a_circle(world: World) -> None:
    top = await world.person(Role.MANAGER)
    middle = await world.person(Role.MANAGER, manager=top)
    low = await world.person(Role.MANAGER, manager=middle)
    before = await world.everything()
    for manager in (top, middle, low):
        answer = await world.write("updateUser", "user { id }", id=top.id, managerId=manager.id)
        assert errors(answer) == [("INVALID", "managerId")]
    assert await world.everything() == before


async def test_two_managers_who_move_under_each_other_at_once_make_no_circle(world: World) -> None:
    one, two = await world.person(), await world.person()

    answers = await asyncio.gather(
        *(world.write("updateUser", "user { id }", id=a.id, managerId=b.id) for a, b in ((one, two), (two, one)))
    )

    assert sorted(errors(answer) for answer in answers) == [[], [("INVALID", "managerId")]]
    assert await closure(world) == await recomputed(world)


@pytest.mark.parametrize("seed", range(3))
async def test_the_closure_follows_every_change_of_managers(world: World, seed: int) -> None:
    chance = random.Random(seed)
    people = [world.admin.id]
    for number in range(8):
        people.append(await world.make("user", name=f"User {number}", managerId=chance.choice([*people, None])))
    assert await closure(world) == await recomputed(world)
    moved = 0
    for _ in range(20):
        answer = await world.write(
            "updateUser", "user { id }", id=chance.choice(people), managerId=chance.choice([*people, None])
        )
        assert errors(answer) in ([], [("INVALID", "managerId")])
        moved += not errors(answer)
        assert await closure(world) == await recomputed(world)
    assert moved > 5


async def test_moves_at_once_leave_the_closure_right(world: World) -> None:
    people = [await world.person() for _ in range(6)]
    moves = [(people[n], people[(n + 1) % 6]) for n in range(6)]  # five of which go together

    answers = await asyncio.gather(
        *(world.write("updateUser", "user { id }", id=user.id, managerId=manager.id) for user, manager in moves)
    )

    assert sorted(errors(answer) for answer in answers) == [*([[]] * 5), [("INVALID", "managerId")]]
    assert await closure(world) == await recomputed(world)
    assert max(depth for _, _, depth in await closure(world)) == 5


async def test_a_new_manager_sees_what_is_private_and_the_old_one_no_more(world: World) -> None:
    await world.default("account", Visibility.PRIVATE)
    old, new = await world.person(Role.MANAGER), await world.person(Role.MANAGER)
    middle = await world.person(manager=old)
    rep = await world.person(manager=middle)
    account = await world.make("account", by=rep, name="Acme")
    document = "query ($id: ID!) { account(id: $id) { name } }"
    assert (await world.data(document, by=old, id=account))["account"] == {"name": "Acme"}

    await world.write("updateUser", "user { id }", id=middle.id, managerId=new.id)

    assert (await world.data(document, by=new, id=account))["account"] == {"name": "Acme"}
    assert (await world.data(document, by=old, id=account))["account"] is None


async def test_rebuilding_makes_the_closure_anew(world: World, other_world: World) -> None:
    manager = await world.person()
    low = await world.person(manager=await world.person(manager=manager))
    right, theirs = await closure(world), await closure(other_world)
    async with world.raw() as connection:
        await connection.execute(sa.delete(ReportingLine).where(ReportingLine.user_id == low.id))
        wrong = {"workspace_id": world.workspace_id, "manager_id": low.id, "user_id": manager.id, "depth": 4}
        await connection.execute(sa.insert(ReportingLine), [wrong])
    viewer = await world.viewer()

    async with world.changelog.transaction(viewer, "test") as session:
        await users.rebuild_reporting_lines(session, viewer)

    assert await closure(world) == right == await recomputed(world)
    assert await closure(other_world) == theirs
    assert await world.changes() == []


async def test_rebuilding_refuses_a_circle(world: World) -> None:
    top = await world.person()
    low = await world.person(manager=top)
    await world.person(manager=low)
    async with world.raw() as connection:
        await connection.execute(sa.update(User).where(User.id == top.id).values(manager_id=low.id))
    viewer, before = await world.viewer(), await world.everything()

    with pytest.raises(Invalid) as refused:
        async with world.changelog.transaction(viewer, "test") as session:
            await users.rebuild_reporting_lines(session, viewer)

    assert refused.value.field == "manager_id"
    assert await world.everything() == before


# Teams


async def test_a_home_team_is_one_of_the_users_teams(world: World) -> None:
    north, south = await world.team(name="North"), await world.team(name="South")
    user = await world.make("user", name="Rita", teamId=north)
    assert await places(world) == {(north, user)}

    await world.write("updateUser", "user { id }", id=user, teamId=south)
    assert await places(world) == {(south, user)}

    await world.write("updateUser", "user { id }", id=user, teamId=north)
    assert await places(world) == {(north, user)}
    assert len(await world.rows(Membership)) == 2


async def test_members_come_and_go(world: World) -> None:
    rep, team = await world.person(), await world.team(name="North")
    place: dict[str, Any] = {"teamId": team, "userId": rep.id}

    added = await world.write(
        "addTeamMember", "team { members { nodes { id } } } user { teams { nodes { id } } }", **place
    )

    assert added["userErrors"] == []
    assert added["team"]["members"]["nodes"] == [{"id": rep.id}]
    assert added["user"]["teams"]["nodes"] == [{"id": team}]
    before = await world.everything()
    assert errors(await world.write("addTeamMember", "revision", **place)) == [("DUPLICATE", "userId")]
    assert await world.everything() == before

    removed = await world.write("removeTeamMember", "team { members { totalCount } } user { id }", **place)

    assert removed["team"]["members"]["totalCount"] == 0
    before = await world.everything()
    assert errors(await world.write("removeTeamMember", "revision", **place)) == [("NOT_FOUND", "userId")]
    assert await world.everything() == before
    await world.write("addTeamMember", "revision", **place)
    assert [(each["entity"], each["action"], each["after"]["team_id"]) for each in await world.changes()] == [
        ("Membership", "CREATED", team),
        ("Membership", "DELETED", team),
        ("Membership", "RESTORED", team),
    ]


async def test_nobody_leaves_his_home_team(world: World) -> None:
    team = await world.team()
    rep = await world.person(team_id=team)
    before = await world.everything()
    answer = await world.write("removeTeamMember", "revision", teamId=team, userId=rep.id)
    assert errors(answer) == [("INVALID", "userId")]
    assert errors(await world.write("deleteTeam", "team { id }", id=team)) == [("INVALID", "id")]
    assert await world.everything() == before


async def test_a_deleted_team_comes_back_with_its_members(world: World) -> None:
    await world.default("account", Visibility.PRIVATE)
    stays, left = await world.person(), await world.person()
    team = await world.team(stays, left)
    account = await world.make("account", name="Acme", teamId=team)
    await world.write("removeTeamMember", "revision", teamId=team, userId=left.id)
    document = "query ($id: ID!) { account(id: $id) { name } }"
    assert (await world.data(document, by=stays, id=account))["account"] == {"name": "Acme"}

    await world.write("deleteTeam", "team { id }", id=team)
    assert await places(world) == set()
    assert (await world.data(document, by=stays, id=account))["account"] is None

    restored = await world.write("restoreTeam", "team { id members { nodes { id } } }", id=team)
    assert restored["team"] == {"id": team, "members": {"nodes": [{"id": stays.id}]}}
    assert (await world.data(document, by=left, id=account))["account"] is None


# The workspace

WORKSPACE = """{
  workspace {
    id name currency accountVisibility leadVisibility opportunityVisibility caseVisibility campaignVisibility revision
  }
  revision
}"""


async def test_everybody_reads_the_workspace(world: World) -> None:
    reader = await world.person(Role.READ_ONLY)
    [workspace] = (await world.everything())["workspaces"]
    made = await world.write("createTeam", "revision", name="North")

    data = await world.data(WORKSPACE, by=reader)

    assert data["workspace"] == {
        "id": world.workspace_id,
        "name": "Test",
        "currency": "USD",
        "accountVisibility": "PUBLIC",
        "leadVisibility": "PUBLIC",
        "opportunityVisibility": "PUBLIC",
        "caseVisibility": "PUBLIC",
        "campaignVisibility": "PUBLIC",
        "revision": f"{workspace['epoch']}.1",
    }
    assert data["revision"] == made["revision"] == f"{workspace['epoch']}.1"


async def test_an_admin_changes_the_workspace_and_the_log_has_it(world: World) -> None:
    answer = await world.write(
        "updateWorkspace",
        "workspace { name currency caseVisibility leadVisibility revision }",
        name=" Acme ",
        currency="eur",
        caseVisibility="PRIVATE",
        leadVisibility="PUBLIC",
    )

    assert answer["userErrors"] == []
    assert answer["workspace"] == {
        "name": "Acme",
        "currency": "EUR",
        "caseVisibility": "PRIVATE",
        "leadVisibility": "PUBLIC",
        "revision": answer["revision"],
    }
    [change] = await world.changes()
    assert (change["entity"], change["record_id"], change["action"]) == ("Workspace", world.workspace_id, "UPDATED")
    assert change["fields"] == {
        "name": ["Test", "Acme"],
        "currency": ["USD", "EUR"],
        "case_visibility": ["PUBLIC", "PRIVATE"],
    }
    before = await world.everything()
    await world.write("updateWorkspace", "revision", name="Acme")
    assert await world.everything() == before


@pytest.mark.parametrize("role", [Role.MANAGER, Role.REP, Role.READ_ONLY])
async def test_nobody_else_changes_the_workspace(world: World, role: Role) -> None:
    person = await world.person(role)
    before = await world.everything()
    answer = await world.write("updateWorkspace", "workspace { id }", by=person, name="Mine")
    assert (errors(answer), answer["workspace"]) == ([("FORBIDDEN", None)], None)
    assert await world.everything() == before


@pytest.mark.parametrize("values", [{"name": None}, {"name": ""}, {"currency": None}, {"caseVisibility": None}])
async def test_what_a_workspace_cannot_be_is_refused(world: World, values: dict[str, Any]) -> None:
    before = await world.everything()
    answer = await world.write("updateWorkspace", "workspace { id }", **values)
    assert errors(answer) == [("REQUIRED", next(iter(values)))]
    assert await world.everything() == before
