"""Relations of accounts and contacts."""

from __future__ import annotations

import sqlalchemy as sa

from crm_graph.access import Viewer, visible
from crm_graph.models import Account, Campaign, CampaignMember, Case, Contact, ContactRole, Opportunity
from loaders.core.pages import ParentCondition, Relation

CHILDREN = Relation(Account, by="parent_id")
CONTACTS = Relation(Contact, by="account_id")
OPPORTUNITIES = Relation(Opportunity, by="account_id")
CASES = Relation(Case, by="account_id")


def _campaigns(viewer: Viewer, of_parent: ParentCondition) -> sa.Select[object, object]:
    """Campaigns of which the account's contacts are members."""
    return (
        sa.select(Contact.account_id, CampaignMember.campaign_id)
        .join(CampaignMember, CampaignMember.contact_id == Contact.id)
        .where(visible(Contact, viewer), visible(CampaignMember, viewer), of_parent(Contact.account_id))
    )


CAMPAIGNS = Relation(Campaign, pairs=_campaigns)

CONTACT_CASES = Relation(Case, by="contact_id")


def _deals(viewer: Viewer, of_parent: ParentCondition) -> sa.Select[object, object]:
    return sa.select(ContactRole.contact_id, ContactRole.opportunity_id).where(
        visible(ContactRole, viewer), of_parent(ContactRole.contact_id)
    )


def _memberships(viewer: Viewer, of_parent: ParentCondition) -> sa.Select[object, object]:
    return sa.select(CampaignMember.contact_id, CampaignMember.campaign_id).where(
        visible(CampaignMember, viewer), of_parent(CampaignMember.contact_id)
    )


CONTACT_DEALS = Relation(Opportunity, pairs=_deals)
CONTACT_CAMPAIGNS = Relation(Campaign, pairs=_memberships)
