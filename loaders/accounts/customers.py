"""All that belongs to an account, as a list to follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from crm_graph.access import Viewer, visible
from crm_graph.changelog import ChangeRow
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
from loaders.live.lists import ListSource, LiveList, Members
from loaders.live.visibility import have_dependents, load_contacts, reassigned, touch_customer

SHOWING = {"owner_id", "chosen_links", "participants", "deleted_at"}
"""The fields of an activity, beside its links, that decide who sees it."""
COMING = {"account_id", "deleted_at"}
JOINING = {"contact_id", "campaign_id", "deleted_at"}
WHOLES: Mapping[str, Sequence[Any]] = {"Contact": [CampaignMember], "Opportunity": [ContactRole, OpportunityLine]}
"""What comes and goes with a record, by the name of its entity."""


def customer(account_id: str) -> LiveList:
    """The account, its parent and those below it, its contacts, deals with their roles and lines, cases, activities
    and campaigns."""

    def near(row: ChangeRow, members: Members | None = None) -> bool:
        """Whether the account is named as the row's, before or after."""
        return account_id in {row.before.get("account_id"), row.after.get("account_id")}

    def kin(row: ChangeRow, members: Members | None) -> bool:
        named = account_id in {row.record_id, row.before.get("parent_id"), row.after.get("parent_id")}
        return named or members is None or row.record_id in members

    def was_kin(row: ChangeRow) -> bool | None:
        """None where the row does not tell: it may be about the parent."""
        return account_id in {row.record_id, row.before.get("parent_id")} or None

    def family(each: Any, viewer: Viewer) -> sa.ColumnElement[bool]:
        own = aliased(Account)
        parent = sa.select(own.parent_id).where(visible(own, viewer), own.id == account_id)
        return sa.or_(each.id == account_id, each.parent_id == account_id, each.id == parent.scalar_subquery())

    def linked(row: ChangeRow, members: Members | None) -> bool:
        if "links" in row.values or row.action is Action.CREATED:
            old, new = row.values.get("links", (None, None))
            return account_id in (*(old or ()), *(new or ()))
        # It is the account's if it was; but it may come into sight.
        return members is None or row.record_id in members or not SHOWING.isdisjoint(row.names)

    def was_linked(row: ChangeRow) -> bool | None:
        """None where the row does not tell."""
        return account_id in (row.values["links"][0] or ()) if "links" in row.values else None

    def part_of(column: str) -> Callable[[ChangeRow, Members | None], bool]:
        """Whether the row is about a part of a member that `column` names."""

        def touched(row: ChangeRow, members: Members | None) -> bool:
            whole = {row.before.get(column), row.after.get(column)}
            return members is None or row.record_id in members or not members.isdisjoint(whole)

        return touched

    def belonging(model: type[Entity]) -> ListSource:
        return ListSource(
            model,
            lambda each, viewer: each.account_id == account_id,
            near,
            lambda row: row.before.get("account_id") == account_id,
        )

    def through(model: type[Entity], column: str, whole: Any) -> ListSource:
        def where(each: Any, viewer: Viewer) -> sa.ColumnElement[bool]:
            ids = sa.select(whole.id).where(visible(whole, viewer), whole.account_id == account_id)
            return getattr(each, column).in_(ids)  # type: ignore[no-any-return]

        return ListSource(model, where, part_of(column))

    def activities(model: Any, viewer: Viewer) -> sa.ColumnElement[bool]:
        link = ActivityLink.__table__.alias().c
        ids = sa.select(link.activity_id).where(link.workspace_id == viewer.workspace_id, link.account_id == account_id)
        return model.id.in_(ids)  # type: ignore[no-any-return]

    def campaigns(model: Any, viewer: Viewer) -> sa.ColumnElement[bool]:
        ids = (
            sa.select(CampaignMember.campaign_id)
            .join(Contact, CampaignMember.contact_id == Contact.id)
            .where(visible(CampaignMember, viewer), visible(Contact, viewer), Contact.account_id == account_id)
        )
        return model.id.in_(ids)  # type: ignore[no-any-return]

    async def unsettled(
        session: AsyncSession, viewer: Viewer, rows: Sequence[ChangeRow], members: Members | None
    ) -> Sequence[ChangeRow]:
        moved = [row for row in rows if row.entity in WHOLES and not COMING.isdisjoint(row.names) and near(row)]
        joined = [row for row in rows if row.entity == "CampaignMember" and not JOINING.isdisjoint(row.names)]
        fostered = [row for row in rows if row.record_id == account_id and "parent_id" in row.names]
        handed = reassigned(rows, viewer)
        handed += [row for row in rows if row.entity == "Account" and row.action is Action.RESTORED]
        if moved and not await take_along(session, viewer, moved):
            moved = []
        if joined and not await name_contacts(session, viewer, joined):
            joined = []
        if handed and not await touch_customer(session, viewer, account_id, {row.record_id for row in handed}):
            handed = []
        return sorted([*moved, *joined, *fostered, *handed], key=lambda row: row.revision)

    async def take_along(session: AsyncSession, viewer: Viewer, rows: Sequence[ChangeRow]) -> bool:
        """Whether these contacts and deals have parts that come and go with them."""
        kinds = [model for entity in {row.entity for row in rows} for model in WHOLES[entity]]
        ids = {row.record_id for row in rows if row.action is not Action.CREATED}
        return bool(ids) and await have_dependents(session, viewer, ids, kinds)

    async def name_contacts(session: AsyncSession, viewer: Viewer, rows: Sequence[ChangeRow]) -> bool:
        """Whether these members of campaigns are contacts of the account: the campaigns come and go with them."""
        named = {key for row in rows for each in (row.before, row.after) if (key := each.get("contact_id"))}
        return bool(named) and bool(await load_contacts(session, viewer, [account_id], named))

    return LiveList(
        [
            ListSource(Account, family, kin, was_kin),
            *(belonging(model) for model in (Contact, Opportunity, Case)),
            ListSource(Activity, activities, linked, was_linked),
            through(ContactRole, "opportunity_id", Opportunity),
            through(OpportunityLine, "opportunity_id", Opportunity),
            through(CampaignMember, "contact_id", Contact),
            ListSource(Campaign, campaigns, lambda row, members: True),
        ],
        unsettled,
    )
