"""Marketing campaigns and the people they reach."""

from __future__ import annotations

import datetime as dt
import enum
from dataclasses import dataclass
from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from crm_graph.models import types
from crm_graph.models.base import Entity, OwnedEntity, now, reference
from crm_graph.models.policies import AllOf, Everyone, InheritsFrom, WorkspaceDefault
from crm_graph.models.types import part


class CampaignType(enum.StrEnum):
    """The channel of a campaign.

    EMAIL: by email.
    WEBINAR: by an event online.
    EVENT: at a fair, a conference or another event.
    ADVERTISEMENT: by advertisements.
    DIRECT_MAIL: by letters.
    SOCIAL: on social networks.
    REFERRAL_PROGRAM: through people who recommend us.
    OTHER: by another channel.
    """

    EMAIL = "EMAIL"
    WEBINAR = "WEBINAR"
    EVENT = "EVENT"
    ADVERTISEMENT = "ADVERTISEMENT"
    DIRECT_MAIL = "DIRECT_MAIL"
    SOCIAL = "SOCIAL"
    REFERRAL_PROGRAM = "REFERRAL_PROGRAM"
    OTHER = "OTHER"


class CampaignStatus(enum.StrEnum):
    """The progress of a campaign.

    PLANNED: not started.
    ACTIVE: running.
    COMPLETED: finished.
    ABORTED: stopped before its end.
    """

    PLANNED = "PLANNED"
    ACTIVE = "ACTIVE"
    COMPLETED = "COMPLETED"
    ABORTED = "ABORTED"


@dataclass(frozen=True)
class MemberStatus:
    """A status that members of a campaign may have, and whether it counts as a response."""

    name: str = part(types.Text(40))
    responded: bool = part(types.Boolean(), False)


def usual_statuses() -> list[MemberStatus]:
    return [MemberStatus("SENT"), MemberStatus("RESPONDED", responded=True)]


class Campaign(OwnedEntity):
    """An effort to win customers. Its members' statuses come from its own list."""

    __tablename__ = "campaigns"
    prefix = "camp"
    read_policy = edit_policy = WorkspaceDefault()

    name: Mapped[str]
    type: Mapped[CampaignType | None] = mapped_column(types.Enum(CampaignType))
    status: Mapped[CampaignStatus] = mapped_column(types.Enum(CampaignStatus), default=CampaignStatus.PLANNED)
    description: Mapped[str | None] = mapped_column(types.Text(types.LONG_TEXT))
    start_date: Mapped[dt.date | None]
    end_date: Mapped[dt.date | None]
    budget: Mapped[Decimal | None]
    actual_cost: Mapped[Decimal | None]
    expected_revenue: Mapped[Decimal | None]
    currency: Mapped[str | None] = mapped_column(types.Currency())
    member_statuses: Mapped[list[MemberStatus]] = mapped_column(types.Values(MemberStatus), default=usual_statuses)
    parent_id: Mapped[str | None] = reference("campaigns")

    def status_called(self, name: str | None) -> MemberStatus | None:
        """The status with a name, ignoring case; the first one if `name` is None; None if there is none."""
        if name is None:
            return self.member_statuses[0]
        return next((each for each in self.member_statuses if each.name.casefold() == name.casefold()), None)


class CampaignMember(Entity):
    """A contact or a lead that a campaign reaches: one of the two is set."""

    __tablename__ = "campaign_members"
    __table_args__ = (
        sa.UniqueConstraint("workspace_id", "campaign_id", "contact_id"),
        sa.UniqueConstraint("workspace_id", "campaign_id", "lead_id"),
        sa.UniqueConstraint("workspace_id", "external_id"),
    )
    prefix = "cmem"
    read_policy = AllOf(
        InheritsFrom("campaign_id"),
        InheritsFrom("contact_id", unlinked=Everyone()),
        InheritsFrom("lead_id", unlinked=Everyone()),
    )
    edit_policy = InheritsFrom("campaign_id")
    EVENTS = {"first_responded_at": "RESPONDED"}

    campaign_id: Mapped[str] = reference("campaigns", nullable=False, index=False)
    contact_id: Mapped[str | None] = reference("contacts")
    lead_id: Mapped[str | None] = reference("leads")
    status: Mapped[str] = mapped_column(types.Text(40))
    first_responded_at: Mapped[dt.datetime | None]
    external_id: Mapped[str | None] = mapped_column(types.Text(100))

    def reach(self, status: MemberStatus) -> None:
        """Set the status. The first status that counts as a response sets `first_responded_at`."""
        self.status = status.name
        if status.responded and self.first_responded_at is None:
            self.first_responded_at = now()

    def unite(self, other: CampaignMember) -> None:
        """Merge another membership of the same person into this one.

        The earlier response is kept, and this status, unless this one was removed or only the other had responded.
        """
        if self.deleted_at is not None or (self.first_responded_at is None and other.first_responded_at is not None):
            self.status = other.status
        responses = (self.first_responded_at, other.first_responded_at)
        self.first_responded_at = min((each for each in responses if each is not None), default=None)
        self.deleted_at, other.deleted_at = None, now()
