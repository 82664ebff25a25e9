"""The demo company: users, teams, products and pipelines."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from crm_graph.models import (
    ApiToken,
    ForecastCategory,
    Membership,
    Pipeline,
    Product,
    ReportingLine,
    RequiredField,
    Role,
    Stage,
    StageCategory,
    Team,
    User,
)
from crm_graph.services.demo import sample_data
from crm_graph.services.demo.builder import Builder, Row

COMPANY = "Lookout Instruments"
DOMAIN = "lookout.example"
FOUNDED = -600


@dataclass
class Company:
    """Rows that the other parts refer to."""

    users: list[Row] = field(default_factory=list)
    teams: dict[str, Row] = field(default_factory=dict)
    products: list[Row] = field(default_factory=list)
    sales: list[Row] = field(default_factory=list)
    renewals: list[Row] = field(default_factory=list)

    @property
    def admin(self) -> Row:
        return self.users[0]

    def reps(self, team: str) -> list[Row]:
        return [user for user in self.users if user["role"] is Role.REP and user["team_id"] == self.teams[team]["id"]]


def email_of(name: str) -> str:
    return f"{name.split()[0].lower()}@{DOMAIN}"


def found(builder: Builder, password_hash: str, token_hash: str) -> Company:
    """The company at its start. All users share one password, so that you can sign in as any of them."""
    company = Company()
    at = builder.moment + dt.timedelta(days=FOUNDED)
    for name, description in sample_data.TEAMS.items():
        company.teams[name] = builder.add(Team, at, None, name=name, description=description)
    for name, title, role, manager, team in sample_data.PEOPLE:
        user = builder.add(
            User,
            at,
            None,
            name=name,
            email=email_of(name),
            title=title,
            role=Role(role),
            manager_id=None if manager is None else company.users[manager]["id"],
            team_id=team and company.teams[team]["id"],
            password_hash=password_hash,
        )
        company.users.append(user)
        builder.home[user["id"]] = user["team_id"]
        if team is not None:
            builder.add(Membership, at, None, team_id=user["team_id"], user_id=user["id"])
    _report(builder, company.users)
    builder.add(ApiToken, at, company.admin["id"], user_id=company.admin["id"], name="Demo", token_hash=token_hash)
    for name, code, family, price in sample_data.PRODUCTS:
        values = {"name": name, "code": code, "family": family, "price": Decimal(price), "currency": "USD"}
        company.products.append(builder.add(Product, at, company.admin["id"], **values))
    builder.change(company.products[-1], Product, builder.day(-200), company.admin["id"], active=False)
    company.sales = _pipeline(builder, company, at, "Sales", "New business.", sample_data.SALES_STAGES)
    company.renewals = _pipeline(builder, company, at, "Renewals", "Yearly contracts.", sample_data.RENEWAL_STAGES)
    return company


def _report(builder: Builder, users: list[Row]) -> None:
    managers = {user["id"]: user["manager_id"] for user in users}
    for user in users:
        above, depth = user["id"], 0
        while above is not None:
            key = {"workspace_id": user["workspace_id"], "manager_id": above, "user_id": user["id"]}
            builder.rows[ReportingLine].append({**key, "depth": depth})
            above, depth = managers[above], depth + 1


def _pipeline(
    builder: Builder, company: Company, at: dt.datetime, name: str, description: str, stages: list[tuple[Any, ...]]
) -> list[Row]:
    by, position = company.admin["id"], len(builder.rows[Pipeline])
    pipeline = builder.add(Pipeline, at, by, name=name, description=description, position=position)
    return [
        builder.add(
            Stage,
            at,
            by,
            pipeline_id=pipeline["id"],
            name=name,
            position=position,
            probability=probability,
            category=StageCategory(category),
            forecast_category=ForecastCategory(forecast),
            days_until_stale=days,
            required_fields=[RequiredField(each) for each in required],
        )
        for position, (name, probability, category, forecast, days, required) in enumerate(stages)
    ]
