"""Deals."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import TYPE_CHECKING, Optional

import strawberry

from crm_graph import models, records
from crm_graph.models import ForecastCategory
from crm_graph.services.sales import opportunities
from loaders.activities.activities import activities_of
from loaders.sales import opportunities as relations
from schema.core import Connection, Money, Node, by_id, column, connection, edge, money, node
from schema.core.mutations import Payload, RecordInput, mutation, write_input
from schema.core.registry import mutation_fields, query_fields

if TYPE_CHECKING:
    from schema.core.node_types import Account, Activity, Campaign, Contact, Pipeline, Product, Stage, Team, User


@node(models.Opportunity, "A deal that may close.")
class Opportunity(Node):
    name: str = column("What the deal is called.")
    description: str | None = column("Anything else worth knowing.", sortable=False)
    amount: Money | None = money("What it is worth.")
    probability: int = column("How likely it is to be won, in percent; the stage's unless pinned.")
    probability_pinned: bool = column("Whether the probability stays when the stage changes.")
    forecast_category: ForecastCategory = column("Where it counts in the forecast; the stage's unless pinned.")
    forecast_category_pinned: bool = column("Whether the forecast category stays when the stage changes.")
    start_date: dt.date | None = column("The day work on it began.")
    close_date: dt.date | None = column("The day it closed, or is expected to.")
    next_step: str | None = column("What to do next.")
    lead_source: str | None = column("Where it came from.")
    lost_reason: str | None = column("Why it was lost.")
    competitors: list[str] = column("Who else bids.")
    rank: str = column("Its place among the cards of its stage: compare as text.", write=False)
    stage_entered_at: dt.datetime = column("When it came into its stage.", write=False)
    external_id: str | None = column("Its id in another system, unique among opportunities.")
    account: Account | None = edge("Who buys.", by="account_id")
    pipeline: Pipeline | None = edge("The pipeline it goes through.", by="pipeline_id", write="create", optional=True)
    stage: Stage | None = edge("The stage it is in.", by="stage_id", write="create", optional=True)
    campaign: Campaign | None = edge("The campaign that it came from.", by="campaign_id")
    owner: User | None = edge("Who works on it.", by="owner_id")
    team: Team | None = edge("The team that works on it; its owner's home team unless set.", by="team_id")
    contact_roles: Connection[ContactRole] = connection("The people who have a part in it.", relations.ROLES)
    lines: Connection[OpportunityLine] = connection("The products of interest.", relations.LINES)
    activities: Connection[Activity] = connection("What was done about it.", activities_of("opportunity_id"))


@node(models.ContactRole, "A person's part in a deal.")
class ContactRole(Node):
    role: str | None = column("The part, such as decision maker.")
    primary: bool = column("Whether this is the main person; a deal has one at most.")
    opportunity: Opportunity | None = edge("The deal.", by="opportunity_id", write="create")
    contact: Contact | None = edge("The person.", by="contact_id", write="create")


@node(models.OpportunityLine, "A product of interest in a deal.")
class OpportunityLine(Node):
    quantity: Decimal = column("How many.")
    price: Money | None = money("What one costs, in the deal's currency.")
    external_id: str | None = column("Its id in another system, unique among lines.")
    opportunity: Opportunity | None = edge("The deal.", by="opportunity_id", write="create")
    product: Product | None = edge("The product.", by="product_id", write="create")


write_input(
    "MoveOpportunityInput",
    "Where to move a deal.",
    {
        "opportunity_id": (strawberry.ID, "Which deal."),
        "stage_id": (strawberry.ID, "The stage to move to, of the same pipeline; its own to change its place only."),
        "expected_version": (int, "The version that the client knows; the move is refused if it is not the newest."),
        "above_id": (Optional[strawberry.ID], "The card that shall stand right above it; on top if omitted."),
        "below_id": (Optional[strawberry.ID], "The card that shall stand right below it."),
        "lost_reason": (Optional[str], "Why it was lost; for a stage of category LOST."),
    },
)


@strawberry.type(description="The opportunity as it is now.")
class OpportunityPayload(Payload):
    opportunity: Opportunity | None = edge(
        "The opportunity; null if it was refused, or if it may not be seen any more.", by="record_id"
    )


@strawberry.type(description="The contact role as it is now.")
class ContactRolePayload(Payload):
    contact_role: ContactRole | None = edge("The contact role; null if it was refused.", by="record_id")


@strawberry.type(description="The line as it is now.")
class OpportunityLinePayload(Payload):
    opportunity_line: OpportunityLine | None = edge("The line; null if it was refused.", by="record_id")


@query_fields(3)
class OpportunityQuery:
    opportunity: Opportunity | None = by_id("One opportunity; null if there is none, or if it may not be seen.")
    opportunities: Connection[Opportunity] = connection("All opportunities.")


@mutation_fields(3)
class OpportunityMutation:
    create_opportunity: OpportunityPayload = mutation("Add a deal, on top of its stage.", opportunities.create)
    update_opportunity: OpportunityPayload = mutation("Change a deal.", opportunities.update)
    move_opportunity: OpportunityPayload = mutation(
        "Move a deal to a stage, or to another place in its stage.", opportunities.move
    )
    delete_opportunity: OpportunityPayload = mutation(
        "Delete a deal.", records.delete, RecordInput, model=models.Opportunity
    )
    restore_opportunity: OpportunityPayload = mutation("Bring a deleted deal back.", opportunities.restore, RecordInput)
    create_contact_role: ContactRolePayload = mutation(
        "Give a person a part in a deal.", opportunities.add_contact_role
    )
    update_contact_role: ContactRolePayload = mutation(
        "Change a person's part in a deal.", opportunities.update_contact_role
    )
    delete_contact_role: OpportunityPayload = mutation(
        "Take a person out of a deal.", opportunities.remove, RecordInput, model=models.ContactRole
    )
    create_opportunity_line: OpportunityLinePayload = mutation(
        "Add a product of interest to a deal.", opportunities.add_line
    )
    update_opportunity_line: OpportunityLinePayload = mutation(
        "Change a product of interest.", opportunities.update_line
    )
    delete_opportunity_line: OpportunityPayload = mutation(
        "Take a product out of a deal.", opportunities.remove, RecordInput, model=models.OpportunityLine
    )
