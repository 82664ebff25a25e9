"""Campaigns and their members. Each campaign has its own list of member statuses."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from crm_graph import records
from crm_graph.access import Permission, Viewer, unscoped, visible
from crm_graph.database import in_array
from crm_graph.errors import Invalid, Required
from crm_graph.models import Campaign, CampaignMember, Contact, Lead, MemberStatus, now, types
from crm_graph.records import Values
from crm_graph.records.import_rules import ImportRules

MAX_MEMBERS_PER_CALL = 500
KINDS: Mapping[str, type[Contact] | type[Lead]] = {"contact_id": Contact, "lead_id": Lead}


async def create(session: AsyncSession, viewer: Viewer, *, values: Values) -> Campaign:
    """Raises Forbidden, Invalid, Required, NotFound, Duplicate."""
    campaign = await records.create(session, viewer, Campaign, values=values)
    _check_statuses(values, campaign)
    return campaign


async def update(
    session: AsyncSession, viewer: Viewer, *, id: str, values: Values, expected_version: int | None
) -> Campaign:
    """Raises NotFound, Forbidden, Conflict, Required, Duplicate; Invalid if it drops a status that members have."""
    campaign = await records.update(session, viewer, Campaign, id=id, values=values, expected_version=expected_version)
    if "member_statuses" in values:
        _check_statuses(values, campaign)
        await _check_used(session, viewer, campaign)
    return campaign


async def add_members(
    session: AsyncSession,
    viewer: Viewer,
    *,
    campaign_id: str,
    contact_ids: list[str] | None = None,
    lead_ids: list[str] | None = None,
    status: str | None = None,
) -> dict[str, str | int]:
    """Add contacts and leads to a campaign, all or none. Returns {record_id: the campaign's id, added: count}.

    Existing members keep their status. Removed members return with their former status if the campaign still has it.
    Raises NotFound for a person the viewer cannot see, Forbidden, Required; Invalid for too many people, a converted
    lead, or a status that is not the campaign's.
    """
    campaign = await _editable(session, viewer, campaign_id, "campaign_id")
    reached = find_status(campaign, status)
    people = {"contact_id": contact_ids or [], "lead_id": lead_ids or []}
    if not any(people.values()):
        raise Required("Name at least one contact or lead.", "contact_ids")
    if sum(map(len, people.values())) > MAX_MEMBERS_PER_CALL:
        raise Invalid(
            f"At most {MAX_MEMBERS_PER_CALL} people can be added at once.", "contact_ids" if contact_ids else "lead_ids"
        )
    added = 0
    for key, ids in people.items():
        await _check_people(session, viewer, key, ids)
        members = await _members(session, viewer, campaign, key, ids)
        for person_id in dict.fromkeys(ids):
            member = members.get(person_id)
            if member is None:
                member = CampaignMember(
                    workspace_id=viewer.workspace_id,
                    id=CampaignMember.new_id(),
                    campaign_id=campaign.id,
                    **{key: person_id},
                )
                member.reach(reached)
                session.add(member)
            elif member.deleted_at is not None:
                member.deleted_at = None
                if campaign.status_called(member.status) is None:
                    member.reach(reached)
            else:
                continue
            added += 1
    return {"record_id": campaign.id, "added": added}


async def set_member_status(
    session: AsyncSession, viewer: Viewer, *, member_id: str, status: str, expected_version: int | None = None
) -> CampaignMember:
    """Set a member's status. The date of the first response never changes.

    Raises NotFound, Forbidden, Conflict; Invalid for a status that is not the campaign's.
    """
    member = await records.find(session, viewer, CampaignMember, member_id, to=Permission.EDIT, field="member_id")
    records.check_version(member, expected_version)
    # The lock on the campaign keeps others from dropping the status at the same time.
    campaign = await _editable(session, viewer, member.campaign_id, "member_id")
    member.reach(find_status(campaign, status))
    return member


async def remove_member(
    session: AsyncSession, viewer: Viewer, *, member_id: str, expected_version: int | None = None
) -> dict[str, str]:
    """Remove a member, which needs permission to edit the campaign. Returns {record_id, campaign_id}.

    Raises NotFound, Forbidden, Conflict.
    """
    member = await records.find(session, viewer, CampaignMember, member_id, to=Permission.EDIT, field="member_id")
    records.check_version(member, expected_version)
    member.deleted_at = now()
    return {"record_id": member.id, "campaign_id": member.campaign_id}


def _check_statuses(values: Values, campaign: Campaign) -> None:
    if "member_statuses" not in values:
        return
    if not campaign.member_statuses:
        raise Invalid("A campaign needs at least one status for its members.", "member_statuses")
    names: set[str] = set()
    for place, status in enumerate(campaign.member_statuses):
        if status.name.casefold() in names:
            raise Invalid("Another status has this name already.", f"member_statuses.{place}.name")
        names.add(status.name.casefold())


async def _check_used(session: AsyncSession, viewer: Viewer, campaign: Campaign) -> None:
    kept = [status.name for status in campaign.member_statuses]
    lost = await session.scalar(
        sa.select(CampaignMember.status)
        .where(unscoped(CampaignMember, "members that the viewer cannot see keep their status"))
        .where(CampaignMember.workspace_id == viewer.workspace_id, CampaignMember.campaign_id == campaign.id)
        .where(CampaignMember.deleted_at.is_(None), CampaignMember.status.not_in(kept))
        .order_by(CampaignMember.status)
        .limit(1)
    )
    if lost is not None:
        raise Invalid(f"There are members with the status {lost}: it cannot be removed.", "member_statuses")


async def _editable(session: AsyncSession, viewer: Viewer, campaign_id: str, field: str) -> Campaign:
    return await records.find(
        session, viewer, Campaign, campaign_id, to=Permission.EDIT, field=field, forbidden_field=field
    )


def find_status(campaign: Campaign, name: str | None) -> MemberStatus:
    """A campaign's status by name, ignoring case; the first one for None. Raises Invalid about `status`."""
    status = campaign.status_called(name)
    if status is None:
        names = ", ".join(each.name for each in campaign.member_statuses)
        raise Invalid(f"A member's status in this campaign is one of {names}.", "status")
    return status


async def _check_people(session: AsyncSession, viewer: Viewer, key: str, ids: list[str]) -> None:
    """Raises NotFound for a person the viewer cannot see, and Invalid for a converted lead."""
    kind = KINDS[key]
    converted = Lead.converted_at if kind is Lead else sa.null()
    # The lock waits for a conversion of the lead: it moves only the memberships that exist.
    statement = sa.select(kind.id, converted).where(visible(kind, viewer), in_array(kind.id, _clean(key, ids)))
    found = {row[0]: row[1] for row in await session.execute(statement.with_for_update(read=True, of=kind))}
    for place, person_id in enumerate(ids):
        if person_id not in found:
            raise records.no_such(kind, f"{key}s.{place}")
        if found[person_id] is not None:
            raise Invalid("This lead was converted: add its contact instead.", f"{key}s.{place}")


def _clean(key: str, ids: list[str]) -> list[str]:
    kind = types.Id()
    cleaned = []
    for place, each in enumerate(ids):
        try:
            cleaned.append(kind.clean(each))
        except Invalid as error:
            raise error.prefixed(f"{key}s.{place}") from None
    return cleaned


async def _members(
    session: AsyncSession, viewer: Viewer, campaign: Campaign, key: str, ids: list[str]
) -> dict[str, CampaignMember]:
    person = getattr(CampaignMember, key)
    members = await session.scalars(
        sa.select(CampaignMember)
        .where(unscoped(CampaignMember, "a person has one place in a campaign, removed ones included"))
        .where(CampaignMember.workspace_id == viewer.workspace_id, CampaignMember.campaign_id == campaign.id)
        .where(in_array(person, ids))
    )
    return {getattr(member, key): member for member in members}


class CampaignImport(ImportRules[Campaign]):
    model = Campaign
    always_loaded = True


class CampaignMemberImport(ImportRules[CampaignMember]):
    model = CampaignMember
    facts = {Campaign: ("member_statuses",)}

    def complete(self, member: CampaignMember, given: Values) -> None:
        if (member.contact_id is None) is (member.lead_id is None):
            raise Invalid("Name a contact or a lead: one of the two.", "contact_id")
        self._reach(member)

    def settle(self, member: CampaignMember, changed: Values) -> None:
        if "status" in changed:
            self._reach(member)

    def _reach(self, member: CampaignMember) -> None:
        campaign = self.index.facts_of(Campaign, member.campaign_id)
        if campaign is not None:
            member.reach(find_status(campaign, member.status))
