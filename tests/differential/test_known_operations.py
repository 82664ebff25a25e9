"""Thirty operations as clients send them: each is compiled, and answers what the ordinary execution does."""

from __future__ import annotations

from typing import Any

import pytest

from crm_graph import models
from tests.support.differential.answers import difference
from tests.support.differential.dataset import HERE, Row, Who, rows_of
from tests.support.differential.engines import Pair
from tests.support.differential.operations import Case

PEOPLE = [Who(0, 0), Who(2, 2), Who(3, 4), Who(5, 1)]
"""An admin where all is public, a manager where all is private, a rep where some is, one who only reads."""


def some(model: Any, place: int = 0, **values: Any) -> str:
    """The id of one of the records that are not deleted and have these values."""
    rows = [row for row in rows_of(HERE)[model] if row.get("deleted_at") is None]
    found = [row for row in rows if all(row[name] == value for name, value in values.items())]
    return str(found[place]["id"])


def busiest(column: str, model: Any, target: Any) -> str:
    """The id of the living record that most living records of a table point to."""
    living = {row["id"] for row in rows_of(HERE)[target] if row["deleted_at"] is None}
    pointed = [row[column] for row in rows_of(HERE)[model] if row.get("deleted_at") is None and row[column] in living]
    return str(max(sorted(set(pointed)), key=pointed.count))


ACCOUNT = busiest("account_id", models.Opportunity, models.Account)
CONTACT = busiest("contact_id", models.ContactRole, models.Contact)
DEAL = busiest("opportunity_id", models.ContactRole, models.Opportunity)
CAMPAIGN = busiest("campaign_id", models.CampaignMember, models.Campaign)
PIPELINE = busiest("pipeline_id", models.Stage, models.Pipeline)
STAGE = busiest("stage_id", models.Opportunity, models.Stage)
CASE = busiest("case_id", models.ActivityLink, models.Case)
LEAD = busiest("lead_id", models.ActivityLink, models.Lead)
ACTIVITY = busiest("activity_id", models.ActivityLink, models.Activity)
USER = busiest("owner_id", models.Account, models.User)
TEAM = busiest("team_id", models.Case, models.Team)

CARD = """fragment Card on Opportunity {
  id version name rank probability closeDate amount { amount currency }
  stage { id } account { id name } owner { id name }
}"""
OPERATIONS: dict[str, tuple[str, Row]] = {
    "the 360 of an account": (
        """query Customer($id: ID!) {
          account(id: $id) {
            id name domain industry annualRevenue { amount currency }
            billingAddress { street postalCode city country }
            owner { id name } team { name } parent { id name }
            contacts(first: 10) { nodes { id firstName lastName email phone } totalCount }
            opportunities(first: 10, orderBy: [{field: CLOSE_DATE}]) {
              nodes { id name amount { amount currency } stage { name category } owner { name } } totalCount
            }
            cases(first: 10, filter: {status: {notIn: [CLOSED]}}) { nodes { number subject priority } totalCount }
            activities(first: 10) { nodes { id type subject happensAt owner { name } } }
            campaigns(first: 5) { nodes { id name } }
          }
        }""",
        {"id": ACCOUNT},
    ),
    "the 360 that is followed live": (
        """query Customer($id: ID!) {
          revision
          account(id: $id) { id version opportunities { nodes { id version stage { id } } } cases { nodes { id } } }
        }""",
        {"id": ACCOUNT},
    ),
    "an account in figures": (
        """query Figures($id: ID!) {
          account(id: $id) {
            summary {
              openCases openPipeline { count sums { currency count amount weighted } }
              weightedPipeline { amount currency }
              won { count } wonRevenue { amount currency } lost { count sums { currency amount } }
              lastActivity { id subject happensAt } nextActivity { id subject dueAt }
            }
          }
        }""",
        {"id": ACCOUNT},
    ),
    "a list of accounts with owners and deals": (
        """query Accounts($first: Int = 50, $after: String) {
          accounts(first: $first, after: $after, orderBy: [{field: NAME}]) {
            nodes { id name owner { id name } opportunities(first: 5) { nodes { id name amount { amount currency } } } }
            pageInfo { hasNextPage endCursor }
          }
        }""",
        {},
    ),
    "a search box for accounts": (
        """query Search($text: String!) {
          accounts(first: 8, filter: {or: [{name: {contains: $text}}, {domain: {startsWith: $text}}]}) {
            nodes { __typename id name domain }
          }
        }""",
        {"text": "a"},
    ),
    "a search box for everything": (
        """query Search($text: String!) {
          accounts(first: 5, filter: {name: {contains: $text}}) { nodes { id name } totalCount }
          contacts(first: 5, filter: {or: [{lastName: {contains: $text}}, {firstName: {contains: $text}}]}) {
            nodes { id firstName lastName account { name } } totalCount
          }
          opportunities(first: 5, filter: {name: {contains: $text}}) { nodes { id name } totalCount }
          leads(first: 5, filter: {lastName: {contains: $text}}) { nodes { id lastName company } totalCount }
        }""",
        {"text": "A"},
    ),
    "accounts of an industry, the largest first": (
        """query Segment($filter: AccountFilter) {
          accounts(first: 20, filter: $filter, orderBy: [{field: ANNUAL_REVENUE, direction: DESC}, {field: NAME}]) {
            totalCount nodes { name employees annualRevenue { amount currency } parent { name parent { name } } }
          }
        }""",
        {"filter": {"employees": {"gte": 1}, "not": {"type": {"eq": "COMPETITOR"}}}},
    ),
    "a group of companies": (
        """query Group($id: ID!) {
          account(id: $id) {
            name children { totalCount nodes { name children { nodes { name children { nodes { name } } } } } }
          }
        }""",
        {"id": busiest("parent_id", models.Account, models.Account)},
    ),
    "the people of a company": (
        """query People($id: ID!) {
          account(id: $id) {
            contacts(first: 100, orderBy: [{field: LAST_NAME}, {field: FIRST_NAME, nulls: FIRST}]) {
              edges { cursor node { firstName lastName title emails { address label } phones { number label } } }
            }
          }
        }""",
        {"id": busiest("account_id", models.Contact, models.Account)},
    ),
    "a contact": (
        """query Contact($id: ID!) {
          contact(id: $id) {
            id version firstName lastName title department birthday emailOptOut emailOptOutAt
            emails { address label } phones { number } socialProfiles { network url }
            mailingAddress { street city region postalCode country } account { id name owner { name } }
            opportunities(first: 5) { nodes { id name stage { name } } }
            cases(first: 5) { nodes { id number subject } } campaigns { nodes { name status } }
            activities(first: 5) { nodes { id subject happensAt } }
          }
        }""",
        {"id": CONTACT},
    ),
    "contacts who may be written to": (
        """query Mailing($after: String) {
          contacts(first: 50, after: $after, filter: {emailOptOut: {eq: false}, email: {isNull: false}}) {
            totalCount nodes { id email firstName lastName } pageInfo { hasNextPage endCursor }
          }
        }""",
        {"after": None},
    ),
    "a deal": (
        f"""query Deal($id: ID!) {{
          opportunity(id: $id) {{
            ...Card description nextStep lostReason competitors forecastCategory startDate stageEnteredAt createdAt
            pipeline {{ id name }} campaign {{ id name }} team {{ id name }}
            contactRoles {{ nodes {{ role primary contact {{ id lastName }} }} }}
            lines {{ nodes {{ quantity price {{ amount currency }} product {{ name code }} }} }}
            activities(first: 3) {{ nodes {{ type subject }} }}
          }}
        }}
        {CARD}""",
        {"id": DEAL},
    ),
    "deals that close this quarter": (
        """query Forecast($from: Date!, $to: Date!) {
          opportunities(
            first: 50
            filter: {closeDate: {gte: $from, lte: $to}, stage: {category: {eq: OPEN}}}
            orderBy: [{field: CLOSE_DATE}, {field: AMOUNT, direction: DESC}]
          ) { totalCount nodes { name closeDate probability amount { amount currency } account { name } } }
        }""",
        {"from": "2020-01-01", "to": "2020-12-31"},
    ),
    "the deals of an owner": (
        """query Mine($owner: ID!) {
          opportunities(filter: {ownerId: {eq: $owner}}) { totalCount nodes { id name stage { name position } } }
          user(id: $owner) { opportunities(first: 3, orderBy: {field: AMOUNT, direction: DESC}) { nodes { name } } }
        }""",
        {"owner": busiest("owner_id", models.Opportunity, models.User)},
    ),
    "a board": (
        f"""query Board($id: ID!) {{
          pipelineBoard(pipelineId: $id) {{
            revision pipeline {{ id name }}
            stages {{
              stage {{ id name position category probability }}
              totals {{ count sums {{ currency count amount weighted }} }}
              cards(first: 20) {{ edges {{ cursor node {{ ...Card }} }} pageInfo {{ hasNextPage endCursor }} }}
            }}
          }}
        }}
        {CARD}""",
        {"id": PIPELINE},
    ),
    "a board of one's own deals": (
        f"""query Board($id: ID!, $filter: OpportunityFilter) {{
          pipelineBoard(pipelineId: $id, filter: $filter) {{
            revision
            stages {{ stage {{ id }} totals {{ count sums {{ currency amount }} }} cards {{ nodes {{ ...Card }} }} }}
          }}
        }}
        {CARD}""",
        {"id": PIPELINE, "filter": {"owner": {"active": {"eq": True}}, "probability": {"lte": 100}}},
    ),
    "a board's totals alone": (
        """query Totals($id: ID!) {
          pipelineBoard(pipelineId: $id) { stages { stage { name } totals { count sums { currency weighted } } } }
        }""",
        {"id": PIPELINE},
    ),
    "pipelines with their stages": (
        """{ pipelines { nodes { id name stages { nodes { id name position category requiredFields } } } } }""",
        {},
    ),
    "a stage page by page": (
        """query Stage($id: ID!, $last: Int) {
          stage(id: $id) {
            name opportunities(last: $last, orderBy: [{field: RANK}]) {
              nodes { id rank } pageInfo { hasPreviousPage startCursor }
            }
          }
        }""",
        {"id": STAGE, "last": 3},
    ),
    "a queue of cases": (
        """query Queue($team: ID!) {
          team(id: $team) {
            name members { nodes { name } }
            cases(filter: {status: {in: [NEW, IN_PROGRESS]}}, orderBy: [{field: PRIORITY}, {field: NUMBER}]) {
              totalCount nodes { number subject priority account { name } contact { lastName } }
            }
          }
        }""",
        {"team": TEAM},
    ),
    "a case": (
        """query Case($id: ID!) {
          case(id: $id) {
            number subject description status priority origin type escalationLevel escalationReason
            firstResponseAt resolvedAt closedAt account { id name } contact { id lastName email } owner { name }
            activities(first: 10, orderBy: [{field: HAPPENS_AT, direction: DESC}]) {
              nodes { type subject body direction happensAt owner { name } }
            }
          }
        }""",
        {"id": CASE},
    ),
    "escalated cases without an owner": (
        """{ cases(filter: {escalationLevel: {gt: 0}, ownerId: {isNull: true}}, orderBy: [{field: ESCALATION_LEVEL}]) {
          totalCount nodes { number subject escalationLevel owner { id } team { name } } } }""",
        {},
    ),
    "open tasks": (
        """query Tasks($before: DateTime!) {
          activities(
            filter: {type: {eq: TASK}, done: {eq: false}, or: [{dueAt: {lt: $before}}, {dueAt: {isNull: true}}]}
            orderBy: [{field: DUE_AT, nulls: FIRST}]
          ) { totalCount nodes { id subject dueAt accounts { nodes { name } } contacts { nodes { lastName } } } }
        }""",
        {"before": "2999-01-01T00:00:00+01:00"},
    ),
    "an activity and what it is about": (
        """query Activity($id: ID!) {
          activity(id: $id) {
            type subject body happensAt durationMinutes outcome doneAt owner { name }
            accounts { nodes { name } } contacts { nodes { lastName } } leads { nodes { lastName } }
            opportunities { nodes { name } } cases { nodes { number } } campaigns { nodes { name } }
          }
        }""",
        {"id": ACTIVITY},
    ),
    "leads to call": (
        """query Leads($after: String) {
          leads(first: 5, after: $after, filter: {status: {in: [NEW, WORKING]}, phoneOptOut: {eq: false}}
            orderBy: [{field: SCORE, direction: DESC, nulls: LAST}, {field: CREATED_AT}]) {
            totalCount edges { cursor node { id lastName company phone score source } }
            pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
          }
        }""",
        {},
    ),
    "a lead and what became of it": (
        """query Lead($id: ID!) {
          lead(id: $id) {
            firstName lastName status convertedAt address { city } annualRevenue { amount }
            convertedAccount { name } convertedContact { lastName } convertedOpportunity { name stage { name } }
            activities { nodes { subject } } campaignMembers { nodes { status campaign { name } } }
          }
        }""",
        {"id": LEAD},
    ),
    "a campaign and its members": (
        """query Campaign($id: ID!) {
          campaign(id: $id) {
            name type status startDate endDate budget { amount currency } actualCost { amount } parent { name }
            memberStatuses { name responded }
            members(first: 30, orderBy: [{field: STATUS}]) {
              totalCount nodes { status firstRespondedAt contact { lastName account { name } } lead { lastName } }
            }
            opportunities { totalCount nodes { name } } children { nodes { name } }
          }
        }""",
        {"id": CAMPAIGN},
    ),
    "refetching what a cache has": (
        """query Refetch($ids: [ID!]!) {
          nodes(ids: $ids) {
            __typename id
            ... on Account { name owner { id } }
            ... on Opportunity { name amount { amount currency } stage { id name } }
            ... on Case { number status }
            ... on Contact { lastName emails { address } }
            ... on User { name role }
          }
        }""",
        {"ids": [ACCOUNT, DEAL, CASE, CONTACT, USER, "acc_999", "nonsense", LEAD]},
    ),
    "refetching one record": (
        """query Refetch($id: ID!, $more: Boolean = false) {
          node(id: $id) {
            __typename id ... on Account { version name contacts(first: 2) @include(if: $more) { nodes { id } } }
          }
        }""",
        {"id": ACCOUNT, "more": True},
    ),
    "who is who": (
        """{
          viewer { id name role team { name } manager { name manager { name } } reports { nodes { name } } }
          users(filter: {active: {eq: true}}, orderBy: [{field: NAME}]) { nodes { id role teams { nodes { name } } } }
        }""",
        {},
    ),
}


def test_there_are_thirty() -> None:
    assert len(OPERATIONS) == 30


@pytest.mark.parametrize("name", OPERATIONS)
async def test_a_listed_operation_is_compiled_and_right(pair: Pair, name: str) -> None:
    text, variables = OPERATIONS[name]
    for who in PEOPLE:
        ordinary, compiled = await pair.answers(Case(text, None, variables, who))
        assert difference(ordinary, compiled) is None, who
        assert (ordinary.codes, ordinary.execution, compiled.execution) == ([], "executed", "compiled")
        assert ordinary.found_something or who.user != 0


SMALL: dict[str, tuple[str, Row]] = {
    "what is told without reading the page": (
        """{ pipelines { __typename pageInfo { __typename hasPreviousPage } }
             none: pipelines(filter: {name: {eq: "none"}}) { pageInfo { hasPreviousPage } } }""",
        {},
    ),
    "the type of totals over nothing": (
        "query ($id: ID!) { account(id: $id) { summary { openPipeline { __typename } lost { __typename } } } }",
        {"id": some(models.Account)},
    ),
    "an id that cannot be stored, among others": (
        "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }",
        {"ids": [ACCOUNT, "\0", CONTACT]},
    ),
    "lists of nothing": (
        """query ($order: [AccountOrder!], $filter: AccountFilter, $ids: [ID!]!) {
          accounts(orderBy: $order, filter: $filter) { nodes { id } } nodes(ids: $ids) { id } }""",
        {"order": [], "filter": {"and": [], "id": {"notIn": []}}, "ids": []},
    ),
}


@pytest.mark.parametrize("name", SMALL)
async def test_what_is_small_is_compiled_and_right(pair: Pair, name: str) -> None:
    text, variables = SMALL[name]
    ordinary, compiled = await pair.answers(Case(text, None, variables))
    assert difference(ordinary, compiled) is None
    assert (ordinary.codes, compiled.execution) == ([], "compiled")


async def test_a_cursor_of_another_list_is_refused_where_only_rows_are_counted(pair: Pair) -> None:
    case = Case("query ($after: String) { accounts(after: $after) { totalCount } }", None, {"after": "nonsense"})
    ordinary, compiled = await pair.answers(case)
    assert (ordinary.codes, compiled.codes) == (["BAD_USER_INPUT"], ["BAD_USER_INPUT"])
