"""Common behaviour of all writes: repeated, concurrent, refused, or many in one request."""

from __future__ import annotations

import asyncio
from typing import Any

from crm_graph.models import Role, Visibility
from tests.support.raw_rows import Row
from tests.support.world import World

ACCOUNT = "account { id name version }"


def number(revision: str) -> int:
    return int(revision.rpartition(".")[2])


# Sent again


async def test_a_repeated_write_answers_what_the_first_did(world: World) -> None:
    first = await world.write("createAccount", ACCOUNT, name="Acme", idempotencyKey="k1")
    await world.write("updateAccount", ACCOUNT, id=first["account"]["id"], industry="Rockets")
    stored = await world.everything()

    again = await world.write("createAccount", ACCOUNT, name="Acme", idempotencyKey="k1")

    assert again["revision"] == first["revision"]
    assert again["userErrors"] == []
    assert again["account"] == {**first["account"], "version": 2}
    assert await world.everything() == stored


async def test_a_key_is_good_for_one_input_of_one_mutation(world: World) -> None:
    first = await world.write("createAccount", ACCOUNT, name="Acme", idempotencyKey="k1")
    stored = await world.everything()
    refusal = {"code": "INVALID", "field": "idempotencyKey", "message": "This key was used with another input."}

    writes: list[tuple[str, str, Row]] = [
        ("createAccount", ACCOUNT, {"name": "Acme 2"}),
        ("createAccount", ACCOUNT, {"name": "Acme", "industry": None}),
        ("createCampaign", "campaign { id }", {"name": "Acme"}),
        ("deleteAccount", ACCOUNT, {"id": first["account"]["id"]}),
    ]
    for mutation, selection, values in writes:
        answer = await world.write(mutation, selection, **values, idempotencyKey="k1")
        assert answer["userErrors"] == [refusal]
    assert await world.everything() == stored


async def test_a_key_is_its_users_own(world: World, other_world: World) -> None:
    rep = await world.person(Role.REP)
    answers = [
        await world.write("createAccount", ACCOUNT, name="Acme", idempotencyKey="k1"),
        await world.write("createAccount", ACCOUNT, name="Acme", idempotencyKey="k1", by=rep),
        await other_world.write("createAccount", ACCOUNT, name="Acme", idempotencyKey="k1"),
    ]

    assert len({answer["account"]["id"] for answer in answers}) == 3


async def test_a_refused_write_does_not_use_up_its_key(world: World) -> None:
    refused = await world.write("createAccount", ACCOUNT, name="Acme", phone="no", idempotencyKey="k1")
    assert [error["field"] for error in refused["userErrors"]] == ["phone"]

    answer = await world.write("createAccount", ACCOUNT, name="Acme", phone="+14155552671", idempotencyKey="k1")

    assert answer["userErrors"] == []
    assert answer["account"]["name"] == "Acme"


async def test_a_repeated_write_does_not_show_what_may_no_longer_be_seen(world: World) -> None:
    rep = await world.person(Role.REP)
    first = await world.write("createAccount", ACCOUNT, name="Acme", idempotencyKey="k1", by=rep)
    account = first["account"]["id"]
    await world.write("updateAccount", ACCOUNT, id=account, ownerId=world.admin.id)
    await world.default("account", Visibility.PRIVATE)

    again = await world.write("createAccount", ACCOUNT, name="Acme", idempotencyKey="k1", by=rep)
    assert again == {"revision": first["revision"], "userErrors": [], "account": None}

    await world.default("account", Visibility.PUBLIC)
    await world.write("deleteAccount", ACCOUNT, id=account)
    again = await world.write("createAccount", ACCOUNT, name="Acme", idempotencyKey="k1", by=rep)
    assert again == {"revision": first["revision"], "userErrors": [], "account": None}


async def test_a_write_sent_twice_at_once_is_done_once(world: World) -> None:
    answers = await asyncio.gather(
        *(world.write("createAccount", ACCOUNT, name="Acme", idempotencyKey="k1") for _ in range(6))
    )

    assert [answer["userErrors"] for answer in answers] == [[]] * 6
    assert len({answer["account"]["id"] for answer in answers}) == 1
    assert {number(answer["revision"]) for answer in answers} == {1}
    assert [change["revision"] for change in await world.changes()] == [1]


# At once


async def test_changes_of_different_fields_at_once_all_land(world: World) -> None:
    account = await world.make("account", name="Acme")
    values: list[Row] = [
        {"name": "Acme Inc"},
        {"industry": "Rockets"},
        {"employees": 7},
        {"foundedYear": 1999},
        {"description": "Fine."},
        {"domain": "acme.example"},
        {"type": "PARTNER"},
        {"billingAddress": {"city": "Oslo"}},
    ]

    answers = await asyncio.gather(*(world.write("updateAccount", ACCOUNT, id=account, **each) for each in values))

    assert [answer["userErrors"] for answer in answers] == [[]] * len(values)
    assert sorted(number(answer["revision"]) for answer in answers) == list(range(2, 10))
    selection = "version name industry employees foundedYear description domain type billingAddress { city }"
    data = await world.data(f"query ($id: ID!) {{ account(id: $id) {{ {selection} }} }}", id=account)
    expected: Row = {"version": 9}
    for each in values:
        expected |= each
    assert data["account"] == expected


async def test_of_changes_to_one_version_exactly_one_wins(world: World) -> None:
    account = await world.make("account", name="Acme")

    answers = await asyncio.gather(
        *(world.write("updateAccount", ACCOUNT, id=account, name=f"Acme {n}", expectedVersion=1) for n in range(8))
    )

    [won] = [answer for answer in answers if not answer["userErrors"]]
    lost = [answer for answer in answers if answer["userErrors"]]
    assert {error["code"] for answer in lost for error in answer["userErrors"]} == {"CONFLICT"}
    assert [answer["account"] for answer in lost] == [won["account"]] * 7
    assert won["account"]["version"] == 2
    assert len(await world.changes()) == 2


async def test_revisions_are_dense_though_many_write_and_some_fail(world: World) -> None:
    await world.make("account", name="Taken", externalId="taken")

    async def writer(place: int) -> list[Row]:
        answers = []
        for turn in range(4):
            taken = (place + turn) % 3 == 0
            external_id = "taken" if taken else f"{place}-{turn}"
            answers.append(await world.write("createAccount", ACCOUNT, name="Acme", externalId=external_id))
        return answers

    answers = [answer for some in await asyncio.gather(*map(writer, range(16))) for answer in some]

    done = sorted(number(answer["revision"]) for answer in answers if answer["revision"])
    refused = [error["code"] for answer in answers for error in answer["userErrors"]]
    assert (len(done), refused) == (42, ["DUPLICATE"] * 22)
    assert done == list(range(2, 44))
    changes = await world.changes()
    assert [change["revision"] for change in changes] == list(range(1, 44))
    recorded = [change["recorded_at"] for change in changes]
    assert recorded == sorted(recorded)


async def test_two_parents_set_at_once_close_no_circle(world: World) -> None:
    one, two = await world.make("account", name="One"), await world.make("account", name="Two")

    answers = await asyncio.gather(
        world.write("updateAccount", ACCOUNT, id=one, parentId=two),
        world.write("updateAccount", ACCOUNT, id=two, parentId=one),
    )

    assert [error["code"] for answer in answers for error in answer["userErrors"]] == ["INVALID"]
    data = await world.data("{ accounts(filter: {parentId: {isNull: false}}) { totalCount } }")
    assert data["accounts"]["totalCount"] == 1


async def test_an_external_id_taken_at_once_is_anothers(world: World) -> None:
    taken = "a deadlock of 'unique)=("
    answers = await asyncio.gather(
        *(world.write("createAccount", ACCOUNT, name=f"Acme {n}", externalId=taken) for n in range(5))
    )

    errors = [error for answer in answers for error in answer["userErrors"]]
    assert [(error["code"], error["field"]) for error in errors] == [("DUPLICATE", "externalId")] * 4
    assert len(await world.changes()) == 1


# Refused


async def test_an_external_id_is_taken_by_unseen_and_deleted_records_too(world: World) -> None:
    rep = await world.person(Role.REP)
    unseen = await world.make("account", name="Unseen", externalId="x1")
    gone = await world.make("account", name="Gone", externalId="x2")
    own = await world.make("account", name="Own", externalId="x3", by=rep)
    await world.write("deleteAccount", ACCOUNT, id=gone)
    await world.default("account", Visibility.PRIVATE)
    stored = await world.everything()

    refusal = {"code": "DUPLICATE", "field": "externalId", "message": "Another account has this external id."}
    for taken in ("x1", "x2"):
        answer = await world.write("createAccount", ACCOUNT, name="New", externalId=taken, by=rep)
        assert answer == {"revision": None, "userErrors": [refusal], "account": None}
        answer = await world.write("updateAccount", ACCOUNT, id=own, externalId=taken, by=rep)
        assert answer == {"revision": None, "userErrors": [refusal], "account": None}
    assert await world.everything() == stored
    kept = await world.write("updateAccount", ACCOUNT, id=own, externalId="x3", by=rep)
    assert kept["userErrors"] == []
    assert unseen != own


# Changes of a write


async def test_what_is_left_out_stays_and_null_empties(world: World) -> None:
    account = await world.make(
        "account", name="Acme", industry="Rockets", employees=7, annualRevenue={"amount": "5", "currency": "NOK"}
    )
    selection = "account { name industry employees annualRevenue { amount currency } }"

    answer = await world.write("updateAccount", selection, id=account, industry=None, annualRevenue=None)

    assert answer["account"] == {"name": "Acme", "industry": None, "employees": 7, "annualRevenue": None}
    stored = await world.everything()
    answer = await world.write("updateAccount", selection, id=account, name=None)
    assert answer["userErrors"] == [{"code": "REQUIRED", "field": "name", "message": "A value is needed."}]
    assert await world.everything() == stored


async def test_a_change_to_what_it_was_is_none(world: World) -> None:
    account = await world.make("account", name="Acme", industry="Rockets", billingAddress={"city": "Oslo"})
    stored = await world.everything()

    answer = await world.write(
        "updateAccount", ACCOUNT, id=account, name=" Acme ", industry="Rockets", billingAddress={"city": "Oslo"}
    )

    assert number(answer["revision"]) == 1
    assert answer["account"]["version"] == 1
    assert await world.everything() == stored


async def test_a_revision_counts_changed_records(world: World) -> None:
    stages = "{ createPipeline: pipelines { totalCount } }"
    assert (await world.data(stages))["createPipeline"]["totalCount"] == 0
    account = await world.write("createAccount", ACCOUNT, name="Acme")
    people = [await world.make("contact", lastName=name) for name in ("Ada", "Grace", "Edsger")]
    campaign = await world.make("campaign", name="Spring")

    answer = await world.write(
        "addCampaignMembers", "campaign { members { totalCount } }", campaignId=campaign, contactIds=people
    )

    assert number(account["revision"]) == 1
    assert answer["campaign"]["members"]["totalCount"] == 3
    assert number(answer["revision"]) == 5 + 3
    epochs = {answer["revision"].partition(".")[0] for answer in (account, answer)}
    assert len(epochs) == 1


async def test_each_mutation_of_a_request_is_a_transaction(world: World) -> None:
    document = """
        mutation {
          one: createAccount(input: {name: "One", externalId: "x"}) { ...answer }
          two: createAccount(input: {name: "Two", externalId: "x"}) { ...answer }
          three: createAccount(input: {name: "Three"}) { ...answer }
        }
        fragment answer on AccountPayload { revision userErrors { code } account { name } }
    """

    data: dict[str, Any] = await world.data(document)

    assert [data[each]["account"] for each in data] == [{"name": "One"}, None, {"name": "Three"}]
    assert [data[each]["userErrors"] for each in data] == [[], [{"code": "DUPLICATE"}], []]
    assert [data[each]["revision"] and number(data[each]["revision"]) for each in data] == [1, None, 2]
    assert [(change["revision"], change["fields"]["name"]) for change in await world.changes()] == [
        (1, [None, "One"]),
        (2, [None, "Three"]),
    ]


async def test_a_write_in_a_request_reads_what_the_ones_before_it_wrote(world: World) -> None:
    account = await world.make("account", name="Zero")
    document = """
        mutation ($id: ID!) {
          one: updateAccount(input: {id: $id, name: "One"}) { account { name version } }
          two: updateAccount(input: {id: $id, name: "Two"}) { account { name version } }
          gone: deleteAccount(input: {id: $id}) { account { name } }
          back: restoreAccount(input: {id: $id}) { account { name version deletedAt } }
        }
    """

    assert await world.data(document, id=account) == {
        "one": {"account": {"name": "One", "version": 2}},
        "two": {"account": {"name": "Two", "version": 3}},
        "gone": {"account": None},
        "back": {"account": {"name": "Two", "version": 5, "deletedAt": None}},
    }
