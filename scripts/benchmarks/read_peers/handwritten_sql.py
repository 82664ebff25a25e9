"""The upper bound: one handwritten statement per operation that builds the JSON, with asyncpg and bare Starlette.

It knows the bench's operations by their names, and nothing of GraphQL, of users or of limits. Its move is an UPDATE
alone: neither does it write a log, nor does it keep totals.
"""

from __future__ import annotations

import orjson
from serving import WORKSPACE_ID, Database, serve
from starlette.requests import Request
from starlette.responses import Response


def _time(column: str) -> str:
    return f"""to_char({column}, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""


def _money(row: str, column: str = "amount") -> str:
    text = f"trim_scale({row}.{column} * 0.0001)::text"
    money = f"json_build_object('amount', {text}, 'currency', {row}.currency)"
    return f"CASE WHEN {row}.{column} IS NOT NULL THEN {money} END"


def _one(table: str, row: str, key: str, fields: str) -> str:
    """The record that a key points to."""
    return f"(SELECT json_build_object({fields}) FROM {table} {row} WHERE {row}.workspace_id = $1 AND {row}.id = {key})"


def _nodes(fields: str, rows: str) -> str:
    """A page of records: `rows` is their SELECT, called r."""
    return f"""json_build_object('nodes',
        (SELECT coalesce(json_agg(json_build_object({fields})), '[]') FROM ({rows}) r))"""


def _of(table: str, parent: str, key: str, first: int, order: str = "id") -> str:
    condition = f"workspace_id = $1 AND {parent} = {key} AND deleted_at IS NULL"
    return f"SELECT * FROM {table} WHERE {condition} ORDER BY {order} LIMIT {first}"


def _named(table: str, key: str) -> str:
    """The id and the name of the record that a key points to."""
    return _one(table, "o", key, "'id', o.id, 'name', o.name")


DEAL = f"'id', r.id, 'name', r.name, 'amount', {_money('r')}, 'closeDate', r.close_date"
CHANCE = "'probability', r.probability"
DATED = f"'version', r.version, 'createdAt', {_time('r.created_at')}, 'updatedAt', {_time('r.updated_at')}"
OWNER, STAGE, ACCOUNT = (
    f"'{name}', {_named(table, f'r.{name}_id')}"
    for name, table in {"owner": "users", "stage": "stages", "account": "accounts"}.items()
)

CONTACTS = _nodes(
    "'id', r.id, 'firstName', r.first_name, 'lastName', r.last_name, 'title', r.title, 'email', r.email, "
    "'phone', r.phone",
    _of("contacts", "account_id", "a.id", 10),
)
DEALS = _nodes(f"{DEAL}, {CHANCE}, {STAGE}, {OWNER}", _of("opportunities", "account_id", "a.id", 10))
CASES = _nodes(
    "'id', r.id, 'number', r.number, 'subject', r.subject, 'status', r.status, 'priority', r.priority, "
    f"'createdAt', {_time('r.created_at')}",
    _of("cases", "account_id", "a.id", 5),
)
ACTIVITIES = _nodes(
    f"'id', r.id, 'type', r.type, 'subject', r.subject, 'happensAt', {_time('r.happens_at')}",
    """SELECT v.* FROM activity_links l JOIN activities v ON v.workspace_id = $1 AND v.id = l.activity_id
    WHERE l.workspace_id = $1 AND l.account_id = a.id AND v.deleted_at IS NULL
    ORDER BY v.happens_at DESC, v.id LIMIT 10""",
)
CUSTOMER = f"""
SELECT json_build_object('account', (SELECT json_build_object(
    'id', a.id, 'name', a.name, 'type', a.type, 'website', a.website, 'phone', a.phone, 'industry', a.industry,
    'employees', a.employees, 'annualRevenue', {_money("a", "annual_revenue")}, {DATED.replace("r.", "a.")},
    'owner', {_one("users", "u", "a.owner_id", "'id', u.id, 'name', u.name, 'email', u.email")},
    'parent', {_named("accounts", "a.parent_id")},
    'contacts', {CONTACTS}, 'opportunities', {DEALS}, 'cases', {CASES}, 'activities', {ACTIVITIES}
) FROM accounts a WHERE a.workspace_id = $1 AND a.id = $2 AND a.deleted_at IS NULL))::text
"""

FIRST_DEALS = _nodes(f"{DEAL}, {CHANCE}", _of("opportunities", "account_id", "a.id", 5))
ACCOUNTS = f"""
SELECT json_build_object('accounts', json_build_object(
    'nodes', json_agg(json_build_object(
        'id', a.id, 'name', a.name, 'type', a.type, 'industry', a.industry,
        'annualRevenue', {_money("a", "annual_revenue")}, 'owner', {_named("users", "a.owner_id")},
        'opportunities', {FIRST_DEALS}
    ) ORDER BY a.id) FILTER (WHERE a.place <= 50),
    'pageInfo', json_build_object(
        'hasNextPage', count(*) > 50, 'endCursor', max(a.id) FILTER (WHERE a.place <= 50))))::text
FROM (
    SELECT *, row_number() OVER (ORDER BY id) AS place FROM accounts
    WHERE workspace_id = $1 AND id > coalesce($2, '') AND deleted_at IS NULL ORDER BY id LIMIT 51
) a
"""

CARDS = _nodes(f"{DEAL}, {ACCOUNT}, {OWNER}", _of("opportunities", "stage_id", "s.id", 25, "rank, id"))
TOTALS = """(SELECT json_build_object(
    'count', coalesce(sum(t.count), 0),
    'sums', coalesce(json_agg(json_build_object(
        'currency', t.currency, 'count', t.count, 'amount', trim_scale(t.amount)::text,
        'weighted', trim_scale(t.weighted)::text) ORDER BY t.currency) FILTER (WHERE t.currency <> ''), '[]'))
    FROM peers.stage_sums t WHERE t.workspace_id = $1 AND t.stage_id = s.id)"""
BOARD = f"""
SELECT json_build_object('pipelineBoard', (SELECT json_build_object(
    'pipeline', json_build_object('id', p.id, 'name', p.name),
    'stages', (SELECT json_agg(json_build_object(
        'stage', json_build_object('id', s.id, 'name', s.name, 'probability', s.probability),
        'totals', {TOTALS}, 'cards', {CARDS}
    ) ORDER BY s.position, s.id)
        FROM stages s WHERE s.workspace_id = $1 AND s.pipeline_id = p.id AND s.deleted_at IS NULL)
) FROM pipelines p WHERE p.workspace_id = $1 AND p.id = $2 AND p.deleted_at IS NULL))::text
"""

RECORD = f"""
SELECT json_build_object('opportunity', (SELECT json_build_object(
    {DEAL}, {CHANCE}, 'stageEnteredAt', {_time("r.stage_entered_at")}, {DATED}
) FROM opportunities r WHERE r.workspace_id = $1 AND r.id = $2 AND r.deleted_at IS NULL))::text
"""

MOVE = f"""
WITH r AS (
    UPDATE opportunities
    SET stage_id = $3, version = version + 1, stage_entered_at = now(), updated_at = now()
    WHERE workspace_id = $1 AND id = $2 AND version = $4 AND deleted_at IS NULL
    RETURNING id, version, stage_id
)
SELECT json_build_object('moveOpportunity', json_build_object(
    'opportunity', json_build_object('id', r.id, 'version', r.version, {STAGE}), 'userErrors', '[]'::json))::text
FROM r
"""

STATEMENTS = {
    "Customer": (CUSTOMER, lambda given: [given["id"]]),
    "Accounts": (ACCOUNTS, lambda given: [given.get("after")]),
    "Board": (BOARD, lambda given: [given["id"]]),
    "Deal": (RECORD, lambda given: [given["id"]]),
    "Move": (MOVE, lambda given: [given["input"][each] for each in ("opportunityId", "stageId", "expectedVersion")]),
}
database = Database()


async def answer(request: Request) -> Response:
    operation = orjson.loads(await request.body())
    statement, arguments = STATEMENTS[operation["operationName"]]
    data = await database.pool.fetchval(statement, WORKSPACE_ID, *arguments(operation["variables"]))
    return Response(f'{{"data":{data}}}', media_type="application/json")


if __name__ == "__main__":
    serve(database, answer)
