"""The policies of all entities: each path to a record shows it to exactly the users whom its policy allows.

Expected results come from the declared policies, interpreted here in Python over the rows. The entities, and the paths
to their records, come from the models and the GraphQL schema, so a new entity is tested without changes here.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sa
from graphql import GraphQLField, GraphQLObjectType, get_named_type, is_non_null_type
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.applications import Starlette

from crm_graph.access import Viewer, editable, visible
from crm_graph.access.policies import linked_by, target_of
from crm_graph.models import ENTITIES, TABLES, Membership, ReportingLine, Role, Visibility, Workspace, WorkspaceRow
from crm_graph.models.policies import (
    AllOf,
    AnyOf,
    Everyone,
    Holder,
    InheritsFrom,
    LinkedRecords,
    OwnerAndTeam,
    Policy,
    RelatedHolder,
    Unowned,
    WorkspaceDefault,
)
from tests.access.test_access import Cast, cast
from tests.support.records import change_of, field_name, make_all, public_schema
from tests.support.subscribers import following
from tests.support.world import Person, World, build_world

Row = Mapping[str, Any]
DECLARED = {
    (name, each): getattr(kind, f"{each}_policy") for name, kind in ENTITIES.items() for each in ("read", "edit")
}
"""The policies before any test changes them."""
NODES = sorted(name for name in ENTITIES if isinstance(public_schema().get_type(name), GraphQLObjectType))
RESTRICTED = [(name, each) for (name, each), policy in DECLARED.items() if name in NODES and policy != Everyone()]


@dataclass
class Facts:
    """The rows of the workspace, and whom its policies let in."""

    rows: Mapping[str, Mapping[str, Row]]
    lines: set[tuple[str, str]]
    visibility: Visibility
    kinds: Mapping[str, str]

    @classmethod
    async def of(cls, world: World, visibility: Visibility) -> Facts:
        rows = {table: {row["id"]: row for row in await world.rows(kind)} for table, kind in TABLES.items()}
        lines = {(row["manager_id"], row["user_id"]) for row in await world.rows(ReportingLine)}
        kinds = {id: kind.__name__ for table, kind in TABLES.items() for id in rows[table]}
        return cls(rows, lines, visibility, kinds)

    def may(self, access: str, record_id: str, person: Person) -> bool:
        kind = ENTITIES[self.kinds[record_id]]
        row = self.rows[kind.__tablename__][record_id]
        return person.role is Role.ADMIN or self._lets(DECLARED[kind.__name__, access], kind, row, access, person.id)

    def _lets(self, policy: Policy, kind: type[WorkspaceRow], row: Row, access: str, user_id: str) -> bool:
        match policy:
            case Everyone():
                return True
            case WorkspaceDefault():
                open_to_all = {Visibility.PUBLIC} | ({Visibility.PUBLIC_READ} if access == "read" else set())
                return self.visibility in open_to_all or self._belongs(row, user_id)
            case OwnerAndTeam():
                return self._belongs(row, user_id)
            case Unowned():
                return row["owner_id"] is None
            case Holder(column):
                return bool(row[column] == user_id)
            case InheritsFrom(column, unlinked):
                if row[column] is None:
                    return unlinked is not None and self._lets(unlinked, kind, row, access, user_id)
                return self._lets_to(target_of(kind, column), row[column], access, user_id)
            case LinkedRecords(table, column, ignored):
                links = [each for each in self.rows[table].values() if each[column] == row["id"] and not each[ignored]]
                return any(
                    link[name] is not None and self._lets_to(target, link[name], access, user_id)
                    for link in links
                    for name, target in linked_by(policy).items()
                )
            case RelatedHolder(table, column, holder):
                others = self.rows[table].values()
                return any(other[column] == row["id"] and other[holder] == user_id for other in others)
            case AllOf(policies=policies):
                return all(self._lets(each, kind, row, access, user_id) for each in policies)
            case AnyOf(policies=policies):
                return any(self._lets(each, kind, row, access, user_id) for each in policies)
        raise AssertionError(f"say here whom {policy!r} lets in")

    def _lets_to(self, target: type[WorkspaceRow], record_id: str, access: str, user_id: str) -> bool:
        row = self.rows[target.__tablename__][record_id]
        return self._lets(DECLARED[target.__name__, access], target, row, access, user_id)

    def _belongs(self, row: Row, user_id: str) -> bool:
        teams = {each["team_id"] for each in self.rows["memberships"].values() if each["user_id"] == user_id}
        return (user_id, row["owner_id"]) in self.lines or row["team_id"] in teams


# The ways to records, from the schema


def ids_in(value: object) -> set[str]:
    """All ids in an answer."""
    match value:
        case dict():
            return {each for name, item in value.items() for each in ({item} if name == "id" else ids_in(item))}
        case list():
            return {each for item in value for each in ids_in(item)}
    return set()


def is_free(field: GraphQLField, *given: str) -> bool:
    """True if a field requires exactly these arguments."""
    needed = {name for name, argument in field.args.items() if is_non_null_type(argument.type)}
    return needed == set(given)


def selection_of(name: str, field: GraphQLField, entity: str) -> str | None:
    """A selection of the ids of an entity in a field; None if the field does not lead to it."""
    kind = get_named_type(field.type).name
    if kind == f"{entity}Connection" and is_free(field):
        return f"{name}(first: 100) {{ nodes {{ id }} }}"
    return f"{name} {{ id }}" if kind == entity and is_free(field) else None


def ways_to(entity: str, ids: Mapping[str, str]) -> Iterator[tuple[str | None, str]]:
    """Every way to an entity's records: the record that it begins at, if any, and the selection."""
    core = public_schema()
    record_id = ids[field_name(entity)]
    yield None, f'node(id: "{record_id}") {{ id }}'
    yield None, f'nodes(ids: ["{record_id}"]) {{ id }}'
    assert core.query_type is not None
    for name, field in core.query_type.fields.items():
        if get_named_type(field.type).name == entity and is_free(field, "id"):
            yield None, f'{name}(id: "{record_id}") {{ id }}'
        elif name != "viewer" and (selection := selection_of(name, field, entity)):
            yield None, selection
            if "filter" in field.args:
                yield None, f'{name}(filter: {{id: {{in: ["{record_id}"]}}}}) {{ nodes {{ id }} }}'
    for start in NODES:
        kind = core.get_type(start)
        assert isinstance(kind, GraphQLObjectType)
        for name, field in kind.fields.items():
            if selection := selection_of(name, field, entity):
                start_id = ids[field_name(start)]
                yield start_id, f'node(id: "{start_id}") {{ ... on {start} {{ {selection} }} }}'


async def check_reading(world: World, actors: Cast, facts: Facts, entity: str, note: str = "") -> None:
    """Each way shows to each person what it shows to an admin, as far as the policies let the person in."""
    ways = list(ways_to(entity, actors.ids))
    document = "{ " + " ".join(f"way{place}: {way}" for place, (_, way) in enumerate(ways)) + f" }} # {note} {entity}"
    every = await world.data(document)
    assert actors.ids[field_name(entity)] in ids_in(every)
    for person in everybody(actors):
        seen = await world.data(document, by=person)
        for place, (start, way) in enumerate(ways):
            hidden = start is not None and not facts.may("read", start, person)
            there = set() if hidden else {id for id in ids_in(every[f"way{place}"]) if facts.may("read", id, person)}
            assert ids_in(seen[f"way{place}"]) == there, (entity, person.role, way)


async def check_editing(world: World, actors: Cast, facts: Facts, entities: Collection[str]) -> None:
    """Changes are refused to those whom the policies do not let in, and then change nothing."""
    before = await world.everything()
    for person in everybody(actors):
        refused = {each: code for each in entities if (code := refusal(actors, facts, each, person))}
        assert await change(world, actors, refused, person) == refused, person.role
    assert await world.everything() == before
    for person in everybody(actors):
        allowed = [each for each in entities if not refusal(actors, facts, each, person) and is_repeatable(each)]
        assert await change(world, actors, allowed, person) == dict.fromkeys(allowed), person.role


def refusal(actors: Cast, facts: Facts, entity: str, person: Person) -> str | None:
    """The code of the error that a person gets for changing the entity's record."""
    record_id = actors.ids[field_name(entity)]
    if not facts.may("read", record_id, person):
        return "NOT_FOUND"
    return None if facts.may("edit", record_id, person) and person.role is not Role.READ_ONLY else "FORBIDDEN"


def is_repeatable(entity: str) -> bool:
    return change_of(entity, "")[0].startswith("update")


async def change(world: World, actors: Cast, entities: Collection[str], person: Person) -> dict[str, str | None]:
    """The code that the change of each entity's record is answered with, all in one request."""
    if not entities:
        return {}
    selections = []
    for entity in entities:
        mutation, values = change_of(entity, actors.ids[field_name(entity)])
        arguments = ", ".join(f"{name}: {json.dumps(value)}" for name, value in values.items())
        selections.append(f"{entity}: {mutation}(input: {{{arguments}}}) {{ userErrors {{ code }} }}")
    answer = await world.data(f"mutation {{ {' '.join(selections)} }}", by=person)
    codes = {entity: [error["code"] for error in answer[entity]["userErrors"]] for entity in entities}
    assert all(len(each) < 2 for each in codes.values()), codes
    return {entity: each[0] if each else None for entity, each in codes.items()}


def everybody(actors: Cast) -> list[Person]:
    return [
        actors.owner,
        actors.manager,
        actors.director,
        actors.teammate,
        actors.reader,
        actors.stranger,
        actors.other_manager,
        actors.outsider,
    ]


@contextlib.asynccontextmanager
async def new_stage(application: Starlette, engine: AsyncEngine) -> AsyncIterator[tuple[World, Cast]]:
    """People, and a record of every entity that belongs to one of them."""
    world = await build_world(application, engine)
    actors = await cast(world)
    [team] = {row["team_id"] for row in await world.rows(Membership)}
    actors.ids.update(user=actors.owner.id, team=team)
    await make_all(world, actors.owner, actors.ids)
    yield world, actors
    await world.close()


@pytest.fixture(scope="module")
async def stage(application: Starlette, raw_engine: AsyncEngine) -> AsyncIterator[tuple[World, Cast]]:
    """One for many tests, which change nothing but the defaults."""
    async with new_stage(application, raw_engine) as stage:
        yield stage


@pytest.fixture
def world(stage: tuple[World, Cast], watched: None) -> World:
    return stage[0]


@pytest.fixture
def actors(stage: tuple[World, Cast]) -> Cast:
    return stage[1]


async def set_defaults(world: World, visibility: Visibility) -> Facts:
    """One default for all entities."""
    async with world.raw() as connection:
        defaults = dict.fromkeys(ENTITIES, visibility)
        here = Workspace.id == world.workspace_id
        await connection.execute(sa.update(Workspace).where(here).values(visibility_defaults=defaults))
    return await Facts.of(world, visibility)


# The tests


async def test_there_is_a_record_of_every_entity(world: World, actors: Cast) -> None:
    facts = await set_defaults(world, Visibility.PRIVATE)
    assert {facts.kinds[actors.ids[field_name(entity)]] for entity in ENTITIES} == set(ENTITIES)


@pytest.mark.parametrize("visibility", list(Visibility))
async def test_every_way_shows_what_the_policies_let_a_person_see(
    world: World, actors: Cast, visibility: Visibility
) -> None:
    facts = await set_defaults(world, visibility)
    for entity in NODES:
        await check_reading(world, actors, facts, entity)


@pytest.mark.parametrize("visibility", list(Visibility))
async def test_only_those_whom_the_policies_let_in_change_a_record(
    world: World, actors: Cast, visibility: Visibility
) -> None:
    facts = await set_defaults(world, visibility)
    await check_editing(world, actors, facts, [entity for entity, access in RESTRICTED if access == "edit"])


@pytest.mark.parametrize("visibility", list(Visibility))
async def test_live_lists_have_what_the_policies_let_a_person_see(
    world: World, actors: Cast, visibility: Visibility
) -> None:
    facts = await set_defaults(world, visibility)
    start = f"{(await world.viewer()).epoch}.0"
    followed: list[str] = []
    live = public_schema().subscription_type
    assert live is not None
    for name, field in live.fields.items():
        update = get_named_type(field.type)
        events = update.fields.get("events") or update.fields["changes"]
        event = get_named_type(events.type)
        records = {key for key, each in event.fields.items() if get_named_type(each.type).name in {*NODES, "Node"}}
        selection = " ".join(f"{key} {{ id }}" for key in sorted(records - {"actor"}))
        needed = [key for key, each in field.args.items() if is_non_null_type(each.type)]
        arguments = " ".join(f'{key}: "{actors.ids[key.removesuffix("Id")]}"' for key in needed)
        listed = next(key for key in ("events", "changes") if key in update.fields)
        document = f'subscription {{ {name}({arguments} after: "{start}") {{ caughtUp {listed} {{ {selection} }} }} }}'

        async def follow(person: Person | None, document: str = document) -> set[str]:
            async with following(world, document, by=person, live=False) as follower:
                await follower.until_told()
                return ids_in(follower.messages)

        every = await follow(None)
        if not every:  # the making of the records is too much for it: it wants the list to be read anew
            continue
        followed.append(name)
        for person in everybody(actors):
            hidden = any(not facts.may("read", actors.ids[key.removesuffix("Id")], person) for key in needed)
            there = set() if hidden else {id for id in every if facts.may("read", id, person)}
            assert await follow(person) == there, (name, person.role)
    assert {"changes", "caseUpdates"} <= set(followed)


async def test_checks_fail_where_a_reading_policy_is_loosened(
    world: World, actors: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mutant for each policy, where all is private."""
    facts = await set_defaults(world, Visibility.PRIVATE)
    for entity, access in RESTRICTED:
        if access == "read":
            with loosened(entity, "read", monkeypatch), pytest.raises(AssertionError, match=entity):
                await check_reading(world, actors, facts, entity, "loosened")


async def test_checks_fail_where_an_editing_policy_is_loosened(
    application: Starlette, raw_engine: AsyncEngine, watched: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mutant for each policy, where everyone reads. Some let a record be removed, so the stage is not shared."""
    async with new_stage(application, raw_engine) as (world, actors):
        facts = await set_defaults(world, Visibility.PUBLIC_READ)
        for entity, access in RESTRICTED:
            if access == "edit" and any_reader_may_not_edit(actors, facts, entity):
                with loosened(entity, "edit", monkeypatch), pytest.raises(AssertionError, match=entity):
                    await check_editing(world, actors, facts, [entity])


@contextlib.contextmanager
def loosened(entity: str, access: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Everyone may read, or edit, the records of an entity."""
    with monkeypatch.context() as patch:
        patch.setattr(ENTITIES[entity], f"{access}_policy", Everyone())
        forget_statements()
        yield
    forget_statements()


def any_reader_may_not_edit(actors: Cast, facts: Facts, entity: str) -> bool:
    """Without such a person, nothing depends on who may edit: an API token is its holder's alone."""
    record_id = actors.ids[field_name(entity)]
    people = [each for each in everybody(actors) if each.role is not Role.READ_ONLY]
    return any(facts.may("read", record_id, each) and not facts.may("edit", record_id, each) for each in people)


def forget_statements() -> None:
    """Drop all viewers, and what is built from the policies for all viewers."""
    for name, module in list(sys.modules.items()):
        if name.startswith(("crm_graph.access.", "loaders.")):
            for each in vars(module).values():
                if hasattr(each, "cache_clear"):
                    each.cache_clear()


@pytest.mark.parametrize(("entity", "access"), RESTRICTED)
def test_a_class_without_a_policy_cannot_be_read(entity: str, access: str, monkeypatch: pytest.MonkeyPatch) -> None:
    viewer = Viewer("ws_1", "user_1", Role.ADMIN, "", "", "", dict.fromkeys(ENTITIES, Visibility.PUBLIC))
    monkeypatch.delattr(ENTITIES[entity], f"{access}_policy")
    with pytest.raises(TypeError, match=f"^{entity} has no {access}_policy: set one from crm_graph.models.policies.$"):
        (visible if access == "read" else editable)(ENTITIES[entity], viewer)


@pytest.mark.parametrize("missing", ["read_policy", "edit_policy"])
def test_an_entity_without_a_policy_stops_the_import(missing: str) -> None:
    other = {"read_policy": "edit_policy", "edit_policy": "read_policy"}[missing]
    module = (
        "from crm_graph.models import Entity\nfrom crm_graph.models.policies import Everyone\n"
        f"class Quote(Entity):\n    __tablename__ = 'quotes'\n    prefix = 'quo'\n    {other} = Everyone()\n"
    )
    done = subprocess.run([sys.executable, "-c", module], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    error = f"TypeError: Quote has no {missing}: set one from crm_graph.models.policies."
    assert done.stderr.splitlines()[-1] == error
