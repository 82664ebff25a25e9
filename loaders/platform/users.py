"""Relations of users and teams."""

from __future__ import annotations

import sqlalchemy as sa

from crm_graph.access import Viewer, visible
from crm_graph.models import Account, ApiToken, Case, Lead, Membership, Opportunity, Team, User
from loaders.core.pages import ParentCondition, Relation

DIRECT_REPORTS = Relation(User, by="manager_id")
OWNED_ACCOUNTS = Relation(Account, by="owner_id")
OWNED_LEADS = Relation(Lead, by="owner_id")
OWNED_OPPORTUNITIES = Relation(Opportunity, by="owner_id")
OWNED_CASES = Relation(Case, by="owner_id")
API_TOKENS = Relation(ApiToken, by="user_id")
QUEUE = Relation(Case, by="team_id")


def _teams(viewer: Viewer, of_parent: ParentCondition) -> sa.Select[object, object]:
    return sa.select(Membership.user_id, Membership.team_id).where(
        visible(Membership, viewer), of_parent(Membership.user_id)
    )


def _members(viewer: Viewer, of_parent: ParentCondition) -> sa.Select[object, object]:
    return sa.select(Membership.team_id, Membership.user_id).where(
        visible(Membership, viewer), of_parent(Membership.team_id)
    )


TEAMS = Relation(Team, pairs=_teams)
MEMBERS = Relation(User, pairs=_members)
