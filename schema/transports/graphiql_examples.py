"""Example operations for GraphiQL. Their ids are of the demo data; replace them for other data."""

from __future__ import annotations

from typing import Any, TypedDict

from crm_graph.services.demo.ids import demo_id

ACCOUNT, CONTACT, LEAD = demo_id("acc", 1), demo_id("con", 1), demo_id("lead", 1)
PIPELINE, OPPORTUNITY = demo_id("pipe", 1), demo_id("opp", 1)


class Example(TypedDict):
    name: str
    query: str
    variables: dict[str, Any]


EXAMPLES: list[Example] = [
    {
        "name": "All about one account",
        "query": """\
query Customer($id: ID!) {
  account(id: $id) {
    name
    type
    industry
    owner { name manager { name } }
    parent { name }
    children { nodes { name } }
    summary {
      openPipeline { count sums { currency amount weighted } }
      wonRevenue { amount currency }
      openCases
      lastActivity { subject happensAt }
      nextActivity { subject happensAt }
    }
    contacts(first: 5) { totalCount nodes { firstName lastName title email } }
    opportunities(orderBy: [{ field: CLOSE_DATE, direction: DESC }]) {  # opportunities are deals
      nodes {
        name
        amount { amount currency }
        closeDate
        stage { name }
        contactRoles { nodes { role primary contact { lastName } } }
        lines { nodes { quantity price { amount } product { name } } }
      }
    }
    cases { nodes { number subject status priority owner { name } } }
    campaigns { nodes { name status } }
    timeline(first: 10) {
      nodes {
        at
        actor { name }
        ... on ActivityEntry { activity { type subject } }
        ... on StageMove { opportunity { name } fromStage { name } toStage { name } }
        ... on CaseStatusChange { case { number } fromStatus toStatus }
        ... on MemberResponse { campaignMember { status campaign { name } } }
      }
    }
  }
}
""",
        "variables": {"id": ACCOUNT},
    },
    {
        "name": "Find accounts",
        "query": """\
query FindAccounts($filter: AccountFilter, $after: String) {
  accounts(
    first: 10
    after: $after
    filter: $filter
    orderBy: [{ field: EMPLOYEES, direction: DESC }, { field: NAME }]
  ) {
    totalCount
    pageInfo { hasNextPage endCursor }
    nodes { name industry employees billingAddress { city country } owner { name } }
  }
}
""",
        "variables": {"filter": {"type": {"in": ["CUSTOMER", "PROSPECT"]}, "employees": {"gte": 100}}},
    },
    {
        "name": "A pipeline as a board",
        "query": """\
query Board($pipelineId: ID!) {
  pipelineBoard(pipelineId: $pipelineId) {
    revision
    pipeline { name }
    stages {
      stage { name probability category }
      totals { count sums { currency amount weighted } }
      cards(first: 5) { nodes { id version name amount { amount currency } closeDate owner { name } } }
    }
  }
}
""",
        "variables": {"pipelineId": PIPELINE},
    },
    {
        "name": "The same board, live",
        "query": """\
subscription LiveBoard($pipelineId: ID!, $after: String) {
  pipelineBoard(pipelineId: $pipelineId, after: $after) {
    revision
    caughtUp
    events {
      kind
      happenedAt
      actor { name }
      opportunityId
      opportunity { name amount { amount currency } stage { name } owner { name } }
    }
    stages { stage { name } totals { count sums { currency amount weighted } } }
  }
}
""",
        "variables": {"pipelineId": PIPELINE},
    },
    {
        "name": "Change a deal",
        "query": """\
mutation ChangeDeal($input: UpdateOpportunityInput!) {
  updateOpportunity(input: $input) {
    opportunity { name version amount { amount currency } stage { name } }
    revision
    userErrors { code field message }
  }
}
""",
        "variables": {"input": {"id": OPPORTUNITY, "amount": {"amount": "48000"}}},
    },
    {
        "name": "Add a contact",
        "query": """\
mutation AddContact($input: CreateContactInput!) {
  createContact(input: $input) {
    contact { id firstName lastName email phone account { name } }
    revision
    userErrors { code field message }
  }
}
""",
        "variables": {
            "input": {
                "accountId": ACCOUNT,
                "firstName": "Robin",
                "lastName": "Vale",
                "title": "Head of Purchasing",
                "email": "robin.vale@vale.example",
                "phone": "+1 312 555 0142",
            }
        },
    },
    {
        "name": "Log a call",
        "query": """\
mutation LogCall($input: LogActivityInput!) {
  logActivity(input: $input) {
    activity { id subject happensAt }
    revision
    userErrors { code field message }
  }
}
""",
        "variables": {
            "input": {
                "type": "CALL",
                "subject": "Asked for a second quote",
                "direction": "INBOUND",
                "durationMinutes": 12,
                "outcome": "Connected",
                "contactIds": [CONTACT],
                "opportunityIds": [OPPORTUNITY],
            }
        },
    },
    {
        "name": "Convert a lead",
        "query": """\
mutation Convert($input: ConvertLeadInput!) {
  convertLead(input: $input) {
    lead { status convertedAt }
    account { id name }
    contact { id lastName }
    opportunity { id name closeDate stage { name } }
    revision
    userErrors { code field message }
  }
}
""",
        "variables": {"input": {"leadId": LEAD, "amount": {"amount": "12500", "currency": "USD"}}},
    },
    {
        "name": "Who am I",
        "query": """\
query Me {
  viewer { name email role manager { name } teams { nodes { name } } reports { nodes { name title } } }
  workspace { name currency }
  revision
}
""",
        "variables": {},
    },
]
