"""Relations and figures of campaigns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from crm_graph.access import Viewer, visible
from crm_graph.database import in_array
from crm_graph.models import Campaign, CampaignMember
from loaders.core.pages import ParentCondition, Relation

CHILDREN = Relation(Campaign, by="parent_id")
MEMBERS = Relation(CampaignMember, by="campaign_id")
OF_LEAD = Relation(CampaignMember, by="lead_id")


@dataclass(frozen=True)
class Response:
    """The numbers of a campaign's members and of those who responded."""

    member_count: int = 0
    response_count: int = 0


def reached(viewer: Viewer, of_parent: ParentCondition) -> sa.Select[int, int]:
    """The numbers of campaigns' members and of those who responded."""
    return sa.select(sa.func.count(), sa.func.count(CampaignMember.first_responded_at)).where(
        visible(CampaignMember, viewer), of_parent(CampaignMember.campaign_id)
    )


async def load_responses(session: AsyncSession, viewer: Viewer, ids: list[str]) -> Sequence[Response]:
    counts = reached(viewer, lambda column: in_array(column, ids))
    statement = counts.add_columns(CampaignMember.campaign_id).group_by(CampaignMember.campaign_id)
    found = {campaign_id: Response(*counts) for *counts, campaign_id in await session.execute(statement)}
    return [found.get(each, Response()) for each in ids]
