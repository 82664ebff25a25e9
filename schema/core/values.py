"""Small records inside others that several areas use."""

from __future__ import annotations

import strawberry

from schema.core.declare import value_type


@value_type("A postal address.")
class Address:
    street: str | None = strawberry.field(description="Street and number, in several lines if necessary.")
    city: str | None = strawberry.field(description="City.")
    region: str | None = strawberry.field(description="State, province or county.")
    postal_code: str | None = strawberry.field(description="Postal code.")
    country: str | None = strawberry.field(description="Country.")
