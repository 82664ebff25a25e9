"""What cannot be is refused by a typed error that names the field, and changes nothing."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from graphql import GraphQLInputObjectType, GraphQLNamedType, get_named_type, is_enum_type, is_list_type
from graphql import is_non_null_type as is_required

from crm_graph import models
from schema import build_schema
from schema.writes import Write
from tests.support.bed import Bed, Row
from tests.support.world import World

CORE: Any = build_schema()._schema  # type: ignore[attr-defined]  # Strawberry's own, for walking its types
WRITES = {
    name: field.args["input"].type.of_type
    for name, field in CORE.mutation_type.fields.items()
    if "idempotencyKey" in getattr(get_named_type(getattr(field.args.get("input"), "type", None)), "fields", {})
}
ACCOUNTS = "query ($after: String, $first: Int, $last: Int) { accounts(after: $after, first: $first, last: $last) { nodes { id } } }"
CREATE = "mutation ($input: CreateAccountInput!) { createAccount(input: $input) { userErrors { code field message } } }"
UPDATE = "mutation ($input: UpdateAccountInput!) { updateAccount(input: $input) { userErrors { code field message } } }"
CONTACT = (
    "mutation ($input: CreateContactInput!) { createContact(input: $input) { userErrors { code field message } } }"
)
SURROGATE = "\ud800"
NUL = "a\0b"
UNKNOWN = "acc_00000000000000000000000000"


async def company(world: World) -> dict[str, str]:
    """One record of each kind, by the name that inputs call its id."""
    bed = Bed(world)
    ids: dict[str, str] = {}
    for model in (models.Account, models.Team, models.Lead, models.Product, models.Campaign, models.User):
        ids[model.__name__] = await bed.plant(model)
    ids["Contact"] = await bed.plant(models.Contact, account_id=ids["Account"])
    ids["Pipeline"] = await bed.plant(models.Pipeline)
    ids["Stage"] = await bed.plant(models.Stage, pipeline_id=ids["Pipeline"])
    deal = {"pipeline_id": ids["Pipeline"], "stage_id": ids["Stage"], "account_id": ids["Account"]}
    for rank, name in enumerate(("Above", "Opportunity", "Below")):
        ids[name] = await bed.plant(models.Opportunity, **deal, rank=f"a{rank}")
    part = {"opportunity_id": ids["Opportunity"]}
    ids["ContactRole"] = await bed.plant(models.ContactRole, **part)
    ids["OpportunityLine"] = await bed.plant(models.OpportunityLine, **part, product_id=ids["Product"])
    ids["Case"] = ids["CaseStatus"] = await bed.plant(models.Case, account_id=ids["Account"])
    ids["Activity"] = ids["Task"] = await bed.plant(models.Activity, type=models.ActivityType.TASK)
    member = {"campaign_id": ids["Campaign"], "lead_id": ids["Lead"], "status": "SENT"}
    ids["CampaignMember"] = await bed.plant(models.CampaignMember, **member)
    return ids


USUAL_TEXTS = {"address": "a@example.com", "number": "+14155552671", "url": "example.com"}
OTHER_NAMES = {"owner": "User", "toOwner": "User", "manager": "User", "toTeam": "Team", "member": "CampaignMember"}


def id_for(field: str, write: str, ids: dict[str, str]) -> str:
    """The record that an input's field of this name means."""
    name = field.removesuffix("s").removesuffix("Id")
    kind = write.lstrip("abcdefghijklmnopqrstuvwxyz") if field in {"id", "parentId"} else name[0].upper() + name[1:]
    return ids[OTHER_NAMES.get(name, kind)]


def usual(kind: Any, name: str, write: str, ids: dict[str, str]) -> Any:
    """A value that a required field may have."""
    named: GraphQLNamedType = get_named_type(kind)
    if isinstance(named, GraphQLInputObjectType):
        return {each: usual(f.type, each, write, ids) for each, f in named.fields.items() if is_required(f.type)}
    if is_enum_type(named):
        return next(iter(named.values))  # type: ignore[attr-defined]  # an enum has values
    usually = {
        "ID": lambda: id_for(name, write, ids),
        "Int": lambda: 1,
        "Boolean": lambda: True,
        "Decimal": lambda: "1",
    }
    return usually.get(named.name, lambda: USUAL_TEXTS.get(name, "SENT"))()


def places(kind: Any, write: str, ids: dict[str, str]) -> Iterator[tuple[str, str, Any]]:
    """Every leaf of an input: its path, its scalar, and a function that puts a value there into a usual input."""
    base = usual(kind, "", write, ids)
    for name, field in get_named_type(kind).fields.items():
        named, listed = get_named_type(field.type), is_list_type(getattr(field.type, "of_type", field.type))
        listed = listed or is_list_type(field.type)
        path = f"{name}.0" if listed else name

        def put(value: Any, name: str = name, listed: bool = listed) -> Row:
            return {**base, name: [value] if listed else value}

        if isinstance(named, GraphQLInputObjectType):
            for inner, scalar, put_inner in places(named, write, ids):
                yield f"{path}.{inner}", scalar, lambda value, put=put, put_inner=put_inner: put(put_inner(value))
        else:
            yield path, named.name, put


async def send(world: World, document: str, variables: Row) -> Row:
    """The answer to an operation whose variables may be what httpx would not write."""
    body = json.dumps({"query": document, "variables": variables})
    response = await world.client.post("/graphql", content=body, headers=headers(world))
    assert response.status_code == 200
    answer: Row = response.json()
    return answer


def headers(world: World) -> dict[str, str]:
    return {"Authorization": f"Bearer {world.admin.token}", "Content-Type": "application/json"}


async def refused(world: World, write: str, inputs: list[Row]) -> list[Row]:
    """The one error of each of many writes, sent together."""
    declared = ", ".join(f"$i{n}: {WRITES[write].name}!" for n in range(len(inputs)))
    fields = " ".join(
        f"w{n}: {write}(input: $i{n}) {{ revision userErrors {{ code field message }} }}" for n in range(len(inputs))
    )
    document = f"mutation ({declared}) {{ {fields} }}"
    data = (await send(world, document, {f"i{n}": each for n, each in enumerate(inputs)}))["data"]
    errors = []
    for number, each in enumerate(inputs):
        answer = data[f"w{number}"]
        assert answer["revision"] is None, (write, each)
        [error] = answer["userErrors"]
        errors.append(error)
    return errors


@pytest.mark.parametrize("write", WRITES)
async def test_no_field_of_a_write_takes_what_cannot_be(world: World, other_world: World, write: str) -> None:
    ids, theirs = await company(world), await company(other_world)
    stored = await world.everything()
    texts, links, numbers = [], [], []
    for path, scalar, put in places(WRITES[write], write, ids):
        leaf = path.removesuffix(".0").rpartition(".")[2]
        if scalar == "String":
            texts.extend((path, put(bad)) for bad in (NUL, SURROGATE, "x" * 100_001))
        elif scalar == "ID":
            wrong = ids["Product" if id_for(leaf, write, ids) != ids["Product"] else "Account"]
            links.append(
                (path, [put(bad) for bad in (id_for(leaf, write, theirs), UNKNOWN, wrong, NUL, SURROGATE, "")])
            )
        elif scalar == "Int" and leaf != "expectedVersion":
            numbers.append((path, put(-(2**31))))

    for path, error in zip([p for p, _ in texts], await refused(world, write, [i for _, i in texts]), strict=True):
        assert (error["code"], error["field"]) == ("INVALID", path)
    for path, error in zip(
        [p for p, _ in numbers], await refused(world, write, [i for _, i in numbers]) if numbers else [], strict=True
    ):
        assert (error["code"], error["field"]) == ("INVALID", path)
    for path, inputs in links:
        their_id, unknown, *others = await refused(world, write, inputs)
        assert their_id == unknown
        assert (unknown["code"], unknown["field"]) == ("NOT_FOUND", path)
        assert {each["field"] for each in others} == {path}
        assert {each["code"] for each in others} <= {"NOT_FOUND", "INVALID", "REQUIRED"}
    assert await world.everything() == stored
