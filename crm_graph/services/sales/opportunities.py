"""Deals: through the stages of a pipeline, with the people and products in them."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from crm_graph import records
from crm_graph.access import Permission, Viewer, unscoped, visible
from crm_graph.database.prepared import fetch
from crm_graph.errors import Conflict, Forbidden, Invalid, NotFound, StageRequirementMissing
from crm_graph.models import ContactRole, Opportunity, OpportunityLine, Pipeline, Product, Stage, StageCategory, now
from crm_graph.records import Values, ranks
from crm_graph.services.sales import pipelines

_CARDS = Opportunity.__table__.c  # a statement of the table takes half as long as one of the class


async def create(session: AsyncSession, viewer: Viewer, *, values: Values, **fixed: Any) -> Opportunity:
    """A new deal, on top of its stage: the one in `values`, or the first open one of the pipeline.

    Probability and forecast category are the stage's unless given; `fixed` are columns that the calling service vouches
    for. Raises Forbidden, Invalid, Required, NotFound, Duplicate, StageRequirementMissing.
    """
    stage_id, pipeline_id = values.get("stage_id"), values.get("pipeline_id")
    if stage_id is None:
        stage = await pipelines.entry_stage(session, viewer, pipeline_id)
    else:
        stage = await pipelines.stage_of(session, viewer, pipeline_id, stage_id)
    own = {name: value for name, value in values.items() if name not in {"stage_id", "pipeline_id"}}
    defaults = {"probability": stage.probability, "forecast_category": stage.forecast_category}
    opportunity = await records.create(
        session,
        viewer,
        Opportunity,
        values={**defaults, **own},
        pipeline_id=stage.pipeline_id,
        stage_id=stage.id,
        rank=await _rank(session, viewer, stage.id),
        **fixed,
    )
    check_required_fields(opportunity, stage)
    return opportunity


async def update(
    session: AsyncSession, viewer: Viewer, *, id: str, values: Values, expected_version: int | None
) -> Opportunity:
    """Raises NotFound, Forbidden, Conflict, Invalid, Required, Duplicate; StageRequirementMissing for emptying what the
    stage asks for."""
    opportunity = await records.find(session, viewer, Opportunity, id, to=Permission.EDIT)
    records.check_version(opportunity, expected_version)
    await records.assign(session, viewer, opportunity, values)
    priced = await _currency_of_lines(session, viewer, opportunity)
    if opportunity.currency is not None and priced not in (None, opportunity.currency):
        raise Invalid(f"The deal has lines in {priced}: remove them first.", "amount.currency")
    stage = await records.find(session, viewer, Stage, opportunity.stage_id, deleted=True)
    check_required_fields(opportunity, stage, only=values)
    return opportunity


async def move(
    session: AsyncSession,
    viewer: Viewer,
    *,
    opportunity_id: str,
    stage_id: str,
    expected_version: int,
    above_id: str | None = None,
    below_id: str | None = None,
    lost_reason: str | None = None,
) -> Opportunity:
    """Move a deal to a stage of its pipeline, or to another place in its stage.

    It comes to stand below the card `above_id` or above the card `below_id`, otherwise on top. A deal without close
    date that is won or lost closes today. Raises NotFound, Forbidden, Conflict (someone moved it first), Invalid,
    StageRequirementMissing (a field that the stage asks for is empty).
    """
    opportunity = await records.find(
        session, viewer, Opportunity, opportunity_id, to=Permission.EDIT, field="opportunity_id"
    )
    records.check_version(opportunity, expected_version)
    stage = await pipelines.stage_of(session, viewer, opportunity.pipeline_id, stage_id)
    moved = opportunity.stage_id != stage.id
    rank = await _rank(session, viewer, stage.id, opportunity.id, above_id, below_id)
    if lost_reason is not None:
        if stage.category is not StageCategory.LOST:
            raise Invalid("Only a lost deal has a reason.", "lost_reason")
        await records.assign(session, viewer, opportunity, {"lost_reason": lost_reason})
    if stage.category is not StageCategory.OPEN and opportunity.close_date is None:
        opportunity.close_date = now().date()
    opportunity.enter(stage, rank)
    if moved:
        check_required_fields(opportunity, stage)
    return opportunity


async def restore(session: AsyncSession, viewer: Viewer, *, id: str, expected_version: int | None) -> Opportunity:
    """Raises NotFound, Forbidden, Conflict; Invalid where its stage was deleted meanwhile."""
    opportunity = await records.restore(session, viewer, Opportunity, id=id, expected_version=expected_version)
    stage = await records.find(session, viewer, Stage, opportunity.stage_id, deleted=True)
    pipeline = await records.find(session, viewer, Pipeline, opportunity.pipeline_id, deleted=True)
    if stage.deleted_at is not None or pipeline.deleted_at is not None:
        raise Invalid("The deal's stage is deleted. Restore the stage first.", "id")
    return opportunity


def check_required_fields(opportunity: Opportunity, stage: Stage, only: Values | None = None) -> None:
    """Raises StageRequirementMissing for a field that the stage requires and the deal lacks; with `only`, of these."""
    for gate in stage.required_fields or ():
        if getattr(opportunity, gate.column) is None and (only is None or gate.column in only):
            raise StageRequirementMissing(f"The stage {stage.name} asks for this field: fill it first.", gate.column)


async def add_contact_role(session: AsyncSession, viewer: Viewer, *, values: Values) -> ContactRole:
    """Give a person a part in a deal. A new primary one takes the place of the old.

    Raises NotFound, Forbidden, Invalid, Required; Invalid for a person who has one already.
    """
    await _edited(session, viewer, values["opportunity_id"])
    await records.check_references(session, viewer, ContactRole, records.clean(ContactRole, values))
    former = await session.scalar(
        sa.select(ContactRole)
        .where(unscoped(ContactRole, "a person has one role in a deal, removed ones included"))
        .where(ContactRole.workspace_id == viewer.workspace_id)
        .where(ContactRole.opportunity_id == values["opportunity_id"], ContactRole.contact_id == values["contact_id"])
    )
    if former is None:
        role = await records.create(session, viewer, ContactRole, values=values)
    elif former.deleted_at is None:
        raise Invalid("This person has a role in the deal already.", "contact_id")
    else:
        role, former.deleted_at = former, None
        await records.assign(session, viewer, role, {"role": None, "primary": False, **values})
    await _settle_primary(session, viewer, role)
    return role


async def update_contact_role(
    session: AsyncSession, viewer: Viewer, *, id: str, values: Values, expected_version: int | None
) -> ContactRole:
    """Raises NotFound, Forbidden, Conflict, Invalid, Required."""
    role = await records.update(session, viewer, ContactRole, id=id, values=values, expected_version=expected_version)
    if role.primary:
        await _edited(session, viewer, role.opportunity_id)  # locked: of two new primaries the later one stays
        await _settle_primary(session, viewer, role)
    return role


async def add_line(session: AsyncSession, viewer: Viewer, *, values: Values) -> OpportunityLine:
    """Add a product of interest, at its list price unless another is given.

    Raises NotFound, Forbidden, Required, Duplicate; Invalid for a price in another currency than the deal's.
    """
    opportunity = await _edited(session, viewer, values["opportunity_id"])
    product = await records.find(session, viewer, Product, values["product_id"], field="product_id")
    settled = opportunity.currency or await _currency_of_lines(session, viewer, opportunity)
    currency = settled or values.get("currency") or product.currency or viewer.currency
    if values.get("currency") not in (None, currency):
        raise Invalid(f"The deal is in {currency}.", "price.currency")
    listed = {"price": product.price} if product.currency == currency else {}
    return await records.create(session, viewer, OpportunityLine, values={**listed, **values, "currency": currency})


async def update_line(
    session: AsyncSession, viewer: Viewer, *, id: str, values: Values, expected_version: int | None
) -> OpportunityLine:
    """Raises NotFound, Forbidden, Conflict, Required; Invalid for a price in another currency than the deal's."""
    line = await records.find(session, viewer, OpportunityLine, id, to=Permission.EDIT)
    records.check_version(line, expected_version)
    if values.get("currency") not in (None, line.currency):
        raise Invalid(f"The deal is in {line.currency}.", "price.currency")
    await records.assign(session, viewer, line, values)
    return line


async def remove(
    session: AsyncSession, viewer: Viewer, model: Any, *, id: str, expected_version: int | None
) -> Opportunity:
    """Take a contact role or a line out of its deal, which whoever may change the deal may do.

    Raises NotFound, Forbidden, Conflict.
    """
    part = await records.find(session, viewer, model, id, to=Permission.EDIT)
    opportunity = await records.find(session, viewer, Opportunity, part.opportunity_id)
    try:
        records.check_version(part, expected_version)
    except Conflict as error:
        error.current = opportunity  # what the payload shows
        raise
    part.deleted_at = now()
    return opportunity


async def _edited(session: AsyncSession, viewer: Viewer, opportunity_id: str) -> Opportunity:
    try:
        return await records.find(
            session, viewer, Opportunity, opportunity_id, to=Permission.EDIT, field="opportunity_id"
        )
    except Forbidden as error:
        raise error.prefixed("opportunity_id") from None


async def _settle_primary(session: AsyncSession, viewer: Viewer, role: ContactRole) -> None:
    if not role.primary:
        return
    others = await session.scalars(
        sa.select(ContactRole)
        .where(unscoped(ContactRole, "a deal has one primary role, unseen ones included"))
        .where(ContactRole.workspace_id == viewer.workspace_id, ContactRole.primary, ContactRole.id != role.id)
        .where(ContactRole.opportunity_id == role.opportunity_id)
    )
    for other in others:
        other.primary = False


async def _currency_of_lines(session: AsyncSession, viewer: Viewer, opportunity: Opportunity) -> str | None:
    """The one currency that the deal's lines are in; None where no line has one."""
    statement = sa.select(OpportunityLine.currency).where(
        visible(OpportunityLine, viewer),
        OpportunityLine.opportunity_id == opportunity.id,
        OpportunityLine.currency.is_not(None),
    )
    return await session.scalar(statement.limit(1))


async def _rank(
    session: AsyncSession,
    viewer: Viewer,
    stage_id: str,
    moved_id: str = "",
    above_id: str | None = None,
    below_id: str | None = None,
) -> str:
    """The place below a card, or above one, or on top of the stage. Unseen cards have their places too."""
    if above_id is not None and below_id is not None:
        raise Invalid("Name the card above or the card below, not both.", "below_id")
    others = viewer.statement(
        "other cards",
        lambda: (
            sa.select(_CARDS.rank)
            .where(unscoped(Opportunity, "unseen cards keep their places"), _CARDS.workspace_id == viewer.workspace_id)
            .where(_CARDS.stage_id == sa.bindparam("stage_id"), _CARDS.id != sa.bindparam("moved_id"))
        ),
    )
    given = {"stage_id": stage_id, "moved_id": moved_id}
    if above_id is not None:
        above = await _card(session, viewer, stage_id, above_id, "above_id")
        next_below = others.where(_CARDS.rank > above).order_by(_CARDS.rank).limit(1)
        return ranks.between(above, await session.scalar(next_below, given))
    if below_id is not None:
        below = await _card(session, viewer, stage_id, below_id, "below_id")
        next_above = others.where(_CARDS.rank < below).order_by(_CARDS.rank.desc()).limit(1)
        return ranks.between(await session.scalar(next_above, given), below)
    top = viewer.statement("top card", lambda: others.order_by(_CARDS.rank).limit(1))
    highest = await fetch(session, top, given)
    return ranks.between(None, highest[0].rank if highest else None)


async def _card(session: AsyncSession, viewer: Viewer, stage_id: str, card_id: str, field: str) -> str:
    statement = sa.select(Opportunity.rank, Opportunity.stage_id).where(
        visible(Opportunity, viewer), Opportunity.id == card_id
    )
    row = (await session.execute(statement)).one_or_none()
    if row is None:
        raise NotFound("There is no such opportunity.", field)
    if row.stage_id != stage_id:
        raise Invalid("This card is in another stage.", field)
    rank: str = row.rank
    return rank
