"""An account and all records that belong to it, as one live list."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from crm_graph.access import Viewer, unscoped, visible
from crm_graph.changelog import ChangeRow
from crm_graph.database import in_array
from crm_graph.models import (
    Account,
    Action,
    Activity,
    ActivityLink,
    Campaign,
    CampaignMember,
    Case,
    Contact,
    ContactRole,
    Entity,
    Opportunity,
    OpportunityLine,
)
from loaders.live.events import Members
from loaders.live.lists import ListSource, LiveList
from loaders.live.visibility import depends_on, have_dependents, load_intermediates, reassigned

BELONGING: Sequence[type[Entity]] = (Contact, Opportunity, Case)
"""Entities that name their account."""
PARTS: Mapping[type[Entity], tuple[str, type[Contact | Opportunity]]] = {
    ContactRole: ("opportunity_id", Opportunity),
    OpportunityLine: ("opportunity_id", Opportunity),
    CampaignMember: ("contact_id", Contact),
}
"""Entities that belong to the account through another record, with the column that names it and its entity."""
ACTIVITY_VISIBILITY = {"owner_id", "chosen_links", "participants", "deleted_at"}
"""The fields of an activity, beside its links, that decide who sees it."""
HIDDEN = "dependent records may be hidden, or just have appeared"
PARENT_CHANGES = {"account_id", "deleted_at"}
MEMBER_CHANGES = {"contact_id", "campaign_id", "deleted_at"}


def customer(account_id: str) -> LiveList:
    """The account, its parent and children, its contacts, opportunities with their roles and lines, cases, activities
    and campaigns."""

    def names_account(row: ChangeRow, members: Members | None = None) -> bool:
        """True if the record belonged to the account before the row, or does after it."""
        return account_id in {row.before.get("account_id"), row.after.get("account_id")}

    def is_family(row: ChangeRow, members: Members | None) -> bool:
        named = account_id in {row.record_id, row.before.get("parent_id"), row.after.get("parent_id")}
        return named or members is None or row.record_id in members

    def was_family(row: ChangeRow) -> bool | None:
        """None if the row may be about the parent."""
        return account_id in {row.record_id, row.before.get("parent_id")} or None

    def family(model: type[Account], viewer: Viewer) -> sa.ColumnElement[bool]:
        own = aliased(Account)
        parent = sa.select(own.parent_id).where(visible(own, viewer), own.id == account_id)
        return sa.or_(model.id == account_id, model.parent_id == account_id, model.id == parent.scalar_subquery())

    def is_linked(row: ChangeRow, members: Members | None) -> bool:
        if "links" in row.values or row.action is Action.CREATED:
            old, new = row.values.get("links", (None, None))
            return account_id in (*(old or ()), *(new or ()))
        # Its links are the same: it matters if it was a member, or may become visible.
        return members is None or row.record_id in members or not ACTIVITY_VISIBILITY.isdisjoint(row.names)

    def was_linked(row: ChangeRow) -> bool | None:
        """None if the row did not change the links."""
        return account_id in (row.values["links"][0] or ()) if "links" in row.values else None

    def is_part(column: str) -> Callable[[ChangeRow, Members | None], bool]:
        def is_relevant(row: ChangeRow, members: Members | None) -> bool:
            named = {row.before.get(column), row.after.get(column)}
            return members is None or row.record_id in members or not members.isdisjoint(named)

        return is_relevant

    def belonging(model: type[Entity]) -> ListSource:
        return ListSource(
            model,
            lambda each, viewer: each.account_id == account_id,
            names_account,
            lambda row: row.before.get("account_id") == account_id,
        )

    def through(model: type[Entity], column: str, whole: type[Contact | Opportunity]) -> ListSource:
        def where(each: type[Entity], viewer: Viewer) -> sa.ColumnElement[bool]:
            ids = sa.select(whole.id).where(visible(whole, viewer), whole.account_id == account_id)
            return getattr(each, column).in_(ids)  # type: ignore[no-any-return]

        return ListSource(model, where, is_part(column))

    def activities(model: type[Entity], viewer: Viewer) -> sa.ColumnElement[bool]:
        link = ActivityLink.__table__.alias().c
        ids = sa.select(link.activity_id).where(link.workspace_id == viewer.workspace_id, link.account_id == account_id)
        return model.id.in_(ids)

    def campaigns(model: type[Entity], viewer: Viewer) -> sa.ColumnElement[bool]:
        ids = (
            sa.select(CampaignMember.campaign_id)
            .join(Contact, CampaignMember.contact_id == Contact.id)
            .where(visible(CampaignMember, viewer), visible(Contact, viewer), Contact.account_id == account_id)
        )
        return model.id.in_(ids)

    async def invalidations(
        session: AsyncSession, viewer: Viewer, rows: Sequence[ChangeRow], members: Members | None
    ) -> Sequence[ChangeRow]:
        wholes = {whole.__name__ for _, whole in PARTS.values()}
        moved = [
            row
            for row in rows
            if row.entity in wholes and not PARENT_CHANGES.isdisjoint(row.names) and names_account(row)
        ]
        joined = [row for row in rows if row.entity == "CampaignMember" and not MEMBER_CHANGES.isdisjoint(row.names)]
        new_parent = [row for row in rows if row.record_id == account_id and "parent_id" in row.names]
        handed = reassigned(rows, viewer)
        handed += [row for row in rows if row.entity == "Account" and row.action is Action.RESTORED]
        if moved and not await _have_parts(session, viewer, moved):
            moved = []
        if joined and not await _name_contacts(session, viewer, account_id, joined):
            joined = []
        if handed and not await _affect_customer(session, viewer, account_id, {row.record_id for row in handed}):
            handed = []
        return sorted([*moved, *joined, *new_parent, *handed], key=lambda row: row.revision)

    return LiveList(
        [
            ListSource(Account, family, is_family, was_family),
            *(belonging(model) for model in BELONGING),
            ListSource(Activity, activities, is_linked, was_linked),
            *(through(model, column, whole) for model, (column, whole) in PARTS.items()),
            ListSource(Campaign, campaigns, lambda row, members: True),
        ],
        invalidations,
    )


async def _have_parts(session: AsyncSession, viewer: Viewer, rows: Sequence[ChangeRow]) -> bool:
    """True if the records of these rows have parts, which enter and leave with them."""
    entities = {row.entity for row in rows}
    parts = [model for model, (_, whole) in PARTS.items() if whole.__name__ in entities]
    ids = {row.record_id for row in rows if row.action is not Action.CREATED}
    return bool(ids) and await have_dependents(session, viewer, ids, parts)


async def _name_contacts(session: AsyncSession, viewer: Viewer, account_id: str, rows: Sequence[ChangeRow]) -> bool:
    """True if these campaign members are contacts of the account: their campaigns enter and leave with them."""
    named = {key for row in rows for each in (row.before, row.after) if (key := each.get("contact_id"))}
    if not named:
        return False
    contacts = _of_account(viewer, account_id, Contact).where(in_array(Contact.id, list(named)))
    return bool(list(await session.scalars(contacts)))


def _of_account(viewer: Viewer, account_id: str, model: type[Contact | Opportunity]) -> sa.Select[str]:
    here = model.workspace_id == viewer.workspace_id, model.account_id == account_id
    return sa.select(model.id).where(unscoped(model, HIDDEN), *here)


async def _affect_customer(session: AsyncSession, viewer: Viewer, account_id: str, ids: Collection[str]) -> bool:
    """True if the visibility of records of the account depends on one of these, which may belong to other accounts."""
    if account_id in ids:
        return True
    every = [*ids, *(await load_intermediates(session, viewer, ids) or ())]
    own, other = ActivityLink.__table__.alias().c, ActivityLink.__table__.alias().c
    affected = [
        depends_on(viewer, model, every, getattr(model, column).in_(_of_account(viewer, account_id, whole)))
        for model, (column, whole) in PARTS.items()
    ]
    affected.append(
        sa.exists().where(
            unscoped(Account, HIDDEN),
            Account.workspace_id == viewer.workspace_id,
            Account.id == account_id,
            in_array(Account.parent_id, list(ids)),
        )
    )
    affected.append(
        sa.exists().where(
            own.workspace_id == viewer.workspace_id,
            own.account_id == account_id,
            other.workspace_id == viewer.workspace_id,
            other.activity_id == own.activity_id,
            sa.or_(*(in_array(other[target], every) for target in ActivityLink.TARGETS)),
        )
    )
    return bool(await session.scalar(sa.select(sa.or_(*affected))))
