"""Records that are seen by way of others: contacts follow their account, parts their deal, activities what they are
about. Told from the log: who saw them before, and what a change of one record's owner shows or hides of others."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from crm_graph.access import INHERITED, VISIBILITY_SOURCES, Viewer, is_private, unscoped, visible, was_visible
from crm_graph.changelog import ChangeRow
from crm_graph.database import in_array
from crm_graph.models import (
    Account,
    Action,
    Activity,
    ActivityLink,
    CampaignMember,
    Change,
    Contact,
    ContactRole,
    Entity,
    Opportunity,
    OpportunityLine,
)

HIDDEN = "what follows a record may be hidden by now, or just have been shown"
PARTS = {kind: columns for kind, columns in INHERITED.items() if kind is not Contact}
"""What shows only where all of these columns' records do."""


def reassigned(rows: Sequence[ChangeRow], viewer: Viewer) -> list[ChangeRow]:
    """The rows by which private records came to others: what follows these records may come or go with them."""
    found = []
    for row in rows:
        is_contact = row.entity == "Contact"
        names = {"owner_id", "team_id"} | ({"account_id"} if is_contact else set())
        if row.action is Action.CREATED or names.isdisjoint(row.names):
            continue
        if is_private(viewer, "Account" if is_contact else row.entity):
            found.append(row)
    return found


async def load_visible_before(
    session: AsyncSession, viewer: Viewer, model: type[Entity], rows: Sequence[ChangeRow]
) -> set[int]:
    """The revisions of those rows before which their records were visible, by what the viewer sees today."""
    seen = await _load_where(session, viewer, rows, was_visible(model, viewer))
    if model is Activity:
        seen |= await _load_seen_before(session, viewer, [row for row in rows if row.revision not in seen])
    return seen


async def load_visible_after(
    session: AsyncSession, viewer: Viewer, model: type[Entity], rows: Sequence[ChangeRow]
) -> set[int]:
    """As `load_visible_before`, of those rows after which their records were visible."""
    return await _load_where(session, viewer, rows, was_visible(model, viewer, "after"))


async def _load_where(
    session: AsyncSession, viewer: Viewer, rows: Sequence[ChangeRow], condition: sa.ColumnElement[bool]
) -> set[int]:
    if not rows or isinstance(condition, sa.True_):
        return {row.revision for row in rows}
    statement = sa.select(Change.revision).where(
        Change.workspace_id == viewer.workspace_id, Change.revision.in_([row.revision for row in rows]), condition
    )
    return set(await session.scalars(statement))


async def _load_seen_before(session: AsyncSession, viewer: Viewer, rows: Sequence[ChangeRow]) -> set[int]:
    """The revisions of those rows about activities before which the viewer took part in them, or saw what they were
    about: that is told by the row itself where it changed that. The account that a contact, a deal or a case brings
    along gives no sight."""
    links = {row.revision: _former(row, "chosen_links" if "chosen_links" in row.values else "links") for row in rows}
    ids = {each for former in links.values() for each in former}
    sighted: set[str] = set()
    for model in VISIBILITY_SOURCES.values() if ids else ():
        some = [each for each in ids if each.startswith(f"{model.prefix}_")]
        if some:
            shown = sa.select(model.id).where(visible(model, viewer, deleted=True), in_array(model.id, some))
            sighted.update(await session.scalars(shown))
    return {
        row.revision
        for row in rows
        if viewer.user_id in _former(row, "participants") or not sighted.isdisjoint(links[row.revision])
    }


def _former(row: ChangeRow, name: str) -> set[str]:
    """What an activity's list of links or participants was before the row changed it; nothing where it did not."""
    old, _ = row.values.get(name) or (None, None)
    return set(old or ())


async def load_visibility_changes(session: AsyncSession, viewer: Viewer, rows: Sequence[ChangeRow]) -> set[str]:
    """The ids of the records that came into the viewer's sight, or went out of it, by these rows."""
    found: set[str] = set()
    for entity in {row.entity for row in rows}:
        model, its = VISIBILITY_SOURCES[entity], [row for row in rows if row.entity == entity]
        here = visible(model, viewer, deleted=True), in_array(model.id, [row.record_id for row in its])
        now = set(await session.scalars(sa.select(model.id).where(*here)))
        before = await load_visible_before(session, viewer, model, its)
        found |= {row.record_id for row in its if (row.revision in before) != (row.record_id in now)}
    return found


async def load_contacts(
    session: AsyncSession, viewer: Viewer, account_ids: Collection[str], ids: Collection[str] | None = None
) -> set[str]:
    """The ids of the contacts of accounts, who follow them; given `ids`, of those contacts among them."""
    statement = sa.select(Contact.id).where(
        unscoped(Contact, HIDDEN),
        Contact.workspace_id == viewer.workspace_id,
        in_array(Contact.account_id, list(account_ids)),
    )
    if ids is not None:
        statement = statement.where(in_array(Contact.id, list(ids)))
    return set(await session.scalars(statement))


async def have_dependents(
    session: AsyncSession, viewer: Viewer, ids: Collection[str], kinds: Collection[type[Entity]]
) -> bool:
    """Whether records of these kinds follow any of these."""
    contacts = await load_contacts(session, viewer, ids)
    if contacts and Contact in kinds:
        return True
    every = [*ids, *contacts]
    follow = [
        sa.exists().where(
            unscoped(model, HIDDEN),
            model.workspace_id == viewer.workspace_id,
            sa.or_(*(in_array(getattr(model, column), every) for column in columns)),
        )
        for model, columns in PARTS.items()
        if model in kinds
    ]
    if Activity in kinds:
        link = ActivityLink.__table__.c
        about = sa.or_(*(in_array(link[target], every) for target in ActivityLink.TARGETS))
        follow.append(sa.exists().where(link.workspace_id == viewer.workspace_id, about))
    return bool(follow) and bool(await session.scalar(sa.select(sa.or_(*follow))))


async def touch_customer(session: AsyncSession, viewer: Viewer, account_id: str, ids: Collection[str]) -> bool:
    """Whether records around an account follow any of these, which may belong to other accounts."""
    if account_id in ids:
        return True
    every = [*ids, *await load_contacts(session, viewer, ids)]
    own, other = ActivityLink.__table__.alias().c, ActivityLink.__table__.alias().c

    def of_account(model: Any) -> sa.Select[Any]:
        here = model.workspace_id == viewer.workspace_id, model.account_id == account_id
        return sa.select(model.id).where(unscoped(model, HIDDEN), *here)

    def part(model: Any, whole: Any, *columns: str) -> sa.ColumnElement[bool]:
        named = sa.or_(*(in_array(getattr(model, column), every) for column in columns))
        key = model.opportunity_id if whole is Opportunity else model.contact_id
        return sa.exists().where(
            unscoped(model, HIDDEN), model.workspace_id == viewer.workspace_id, named, key.in_(of_account(whole))
        )

    follow = [
        part(ContactRole, Opportunity, "opportunity_id", "contact_id"),
        part(OpportunityLine, Opportunity, "opportunity_id"),
        part(CampaignMember, Contact, "campaign_id", "contact_id"),
        sa.exists().where(
            unscoped(Account, HIDDEN),
            Account.workspace_id == viewer.workspace_id,
            Account.id == account_id,
            in_array(Account.parent_id, list(ids)),
        ),
        sa.exists().where(
            own.workspace_id == viewer.workspace_id,
            own.account_id == account_id,
            other.workspace_id == viewer.workspace_id,
            other.activity_id == own.activity_id,
            sa.or_(*(in_array(other[target], every) for target in ActivityLink.TARGETS)),
        ),
    ]
    return bool(await session.scalar(sa.select(sa.or_(*follow))))
