"""All tables, one module a domain."""

from __future__ import annotations

from crm_graph.models.accounts.accounts import (
    Account,
    AccountType,
    Address,
    Contact,
    EmailAddress,
    PhoneNumber,
    SocialProfile,
)
from crm_graph.models.activities.activities import (
    Activity,
    ActivityDirection,
    ActivityLink,
    ActivityType,
    Participant,
    Priority,
)
from crm_graph.models.base import Assigned, Base, Entity, Keyed, Visibility, now
from crm_graph.models.marketing.campaigns import Campaign, CampaignMember, CampaignStatus, CampaignType, MemberStatus
from crm_graph.models.platform.changes import Action, Alias, Change, IdempotencyKey
from crm_graph.models.platform.persisted_queries import StoredDocument
from crm_graph.models.platform.users import ApiToken, Membership, Report, Role, Session, SignInTry, Team, User
from crm_graph.models.platform.workspaces import Counter, Workspace
from crm_graph.models.sales.leads import Lead, LeadStatus
from crm_graph.models.sales.opportunities import ContactRole, Opportunity, OpportunityLine
from crm_graph.models.sales.pipelines import ForecastCategory, GateField, Pipeline, Product, Stage, StageCategory
from crm_graph.models.sales.stage_totals import StageTotal
from crm_graph.models.service.cases import Case, CaseOrigin, CaseStatus, CaseType

__all__ = [
    "Account",
    "AccountType",
    "Action",
    "Activity",
    "ActivityDirection",
    "ActivityLink",
    "ActivityType",
    "Address",
    "Alias",
    "ApiToken",
    "Assigned",
    "Base",
    "Campaign",
    "CampaignMember",
    "CampaignStatus",
    "CampaignType",
    "Case",
    "CaseOrigin",
    "CaseStatus",
    "CaseType",
    "Change",
    "Contact",
    "ContactRole",
    "Counter",
    "EmailAddress",
    "Entity",
    "ForecastCategory", "GateField",
    "IdempotencyKey",
    "Keyed",
    "Lead",
    "LeadStatus",
    "MemberStatus",
    "Membership",
    "Opportunity",
    "OpportunityLine",
    "Participant",
    "PhoneNumber",
    "Pipeline",
    "Priority",
    "Product",
    "Report",
    "Role",
    "Session",
    "SignInTry",
    "SocialProfile",
    "Stage",
    "StageCategory",
    "StageTotal",
    "StoredDocument",
    "Team",
    "User",
    "Visibility",
    "Workspace",
    "now",
]  # fmt: skip
