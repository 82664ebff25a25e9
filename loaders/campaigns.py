"""What belongs to campaigns."""

from __future__ import annotations

from crm_graph.models import Campaign, CampaignMember
from loaders.pages import Relation

CHILDREN = Relation(Campaign, by="parent_id")
MEMBERS = Relation(CampaignMember, by="campaign_id")
OF_LEAD = Relation(CampaignMember, by="lead_id")
