"""Accounts and the people who work there."""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from dataclasses import dataclass, field
from decimal import Decimal

from crm_graph.models import Account, AccountType, Address, Contact, EmailAddress, PhoneNumber, SocialProfile
from crm_graph.services.demo import sample_data
from crm_graph.services.demo.builder import Builder, Row
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
    """An account with its place, its contacts and the products that interest it."""

    account: Row
    place: Place
    interests: list[str]
    contacts: list[Row] = field(default_factory=list)

    @property
    def is_buyer(self) -> bool:
        return self.account["type"] in {AccountType.CUSTOMER, AccountType.PROSPECT}


def acquire(builder: Builder, company: Company, count: int) -> list[Customer]:
    """`count` accounts with their contacts. The first is a customer with subsidiaries."""
    customers: list[Customer] = []
    names: set[str] = set()
    for number, days in enumerate(sorted(builder.random.uniform(-560, -5) for _ in range(count))):
        parent = _parent(builder, customers, number)
        industry, place, name = _named(builder, parent)
        while name in names:
            name = f"{name} {place.city}" if not name.endswith(place.city) else f"{name} {number}"
        names.add(name)
        customers.append(
            _customer(builder, company, builder.day(days), name, industry, place, parent, first=not number)
        )
    return customers


def _parent(builder: Builder, customers: list[Customer], number: int) -> Customer | None:
    if 0 < number < 4:
        return customers[0]
    return builder.pick(customers) if customers and builder.chance(0.08) else None


def _named(builder: Builder, parent: Customer | None) -> tuple[str, Place, str]:
    place = builder.pick(sample_data.PLACES)
    if parent is not None:
        return parent.account["industry"], place, f"{parent.account['name']} {place.city}"
    industry = builder.pick(list(sample_data.INDUSTRIES))
    return (
        industry,
        place,
        f"{builder.pick(sample_data.COMPANY_NAMES)} {builder.pick(sample_data.INDUSTRIES[industry][0])}",
    )


def _customer(
    builder: Builder,
    company: Company,
    at: dt.datetime,
    name: str,
    industry: str,
    place: Place,
    parent: Customer | None,
    *,
    first: bool,
) -> Customer:
    owner = builder.pick(company.reps(place.area))
    kind = AccountType.CUSTOMER if first else builder.random.choices(list(TYPES), list(TYPES.values()))[0]
    employees = 1_800 if first else int(builder.random.lognormvariate(5, 1.2)) + 3
    address = address_in(builder, place)
    prospect = kind is AccountType.CUSTOMER and builder.chance(0.6)
    account = builder.add(
        Account,
        at,
        owner["id"],
        name=name,
        type=AccountType.PROSPECT if prospect else kind,
        domain=f"{slug(name)}.example",
        website=f"https://www.{slug(name)}.example",
        phone=phone_in(builder, place),
        industry=industry,
        description=f"{industry} in {place.city}.",
        employees=employees,
        founded_year=builder.random.randint(1890, 2022),
        annual_revenue=Decimal(round(employees * builder.random.randint(90, 260) * place.rate)) * 1000,
        currency=place.currency,
        billing_address=address,
        shipping_address=address_in(builder, place) if builder.chance(0.3) else address,
        parent_id=parent and parent.account["id"],
        owner_id=owner["id"],
        team_id=owner["team_id"],
    )
    if prospect:
        builder.change(account, Account, builder.after(at, 20, 60), owner["id"], type=kind)
    customer = Customer(account, place, builder.some(sample_data.INDUSTRIES[industry][1], 4, 4))
    for _ in range(6 if first else 1 + min(5, int(builder.random.expovariate(0.5)))):
        customer.contacts.append(_contact(builder, customer, owner))
    return customer


def _contact(builder: Builder, customer: Customer, owner: Row) -> Row:
    account, place = customer.account, customer.place
    at = builder.after(account["created_at"], 0, 30)
    first_name, last_name = builder.pick(sample_data.FIRST_NAMES), builder.pick(sample_data.LAST_NAMES)
    taken = {contact["email"] for contact in customer.contacts}
    while f"{slug(first_name)}.{slug(last_name)}@{account['domain']}" in taken:
        last_name = builder.pick(sample_data.LAST_NAMES)
    address = f"{slug(first_name)}.{slug(last_name)}@{account['domain']}"
    number, mobile = phone_in(builder, place), phone_in(builder, place)
    title, department = builder.pick(sample_data.POSITIONS)
    emails = [EmailAddress(address, "work")]
    if builder.chance(0.2):
        emails.append(EmailAddress(f"{slug(last_name)}{builder.random.randint(60, 99)}@mail.example", "private"))
    contact = builder.add(
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
        phones=[PhoneNumber(number, "work"), *([PhoneNumber(mobile, "mobile")] if builder.chance(0.4) else [])],
        social_profiles=_profiles(builder, first_name, last_name),
        mailing_address=account["billing_address"],
        lead_source=builder.pick(sample_data.SOURCES),
        account_id=account["id"],
        owner_id=owner["id"],
        team_id=owner["team_id"],
    )
    if builder.chance(0.1):
        opted_out = builder.after(at, 1, 200)
        builder.change(contact, Contact, opted_out, owner["id"], email_opt_out=True, email_opt_out_at=opted_out)
    return contact


def _profiles(builder: Builder, first_name: str, last_name: str) -> list[SocialProfile]:
    if not builder.chance(0.4):
        return []
    return [SocialProfile("mastodon", f"https://social.example/@{slug(first_name)}{slug(last_name)}")]


def address_in(builder: Builder, place: Place) -> Address:
    street = place.street.format(builder.random.randint(2, 180))
    return Address(street, place.city, place.region, place.postal_code, place.country)


def phone_in(builder: Builder, place: Place) -> str:
    return "".join(str(builder.random.randrange(10)) if sign == "#" else sign for sign in place.phone)


def slug(text: str) -> str:
    """The text as part of an address: `Köln Foods` becomes `koln-foods`."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
