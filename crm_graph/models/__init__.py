"""All tables, one module a domain."""

from __future__ import annotations

from crm_graph.models.accounts import Account, AccountType, Address, Contact, EmailAddress, PhoneNumber, SocialProfile
from crm_graph.models.activities import Activity, ActivityDirection, ActivityLink, ActivityType, Participant, Priority
from crm_graph.models.base import Assigned, Base, Entity, Keyed, Visibility, now
from crm_graph.models.campaigns import Campaign, CampaignMember, CampaignStatus, CampaignType, MemberStatus
from crm_graph.models.cases import Case, CaseOrigin, CaseStatus, CaseType
from crm_graph.models.changes import Action, Alias, Change, IdempotencyKey
from crm_graph.models.documents import StoredDocument
from crm_graph.models.leads import Lead, LeadStatus
from crm_graph.models.opportunities import ContactRole, Opportunity, OpportunityLine
from crm_graph.models.pipelines import ForecastCategory, GateField, Pipeline, Product, Stage, StageCategory
from crm_graph.models.totals import StageTotal
from crm_graph.models.users import ApiToken, Membership, Report, Role, Session, SignInTry, Team, User
from crm_graph.models.workspaces import Counter, Workspace

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
