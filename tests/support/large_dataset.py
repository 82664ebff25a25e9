"""A company of any size in a PostgreSQL database of its own, generated in the database."""

from __future__ import annotations

from typing import Any

import asyncpg  # type: ignore[import-untyped]  # it has no type annotations
import sqlalchemy as sa
from sqlalchemy.engine import make_url

from crm_graph import models
from crm_graph.models import types
from crm_graph.records import TABLES

WORKSPACE = "ws_bulk"
PIPELINES, STAGES = 10, 60
SPREAD = "n * 7919::bigint"
"""Scattered numbers, each once."""


def counts(deals: int) -> dict[Any, int]:
    """The number of rows of each table; `deals` for an entity that is not listed."""
    listed: dict[Any, int] = {
        models.Team: 5,
        models.User: 50,
        models.Membership: 50,
        models.ApiToken: 50,
        models.Pipeline: PIPELINES,
        models.Stage: STAGES,
        models.Product: 200,
        models.Campaign: deals // 20,
        models.Account: deals // 5,
        models.Contact: deals,
        models.Opportunity: deals,
        models.Lead: deals // 4,
        models.ContactRole: deals,
        models.OpportunityLine: deals,
        models.Case: deals // 2,
        models.Activity: deals,
        models.ActivityLink: deals,
        models.Participant: deals,
        models.CampaignMember: deals,
    }
    return {**listed, **{each: deals for each in models.ENTITIES.values() if each not in listed}}


def key(model: Any, number: object = 1) -> str:
    """The id of a record."""
    return f"{model.prefix}_{number:026}"


async def fill(url: str, deals: int) -> None:
    """Insert the company into a migrated database. A row's values follow from its number."""
    connection: Any = await asyncpg.connect(make_url(url).set(drivername="postgresql").render_as_string(False))
    try:
        await connection.execute("SET session_replication_role = replica")  # keys are right, and need no check
        await connection.execute(_insert(models.Workspace, "1", id=f"'{WORKSPACE}'", workspace_id=None))
        sizes = counts(deals)
        for model, size in sizes.items():
            await connection.execute(_insert(model, str(size), sizes=sizes))
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()


def _insert(model: Any, size: str, sizes: dict[Any, int] | None = None, **given: str | None) -> str:
    """An INSERT of rows numbered n."""
    values = {column.key: _value(model, column, sizes or {}) for column in model.__table__.columns}
    values |= {**_special(model), **given}
    kept = {name: value for name, value in values.items() if value is not None}
    rows = f"SELECT {', '.join(kept.values())} FROM generate_series(1, {size}) n"
    names = ", ".join(f'"{name}"' for name in kept)
    return f"INSERT INTO {model.__tablename__} ({names}) {rows}"


def _id(model: Any, number: str) -> str:
    return f"'{model.prefix}_' || lpad(({number})::text, 26, '0')"


def _value(model: Any, column: sa.Column[Any], sizes: dict[Any, int]) -> str | None:
    """A column's value in row n; None if it is omitted."""
    target = column.info.get("references")
    match column.type:
        case types.Id() if column.key == "workspace_id":
            return f"'{WORKSPACE}'"
        case types.Id() if column.key == "id":
            return _id(model, "n")
        case types.Id() if target is not None:
            size = sizes.get(TABLES[target], 1)
            return _mostly(column, _id(TABLES[target], f"{SPREAD} % {size} + 1"))
        case _ if column.key in {"external_id", "custom"} and column.nullable:
            return None
        case types.Enum() as kind:
            return f"(ARRAY{[str(each) for each in kind.members]})[n % {len(kind.members)} + 1]"
        case types.TextList() | types.Values() | types.Enums():
            return "'[]'"
        case types.Value():
            return "'null'" if not column.nullable else None
        case types.Json():
            return "'{}'"
        case types.Amount():
            return f"{SPREAD} % 1000003"
        case types.Integer() as kind:
            return f"{kind.minimum} + {SPREAD} % ({min(kind.maximum - kind.minimum, 1_000_003)} + 1)"
        case sa.BigInteger():
            return "0"
        case types.Boolean():
            return "n % 2 = 0"
        case types.Date():
            return _mostly(column, f"'2020-01-01'::date + ({SPREAD} % 3650)::int")
        case types.Time() if column.key == "deleted_at":
            return "CASE WHEN n % 20 = 0 THEN '2020-01-01Z'::timestamptz END"
        case types.Time():
            return _mostly(column, f"'2020-01-01Z'::timestamptz + {SPREAD} % 1000003 * interval '1 minute'")
        case types.Currency():
            return "'EUR'"
        case _:
            return f"'x' || {SPREAD} % 1000003"


def _mostly(column: sa.Column[Any], value: str) -> str:
    return f"CASE WHEN n % 10 > 0 THEN {value} END" if column.nullable else value


def _special(model: Any) -> dict[str, str | None]:
    """Values that must be consistent or present."""
    match model:
        case models.User:
            return {"email": "'user-' || n", "role": "'ADMIN'", "active": "true", "deleted_at": None}
        case models.ApiToken:
            return {"token_hash": "n::text", "user_id": _id(models.User, "n")}
        case models.Pipeline:
            return {"deleted_at": None, "position": "n"}
        case models.Stage:
            pipeline = _id(models.Pipeline, f"(n - 1) / {STAGES // PIPELINES} + 1")
            return {"deleted_at": None, "pipeline_id": pipeline, "position": "n"}
        case models.Membership:
            return {"user_id": _id(models.User, "n"), "team_id": _id(models.Team, "n % 5 + 1")}
        case models.Opportunity:
            stage = f"n % {STAGES}"
            return {
                "stage_id": _id(models.Stage, f"{stage} + 1"),
                "pipeline_id": _id(models.Pipeline, f"{stage} / {STAGES // PIPELINES} + 1"),
                "rank": f"'a' || lpad(({SPREAD} % 1000003)::text, 7, '0')",
            }
        case models.Case:
            return {"number": "n"}
        case models.CampaignMember:
            return {"lead_id": None}
    return {}
