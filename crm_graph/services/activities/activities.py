"""Activities, the records that they are linked to, and their participants.

Links and participants are rows of their own tables, but part of the activity: they count for its version, and the log
has them as its fields `links` and `participants`, lists of ids and addresses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from crm_graph import records
from crm_graph.access import Permission, Viewer, visible
from crm_graph.changelog import journal_of
from crm_graph.database import in_array
from crm_graph.errors import Invalid
from crm_graph.models import (
    Account,
    Action,
    Activity,
    ActivityDirection,
    ActivityLink,
    ActivityType,
    Case,
    Contact,
    Entity,
    Opportunity,
    Participant,
    WorkspaceRow,
    now,
    types,
)
from crm_graph.models.types import part
from crm_graph.records import Values

P = TypeVar("P", ActivityLink, Participant)
MAX_LINKS = 100
RESPONSES = {ActivityType.EMAIL, ActivityType.CALL, ActivityType.MEETING}
Part = tuple[str, str]
"""A link or a participant: the column that is set, and its value."""
ACCOUNT_SOURCES: Mapping[str, type[Contact] | type[Opportunity] | type[Case]] = {
    "contact_id": Contact,
    "opportunity_id": Opportunity,
    "case_id": Case,
}
"""Columns of links whose records have an account: their activities are linked to the account too."""


@dataclass(frozen=True)
class Attendee:
    """A participant as clients name one: exactly one of the fields is set."""

    user_id: str | None = part(types.Id(), None)
    contact_id: str | None = part(types.Id(), None)
    lead_id: str | None = part(types.Id(), None)
    email: str | None = part(types.Email(), None)


ATTENDEES = types.Values(Attendee)
PEOPLE = tuple(field.name for field in fields(Attendee))


async def log(
    session: AsyncSession,
    viewer: Viewer,
    *,
    values: Values,
    participants: Sequence[object] | None = None,
    **about: Sequence[str] | None,
) -> Activity:
    """Log an activity, linked to the records that `account_ids`, `contact_ids` and so on name, and to their accounts.

    A task happens when it is due. The first outbound email, call or meeting about a case is the first response to it.

    Raises Forbidden, Invalid, Required, NotFound, Duplicate.
    """
    given = _cleaned(about)
    activity = await records.create(session, viewer, Activity, values=values)
    plan_task(activity, values)
    await session.flush()
    await _relate(session, viewer, activity, given)
    await _invite(session, viewer, activity, participants)
    await _respond(session, viewer, activity, [*given.get("case_id", ())])
    return activity


def plan_task(activity: Activity, given: Values) -> None:
    """Set `happens_at` of a new task to its due time, unless it is given."""
    if activity.type is ActivityType.TASK and given.get("happens_at") is None and activity.due_at is not None:
        activity.happens_at = activity.due_at


async def update(
    session: AsyncSession,
    viewer: Viewer,
    *,
    id: str,
    values: Values,
    expected_version: int | None = None,
    participants: Sequence[object] | None = None,
    **about: Sequence[str] | None,
) -> Activity:
    """Set `values`, and replace the participants and the kinds of links that are given. Links to records that the
    viewer cannot see stay.

    Raises NotFound, Forbidden, Conflict, Invalid, Required, Duplicate.
    """
    activity = await records.find(session, viewer, Activity, id, to=Permission.EDIT)
    records.check_version(activity, expected_version)
    planned_for_due = activity.type is ActivityType.TASK and activity.happens_at == activity.due_at
    await records.assign(session, viewer, activity, values)
    if planned_for_due and activity.due_at is not None and "happens_at" not in values:
        activity.happens_at = activity.due_at
    await session.flush()
    related = await _relate(session, viewer, activity, _cleaned(about))
    invited = await _invite(session, viewer, activity, participants)
    if related or invited:
        activity.updated_at = journal_of(session).happened_at
    return activity


async def complete(
    session: AsyncSession, viewer: Viewer, *, id: str, outcome: str | None = None, expected_version: int | None = None
) -> Activity:
    """Mark a task as done; a done task stays as it is. Raises NotFound, Forbidden, Conflict, Invalid."""
    task = await _task(session, viewer, id)
    if task.done:
        return task
    records.check_version(task, expected_version)
    if outcome is not None:
        await records.assign(session, viewer, task, {"outcome": outcome})
    task.done, task.done_at = True, now()
    return task


async def reopen(session: AsyncSession, viewer: Viewer, *, id: str, expected_version: int | None = None) -> Activity:
    """Mark a task as open again; an open task stays as it is. Raises NotFound, Forbidden, Conflict, Invalid."""
    task = await _task(session, viewer, id)
    if not task.done:
        return task
    records.check_version(task, expected_version)
    task.done, task.done_at = False, None
    await session.flush()
    # Without this action the log derives COMPLETED from the change of `done`.
    journal_of(session).note(task, {}, Action.UPDATED)
    return task


async def _task(session: AsyncSession, viewer: Viewer, task_id: str) -> Activity:
    task = await records.find(session, viewer, Activity, task_id, to=Permission.EDIT)
    if task.type is not ActivityType.TASK:
        raise Invalid(f"Only a task can be done or open, not a {task.type.lower()}.", "id")
    return task


async def _relate(
    session: AsyncSession, viewer: Viewer, activity: Activity, given: Mapping[str, Mapping[str, str]]
) -> bool:
    """Replace the activity's links. Returns whether that changed anything."""
    if not given:
        return False
    old = await _parts(session, ActivityLink, ActivityLink.TARGETS, activity)
    former = {each for each, row in old.items() if not row.derived}
    chosen = await _settled(session, viewer, ActivityLink, former, given)
    brought = {value for _, value in old.keys() - former}
    unseen = brought - await _seen(session, viewer, ActivityLink, "account_id", brought) if chosen else set[str]()
    new = chosen | await _accounts_of(session, viewer, chosen) | {("account_id", value) for value in unseen}
    for each, link in old.items():
        link.derived = each not in chosen
    await _replace(session, activity, ActivityLink, old, new, lambda each: {"derived": each not in chosen})
    before, after = ({part[1]: part in those for part in all_} for all_, those in ((old, former), (new, chosen)))
    return _note(session, activity, link_changes(before, after))


async def _invite(
    session: AsyncSession, viewer: Viewer, activity: Activity, participants: Sequence[object] | None
) -> bool:
    """Replace the activity's participants. Returns whether that changed anything."""
    if participants is None:
        return False
    given: dict[str, dict[str, str]] = {column: {} for column in PEOPLE}
    try:
        for index, attendee in enumerate(ATTENDEES.clean(participants)):
            named = [(column, value) for column, value in vars(attendee).items() if value is not None]
            if len(named) != 1:
                raise Invalid(
                    "A participant is a user, a contact, a lead or an email address: one of them.", str(index)
                )
            [(column, value)] = named
            given[column].setdefault(value, f"participants.{index}.{column}")
    except Invalid as error:
        raise error.prefixed("participants") from None
    old = await _parts(session, Participant, PEOPLE, activity)
    new = await _settled(session, viewer, Participant, old, given)
    await _replace(session, activity, Participant, old, new)
    return _note(session, activity, {} if new == old.keys() else {"participants": [_ids(old), _ids(new)]})


async def _respond(session: AsyncSession, viewer: Viewer, activity: Activity, case_ids: list[str]) -> None:
    outbound = activity.direction is ActivityDirection.OUTBOUND and activity.type in RESPONSES
    if not case_ids or not outbound or activity.happens_at > now():
        return
    unanswered = (
        sa.select(Case)
        .where(visible(Case, viewer), in_array(Case.id, case_ids), Case.first_response_at.is_(None))
        .order_by(Case.id)
        .with_for_update(of=Case)
    )
    for case in await session.scalars(unanswered):
        case.first_response_at = activity.happens_at


def _cleaned(about: Mapping[str, Sequence[str] | None]) -> dict[str, dict[str, str]]:
    """The given links: {column: {id: its field in the input}}. Raises Invalid and Required."""
    given: dict[str, dict[str, str]] = {}
    for name, ids in about.items():
        if ids is None:
            continue
        if len(ids) > MAX_LINKS:
            raise Invalid(f"At most {MAX_LINKS} records are allowed.", name)
        kept = given[name.removesuffix("s")] = {}
        for index, each in enumerate(ids):
            try:
                kept.setdefault(types.Id().clean(each), f"{name}.{index}")
            except Invalid as error:
                raise error.prefixed(f"{name}.{index}") from None
    return given


async def _parts(session: AsyncSession, model: type[P], columns: Sequence[str], activity: Activity) -> dict[Part, P]:
    """The rows of an activity's links or participants."""
    rows = await session.scalars(
        sa.select(model).where(model.workspace_id == activity.workspace_id, model.activity_id == activity.id)
    )
    return {next((each, value) for each in columns if (value := getattr(row, each)) is not None): row for row in rows}


async def _settled(
    session: AsyncSession,
    viewer: Viewer,
    model: type[WorkspaceRow],
    old: Iterable[Part],
    given: Mapping[str, Mapping[str, str]],
) -> set[Part]:
    """The parts that replace `old`. Parts of columns that are not given stay, and so do those the viewer cannot see.

    Raises NotFound for a given record that the viewer cannot see.
    """
    new = {each for each in old if each[0] not in given}
    for column, wanted in given.items():
        former = {value for name, value in old if name == column}
        seen = await _seen(session, viewer, model, column, {*former, *wanted})
        for value, field in wanted.items():
            if value not in seen:
                raise records.no_such(_target(model, column), field)
        new |= {(column, value) for value in (former - seen) | wanted.keys()}
    return new


async def _seen(
    session: AsyncSession, viewer: Viewer, model: type[WorkspaceRow], column: str, values: set[str]
) -> set[str]:
    if not values or column == "email":
        return values
    target = _target(model, column)
    return set(
        await session.scalars(sa.select(target.id).where(visible(target, viewer), in_array(target.id, [*values])))
    )


def _target(model: type[WorkspaceRow], column: str) -> type[Entity]:
    return records.TABLES[model.__table__.columns[column].info["references"]]


async def _accounts_of(session: AsyncSession, viewer: Viewer, links: Iterable[Part]) -> set[Part]:
    """Links to the accounts of the contacts, deals and cases among the links."""
    conditions = []
    for column, model in ACCOUNT_SOURCES.items():
        ids = [value for name, value in links if name == column]
        if ids:
            owned = sa.select(model.account_id).where(visible(model, viewer), in_array(model.id, ids))
            conditions.append(Account.id.in_(owned))
    if not conditions:
        return set()
    accounts = sa.select(Account.id).where(visible(Account, viewer), sa.or_(*conditions))
    return {("account_id", each) for each in await session.scalars(accounts)}


async def _replace(
    session: AsyncSession,
    activity: Activity,
    model: type[P],
    old: Mapping[Part, P],
    new: set[Part],
    rest: Callable[[Part], dict[str, object]] = lambda part: {},
) -> None:
    """Replace the activity's rows of a model. `rest` returns the other columns of a new row."""
    for gone in old.keys() - new:
        await session.delete(old[gone])
    for column, value in sorted(new - old.keys()):
        more = {column: value, **rest((column, value))}
        session.add(model(workspace_id=activity.workspace_id, activity_id=activity.id, **more))


def link_changes(before: Mapping[str, bool], after: Mapping[str, bool]) -> dict[str, list[object]]:
    """Log fields for changed links, which are {target id: whether it was chosen}.

    `links` has all targets. `chosen_links` has the chosen ones, which alone make the activity visible; it is left out
    while all links are chosen.
    """
    changes: dict[str, list[object]] = {}
    if before.keys() != after.keys():
        changes["links"] = [sorted(before) or None, sorted(after) or None]
    if before != after and not all((*before.values(), *after.values())):
        changes["chosen_links"] = [[each for each in sorted(all_) if all_[each]] or None for all_ in (before, after)]
    return changes


def _note(session: AsyncSession, activity: Activity, changes: dict[str, list[object]]) -> bool:
    """Add changes of links or participants to the log. Returns whether there are any."""
    if changes:
        journal_of(session).note(activity, changes)
    return bool(changes)


def _ids(parts: Iterable[Part]) -> list[str] | None:
    """The values as the log has them."""
    return sorted(value for _, value in parts) or None
