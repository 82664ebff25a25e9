"""Cases: numbered, with an owner or in a team's queue, and escalated in levels."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from crm_graph import records
from crm_graph.access import Permission, Viewer, visible
from crm_graph.database import upsert
from crm_graph.errors import DomainError, Invalid, Required
from crm_graph.models import Case, CaseStatus, Contact, Counter, Priority
from crm_graph.models.service.cases import MAX_ESCALATION_LEVEL
from crm_graph.records import Values
from crm_graph.records.import_rules import ImportRules, Row
from crm_graph.services.accounts import contacts


async def create(session: AsyncSession, viewer: Viewer, *, values: Values) -> Case:
    """Create a case with the next number. With a team and no owner, it waits in the team's queue.

    Raises Forbidden, Invalid, Required, NotFound, Duplicate.
    """
    kept = {name: value for name, value in values.items() if value is not None or name not in {"owner_id", "team_id"}}
    [number] = await numbers(session, viewer, 1)
    case = await records.create(session, viewer, Case, values=kept, number=number)
    await _settle_account(session, viewer, case)
    return case


async def update(
    session: AsyncSession, viewer: Viewer, *, id: str, values: Values, expected_version: int | None = None
) -> Case:
    """Raises NotFound, Forbidden, Conflict, Invalid, Required, Duplicate."""
    case = await records.update(session, viewer, Case, id=id, values=values, expected_version=expected_version)
    if "account_id" in values or "contact_id" in values:
        await _settle_account(session, viewer, case)
    return case


async def change_status(
    session: AsyncSession, viewer: Viewer, *, id: str, status: CaseStatus, expected_version: int
) -> Case:
    """Raises NotFound, Forbidden, Conflict; Invalid for a closed case, unless `status` reopens it."""
    case = await records.find(session, viewer, Case, id, to=Permission.EDIT)
    records.check_version(case, expected_version)
    if not case.status.leads_to(status):
        raise Invalid("A closed case can only be reopened, as IN_PROGRESS.", "status")
    if case.status is not status:
        case.enter(status)
    return case


async def assign(
    session: AsyncSession,
    viewer: Viewer,
    *,
    id: str,
    owner_id: str | None = None,
    team_id: str | None = None,
    expected_version: int | None = None,
) -> Case:
    """Assign a case to a user, or put it into a team's queue.

    Raises NotFound, Forbidden, Conflict, Invalid, Required.
    """
    case = await records.find(session, viewer, Case, id, to=Permission.EDIT)
    records.check_version(case, expected_version)
    if owner_id is None and team_id is None:
        raise Required("Name an owner, or a team for its queue.", "owner_id")
    await _hand_over(session, viewer, case, owner_id, team_id)
    return case


async def escalate(
    session: AsyncSession,
    viewer: Viewer,
    *,
    id: str,
    reason: str,
    to_owner_id: str | None = None,
    to_team_id: str | None = None,
    expected_version: int | None = None,
) -> Case:
    """Raise a case by one level and its priority to HIGH or above, and optionally assign it.

    Raises NotFound, Forbidden, Conflict, Invalid, Required.
    """
    case = await records.find(session, viewer, Case, id, to=Permission.EDIT)
    records.check_version(case, expected_version)
    if case.escalation_level == MAX_ESCALATION_LEVEL:
        raise Invalid(f"The case is already at the highest level, {MAX_ESCALATION_LEVEL}.", "id")
    case.escalation_level += 1
    try:
        await records.assign(session, viewer, case, {"escalation_reason": reason})
    except Invalid as error:
        error.field = "reason"
        raise
    if case.priority in {Priority.LOW, Priority.MEDIUM}:
        case.priority = Priority.HIGH
    try:
        await _hand_over(session, viewer, case, to_owner_id, to_team_id)
    except DomainError as error:
        error.field = f"to_{error.field}"
        raise
    return case


async def numbers(session: AsyncSession, viewer: Viewer, count: int) -> range:
    """Next case numbers. The counter's row stays locked until the commit, so that a rollback leaves no gap."""
    insert = upsert(session.get_bind().dialect.name, Counter, lambda new: {"value": Counter.value + new.value})
    row = insert.values(workspace_id=viewer.workspace_id, name="case", value=count)
    last = (await session.scalars(row.returning(Counter.value))).one()
    return range(last - count + 1, last + 1)


async def _hand_over(
    session: AsyncSession, viewer: Viewer, case: Case, owner_id: str | None, team_id: str | None
) -> None:
    """Assign to a user, whose home team gets the case too, or to a team's queue, where it has no owner."""
    if owner_id is not None and team_id is not None:
        raise Invalid("Name an owner or a team for its queue, not both.", "team_id")
    if owner_id is not None:
        values = records.clean(Case, {"owner_id": owner_id})
        await records.assign(session, viewer, case, values)
        case.team_id = await records.home_team(session, viewer, values["owner_id"])
    if team_id is not None:
        await records.assign(session, viewer, case, {"owner_id": None, "team_id": team_id})


async def _settle_account(session: AsyncSession, viewer: Viewer, case: Case) -> None:
    """Give the case its contact's account. Raises Invalid if it has another one."""
    if case.contact_id is None:
        return
    account_id = await session.scalar(
        sa.select(Contact.account_id).where(visible(Contact, viewer), Contact.id == case.contact_id)
    )
    case.account_id = contacts.shared_account(case.account_id, account_id)


class CaseImport(ImportRules[Case]):
    model = Case
    facts = {Contact: ("account_id",)}
    assigned = frozenset({"number"})

    def settle(self, case: Case, changed: Values) -> None:
        case.enter(case.status)
        contact = self.index.facts_of(Contact, case.contact_id)
        if contact is not None:
            case.account_id = contacts.shared_account(case.account_id, contact.account_id)

    async def before_insert(self, rows: Sequence[Row]) -> None:
        for row, number in zip(rows, await numbers(self.session, self.viewer, len(rows)), strict=True):
            row["number"] = number
