"""Contacts: the first email and phone number are the primary ones, and an opt-out has a date."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from crm_graph import records
from crm_graph.access import Viewer
from crm_graph.errors import Invalid
from crm_graph.models import Contact, EmailAddress, Lead, PhoneNumber, now
from crm_graph.records import Values
from crm_graph.records.import_rules import ImportRules

Item = TypeVar("Item", EmailAddress, PhoneNumber)


async def create(session: AsyncSession, viewer: Viewer, *, values: Values) -> Contact:
    """Raises Forbidden, Invalid, Required, NotFound, Duplicate."""
    contact = await records.create(session, viewer, Contact, values=values)
    settle(contact, values)
    return contact


async def update(
    session: AsyncSession, viewer: Viewer, *, id: str, values: Values, expected_version: int | None
) -> Contact:
    """Raises NotFound, Forbidden, Conflict, Invalid, Required, Duplicate."""
    contact = await records.update(session, viewer, Contact, id=id, values=values, expected_version=expected_version)
    settle(contact, values)
    return contact


def settle(contact: Contact, values: Values) -> None:
    """Make primary email and phone agree with their lists, whichever of them `values` sets, and date new opt-outs."""
    contact.emails = _primary_first(contact.emails or [], contact.email, "email" in values, _address, EmailAddress)
    contact.email = contact.emails[0].address if contact.emails else None
    contact.phones = _primary_first(contact.phones or [], contact.phone, "phone" in values, _number, PhoneNumber)
    contact.phone = contact.phones[0].number if contact.phones else None
    date_opt_outs(contact)


def date_opt_outs(person: Contact | Lead) -> None:
    """Date an opt-out when it begins, and clear the date when it ends."""
    for channel in ("email_opt_out", "phone_opt_out"):
        opted_out, date = getattr(person, channel), getattr(person, f"{channel}_at")
        if bool(opted_out) is not (date is not None):
            setattr(person, f"{channel}_at", now() if opted_out else None)


def shared_account(account_id: str | None, contact_account_id: str | None) -> str | None:
    """Account of a record that refers to a contact: its own, or else the contact's.

    Raises Invalid about `contact_id` if they differ.
    """
    if None not in (account_id, contact_account_id) and account_id != contact_account_id:
        raise Invalid("The contact works at another account.", "contact_id")
    return account_id or contact_account_id


def _address(email: EmailAddress) -> str:
    return email.address


def _number(phone: PhoneNumber) -> str:
    return phone.number


def _primary_first(
    items: list[Item], primary: str | None, named: bool, key: Callable[[Item], str], kind: Callable[[str], Item]
) -> list[Item]:
    """The list with the primary item first: `primary` if it was set itself (`named`), otherwise the list's first."""
    if not named or (items and primary == key(items[0])):
        return items
    if primary is None:
        return items[1:]
    leading: list[Item] = [item for item in items if key(item) == primary] or [kind(primary)]
    return leading + [item for item in items if key(item) != primary]


class ContactImport(ImportRules[Contact]):
    model = Contact

    def settle(self, contact: Contact, changed: Values) -> None:
        settle(contact, changed)
