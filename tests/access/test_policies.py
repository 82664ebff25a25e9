"""The policies of all entities: each way to a record shows it to those whom its policy lets in, and to nobody else.

What to expect comes from the policies as they are declared, interpreted here in Python over the rows; the entities,
and the ways to their records, come from the models and the GraphQL schema. A new entity is tested without a line here.
"""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from graphql import GraphQLField, GraphQLObjectType, get_named_type, is_non_null_type

from crm_graph.access import Viewer, editable, visible
from crm_graph.access.policies import linked_by, target_of
from crm_graph.models import ENTITIES, TABLES, ReportingLine, Role, Visibility, WorkspaceRow
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
from tests.support.world import Person, World

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
    """Whether a field needs no argument but these."""
    needed = {name for name, argument in field.args.items() if is_non_null_type(argument.type)}
    return needed == set(given)


def selection_of(name: str, field: GraphQLField, entity: str) -> str | None:
    """How to ask a field for ids of an entity; None for a field that does not lead to it."""
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


async def check_editing(world: World, actors: Cast, facts: Facts, entity: str, note: str = "") -> None:
    """A change is refused to those whom the policies do not let in, and then changes nothing."""
    record_id = actors.ids[field_name(entity)]
    mutation, values = change_of(entity, record_id)
    for person in everybody(actors):
        expected = None if facts.may("edit", record_id, person) and person.role is not Role.READ_ONLY else "FORBIDDEN"
        if not facts.may("read", record_id, person):
            expected = "NOT_FOUND"
        if expected is None and not mutation.startswith("update"):
            continue  # which could be done only once
        before = await world.everything()
        answer = await world.write(mutation, "revision", by=person, **values)
        codes = [error["code"] for error in answer["userErrors"]]
        assert codes == ([] if expected is None else [expected]), (note, entity, person.role)
        assert expected is None or await world.everything() == before


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


async def stage(world: World, visibility: Visibility) -> tuple[Cast, Facts]:
    """People, and a record of every entity that belongs to one of them, under one default for all entities."""
    actors = await cast(world)
    [team] = {row["team_id"] for row in (await Facts.of(world, visibility)).rows["memberships"].values()}
    actors.ids.update(user=actors.owner.id, team=team)
    await make_all(world, actors.owner, actors.ids)
    for entity in ENTITIES:
        await world.default(entity, visibility)
    return actors, await Facts.of(world, visibility)


# The tests


async def test_there_is_a_record_of_every_entity(world: World) -> None:
    actors, facts = await stage(world, Visibility.PRIVATE)
    assert {facts.kinds[actors.ids[field_name(entity)]] for entity in ENTITIES} == set(ENTITIES)


@pytest.mark.parametrize("visibility", list(Visibility))
async def test_every_way_shows_what_the_policies_let_a_person_see(world: World, visibility: Visibility) -> None:
    actors, facts = await stage(world, visibility)
    for entity in NODES:
        await check_reading(world, actors, facts, entity)


@pytest.mark.parametrize("visibility", list(Visibility))
async def test_only_those_whom_the_policies_let_in_change_a_record(world: World, visibility: Visibility) -> None:
    actors, facts = await stage(world, visibility)
    for entity, access in RESTRICTED:
        if access == "edit":
            await check_editing(world, actors, facts, entity)


@pytest.mark.parametrize("visibility", list(Visibility))
async def test_live_lists_have_what_the_policies_let_a_person_see(world: World, visibility: Visibility) -> None:
    actors, facts = await stage(world, visibility)
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


async def test_checks_fail_where_a_policy_is_loosened(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mutant for each policy: reading where all is private, editing where everyone reads."""
    actors, facts = await stage(world, Visibility.PRIVATE)
    for entity, access in sorted(RESTRICTED, key=lambda each: each[1], reverse=True):
        if access == "edit" and facts.visibility is Visibility.PRIVATE:
            facts = await open_to_readers(world)
        if access == "edit" and not any_reader_may_not_edit(actors, facts, entity):
            continue
        with monkeypatch.context() as patch:
            patch.setattr(ENTITIES[entity], f"{access}_policy", Everyone())
            forget_statements()
            with pytest.raises(AssertionError, match=entity):
                await (check_reading if access == "read" else check_editing)(world, actors, facts, entity, "loosened")
    forget_statements()


async def open_to_readers(world: World) -> Facts:
    for entity in ENTITIES:
        await world.default(entity, Visibility.PUBLIC_READ)
    return await Facts.of(world, Visibility.PUBLIC_READ)


def any_reader_may_not_edit(actors: Cast, facts: Facts, entity: str) -> bool:
    """Without such a person, nothing depends on who may edit: an API token is its holder's alone."""
    record_id = actors.ids[field_name(entity)]
    people = [each for each in everybody(actors) if each.role is not Role.READ_ONLY]
    return any(facts.may("read", record_id, each) and not facts.may("edit", record_id, each) for each in people)


def forget_statements() -> None:
    """Drop what viewers have built from the policies."""
    for each in gc.get_objects():
        if isinstance(each, Viewer):
            each._conditions.clear()
            each._statements.clear()


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
