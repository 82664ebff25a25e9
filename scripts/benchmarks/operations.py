"""The operations that are measured, and the comparison of their answers.

The documents are this server's own. Stock Strawberry and the statements by hand take the same; PostGraphile's schema
follows from the tables, so it has documents of its own, whose answers are put into the common shape.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from dataset import PIPELINES, STAGES, accounts_of, key

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d.*")
SCALE = 10_000  # of stored amounts
VARIETY = 10_000  # how many different requests
Variables = dict[str, Any]


@dataclass(frozen=True)
class Operation:
    """`variables(deals, chance)` returns those of one request; no two in a row are equal."""

    name: str
    document: str
    postgraphile: str
    variables: Callable[[int, random.Random], Variables]

    def renamed(self, name: str) -> Operation:
        """The same operation with another alias, which makes it another document."""
        head, brace, rest = self.document.partition("{")
        return dataclasses.replace(self, document=f"{head}{brace} {name}: {rest.lstrip()}")


def title_of(document: str) -> str:
    """The name of its operation."""
    return document.partition("(")[0].split()[1]


def _account(deals: int, chance: random.Random) -> Variables:
    return {"id": key("acc", chance.randint(1, accounts_of(deals)))}


def _page(deals: int, chance: random.Random) -> Variables:
    return {"after": key("acc", chance.randint(1, accounts_of(deals) - 51))}


def _deep_page(deals: int, chance: random.Random) -> Variables:
    accounts = accounts_of(deals)
    return {"after": key("acc", int(0.8 * accounts) + chance.randint(1, accounts // 10))}


def _pipeline(deals: int, chance: random.Random) -> Variables:
    return {"id": key("pipe", chance.randint(1, PIPELINES))}


def _deal(deals: int, chance: random.Random) -> Variables:
    return {"id": key("opp", chance.randint(1, deals))}


CUSTOMER = Operation(
    "360",
    """query Customer($id: ID!) {
      account(id: $id) {
        id name type website phone industry employees annualRevenue { amount currency } version createdAt updatedAt
        owner { id name email }
        parent { id name }
        contacts(first: 10) { nodes { id firstName lastName title email phone } }
        opportunities(first: 10) {
          nodes { id name amount { amount currency } probability closeDate stage { id name } owner { id name } }
        }
        cases(first: 5) { nodes { id number subject status priority createdAt } }
        activities(first: 10) { nodes { id type subject happensAt } }
      }
    }""",
    """query Customer($workspaceId: String!, $id: String!) {
      account: accountByWorkspaceIdAndRowId(workspaceId: $workspaceId, rowId: $id) {
        id: rowId name type website phone industry employees annualRevenue currency version createdAt updatedAt
        owner: userByWorkspaceIdAndOwnerId { id: rowId name email }
        parent: accountByWorkspaceIdAndParentId { id: rowId name }
        contacts: contactsByWorkspaceIdAndAccountId(first: 10) {
          nodes { id: rowId firstName lastName title email phone }
        }
        opportunities: opportunitiesByWorkspaceIdAndAccountId(first: 10) {
          nodes {
            id: rowId name amount currency probability closeDate
            stage: stageByWorkspaceIdAndStageId { id: rowId name }
            owner: userByWorkspaceIdAndOwnerId { id: rowId name }
          }
        }
        cases: casesByWorkspaceIdAndAccountId(first: 5) {
          nodes { id: rowId number subject status priority createdAt }
        }
        activities: activityLinksByWorkspaceIdAndAccountId(first: 10, orderBy: ACTIVITY_ID_DESC) {
          nodes { node: activityByWorkspaceIdAndActivityId { id: rowId type subject happensAt } }
        }
      }
    }""",
    _account,
)
LIST = Operation(
    "list",
    """query Accounts($after: String) {
      accounts(first: 50, after: $after) {
        nodes {
          id name type industry annualRevenue { amount currency }
          owner { id name }
          opportunities(first: 5) { nodes { id name amount { amount currency } probability closeDate } }
        }
        pageInfo { hasNextPage endCursor }
      }
    }""",
    """query Accounts($after: Cursor) {
      accounts: allAccounts(first: 50, after: $after) {
        nodes {
          id: rowId name type industry annualRevenue currency
          owner: userByWorkspaceIdAndOwnerId { id: rowId name }
          opportunities: opportunitiesByWorkspaceIdAndAccountId(first: 5) {
            nodes { id: rowId name amount currency probability closeDate }
          }
        }
        pageInfo { hasNextPage endCursor }
      }
    }""",
    _page,
)
BOARD = Operation(
    "board",
    """query Board($id: ID!) {
      pipelineBoard(pipelineId: $id) {
        pipeline { id name }
        stages {
          stage { id name probability }
          totals { count sums { currency count amount weighted } }
          cards(first: 25) {
            nodes { id name amount { amount currency } closeDate account { id name } owner { id name } }
          }
        }
      }
    }""",
    """query Board($workspaceId: String!, $id: String!) {
      board: pipelineByWorkspaceIdAndRowId(workspaceId: $workspaceId, rowId: $id) {
        id: rowId name
        stages: stagesByWorkspaceIdAndPipelineId(orderBy: POSITION_ASC) {
          nodes {
            id: rowId name probability
            sums: peersStageSumsByWorkspaceIdAndStageId(orderBy: CURRENCY_ASC) {
              nodes { currency count amount weighted }
            }
            cards: opportunitiesByWorkspaceIdAndStageId(first: 25, orderBy: RANK_ASC) {
              nodes {
                id: rowId name amount currency closeDate
                account: accountByWorkspaceIdAndAccountId { id: rowId name }
                owner: userByWorkspaceIdAndOwnerId { id: rowId name }
              }
            }
          }
        }
      }
    }""",
    _pipeline,
)
RECORD = Operation(
    "record",
    """query Deal($id: ID!) {
      opportunity(id: $id) {
        id name amount { amount currency } probability closeDate stageEnteredAt version createdAt updatedAt
      }
    }""",
    """query Deal($workspaceId: String!, $id: String!) {
      opportunity: opportunityByWorkspaceIdAndRowId(workspaceId: $workspaceId, rowId: $id) {
        id: rowId name amount currency probability closeDate stageEnteredAt version createdAt updatedAt
      }
    }""",
    _deal,
)
DEEP_PAGE = Operation("deep page", LIST.document, LIST.postgraphile, _deep_page)
READS = [CUSTOMER, LIST, BOARD, RECORD]

MOVE = """mutation Move($input: MoveOpportunityInput!) {
  moveOpportunity(input: $input) { opportunity { id version stage { id name } } userErrors { code message } }
}"""
POSTGRAPHILE_MOVE = """mutation Move($input: UpdateOpportunityByWorkspaceIdAndRowIdInput!) {
  moveOpportunity: updateOpportunityByWorkspaceIdAndRowId(input: $input) {
    opportunity { id: rowId version stage: stageByWorkspaceIdAndStageId { id: rowId name } }
  }
}"""


@dataclass(frozen=True)
class Deal:
    """A deal before its move to the next stage of its pipeline."""

    number: int
    version: int

    @property
    def id(self) -> str:
        return key("opp", self.number)

    @property
    def stage_id(self) -> str:
        """The next stage. A deal begins in the stage of its number with version 1, and each move adds one to both."""
        pipeline, stage = (self.number - 1) % PIPELINES, (self.number - 1) // PIPELINES + self.version
        return key("stg", pipeline * STAGES + stage % STAGES + 1)


def cursor_like(template: str, of: str, to: str) -> str:
    """A server's cursor of another row: `template` is its cursor of the row with id `of`."""
    if template == of:
        return to
    content = base64.b64decode(template, altchars=b"-_" if {"-", "_"} & set(template) else None)
    return base64.b64encode(content.replace(of.encode(), to.encode())).decode()


def compared(data: Any) -> Any:
    """An answer, normalized for comparison: equal times and numbers have equal texts, and cursors are ignored."""
    match data:
        case dict():
            return {name: _scalar(name, compared(value)) for name, value in data.items() if name != "endCursor"}
        case list():
            return [compared(value) for value in data]
    return data


def _scalar(name: str, value: Any) -> Any:
    if name in {"amount", "weighted"} and not isinstance(value, dict | None):
        return str(Decimal(value).normalize())
    if isinstance(value, str) and TIME.fullmatch(value):
        return dt.datetime.fromisoformat(value).astimezone(dt.UTC).isoformat()
    return value


def from_postgraphile(data: Mapping[str, Any]) -> Any:
    """An answer of PostGraphile in our shape."""
    shaped = _reshaped(data)
    if "moveOpportunity" in shaped:
        shaped["moveOpportunity"]["userErrors"] = []
    if "board" in shaped:
        board = shaped.pop("board")
        shaped["pipelineBoard"] = board and _board(**board)
    return shaped


def _board(stages: Mapping[str, Any], **pipeline: Any) -> dict[str, Any]:
    columns = []
    for stage in stages["nodes"]:
        cards, sums = stage.pop("cards"), stage.pop("sums")["nodes"]
        for each in sums:
            each["count"] = int(each["count"])
        count = sum(each["count"] for each in sums)
        # Deals without an amount have a sum without a currency.
        totals = {"count": count, "sums": [each for each in sums if each["currency"]]}
        columns.append({"stage": stage, "totals": totals, "cards": cards})
    return {"pipeline": pipeline, "stages": columns}


def _reshaped(value: Any) -> Any:
    match value:
        case {"node": row} if len(value) == 1:
            return _reshaped(row)
        case dict():
            shaped = {name: _reshaped(each) for name, each in value.items()}
            if "currency" in shaped and "weighted" not in shaped:
                currency = shaped.pop("currency")
                [name] = {"amount", "annualRevenue"} & shaped.keys()
                amount = shaped[name]
                shaped[name] = amount and {"amount": str(Decimal(amount) / SCALE), "currency": currency}
            return shaped
        case list():
            return [_reshaped(each) for each in value]
    return value
