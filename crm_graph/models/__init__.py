"""All tables: one folder for each area, one module for each domain."""

from __future__ import annotations

from collections.abc import Mapping

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
from crm_graph.models.base import Base, Entity, OwnedEntity, Rollup, Visibility, WorkspaceRow, now
from crm_graph.models.marketing.campaigns import Campaign, CampaignMember, CampaignStatus, CampaignType, MemberStatus
from crm_graph.models.platform.changes import Action, Alias, Change, IdempotencyKey
from crm_graph.models.platform.persisted_queries import StoredDocument
from crm_graph.models.platform.users import (
    ApiToken,
    Membership,
    ReportingLine,
    Role,
    Session,
    SignInAttempt,
    Team,
    User,
)
from crm_graph.models.platform.workspaces import Counter, Workspace
from crm_graph.models.sales.leads import Lead, LeadStatus
from crm_graph.models.sales.opportunities import ContactRole, Opportunity, OpportunityLine
from crm_graph.models.sales.pipelines import ForecastCategory, Pipeline, Product, RequiredField, Stage, StageCategory
from crm_graph.models.sales.stage_totals import StageTotal
from crm_graph.models.service.cases import Case, CaseOrigin, CaseStatus, CaseType

TABLES: Mapping[str, type[WorkspaceRow]] = {
    mapper.class_.__tablename__: mapper.class_
    for mapper in Base.registry.mappers
    if issubclass(mapper.class_, WorkspaceRow)
}
"""The classes of the rows of a workspace, by the names of their tables."""
ENTITIES: Mapping[str, type[Entity]] = {
    kind.__name__: kind for _, kind in sorted(TABLES.items()) if issubclass(kind, Entity)
}
"""All entities by their names, which are also their names in the change log and in GraphQL."""
ROLLUPS: Mapping[str, tuple[type[Rollup], ...]] = {
    name: tuple(kind for kind in Rollup.__subclasses__() if kind.entity == name) for name in ENTITIES
}
"""The tables of totals over the records of each entity, by the entity's name."""

__all__ = [
    "ENTITIES",
    "ROLLUPS",
    "TABLES",
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
    "ForecastCategory",
    "IdempotencyKey",
    "Lead",
    "LeadStatus",
    "MemberStatus",
    "Membership",
    "Opportunity",
    "OpportunityLine",
    "OwnedEntity",
    "Participant",
    "PhoneNumber",
    "Pipeline",
    "Priority",
    "Product",
    "ReportingLine",
    "RequiredField",
    "Role",
    "Rollup",
    "Session",
    "SignInAttempt",
    "SocialProfile",
    "Stage",
    "StageCategory",
    "StageTotal",
    "StoredDocument",
    "Team",
    "User",
    "Visibility",
    "Workspace",
    "WorkspaceRow",
    "now",
]  # fmt: skip
