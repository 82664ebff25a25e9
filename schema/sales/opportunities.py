"""Deals."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import TYPE_CHECKING, Optional

import strawberry

from crm_graph import models
from crm_graph.models import ForecastCategory
from crm_graph.services.sales import opportunities
from loaders.activities import activities_of
from loaders.sales import opportunities as relations
from schema.core import Connection, Money, Node, column, connection, crud, edge, money, node, payload_type
from schema.core.mutations import RecordInput, mutation, write_input
from schema.core.registry import mutation_fields

if TYPE_CHECKING:
    from schema.core.node_types import (
        Account,
        Activity,
        Campaign,
        Contact,
        ContactRolePayload,
        OpportunityLinePayload,
        OpportunityPayload,
        Pipeline,
        Product,
        Stage,
        Team,
        User,
    )


@node(models.Opportunity, "A deal in a pipeline.")
class Opportunity(Node):
    name: str = column("Name of the deal.")
    description: str | None = column("Free text.", sortable=False)
    amount: Money | None = money("Value of the deal.")
    probability: int = column("Probability of winning in percent; the stage's unless pinned.")
    probability_pinned: bool = column("True if the probability stays when the stage changes.")
    forecast_category: ForecastCategory = column("Forecast category; the stage's unless pinned.")
    forecast_category_pinned: bool = column("True if the forecast category stays when the stage changes.")
    start_date: dt.date | None = column("Day the work on it began.")
    close_date: dt.date | None = column("Actual or expected closing date.")
    next_step: str | None = column("Next step.")
    lead_source: str | None = column("Source of the deal.")
    lost_reason: str | None = column("Reason for losing it.")
    competitors: list[str] = column("Competitors for the deal.")
    rank: str = column("Position among the cards of its stage. Compare as text.", write=False)
    stage_entered_at: dt.datetime = column("Time it entered its stage.", write=False)
    external_id: str | None = column("Id in another system, unique among opportunities.")
    account: Account | None = edge("The buyer.", by="account_id")
    pipeline: Pipeline | None = edge("Its pipeline.", by="pipeline_id", write="create", optional=True)
    stage: Stage | None = edge("Its stage.", by="stage_id", write="create", optional=True)
    campaign: Campaign | None = edge("The campaign that it came from.", by="campaign_id")
    owner: User | None = edge("The user who works on it.", by="owner_id")
    team: Team | None = edge("The team that works on it; the owner's home team by default.", by="team_id")
    contact_roles: Connection[ContactRole] = connection("The people who have a role in it.", relations.ROLES)
    lines: Connection[OpportunityLine] = connection("Its products.", relations.LINES)
    activities: Connection[Activity] = connection("Activities about the deal.", activities_of("opportunity_id"))


@node(models.ContactRole, "A person's role in a deal.")
class ContactRole(Node):
    role: str | None = column("The role, such as decision maker.")
    primary: bool = column("True for the main person; a deal has at most one.")
    opportunity: Opportunity | None = edge("The deal.", by="opportunity_id", write="create")
    contact: Contact | None = edge("The person.", by="contact_id", write="create")


@node(models.OpportunityLine, "A product in a deal.")
class OpportunityLine(Node):
    quantity: Decimal = column("Quantity.")
    price: Money | None = money("Price per unit in the deal's currency.")
    external_id: str | None = column("Id in another system, unique among lines.")
    opportunity: Opportunity | None = edge("The deal.", by="opportunity_id", write="create")
    product: Product | None = edge("The product.", by="product_id", write="create")


write_input(
    "MoveOpportunityInput",
    "The new place of a deal.",
    {
        "opportunity_id": (strawberry.ID, "Id of the deal."),
        "stage_id": (strawberry.ID, "The new stage, in the same pipeline; the current stage only reorders the card."),
        "expected_version": (int, "The version that you know; the move is rejected if it is not the latest."),
        "above_id": (Optional[strawberry.ID], "The card directly above the new place; the top if omitted."),
        "below_id": (Optional[strawberry.ID], "The card directly below the new place."),
        "lost_reason": (Optional[str], "Reason for losing it, for a stage of category LOST."),
    },
)

crud(
    Opportunity,
    create=mutation("Create an opportunity at the top of its stage.", opportunities.create),
    update=opportunities.update,
    restore=opportunities.restore,
    verbs={"move_opportunity": mutation("Move a deal to a stage, or within its stage.", opportunities.move)},
    position=3,
)
payload_type(ContactRole)
payload_type(OpportunityLine)


@mutation_fields(3)
class OpportunityPartMutation:
    create_contact_role: ContactRolePayload = mutation(
        "Give a person a role in a deal.", opportunities.add_contact_role
    )
    update_contact_role: ContactRolePayload = mutation(
        "Update a person's role in a deal.", opportunities.update_contact_role
    )
    delete_contact_role: OpportunityPayload = mutation(
        "Remove a person from a deal.", opportunities.remove, RecordInput, model=models.ContactRole
    )
    create_opportunity_line: OpportunityLinePayload = mutation("Add a product to a deal.", opportunities.add_line)
    update_opportunity_line: OpportunityLinePayload = mutation("Update a product in a deal.", opportunities.update_line)
    delete_opportunity_line: OpportunityPayload = mutation(
        "Remove a product from a deal.", opportunities.remove, RecordInput, model=models.OpportunityLine
    )
