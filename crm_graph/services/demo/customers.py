"""Accounts and the people who work there."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from crm_graph.models import Account, AccountType, Address, Contact, EmailAddress, PhoneNumber, SocialProfile
from crm_graph.services.demo import sample_data as words
from crm_graph.services.demo.builder import Draft, Row
from crm_graph.services.demo.company import Company
from crm_graph.services.demo.sample_data import Place

TYPES = {
    AccountType.CUSTOMER: 48,
    AccountType.PROSPECT: 38,
    AccountType.PARTNER: 6,
    AccountType.SUPPLIER: 4,
    AccountType.COMPETITOR: 2,
    AccountType.OTHER: 2,
}


@dataclass
class Customer:
    """An account with what the other parts need to know of it: who works there, and what they want from us."""

    account: Row
    place: Place
    interests: list[str]
    contacts: list[Row] = field(default_factory=list)

    @property
    def is_buyer(self) -> bool:
        return self.account["type"] in {AccountType.CUSTOMER, AccountType.PROSPECT}


def acquire(draft: Draft, company: Company, count: int) -> list[Customer]:
    """That many accounts with their contacts. The first is a customer with subsidiaries."""
    customers: list[Customer] = []
    names: set[str] = set()
    for number, days in enumerate(sorted(draft.random.uniform(-560, -5) for _ in range(count))):
        parent = _parent(draft, customers, number)
        industry, place, name = _named(draft, parent)
        while name in names:
            name = f"{name} {place.city}" if not name.endswith(place.city) else f"{name} {number}"
        names.add(name)
        customers.append(_customer(draft, company, draft.day(days), name, industry, place, parent, first=not number))
    return customers


def _parent(draft: Draft, customers: list[Customer], number: int) -> Customer | None:
    if 0 < number < 4:
        return customers[0]
    return draft.pick(customers) if customers and draft.chance(0.08) else None


def _named(draft: Draft, parent: Customer | None) -> tuple[str, Place, str]:
    place = draft.pick(words.PLACES)
    if parent is not None:
        return parent.account["industry"], place, f"{parent.account['name']} {place.city}"
    industry = draft.pick(list(words.INDUSTRIES))
    return industry, place, f"{draft.pick(words.COMPANY_NAMES)} {draft.pick(words.INDUSTRIES[industry][0])}"


def _customer(
    draft: Draft,
    company: Company,
    at: Any,
    name: str,
    industry: str,
    place: Place,
    parent: Customer | None,
    *,
    first: bool,
) -> Customer:
    owner = draft.pick(company.reps(place.area))
    kind = AccountType.CUSTOMER if first else draft.random.choices(list(TYPES), list(TYPES.values()))[0]
    employees = 1_800 if first else int(draft.random.lognormvariate(5, 1.2)) + 3
    address = address_in(draft, place)
    prospect = kind is AccountType.CUSTOMER and draft.chance(0.6)
    account = draft.add(
        Account,
        at,
        owner["id"],
        name=name,
        type=AccountType.PROSPECT if prospect else kind,
        domain=f"{slug(name)}.example",
        website=f"https://www.{slug(name)}.example",
        phone=phone_in(draft, place),
        industry=industry,
        description=f"{industry} in {place.city}.",
        employees=employees,
        founded_year=draft.random.randint(1890, 2022),
        annual_revenue=Decimal(round(employees * draft.random.randint(90, 260) * place.rate)) * 1000,
        currency=place.currency,
        billing_address=address,
        shipping_address=address_in(draft, place) if draft.chance(0.3) else address,
        parent_id=parent and parent.account["id"],
        owner_id=owner["id"],
        team_id=owner["team_id"],
    )
    if prospect:
        draft.change(account, Account, draft.after(at, 20, 60), owner["id"], type=kind)
    customer = Customer(account, place, draft.some(words.INDUSTRIES[industry][1], 4, 4))
    for _ in range(6 if first else 1 + min(5, int(draft.random.expovariate(0.5)))):
        customer.contacts.append(_contact(draft, customer, owner))
    return customer


def _contact(draft: Draft, customer: Customer, owner: Row) -> Row:
    account, place = customer.account, customer.place
    at = draft.after(account["created_at"], 0, 30)
    first_name, last_name = draft.pick(words.FIRST_NAMES), draft.pick(words.LAST_NAMES)
    taken = {contact["email"] for contact in customer.contacts}
    while f"{slug(first_name)}.{slug(last_name)}@{account['domain']}" in taken:
        last_name = draft.pick(words.LAST_NAMES)
    address = f"{slug(first_name)}.{slug(last_name)}@{account['domain']}"
    number, mobile = phone_in(draft, place), phone_in(draft, place)
    title, department = draft.pick(words.POSITIONS)
    emails = [EmailAddress(address, "work")]
    if draft.chance(0.2):
        emails.append(EmailAddress(f"{slug(last_name)}{draft.random.randint(60, 99)}@mail.example", "private"))
    contact = draft.add(
        Contact,
        at,
        owner["id"],
        first_name=first_name,
        last_name=last_name,
        title=title,
        department=department,
        email=address,
        phone=number,
        emails=emails,
        phones=[PhoneNumber(number, "work"), *([PhoneNumber(mobile, "mobile")] if draft.chance(0.4) else [])],
        social_profiles=_profiles(draft, first_name, last_name),
        mailing_address=account["billing_address"],
        lead_source=draft.pick(words.SOURCES),
        account_id=account["id"],
        owner_id=owner["id"],
        team_id=owner["team_id"],
    )
    if draft.chance(0.1):
        opted_out = draft.after(at, 1, 200)
        draft.change(contact, Contact, opted_out, owner["id"], email_opt_out=True, email_opt_out_at=opted_out)
    return contact


def _profiles(draft: Draft, first_name: str, last_name: str) -> list[SocialProfile]:
    if not draft.chance(0.4):
        return []
    return [SocialProfile("mastodon", f"https://social.example/@{slug(first_name)}{slug(last_name)}")]


def address_in(draft: Draft, place: Place) -> Address:
    street = place.street.format(draft.random.randint(2, 180))
    return Address(street, place.city, place.region, place.postal_code, place.country)


def phone_in(draft: Draft, place: Place) -> str:
    return "".join(str(draft.random.randrange(10)) if sign == "#" else sign for sign in place.phone)


def slug(text: str) -> str:
    """The text as a part of an address: «Köln Foods» becomes «koln-foods»."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
