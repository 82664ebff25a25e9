"""All that belongs to an account, as a list to follow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from crm_graph.access import Viewer, visible
from crm_graph.feed import Row
from crm_graph.models import (
    Account,
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
from loaders.live import Listing, Members, Scope

SIGHT = {"owner_id", "team_id", "deleted_at"}


def customer(account_id: str, *, personal: bool) -> Listing:
    """The account, those below it, its contacts, deals with their roles and lines, cases, activities and campaigns.

    `personal` where one record may show or hide others to the viewer.
    """

    def near(row: Row, members: Members | None = None) -> bool:
        """Whether the account is named as the row's, before or after."""
        return account_id in {row.before.get("account_id"), row.after.get("account_id")}

    def itself(row: Row, members: Members | None = None) -> bool:
        return account_id in {row.record_id, row.before.get("parent_id"), row.after.get("parent_id")}

    def linked(row: Row, members: Members | None) -> bool:
        old, new = row.values.get("links", ((), ()))
        if account_id in (*(old or ()), *(new or ())):
            return True
        # Without a change of its links it is the account's if it was; but it may come into sight.
        return members is None or row.record_id in members or not SIGHT.union({"participants"}).isdisjoint(row.names)

    def part_of(column: str) -> Callable[[Row, Members | None], bool]:
        """Whether the row is about a part of a member that `column` names."""

        def touched(row: Row, members: Members | None) -> bool:
            whole = {row.before.get(column), row.after.get(column)}
            return members is None or row.record_id in members or not members.isdisjoint(whole)

        return touched

    def belonging(model: type[Entity]) -> Scope:
        return Scope(
            model,
            lambda each, viewer: each.account_id == account_id,
            near,
            lambda row: row.before.get("account_id") == account_id,
        )

    def through(model: type[Entity], column: str, whole: Any) -> Scope:
        def where(each: Any, viewer: Viewer) -> sa.ColumnElement[bool]:
            ids = sa.select(whole.id).where(visible(whole, viewer), whole.account_id == account_id)
            return getattr(each, column).in_(ids)  # type: ignore[no-any-return]

        return Scope(model, where, part_of(column))

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

    def unsettles(row: Row, members: Members | None) -> bool:
        match row.entity:
            case "Contact" | "Opportunity" if "account_id" in row.names and row.found:
                return near(row)  # it takes its parts along
            case "CampaignMember" if members is not None and {"deleted_at", "campaign_id"} & set(row.names):
                return part_of("contact_id")(row, members)  # its campaign comes or goes with it
            case "Account" | "Contact" | "Opportunity" | "Case" | "Lead" | "Campaign" if personal:
                named = near(row) or itself(row) or row.entity in {"Lead", "Campaign"}
                return row.found and named and not SIGHT.isdisjoint(row.names)
        return False

    itself_or_below = Scope(
        Account,
        lambda each, viewer: sa.or_(each.id == account_id, each.parent_id == account_id),
        itself,
        lambda row: account_id in {row.record_id, row.before.get("parent_id")},
    )
    return Listing(
        [
            itself_or_below,
            *(belonging(model) for model in (Contact, Opportunity, Case)),
            Scope(Activity, activities, linked),
            through(ContactRole, "opportunity_id", Opportunity),
            through(OpportunityLine, "opportunity_id", Opportunity),
            through(CampaignMember, "contact_id", Contact),
            Scope(Campaign, campaigns, lambda row, members: True),
        ],
        unsettles,
    )
