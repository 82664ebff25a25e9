"""What belongs to campaigns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from crm_graph.access import Viewer, visible
from crm_graph.db import among
from crm_graph.models import Campaign, CampaignMember
from loaders.pages import Relation

CHILDREN = Relation(Campaign, by="parent_id")
MEMBERS = Relation(CampaignMember, by="campaign_id")
OF_LEAD = Relation(CampaignMember, by="lead_id")


@dataclass(frozen=True)
class Response:
    """How many people a campaign reaches, and how many of them have responded."""

    member_count: int = 0
    response_count: int = 0


async def load_responses(session: AsyncSession, viewer: Viewer, ids: list[str]) -> Sequence[Response]:
    statement = (
        sa.select(CampaignMember.campaign_id, sa.func.count(), sa.func.count(CampaignMember.first_responded_at))
        .where(visible(CampaignMember, viewer), among(CampaignMember.campaign_id, ids))
        .group_by(CampaignMember.campaign_id)
    )
    found = {row[0]: Response(row[1], row[2]) for row in await session.execute(statement)}
    return [found.get(each, Response()) for each in ids]
