"""What the services of each entity would settle themselves, done to rows: by the same rules, many at a time.

`complete_new` completes a new row, `apply_changes` a record that differs from its row. Both raise DomainError.
"""

from __future__ import annotations

import datetime as dt
import functools
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from crm_graph import records
from crm_graph.access import Viewer
from crm_graph.errors import Forbidden, Invalid, Required, StageRequirementMissing
from crm_graph.models import (
    Activity,
    ActivityType,
    Campaign,
    CampaignMember,
    Case,
    Contact,
    Entity,
    Lead,
    Opportunity,
    OpportunityLine,
    OwnedEntity,
    Pipeline,
    Product,
    Role,
    Stage,
    User,
)
from crm_graph.models.types import Amount, Time
from crm_graph.records import TABLES
from crm_graph.services.accounts import contacts
from crm_graph.services.importing.lookup_index import LookupIndex

LATER = {"rank", "number"}
"""What a row gets only when it is written."""
OF_ACCOUNTS: Mapping[str, type[Entity]] = {"contact_id": Contact, "opportunity_id": Opportunity, "case_id": Case}
"""What has an account: an activity about it is about that too."""
Row = dict[str, Any]


@dataclass(frozen=True)
class Context:
    """What rules ask: who imports, what else there is, and the one time at which all of it happens."""

    viewer: Viewer
    lookup: LookupIndex
    moment: dt.datetime

    def fact(self, model: type[Entity], record_id: str | None, name: str) -> Any:
        return self.lookup.facts.get(model, {}).get(record_id or "", {}).get(name)


def derive(context: Context, model: type[Entity], values: Row) -> None:
    """Complete what a row says, whether or not there is its record already: a stage says its pipeline."""
    if model is Opportunity and (stage_id := values.get("stage_id")) is not None:
        pipeline_id = context.fact(Stage, stage_id, "pipeline_id")
        if values.setdefault("pipeline_id", pipeline_id) != pipeline_id:
            raise Invalid("This stage is part of another pipeline.", "stage_id")


def complete_new(
    context: Context, model: type[Entity], row: Row, given: Mapping[str, Any], named: frozenset[str]
) -> None:
    """Complete a new row. `given` are the values it was made of, `named` the fields that the mapping has at all."""
    if issubclass(model, OwnedEntity):
        if "owner_id" not in named and "team_id" not in named:
            row["owner_id"] = context.viewer.user_id
        if "team_id" not in named:
            row["team_id"] = context.fact(User, row["owner_id"], "team_id")
    rule = BEGIN.get(model)
    if rule is not None:
        rule(context, row, given)
    if "currency" in row and row["currency"] is None and any(row[name] is not None for name in amounts(model)):
        row["currency"] = context.viewer.currency


def _begin_opportunity(context: Context, row: Row, given: Mapping[str, Any]) -> None:
    stage = context.lookup.facts[Stage].get(row["stage_id"])
    if stage is None:
        return  # the stage is missed in a moment
    for name in ("probability", "forecast_category"):
        if name not in given:
            row[name] = stage[name]
    for gate in stage["required_fields"] or ():
        if row[gate.column] is None:
            raise StageRequirementMissing(f"The stage {stage['name']} asks for this field: fill it first.", gate.column)


def _begin_line(context: Context, row: Row, given: Mapping[str, Any]) -> None:
    product = context.lookup.facts[Product].get(row["product_id"], {})
    of_deal = context.fact(Opportunity, row["opportunity_id"], "currency")
    currency = of_deal or row["currency"] or product.get("currency") or context.viewer.currency
    if row["currency"] not in (None, currency):
        raise Invalid(f"The deal is in {currency}.", "currency")
    row["currency"] = currency
    if row["price"] is None and product.get("currency") == currency:
        row["price"] = product["price"]


def _begin_member(context: Context, row: Row, given: Mapping[str, Any]) -> None:
    if (row["contact_id"] is None) is (row["lead_id"] is None):
        raise Invalid("A member is a contact or a lead: one of them.", "contact_id")
    statuses = context.fact(Campaign, row["campaign_id"], "member_statuses")
    if statuses is not None:
        member = CampaignMember(first_responded_at=row["first_responded_at"])
        _reach(member, statuses, row["status"])
        row.update(status=member.status, first_responded_at=member.first_responded_at)


def _begin_contact(context: Context, row: Row, given: Mapping[str, Any]) -> None:
    contact = Contact(**row)
    contacts.settle(contact, given)
    row.update({name: getattr(contact, name) for name in row})


def _begin_lead(context: Context, row: Row, given: Mapping[str, Any]) -> None:
    lead = Lead(**row)
    contacts.date_opt_outs(lead)
    row.update({name: getattr(lead, name) for name in row})


def _begin_case(context: Context, row: Row, given: Mapping[str, Any]) -> None:
    case = Case(**row)
    case.enter(case.status)
    _settle_account(context, case)
    row.update({name: getattr(case, name) for name in row})


def _begin_activity(context: Context, row: Row, given: Mapping[str, Any]) -> None:
    if row["type"] is ActivityType.TASK and "happens_at" not in given and row["due_at"] is not None:
        row["happens_at"] = row["due_at"]
    if row["done"] and row["done_at"] is None:
        row["done_at"] = row["due_at"] or context.moment


def _begin_user(context: Context, row: Row, given: Mapping[str, Any]) -> None:
    if row["role"] is Role.ADMIN and context.viewer.role is not Role.ADMIN:
        raise Forbidden("Only an admin may make an admin.", "role")


def _begin_placed(model: type[Entity]) -> Callable[[Context, Row, Mapping[str, Any]], None]:
    def place(context: Context, row: Row, given: Mapping[str, Any]) -> None:
        """Last in its list."""
        if "position" not in given:
            others = context.lookup.facts[model].values()
            own = [each["position"] for each in others if each.get("pipeline_id") == row.get("pipeline_id")]
            row["position"] = max(own, default=-1) + 1

    return place


BEGIN: Mapping[type[Entity], Callable[[Context, Row, Mapping[str, Any]], None]] = {
    Opportunity: _begin_opportunity,
    OpportunityLine: _begin_line,
    CampaignMember: _begin_member,
    Contact: _begin_contact,
    Lead: _begin_lead,
    Case: _begin_case,
    Activity: _begin_activity,
    User: _begin_user,
    Pipeline: _begin_placed(Pipeline),
    Stage: _begin_placed(Stage),
}


def apply_changes(context: Context, record: Any, changed: Row, given: Mapping[str, Any], rank: str | None) -> None:
    """Set what differs, and what follows from it. `rank` is the place that a deal gets in a new stage."""
    was = record.currency if isinstance(record, Opportunity | OpportunityLine) else None
    stage_id, status = changed.pop("stage_id", None), changed.pop("status", None)
    for name, value in changed.items():
        setattr(record, name, value)
    if isinstance(record, OwnedEntity) and "owner_id" in changed and "team_id" not in given:
        record.team_id = context.fact(User, record.owner_id, "team_id")
    match record:
        case Opportunity():
            _change_opportunity(context, record, changed, stage_id, rank)
        case Contact():
            contacts.settle(record, changed)
        case Lead():
            contacts.date_opt_outs(record)
        case Case():
            record.enter(status or record.status)
            _settle_account(context, record)
        case CampaignMember() if status is not None:
            _reach(record, context.fact(Campaign, record.campaign_id, "member_statuses"), status)
        case Activity():
            record.done_at = (record.done_at or context.moment) if record.done else None
    if isinstance(record, Lead | Campaign) and status is not None:
        record.status = status
    if was is not None and record.currency != was:
        raise Invalid(f"The amount is in {was}: a deal and its lines keep their currency.", "currency")
    records.default_currency(context.viewer, record, given)


def _change_opportunity(
    context: Context, record: Opportunity, changed: Row, stage_id: str | None, rank: str | None
) -> None:
    if stage_id is not None and rank is not None:
        stage = Stage(id=stage_id, **context.lookup.facts[Stage][stage_id])
        kept = {
            name: changed[name] for name in ("probability", "forecast_category", "stage_entered_at") if name in changed
        }
        record.enter(stage, rank)
        for name, value in kept.items():
            setattr(record, name, value)
        for gate in stage.required_fields or ():
            if getattr(record, gate.column) is None:
                raise StageRequirementMissing(
                    f"The stage {stage.name} asks for this field: fill it first.", gate.column
                )
    if record.pipeline_id != context.fact(Stage, record.stage_id, "pipeline_id"):
        raise Invalid("The deal is in a stage of another pipeline.", "pipeline_id")


def _reach(member: CampaignMember, statuses: Any, name: str | None) -> None:
    status = Campaign(member_statuses=statuses).status_called(name)
    if status is None:
        known = ", ".join(each.name for each in statuses)
        raise Invalid(f"A member's status in this campaign is one of {known}.", "status")
    member.reach(status)


def _settle_account(context: Context, case: Case) -> None:
    account_id = context.fact(Contact, case.contact_id, "account_id")
    if case.account_id is None:
        case.account_id = account_id
    elif account_id not in (None, case.account_id):
        raise Invalid("The contact works at another account.", "contact_id")


@functools.lru_cache(len(TABLES))
def blank(model: type[Entity], moment: dt.datetime) -> Row:
    """A row of nothing but the columns' defaults."""
    return {column.key: _default(column, moment) for column in model.__table__.columns}


def _default(column: Any, moment: dt.datetime) -> Any:
    if column.default is None or column.key == "id":
        return None
    if isinstance(column.type, Time):
        return moment
    return column.default.arg(None) if column.default.is_callable else column.default.arg


def check_complete(model: type[Entity], row: Row) -> None:
    """Raises Required for a column that must have a value before the row is written."""
    pick, names = _needed(model)
    values = pick(row)
    if None in values:
        raise Required("A value is needed.", names[values.index(None)])


@functools.cache
def _needed(model: type[Entity]) -> tuple[Callable[[Row], tuple[Any, ...]], tuple[str, ...]]:
    names = tuple(each.key for each in model.__table__.columns if not each.nullable and each.key not in LATER)
    return operator.itemgetter(*names), names


@functools.cache
def amounts(model: type[Entity]) -> tuple[str, ...]:
    """The columns with money in them."""
    return tuple(
        each.key for each in model.__table__.columns if isinstance(each.type, Amount) and each.key != "quantity"
    )
