"""Inserts the demo's data."""

from __future__ import annotations

import datetime as dt

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from crm_graph.access import Viewer
from crm_graph.changelog import journal_of
from crm_graph.models import Account, Activity, Base, Case, Contact, Counter, Lead, LeadStatus, Opportunity, now
from crm_graph.services.demo import activities, company, customers, deals, marketing, support
from crm_graph.services.demo.builder import Builder

ACCOUNTS = 200


async def insert_demo(
    session: AsyncSession,
    viewer: Viewer,
    *,
    accounts: int = ACCOUNTS,
    password_hash: str,
    token_hash: str,
    moment: dt.datetime | None = None,
) -> None:
    """Fill a new workspace: all users have the password, and the admin also has the API token.

    Rows are inserted in bulk. The log gets one entry for each change, dated in the past.
    """
    journal = journal_of(session)
    builder = Builder(journal, moment or now())
    build(builder, accounts, password_hash, token_hash)
    connection = await session.connection()
    rows = {model.__tablename__: rows for model, rows in builder.rows.items()}
    for table in Base.metadata.sorted_tables:
        if table.name in rows:
            await connection.execute(sa.insert(table), rows[table.name])
    # The journal has one entry a record; here a record has a whole past, so the key is the entry's own.
    journal.entries.update(
        {(each.entity, f"{each.record_id} {number}"): each for number, each in enumerate(builder.log())}
    )


def build(builder: Builder, accounts: int, password_hash: str, token_hash: str) -> None:
    """Build all of the data, without a database."""
    firm = company.found(builder, password_hash, token_hash)
    campaigns = marketing.plan(builder, firm)
    clients = customers.acquire(builder, firm, accounts)
    talks = deals.negotiate(builder, firm, clients, campaigns)
    leads = deals.capture(builder, firm, talks, accounts)
    marketing.reach(builder, campaigns, clients, leads)
    tickets = support.answer(builder, firm, clients)
    activities.keep(builder, talks, tickets, leads, campaigns, clients)
    _tidy(builder, firm)
    counter = {"workspace_id": builder.journal.viewer.workspace_id, "name": "case", "value": len(builder.rows[Case])}
    builder.rows[Counter].append(counter)


def _tidy(builder: Builder, firm: company.Company) -> None:
    """Somebody cleaned up: a few records of each kind are deleted, but not the first, which the examples are about."""
    by, at = firm.admin["id"], builder.day(-4)
    used = {row["account_id"] for model in (Opportunity, Case) for row in builder.rows[model]}
    used |= {row["parent_id"] for row in builder.rows[Account]}
    idle = {
        Account: [row for row in builder.rows[Account] if row["id"] not in used],
        Contact: [row for row in builder.rows[Contact] if row["email_opt_out"]],
        Lead: [row for row in builder.rows[Lead] if row["status"] is LeadStatus.UNQUALIFIED],
        Opportunity: [row for row in builder.rows[Opportunity] if row["lost_reason"] == "Went quiet"],
        Activity: [row for row in builder.rows[Activity] if row["outcome"] == "No answer"],
    }
    for model, rows in idle.items():
        first = builder.rows[model][0]
        for row in builder.some([row for row in rows if row["updated_at"] < at and row is not first], 2, 4):
            builder.remove(row, model, at, by)
