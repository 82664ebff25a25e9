"""People at companies: the first email and phone are the primary ones, and an opt-out knows its date."""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from crm_graph import records
from crm_graph.access import Permission, Viewer
from crm_graph.models import Contact, EmailAddress, PhoneNumber, now
from crm_graph.records import Values


async def create(session: AsyncSession, viewer: Viewer, *, values: Values) -> Contact:
    """Raises Forbidden, Invalid, Required, NotFound, Duplicate."""
    contact = await records.create(session, viewer, Contact, values=values)
    settle(contact, values)
    return contact


async def update(
    session: AsyncSession, viewer: Viewer, *, id: str, values: Values, expected_version: int | None
) -> Contact:
    """Raises NotFound, Forbidden, Conflict, Invalid, Required, Duplicate."""
    contact = await records.find(session, viewer, Contact, id, to=Permission.EDIT)
    records.check_version(contact, expected_version)
    await records.assign(session, viewer, contact, values)
    settle(contact, values)
    return contact


def settle(contact: Contact, values: Values) -> None:
    """Make the primary email and phone and their lists agree, whichever was set, and date new opt-outs."""
    contact.emails = _settled(contact.emails or [], contact.email, "email" in values, "address", EmailAddress)
    contact.email = contact.emails[0].address if contact.emails else None
    contact.phones = _settled(contact.phones or [], contact.phone, "phone" in values, "number", PhoneNumber)
    contact.phone = contact.phones[0].number if contact.phones else None
    date_opt_outs(contact)


def date_opt_outs(person: Any) -> None:
    """A contact or a lead who opts out gets the date of it; one who opts in again loses it."""
    for channel in ("email_opt_out", "phone_opt_out"):
        opted_out, date = getattr(person, channel), getattr(person, f"{channel}_at")
        if bool(opted_out) is not (date is not None):
            setattr(person, f"{channel}_at", now() if opted_out else None)


def _settled(items: list[Any], primary: str | None, named: bool, key: str, kind: Any) -> list[Any]:
    """The list with the primary first. Where the primary itself was set it leads, otherwise the list does."""
    if not named or (items and primary == getattr(items[0], key)):
        return items
    if primary is None:
        return items[1:]
    known = [item for item in items if getattr(item, key) == primary]
    return [*(known or [kind(primary)]), *(item for item in items if getattr(item, key) != primary)]
