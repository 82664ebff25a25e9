"""Leads, and their conversion to an account, a contact and a deal."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from crm_graph import records
from crm_graph.access import Permission, Viewer, unscoped
from crm_graph.changelog import journal_of
from crm_graph.errors import DomainError, Invalid, NotFound
from crm_graph.models import (
    Account,
    Activity,
    ActivityLink,
    ActivityType,
    Campaign,
    CampaignMember,
    Contact,
    ContactRole,
    Lead,
    LeadStatus,
    Opportunity,
    OwnedEntity,
    PhoneNumber,
    now,
)
from crm_graph.models.types import MAX_ITEMS
from crm_graph.records import Values
from crm_graph.records.import_rules import ImportRules, Row
from crm_graph.services.accounts import contacts
from crm_graph.services.activities import link_changes
from crm_graph.services.sales import opportunities

A = TypeVar("A", Account, Contact)


async def create(session: AsyncSession, viewer: Viewer, *, values: Values) -> Lead:
    """Raises Forbidden, Invalid, Required, NotFound, Duplicate."""
    _check_status(values)
    lead = await records.create(session, viewer, Lead, values=values)
    contacts.date_opt_outs(lead)
    return lead


async def update(
    session: AsyncSession, viewer: Viewer, *, id: str, values: Values, expected_version: int | None
) -> Lead:
    """Raises NotFound, Forbidden, Conflict, Invalid, Required, Duplicate; Invalid about `id` for a converted lead."""
    lead = await records.find(session, viewer, Lead, id, to=Permission.EDIT)
    records.check_version(lead, expected_version)
    _check_open(lead, "id")
    _check_status(values)
    await records.assign(session, viewer, lead, values)
    contacts.date_opt_outs(lead)
    return lead


async def delete(session: AsyncSession, viewer: Viewer, *, id: str, expected_version: int | None) -> Lead:
    """Raises NotFound, Forbidden, Conflict; Invalid about `id` for a converted lead."""
    lead = await records.delete(session, viewer, Lead, id=id, expected_version=expected_version)
    _check_open(lead, "id")
    return lead


async def convert(
    session: AsyncSession,
    viewer: Viewer,
    *,
    lead_id: str,
    account_id: str | None = None,
    contact_id: str | None = None,
    create_opportunity: bool | None = None,
    opportunity_name: str | None = None,
    owner_id: str | None = None,
    expected_version: int | None = None,
    values: Values,
) -> dict[str, str | None]:
    """Convert a lead to an account, a contact and, unless `create_opportunity` is False, a deal.

    An existing account or contact only gets the values that it lacks; a contact's own account is used unless
    `account_id` names one. `values` are the deal's: amount, currency, pipeline, stage, close date. All three belong to
    `owner_id`, or else to the lead's owner, whether or not the viewer can then see them. The lead is read-only
    afterwards. Returns {record_id: the lead's id, account_id, contact_id, opportunity_id}.

    Raises NotFound, Forbidden, Conflict, Invalid, Required; StageRequirementMissing for an empty field that the deal's
    stage requires.
    """
    lead = await records.find(session, viewer, Lead, lead_id, to=Permission.EDIT, field="lead_id")
    records.check_version(lead, expected_version)
    _check_open(lead, "lead_id")
    wants_deal = create_opportunity is not False
    if not wants_deal and (values or opportunity_name is not None):
        raise Invalid("Opportunity fields are not allowed when createOpportunity is false.", "create_opportunity")
    owner = await _owner(session, viewer, lead, owner_id)
    contact = None if contact_id is None else await _target(session, viewer, Contact, contact_id, "contact_id")
    if contact is not None:
        account_id = contacts.shared_account(account_id, contact.account_id)
    account = await _account(session, viewer, lead, account_id, owner)
    contact = await _contact(session, viewer, lead, contact, account, owner)
    campaign_id = await _latest_campaign(session, viewer, lead)
    opportunity = None
    if wants_deal:
        named = {"name": account.name if opportunity_name is None else opportunity_name, **values, **owner}
        opportunity = await _opportunity(session, viewer, lead, named, account, contact, campaign_id)
    lead.status, lead.converted_at = LeadStatus.CONVERTED, now()
    lead.converted_account_id, lead.converted_contact_id = account.id, contact.id
    lead.converted_opportunity_id = opportunity.id if opportunity else None
    await _move_memberships(session, viewer, lead, contact)
    await _move_activities(session, viewer, lead, owner)
    return {
        "record_id": lead.id,
        "account_id": account.id,
        "contact_id": contact.id,
        "opportunity_id": lead.converted_opportunity_id,
    }


def end_of_quarter(day: dt.date) -> dt.date:
    """Last day of the calendar quarter of a day. Fiscal quarters are calendar quarters."""
    first_of_last = dt.date(day.year, (day.month + 2) // 3 * 3, 1)
    return (first_of_last + dt.timedelta(days=31)).replace(day=1) - dt.timedelta(days=1)


def _check_status(values: Values) -> None:
    if values.get("status") == LeadStatus.CONVERTED:
        raise Invalid("Only convertLead makes a lead CONVERTED.", "status")


def _check_open(lead: Lead, field: str) -> None:
    if lead.converted_at is not None:
        raise Invalid("The lead is converted, and read-only.", field)


async def _owner(session: AsyncSession, viewer: Viewer, lead: Lead, owner_id: str | None) -> dict[str, str | None]:
    """Owner and team of the three records: {owner_id, team_id}."""
    owner_id = records.clean(Lead, {"owner_id": owner_id})["owner_id"]
    if owner_id is not None:
        await records.check_references(session, viewer, Lead, {"owner_id": owner_id})
    else:
        own = {"owner_id": lead.owner_id, "team_id": lead.team_id}
        try:
            await records.check_references(session, viewer, Lead, own)
        except NotFound:  # its owner or team is deleted: the viewer takes over
            owner_id = viewer.user_id
        else:
            return own
    return {"owner_id": owner_id, "team_id": owner_id and await records.home_team(session, viewer, owner_id)}


async def _target(session: AsyncSession, viewer: Viewer, model: type[A], record_id: str, field: str) -> A:
    return await records.find(session, viewer, model, record_id, to=Permission.EDIT, field=field, forbidden_field=field)


async def _account(
    session: AsyncSession, viewer: Viewer, lead: Lead, account_id: str | None, owner: dict[str, str | None]
) -> Account:
    values = {
        "billing_address": lead.address,
        "industry": lead.industry,
        "employees": lead.employees,
        "website": lead.website,
        "phone": lead.phone,
        "annual_revenue": lead.annual_revenue,
        "currency": None if lead.annual_revenue is None else lead.currency,
    }
    if account_id is None:
        name = {"name": lead.company or lead.full_name}
        account = await records.create(session, viewer, Account, values={**name, **values, **owner})
    else:
        account = await _target(session, viewer, Account, account_id, "account_id")
        lacking = _lacking(account, values, owner)
        if "annual_revenue" in lacking:
            lacking["currency"] = lead.currency
        await records.assign(session, viewer, account, lacking)
    await session.flush()
    return account


async def _contact(
    session: AsyncSession,
    viewer: Viewer,
    lead: Lead,
    contact: Contact | None,
    account: Account,
    owner: dict[str, str | None],
) -> Contact:
    values = {
        "first_name": lead.first_name,
        "title": lead.title,
        "description": lead.description,
        "email": lead.email,
        "mailing_address": lead.address,
        "lead_source": lead.source,
    }
    if contact is None:
        person = {
            "last_name": lead.last_name,
            "phones": _phones([], lead),
            "email_opt_out": lead.email_opt_out,
            "email_opt_out_at": lead.email_opt_out_at,
            "phone_opt_out": lead.phone_opt_out,
            "phone_opt_out_at": lead.phone_opt_out_at,
        }
        contact = await contacts.create(session, viewer, values={**values, **person, **owner})
    else:
        lacking = {**_lacking(contact, values, owner), "phones": _phones(contact.phones, lead)}
        await records.assign(session, viewer, contact, lacking)
        contacts.settle(contact, lacking)
    contact.account_id = account.id
    await session.flush()
    return contact


def _lacking(record: OwnedEntity, values: Values, owner: dict[str, str | None]) -> Row:
    """The values that the record lacks. An owner is one of them, but a record with a team stays with it."""
    lacking = {name: value for name, value in values.items() if value is not None and getattr(record, name) is None}
    if record.owner_id is None and owner["owner_id"] is not None:
        lacking |= {"owner_id": owner["owner_id"], "team_id": record.team_id or owner["team_id"]}
    return lacking


def _phones(known: list[PhoneNumber], lead: Lead) -> list[PhoneNumber]:
    """A contact's numbers, and the lead's phone and mobile numbers of a kind that the contact lacks."""

    def is_mobile(phone: PhoneNumber) -> bool:
        return (phone.label or "").casefold() == "mobile"

    phones = list(known)
    for number, label in ((lead.phone, None), (lead.mobile, "mobile")):
        new = PhoneNumber(number or "", label)
        if number is not None and all(
            phone.number != number and is_mobile(phone) is not is_mobile(new) for phone in phones
        ):
            phones.append(new)
    return phones[:MAX_ITEMS]


async def _opportunity(
    session: AsyncSession,
    viewer: Viewer,
    lead: Lead,
    values: Row,
    account: Account,
    contact: Contact,
    campaign_id: str | None,
) -> Opportunity:
    if values.get("close_date") is None:
        values["close_date"] = end_of_quarter(now().date())
    values["lead_source"] = lead.source
    try:
        opportunity = await opportunities.create(
            session, viewer, values=values, account_id=account.id, campaign_id=campaign_id
        )
    except DomainError as error:
        error.field = "opportunity_name" if error.field == "name" else error.field
        raise
    await session.flush()
    await records.create(
        session,
        viewer,
        ContactRole,
        values={"primary": True},
        opportunity_id=opportunity.id,
        contact_id=contact.id,
    )
    return opportunity


async def _latest_campaign(session: AsyncSession, viewer: Viewer, lead: Lead) -> str | None:
    reason = "a deal came from its campaign whoever converts the lead"
    return await session.scalar(
        sa.select(CampaignMember.campaign_id)
        .join(Campaign, Campaign.id == CampaignMember.campaign_id)
        .where(unscoped(CampaignMember, reason), unscoped(Campaign, reason))
        .where(CampaignMember.workspace_id == viewer.workspace_id, Campaign.workspace_id == viewer.workspace_id)
        .where(CampaignMember.lead_id == lead.id, CampaignMember.deleted_at.is_(None), Campaign.deleted_at.is_(None))
        .order_by(CampaignMember.created_at.desc(), CampaignMember.id.desc())
        .limit(1)
    )


async def _move_memberships(session: AsyncSession, viewer: Viewer, lead: Lead, contact: Contact) -> None:
    """Move the lead's campaign memberships to the contact. Two memberships of one campaign become one."""
    members = await session.scalars(
        sa.select(CampaignMember)
        .where(unscoped(CampaignMember, "a person keeps the places that the viewer cannot see"))
        .where(CampaignMember.workspace_id == viewer.workspace_id)
        .where(
            sa.or_(
                CampaignMember.contact_id == contact.id,
                sa.and_(CampaignMember.lead_id == lead.id, CampaignMember.deleted_at.is_(None)),
            )
        )
        .order_by(CampaignMember.id)
        .with_for_update()
    )
    places: dict[str, CampaignMember] = {}
    moving = []
    for member in members:
        if member.contact_id is None:
            moving.append(member)
        else:
            places[member.campaign_id] = member
    for member in moving:
        place = places.get(member.campaign_id)
        if place is None:
            member.contact_id, member.lead_id = contact.id, None
        else:
            place.unite(member)


async def _move_activities(session: AsyncSession, viewer: Viewer, lead: Lead, owner: dict[str, str | None]) -> None:
    """Link the lead's activities to the three records, and give the open ones to their owner."""
    three = {
        "account_id": lead.converted_account_id,
        "contact_id": lead.converted_contact_id,
        "opportunity_id": lead.converted_opportunity_id,
    }
    about_lead = sa.select(ActivityLink.activity_id).where(
        ActivityLink.workspace_id == viewer.workspace_id, ActivityLink.lead_id == lead.id
    )
    locked = await session.scalars(
        sa.select(Activity)
        .where(unscoped(Activity, "a lead takes along what the viewer cannot see"))
        .where(Activity.workspace_id == viewer.workspace_id, Activity.id.in_(about_lead))
        .order_by(Activity.id)
        .with_for_update()
    )
    activities = locked.all()
    links: dict[str, dict[str, bool]] = defaultdict(dict)
    for link in await session.scalars(
        sa.select(ActivityLink).where(
            ActivityLink.workspace_id == viewer.workspace_id, ActivityLink.activity_id.in_(about_lead)
        )
    ):
        target = next(key for name in ActivityLink.TARGETS if (key := getattr(link, name)) is not None)
        links[link.activity_id][target] = not link.derived
    for activity in activities:
        old = links[activity.id]
        new = {name: key for name, key in three.items() if key is not None and key not in old}
        for name, key in new.items():
            session.add(ActivityLink(workspace_id=viewer.workspace_id, activity_id=activity.id, **{name: key}))
        if new:
            # Links count for the activity's log and version. Note them before the owner changes.
            journal = journal_of(session)
            journal.note(activity, link_changes(old, {**old, **dict.fromkeys(new.values(), True)}))
            activity.updated_at = journal.happened_at
        if owner["owner_id"] is not None and activity.deleted_at is None and _is_open(activity):
            activity.owner_id, activity.team_id = owner["owner_id"], owner["team_id"]


def _is_open(activity: Activity) -> bool:
    return not activity.done and (activity.type is ActivityType.TASK or activity.happens_at > now())


class LeadImport(ImportRules[Lead]):
    model = Lead

    @classmethod
    def read_only(cls) -> sa.ColumnElement[bool]:
        return Lead.converted_at.is_not(None)

    def settle(self, lead: Lead, changed: Values) -> None:
        contacts.date_opt_outs(lead)
