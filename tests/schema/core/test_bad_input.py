"""Invalid input is refused by a typed error that names the field, and changes nothing."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from graphql import GraphQLInputObjectType, get_named_type, is_enum_type, is_list_type
from graphql import is_non_null_type as is_required

from crm_graph import models
from schema import build_schema
from tests.support.raw_rows import RawRows, Row
from tests.support.world import World

CORE: Any = build_schema()._schema
WRITES = {
    name: field.args["input"].type.of_type
    for name, field in CORE.mutation_type.fields.items()
    if "idempotencyKey" in getattr(get_named_type(getattr(field.args.get("input"), "type", None)), "fields", {})
}
ACCOUNTS = "query ($after: String, $first: Int, $last: Int) "
ACCOUNTS += "{ accounts(after: $after, first: $first, last: $last) { nodes { id } } }"
CREATE = "mutation ($input: CreateAccountInput!) { createAccount(input: $input) { userErrors { code field message } } }"
UPDATE = "mutation ($input: UpdateAccountInput!) { updateAccount(input: $input) { userErrors { code field message } } }"
CONTACT = (
    "mutation ($input: CreateContactInput!) { createContact(input: $input) { userErrors { code field message } } }"
)
SURROGATE = "\ud800"
NUL = "a\0b"
NO_CURSOR = "after is not a cursor of this server."
OTHER_LIST = "after is a cursor of another list or of another order."
ENDLESS = "A time after 0001-01-01T00:00:00Z and before 9999-12-31T23:59:59.999999Z is expected."
UNKNOWN = "acc_00000000000000000000000000"


async def company(world: World) -> dict[str, str]:
    """One record of each kind, by the name that inputs call its id."""
    raw = RawRows(world)
    ids: dict[str, str] = {}
    for model in (models.Account, models.Team, models.Lead, models.Product, models.Campaign, models.User):
        ids[model.__name__] = await raw.plant(model)
    ids["Contact"] = await raw.plant(models.Contact, account_id=ids["Account"])
    ids["Pipeline"] = await raw.plant(models.Pipeline)
    ids["Stage"] = await raw.plant(models.Stage, pipeline_id=ids["Pipeline"])
    deal = {"pipeline_id": ids["Pipeline"], "stage_id": ids["Stage"], "account_id": ids["Account"]}
    for rank, name in enumerate(("Above", "Opportunity", "Below")):
        ids[name] = await raw.plant(models.Opportunity, **deal, rank=f"a{rank}")
    part = {"opportunity_id": ids["Opportunity"]}
    ids["ContactRole"] = await raw.plant(models.ContactRole, **part)
    ids["OpportunityLine"] = await raw.plant(models.OpportunityLine, **part, product_id=ids["Product"])
    ids["Case"] = ids["CaseStatus"] = await raw.plant(models.Case, account_id=ids["Account"])
    ids["Activity"] = ids["Task"] = await raw.plant(models.Activity, type=models.ActivityType.TASK)
    member = {"campaign_id": ids["Campaign"], "lead_id": ids["Lead"], "status": "SENT"}
    ids["CampaignMember"] = await raw.plant(models.CampaignMember, **member)
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
    named: Any = get_named_type(kind)
    if isinstance(named, GraphQLInputObjectType):
        return {each: usual(f.type, each, write, ids) for each, f in named.fields.items() if is_required(f.type)}
    if is_enum_type(named):
        return next(iter(named.values))
    match named.name:
        case "ID":
            return id_for(name, write, ids)
        case "Int":
            return 1
        case "Boolean":
            return True
        case "Decimal":
            return "1"
    return USUAL_TEXTS.get(name, "SENT")


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
    values: list[tuple[str, Row]] = []
    links: list[tuple[str, list[Row]]] = []
    for path, scalar, put in places(WRITES[write], write, ids):
        leaf = path.removesuffix(".0").rpartition(".")[2]
        if scalar == "String":
            values.extend((path, put(bad)) for bad in (NUL, SURROGATE, "x" * 100_001))
        elif scalar == "Int" and leaf != "expectedVersion":
            values.append((path, put(-(2**31))))
        elif scalar == "ID":
            theirs_, ours = id_for(leaf, write, theirs), id_for(leaf, write, ids)
            other_kind = ids["Product" if ours != ids["Product"] else "Account"]
            links.append((path, [put(bad) for bad in (theirs_, UNKNOWN, other_kind, NUL, SURROGATE, "")]))

    errors = await refused(world, write, [put for _, put in values])
    assert [(error["code"], error["field"]) for error in errors] == [("INVALID", path) for path, _ in values]
    for path, inputs in links:
        their_id, unknown, *others = await refused(world, write, inputs)
        assert their_id == unknown
        assert (unknown["code"], unknown["field"]) == ("NOT_FOUND", path)
        assert {each["field"] for each in others} == {path}
        assert {each["code"] for each in others} <= {"NOT_FOUND", "INVALID", "REQUIRED"}
    assert await world.everything() == stored


async def test_money_in_two_currencies_names_the_second(world: World) -> None:
    stored = await world.everything()

    budget, cost = {"amount": "1", "currency": "USD"}, {"amount": "1", "currency": "NOK"}
    answer = await world.write("createCampaign", "campaign { id }", name="Spring", budget=budget, actualCost=cost)

    message = "All amounts of one record are in one currency."
    assert answer["userErrors"] == [{"code": "INVALID", "field": "actualCost.currency", "message": message}]
    assert await world.everything() == stored


@pytest.mark.parametrize(
    ("document", "values", "place"),
    [
        (CREATE, {"annualRevenue": {"amount": "1" * 30}}, "annualRevenue.amount: The amount is too large"),
        (CREATE, {"annualRevenue": {"amount": "NaN"}}, "annualRevenue.amount: A finite number is expected"),
        (CREATE, {"annualRevenue": {"amount": "-Infinity"}}, "annualRevenue.amount: A finite number is expected"),
        (CREATE, {"annualRevenue": {"amount": "1.00001"}}, "annualRevenue.amount: At most 4 digits after the point"),
        (CREATE, {"annualRevenue": {"amount": True}}, "annualRevenue.amount: A decimal number is expected"),
        (CREATE, {"annualRevenue": {"amount": SURROGATE}}, "annualRevenue.amount: A decimal number is expected"),
        (CREATE, {"annualRevenue": {"amount": "1", "currency": "US$"}}, "annualRevenue.currency: A currency is three"),
        (CREATE, {"annualRevenue": {"amount": "1" * 10_000_000}}, "annualRevenue.amount: The amount is too large"),
        (CREATE, {"employees": 2**31}, "employees: Int cannot represent non 32-bit signed integer value"),
        (CREATE, {"employees": 1.5}, "employees: Int cannot represent non-integer value"),
        (CREATE, {"type": "FRIEND"}, "type: Value 'FRIEND' does not exist in 'AccountType' enum"),
        (CREATE, {"type": SURROGATE}, "type: Value"),
        (CREATE, {"name": None}, "name: Expected value of non-null type 'String!' not to be None"),
        (CREATE, {"parentId": 1.5}, "parentId: ID cannot represent value"),
        (CONTACT, {"birthday": "2026-02-30"}, "birthday: A date is expected as YYYY-MM-DD"),
        (CONTACT, {"birthday": 20260230}, "birthday: A string is expected"),
        (CONTACT, {"birthday": "0001-01-01"}, "birthday: A date from 0001-01-02 to 9999-12-30 is expected"),
        (CONTACT, {"birthday": "9999-12-31"}, "birthday: A date from 0001-01-02 to 9999-12-30 is expected"),
        (CONTACT, {"emailOptOut": "yes"}, "emailOptOut: Boolean cannot represent a non boolean value"),
        (CONTACT, {"emails": [{"label": "work"}]}, "emails[0]"),
        (UPDATE, {"expectedVersion": 2**31}, "expectedVersion: Int cannot represent non 32-bit"),
    ],
)
async def test_a_value_of_the_wrong_kind_is_named_in_the_error(
    world: World, document: str, values: Row, place: str
) -> None:
    stored = await world.everything()

    needed = {"id": UNKNOWN} if document is UPDATE else {"lastName": "x"} if document is CONTACT else {"name": "x"}
    answer = await send(world, document, {"input": {**needed, **values}})

    [error] = answer["errors"]
    assert answer.keys() == {"errors"}
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert error["message"].startswith(
        ("Variable '$input' has invalid value at .", "Variable '$input' has invalid value: ")
    )
    assert place in error["message"]
    assert len(error["message"]) < 1000
    assert await world.everything() == stored


@pytest.mark.parametrize(
    ("literal", "message"),
    [
        ('annualRevenue: {amount: "x"}', "A decimal number is expected, such as 1250.50."),
        ("annualRevenue: {amount: 1e400}", "The amount is too large: at most 14 digits before the point."),
        ("annualRevenue: {amount: nothing}", "A string is expected."),
        ('annualRevenue: {amount: "1", currency: 5}', "A string is expected."),
    ],
)
async def test_a_literal_of_the_wrong_kind_is_pointed_at(world: World, literal: str, message: str) -> None:
    document = f'mutation {{ createAccount(input: {{name: "x", {literal}}}) {{ revision }} }}'

    answer = await send(world, document, {})

    [error] = answer["errors"]
    assert (error["message"], error["extensions"]) == (message, {"code": "BAD_USER_INPUT"})
    [location] = error["locations"]
    assert location["column"] > document.index(literal)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ('{birthday: {gte: "0001-01-01"}}', "A date from 0001-01-02 to 9999-12-30 is expected."),
        ('{birthday: {in: ["9999-12-31"]}}', "A date from 0001-01-02 to 9999-12-30 is expected."),
        ('{createdAt: {lt: "9999-12-31T23:59:59.999999Z"}}', ENDLESS),
        ('{createdAt: {eq: "0001-01-01T00:00:00Z"}}', ENDLESS),
    ],
)
async def test_a_day_or_moment_without_end_is_not_compared_with(world: World, condition: str, message: str) -> None:
    answer = await send(world, f"{{ contacts(filter: {condition}) {{ nodes {{ id }} }} }}", {})

    [error] = answer["errors"]
    assert (error["message"], error["extensions"]) == (message, {"code": "BAD_USER_INPUT"})


async def test_the_first_and_last_days_and_moments_are_written_and_found(world: World) -> None:
    days, moments = ("0001-01-02", "9999-12-30"), ("0001-01-01T00:00:00.000001Z", "9999-12-31T23:59:59.999998Z")
    for day, moment in zip(days, moments, strict=True):
        contact = await world.make("contact", lastName="x", birthday=day)
        task = await world.make("activity", type="TASK", subject="x", dueAt=moment)
        data = await world.data(
            """query ($day: Date, $moment: DateTime) {
              contacts(filter: {birthday: {eq: $day}}) { nodes { id birthday } }
              activities(filter: {dueAt: {eq: $moment}}) { nodes { id dueAt } }
            }""",
            day=day,
            moment=moment,
        )
        assert data == {
            "contacts": {"nodes": [{"id": contact, "birthday": day}]},
            "activities": {"nodes": [{"id": task, "dueAt": moment}]},
        }


async def test_a_number_in_a_document_is_taken_digit_by_digit(world: World) -> None:
    document = 'mutation { createAccount(input: {name: "x", annualRevenue: {amount: 12345678901234.5678}}) '

    answer = await send(world, document + "{ account { annualRevenue { amount } } } }", {})

    assert answer["data"]["createAccount"]["account"]["annualRevenue"] == {"amount": "12345678901234.5678"}


@pytest.mark.parametrize(
    ("document", "values", "field", "message"),
    [
        (CONTACT, {"email": "nobody"}, "email", "Not an email address"),
        (CONTACT, {"email": "a@b@example.com"}, "email", "Not an email address"),
        (CONTACT, {"emails": [{"address": "a@example.com"}, {"address": "no"}]}, "emails.1.address", "Not an email"),
        (CONTACT, {"phone": "call me"}, "phone", "Not a phone number"),
        (CONTACT, {"phones": [{"number": "+1 1"}]}, "phones.0.number", "Not a phone number"),
        (CONTACT, {"lastName": "  "}, "lastName", "The text is empty."),
        (CONTACT, {"emails": [{"address": "a@example.com"}] * 51}, "emails", "At most 50 entries are allowed."),
        (CREATE, {"name": "x" * 10_000_000}, "name", "At most 200 characters are allowed, got 10000000."),
        (CREATE, {"website": "ftp://example.com"}, "website", "Not a web address"),
        (CREATE, {"domain": "not a domain"}, "domain", "Not a domain name"),
        (CREATE, {"employees": -1}, "employees", "A number from 0 to 2147483647 is expected."),
        (CREATE, {"billingAddress": {"street": NUL}}, "billingAddress.street", "Control characters are not allowed."),
        (CREATE, {"idempotencyKey": ""}, "idempotencyKey", "The text is empty."),
        (CREATE, {"idempotencyKey": "x" * 101}, "idempotencyKey", "At most 100 characters are allowed, got 101."),
    ],
)
async def test_a_value_that_cannot_be_is_named_in_the_payload(
    world: World, document: str, values: Row, field: str, message: str
) -> None:
    stored = await world.everything()

    needed = {"lastName": "x"} if document is CONTACT else {"name": "x"}
    answer = await send(world, document, {"input": {**needed, **values}})

    [payload] = answer["data"].values()
    [error] = payload["userErrors"]
    assert error["code"] == ("REQUIRED" if "empty" in message else "INVALID")
    assert error["field"] == field
    assert error["message"].startswith(message)
    assert await world.everything() == stored


async def test_a_parent_that_closes_a_circle_is_refused(world: World) -> None:
    top = await world.make("account", name="Top")
    middle = await world.make("account", name="Middle", parentId=top)
    bottom = await world.make("account", name="Bottom", parentId=middle)
    stored = await world.everything()

    for parent in (top, middle, bottom):
        answer = await world.write("updateAccount", "account { id }", id=top, parentId=parent)

        message = "This account is already above the other one. This would create a cycle."
        assert answer["userErrors"] == [{"code": "INVALID", "field": "parentId", "message": message}]
    assert await world.everything() == stored


async def test_a_stale_version_is_refused_with_the_current_record(world: World) -> None:
    account = await world.make("account", name="One")
    await world.write("updateAccount", "account { id }", id=account, name="Two")
    stored = await world.everything()

    writes: dict[str, Row] = {"updateAccount": {"name": "Three"}, "deleteAccount": {}, "restoreAccount": {}}
    for write, values in writes.items():
        for version in (1, 3, -1, 2**31 - 1):
            answer = await world.write(
                write, "account { id name version }", id=account, expectedVersion=version, **values
            )

            message = f"The account was changed meanwhile: it is at version 2, not {version}."
            assert answer["userErrors"] == [{"code": "CONFLICT", "field": "expectedVersion", "message": message}]
            assert answer["account"] == {"id": account, "name": "Two", "version": 2}
            assert answer["revision"] is None
    assert await world.everything() == stored


@pytest.mark.parametrize(
    ("arguments", "field", "message"),
    [
        ({"first": 0}, "first", "first is a number from 1 to 100, not 0."),
        ({"first": 101}, "first", "first is a number from 1 to 100, not 101."),
        ({"first": -1}, "first", "first is a number from 1 to 100, not -1."),
        ({"last": 0}, "last", "last is a number from 1 to 100, not 0."),
        ({"last": 2**31 - 1}, "last", "last is a number from 1 to 100, not 2147483647."),
        ({"first": 1, "last": 1}, "last", "Use `first` or `last`, not both."),
        ({"after": "garbage"}, "after", NO_CURSOR),
        ({"after": ""}, "after", NO_CURSOR),
        ({"after": NUL}, "after", NO_CURSOR),
        ({"after": SURROGATE}, "after", NO_CURSOR),
        ({"after": "x" * 1_000_000}, "after", NO_CURSOR),
        ({"after": base64.b64encode(b"[" * 100_000).decode()}, "after", NO_CURSOR),
        ({"after": base64.b64encode(b'["a", "b"]').decode()}, "after", OTHER_LIST),
        ({"after": base64.b64encode(b'{"a": 1}').decode()}, "after", OTHER_LIST),
    ],
)  # fmt: skip
async def test_a_page_that_cannot_be(world: World, arguments: Row, field: str, message: str) -> None:
    account = await world.make("account", name="Parent")
    nested = "query ($after: String, $first: Int, $last: Int, $id: ID!) { account(id: $id) { children"
    nested += "(after: $after, first: $first, last: $last) { nodes { id } } } }"

    for document, variables in ((ACCOUNTS, arguments), (nested, {**arguments, "id": account})):
        answer = await send(world, document, variables)

        assert not (answer["data"] or {}).get("account")
        [error] = answer["errors"]
        assert (error["message"], error["extensions"]) == (message, {"code": "BAD_USER_INPUT", "field": field})


async def test_a_cursor_of_another_query_is_refused(world: World) -> None:
    await world.make("account", name="A")
    data = await world.data(
        "{ accounts { pageInfo { endCursor } } named: accounts(orderBy: [{field: NAME}]) { pageInfo { endCursor } } }"
    )
    by_id, by_name = (data[each]["pageInfo"]["endCursor"] for each in ("accounts", "named"))
    refused_ = {"code": "BAD_USER_INPUT", "field": "before"}

    for query, cursor in (
        ("accounts(before: $cursor, orderBy: [{field: NAME}])", by_id),
        ("accounts(before: $cursor, orderBy: [{field: NAME, direction: DESC}])", by_name),
        ("accounts(before: $cursor, orderBy: [{field: NAME, nulls: FIRST}])", by_name),
        ("contacts(before: $cursor)", by_id),
        ("contacts(before: $cursor, orderBy: [{field: LAST_NAME}])", by_name),
    ):
        answer = await world.ask(f"query ($cursor: String) {{ {query} {{ nodes {{ id }} }} }}", cursor=cursor)
        assert [error["extensions"] for error in answer["errors"]] == [refused_]


@pytest.mark.parametrize(
    "forged", [NUL, SURROGATE, [], {}, 1e400, -1e400, 2**64, "x", "2026-02-30", True, "9" * 30, "NaN"]
)
async def test_no_value_in_a_forged_cursor_reaches_the_database(world: World, forged: Any) -> None:
    """For any content, the answer is a page or an error."""
    await world.make("account", name="A", employees=1, annualRevenue={"amount": "1"}, type="PARTNER")
    for column in ("NAME", "TYPE", "EMPLOYEES", "ANNUAL_REVENUE", "CREATED_AT", "ID"):
        listed = (
            f"accounts(after: $after, orderBy: [{{field: {column}}}]) {{ nodes {{ id }} pageInfo {{ endCursor }} }}"
        )
        page = (await world.data(f"query ($after: String) {{ {listed} }}"))["accounts"]
        mark, *values = json.loads(base64.urlsafe_b64decode(page["pageInfo"]["endCursor"]))
        for place in range(len(values)):
            content = json.dumps([mark, *values[:place], forged, *values[place + 1 :]])
            cursor = base64.urlsafe_b64encode(content.encode()).decode()

            answer = await send(world, f"query ($after: String) {{ {listed} }}", {"after": cursor})

            codes = [error["extensions"] for error in answer.get("errors", [])]
            assert codes in ([], [{"code": "BAD_USER_INPUT", "field": "after"}])


@pytest.mark.parametrize("bad", [UNKNOWN, "", NUL, SURROGATE, "x" * 1_000_000, "' OR 1=1 --", "acc_é"])
async def test_an_id_that_is_nobodys_is_null(world: World, bad: str) -> None:
    answer = await send(
        world, "query ($id: ID!) { account(id: $id) { id } node(id: $id) { id } nodes(ids: [$id]) { id } }", {"id": bad}
    )

    assert answer == {"data": {"account": None, "node": None, "nodes": [None]}}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"\xff\xfe", 400),
        (b'{"query": ', 400),
        (b"[" * 100_000, 400),
        (b'{"query": "{ accounts { nodes { id } } }", "operationName": "\\ud800"}', 400),
        (b'{"query": "{ viewer { id } }", "variables": {"first": Infinity}}', 400),
        (b'{"query": "{ nothing }", "variables": ' + b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b"}", 400),
        (b'{"query": "{ nothing }"}', 200),
        (b'{"query": "{ \\ud800 }"}', 200),
        (b'{"query": "{ account(id: ' + b"[" * 1_500 + b"]" * 1_500 + b') { id } }"}', 200),
        (b'{"query": "query ($f: AccountFilter) { nothing }", "variables": {"f": {"\\ud800": 1}}}', 200),
    ],
    ids=range(11),
)  # fmt: skip
async def test_a_request_that_is_none_keeps_its_status_sane(world: World, body: bytes, status: int) -> None:
    response = await world.client.post("/graphql", content=body, headers=headers(world))

    assert response.status_code == status
    if status == 200:
        assert {error["extensions"]["code"] for error in response.json()["errors"]} == {"BAD_USER_INPUT"}
