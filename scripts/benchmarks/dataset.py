"""A company of any size in a PostgreSQL database. Each record's values follow from its number."""

from __future__ import annotations

import asyncio
import importlib
import json
from collections.abc import Sequence
from typing import Any

TEAMS, USERS, PIPELINES, STAGES = 5, 50, 10, 6  # stages of each pipeline
EMAIL = "user-1@bench.example"  # the manager of all other users
CURRENCIES = ["EUR", "USD", "JPY"]
CHECKED = 10_000  # up to here keys are checked; a larger company is alike, and so made in a third of the time
# How many of 50 deals each of 10 accounts has, and so on: some have more than a page, some have none.
DEALS, CASES = [14, 9, 7, 6, 5, 4, 3, 2], [7, 4, 3, 2, 2, 1, 1]


def key(prefix: str, number: int) -> str:
    """The id of a record: as long as a TypeID, since long keys cost."""
    return f"{prefix}_{number:026}"


def accounts_of(deals: int) -> int:
    return deals // 5


def _key(prefix: str, number: str) -> str:
    return f"'{prefix}_' || lpad(({number})::text, 26, '0')"


def _account(shares: Sequence[int], turn: int) -> str:
    """The account of row n: those of one account are spread over the table, as when they came one by one."""
    ends = [sum(shares[: place + 1]) for place in range(len(shares) - 1)]
    blocks = "($2::int / 50)"
    place = f"(width_bucket((n - 1) / {blocks}, ARRAY{ends}) + {turn}) % 10"
    return _key("acc", f"(n - 1) % {blocks} * 10 + {place} + 1")


def _insert(table: str, rows: str, **columns: str) -> str:
    """An INSERT of rows numbered n."""
    names, values = ", ".join(columns), ", ".join(columns.values())
    return f"INSERT INTO {table} (workspace_id, {names}) SELECT $1, {values} FROM generate_series(1, {rows}) n"


def _pick(values: Sequence[str], number: str = "n") -> str:
    return f"(ARRAY{list(values)})[({number}) % {len(values)} + 1]"


RECORD = {"version": "1", "custom": "'{}'"} | dict.fromkeys(
    ("created_at", "updated_at"), "'2024-01-01Z'::timestamptz + n * interval '61.5 seconds'"
)
OWNER = f"n * 7 % {USERS} + 1"
ASSIGNED = {"owner_id": _key("user", OWNER), "team_id": _key("team", f"({OWNER}) % {TEAMS} + 1"), **RECORD}
STAGE = f"(n - 1) % {PIPELINES} * {STAGES} + (n - 1) / {PIPELINES} % {STAGES} + 1"
LINK = {"id": "", "activity_id": _key("act", "n"), "derived": "false"}
FILL = [
    _insert("teams", f"{TEAMS}", id=_key("team", "n"), name="'Team ' || n", **RECORD),
    _insert(
        "users",
        f"{USERS}",
        id=_key("user", "n"),
        name="'Jürgen Person ' || n",
        email="'user-' || n || '@bench.example'",
        role="'REP'",
        active="true",
        team_id=_key("team", f"n % {TEAMS} + 1"),
        **RECORD,
    ),
    _insert("reports", f"{USERS}", manager_id=_key("user", "n"), user_id=_key("user", "n"), depth="0"),
    _insert("reports", f"{USERS - 1}", manager_id=_key("user", "1"), user_id=_key("user", "n + 1"), depth="1"),
    _insert("pipelines", f"{PIPELINES}", id=_key("pipe", "n"), name="'Pipeline ' || n", position="n", **RECORD),
    _insert(
        "stages",
        f"{PIPELINES * STAGES}",
        id=_key("stg", "n"),
        pipeline_id=_key("pipe", f"(n - 1) / {STAGES} + 1"),
        name=_pick(["Qualified", "Proposal", "Negotiation", "Contract", "Won", "Lost"], "n - 1"),
        position=f"(n - 1) % {STAGES}",
        probability=f"(ARRAY[20, 40, 60, 80, 100, 0])[(n - 1) % {STAGES} + 1]",
        category=_pick(["OPEN", "OPEN", "OPEN", "OPEN", "WON", "LOST"], "n - 1"),
        forecast_category=_pick(["PIPELINE", "PIPELINE", "BEST_CASE", "COMMIT", "CLOSED", "OMITTED"], "n - 1"),
        required_fields="'[]'",
        **RECORD,
    ),
    _insert(
        "accounts",
        "$2::int / 5",
        id=_key("acc", "n"),
        name="'Müller & Söhne ' || n",
        type=_pick(["CUSTOMER", "PROSPECT", "PARTNER"]),
        website="'https://www.account-' || n || '.example'",
        phone="'+1555' || lpad(n::text, 7, '0')",
        industry=_pick(["Machines", "Software", "Medical", "Retail"]),
        employees="n % 5000 + 1",
        annual_revenue="CASE WHEN n % 7 > 0 THEN n % 90000 * 1000000::bigint + n % 4 * 2500 END",
        currency="CASE WHEN n % 7 > 0 THEN 'USD' END",
        parent_id=f"CASE WHEN n % 10 > 5 THEN {_key('acc', 'n - 5')} END",
        **ASSIGNED,
    ),
    _insert(
        "contacts",
        "$2::int",
        id=_key("con", "n"),
        first_name=_pick(["Ada", "Björn", "Chloé", "Dmitri", "Emi"]),
        last_name="'Person ' || n",
        title=_pick(["Buyer", "Engineer", "Director"]),
        email="'person-' || n || '@account.example'",
        phone="CASE WHEN n % 3 > 0 THEN '+1556' || lpad(n::text, 7, '0') END",
        emails="jsonb_build_array(jsonb_build_object('address', 'person-' || n || '@account.example'))",
        phones="'[]'",
        social_profiles="'[]'",
        email_opt_out="false",
        phone_opt_out="false",
        account_id=_account(DEALS, 2),
        **ASSIGNED,
    ),
    _insert(
        "opportunities",
        "$2::int",
        id=_key("opp", "n"),
        name="'Machines for hall ' || n",
        account_id=_account(DEALS, 0),
        pipeline_id=_key("pipe", f"(n - 1) % {PIPELINES} + 1"),
        stage_id=_key("stg", STAGE),
        rank="'g' || lpad(n::text, 7, '0')",
        stage_entered_at=RECORD["created_at"],
        amount="CASE WHEN n % 17 > 0 THEN n % 9000 * 10000000::bigint + n % 4 * 2500 END",
        currency=f"CASE WHEN n % 17 > 0 THEN {_pick(CURRENCIES)} END",
        probability=f"(ARRAY[20, 40, 60, 80, 100, 0])[(n - 1) / {PIPELINES} % {STAGES} + 1]",
        probability_pinned="false",
        forecast_category="'PIPELINE'",
        forecast_category_pinned="false",
        close_date="CASE WHEN n % 5 > 0 THEN '2026-01-01'::date + n % 700 END",
        competitors="'[]'",
        **ASSIGNED,
    ),
    _insert(
        "cases",
        "$2::int * 2 / 5",
        id=_key("case", "n"),
        number="n",
        subject="'Machine ' || n || ' does not start'",
        status=_pick(["NEW", "IN_PROGRESS", "WAITING_ON_CUSTOMER", "RESOLVED"]),
        priority=_pick(["LOW", "MEDIUM", "HIGH", "URGENT"], "n / 3"),
        escalation_level="0",
        account_id=_account(CASES, 1),
        **ASSIGNED,
    ),
    _insert(
        "activities",
        "$2::int",
        id=_key("act", "n"),
        type=_pick(["EMAIL", "CALL", "MEETING", "NOTE"]),
        subject="'Talked about hall ' || n",
        happens_at=RECORD["created_at"],
        done="false",
        **ASSIGNED,
    ),
    # About an account, or about one of its contacts and so about the account, too.
    _insert(
        "activity_links",
        "$2::int",
        **LINK | {"id": _key("linka", "n"), "account_id": _account(DEALS, 2), "derived": "n % 2 = 0"},
    ),
    _insert(
        "activity_links",
        "$2::int / 2",
        **LINK | {"id": _key("linkc", "n"), "activity_id": _key("act", "2 * n"), "contact_id": _key("con", "2 * n")},
    ),
    _insert(
        "participants",
        "$2::int / 2",
        id=_key("part", "n"),
        activity_id=_key("act", "2 * n"),
        user_id=_key("user", f"n % {USERS} + 1"),
    ),
]
# What a stage's totals are for those who read them by SQL alone, and what PostGraphile should know.
PEERS = """
CREATE SCHEMA peers;
CREATE VIEW peers.stage_sums AS
SELECT workspace_id, stage_id, currency, sum(count)::bigint AS count,
    (sum(high) * 1000000000 + sum(low)) * 0.0001 AS amount,
    (sum(weighted_high) * 1000000000 + sum(weighted_low)) * 0.000001 AS weighted
FROM public.stage_totals WHERE count > 0 GROUP BY workspace_id, stage_id, currency;
COMMENT ON VIEW peers.stage_sums IS
    E'@primaryKey workspace_id,stage_id,currency\\n@foreignKey (workspace_id,stage_id) references public.stages';
COMMENT ON COLUMN public.opportunities.rank IS '@behavior +attribute:orderBy';
COMMENT ON COLUMN public.stages.position IS '@behavior +attribute:orderBy';
"""


def fill(dsn: str, deals: int, visibility: str) -> str:
    """Put the company into a migrated database; the id of its workspace. `deals` is a multiple of 50."""
    return asyncio.run(_fill(dsn, deals, visibility))


async def _fill(dsn: str, deals: int, visibility: str) -> str:
    import asyncpg

    totals = importlib.import_module("crm_graph.migrations.versions.0002_stage_totals").FILL
    connection: Any = await asyncpg.connect(dsn)
    try:
        workspace_id: str = await connection.fetchval("SELECT id FROM workspaces")
        checked = deals <= CHECKED or not await connection.fetchval("SELECT current_setting('is_superuser')::bool")
        if not checked:
            await connection.execute("SET session_replication_role = replica")
        for statement in FILL:
            await connection.execute(statement, workspace_id, *([deals] if "$2" in statement else []))
            if checked:  # otherwise the checks of the keys that point here would read whole tables
                await connection.execute("ANALYZE")
        await connection.execute(totals)
        defaults = json.dumps(dict.fromkeys(("Account", "Lead", "Opportunity", "Case", "Campaign"), visibility))
        await connection.execute("UPDATE workspaces SET visibility_defaults = $1", defaults)
        await connection.execute(PEERS)
        await connection.execute("VACUUM ANALYZE")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()
    return workspace_id
