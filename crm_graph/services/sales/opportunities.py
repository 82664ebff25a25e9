"""Opportunities (deals): their way through the stages of a pipeline, with their contact roles and lines."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from crm_graph import records
from crm_graph.access import Permission, Viewer, unscoped, visible
from crm_graph.database.prepared import fetch
from crm_graph.errors import Conflict, Invalid, StageRequirementMissing
from crm_graph.models import ContactRole, Opportunity, OpportunityLine, Pipeline, Product, Stage, StageCategory, now
from crm_graph.records import Values, ranks
from crm_graph.records.import_rules import ImportRules, Row
from crm_graph.services.sales import pipelines

_CARDS = Opportunity.__table__.c
_UNSEEN_RANKS = "unseen cards keep their places"


async def create(session: AsyncSession, viewer: Viewer, *, values: Values, **fixed: object) -> Opportunity:
    """Create a deal on top of its stage: the one in `values`, or the first open one of the pipeline.

    Probability and forecast category are the stage's unless `values` has them. `fixed` is as for `records.create`.
    Raises Forbidden, Invalid, Required, NotFound, Duplicate, StageRequirementMissing.
    """
    stage_id, pipeline_id = values.get("stage_id"), values.get("pipeline_id")
    if stage_id is None:
        stage = await pipelines.entry_stage(session, viewer, pipeline_id)
    else:
        stage = await pipelines.stage_of(session, viewer, pipeline_id, stage_id)
    own = {name: value for name, value in values.items() if name not in {"stage_id", "pipeline_id"}}
    opportunity = await records.create(
        session,
        viewer,
        Opportunity,
        values={**stage_defaults(stage), **own},
        pipeline_id=stage.pipeline_id,
        stage_id=stage.id,
        rank=await _rank(session, viewer, stage.id),
        **fixed,
    )
    check_required_fields(opportunity, stage)
    return opportunity


def stage_defaults(stage: Stage) -> Values:
    """Values of a deal that come from its stage."""
    return {"probability": stage.probability, "forecast_category": stage.forecast_category}


async def update(
    session: AsyncSession, viewer: Viewer, *, id: str, values: Values, expected_version: int | None
) -> Opportunity:
    """Raises NotFound, Forbidden, Conflict, Invalid, Required, Duplicate; StageRequirementMissing for emptying a field
    that the stage requires."""
    opportunity = await records.update(
        session, viewer, Opportunity, id=id, values=values, expected_version=expected_version
    )
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

    It goes below the card `above_id` or above the card `below_id`, otherwise to the top. A won or lost deal without a
    close date closes today. Raises NotFound, Forbidden, Conflict, Invalid; StageRequirementMissing if a field that the
    stage requires is empty.
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
            raise Invalid("Only a lost deal has a lost reason.", "lost_reason")
        await records.assign(session, viewer, opportunity, {"lost_reason": lost_reason})
    if stage.category is not StageCategory.OPEN and opportunity.close_date is None:
        opportunity.close_date = now().date()
    opportunity.enter(stage, rank)
    if moved:
        check_required_fields(opportunity, stage)
    return opportunity


async def restore(session: AsyncSession, viewer: Viewer, *, id: str, expected_version: int | None) -> Opportunity:
    """Raises NotFound, Forbidden, Conflict; Invalid if its stage is deleted."""
    opportunity = await records.restore(session, viewer, Opportunity, id=id, expected_version=expected_version)
    stage = await records.find(session, viewer, Stage, opportunity.stage_id, deleted=True)
    pipeline = await records.find(session, viewer, Pipeline, opportunity.pipeline_id, deleted=True)
    if stage.deleted_at is not None or pipeline.deleted_at is not None:
        raise Invalid("The deal's stage is deleted. Restore the stage first.", "id")
    return opportunity


def check_required_fields(opportunity: Opportunity, stage: Stage, only: Values | None = None) -> None:
    """Raises StageRequirementMissing if a field that the stage requires is empty. `only` limits the check to fields."""
    for each in stage.required_fields or ():
        if getattr(opportunity, each.column) is None and (only is None or each.column in only):
            raise StageRequirementMissing(f"The stage {stage.name} requires this field.", each.column)


async def add_contact_role(session: AsyncSession, viewer: Viewer, *, values: Values) -> ContactRole:
    """Give a contact a role in a deal. A new primary role replaces the former one.

    Raises NotFound, Forbidden, Required; Invalid for a contact who has a role in the deal.
    """
    await _editable(session, viewer, values["opportunity_id"])
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
        raise Invalid("This contact already has a role in the deal.", "contact_id")
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
        await _editable(session, viewer, role.opportunity_id)  # the lock keeps one primary role of two concurrent ones
        await _settle_primary(session, viewer, role)
    return role


async def add_line(session: AsyncSession, viewer: Viewer, *, values: Values) -> OpportunityLine:
    """Add a product to a deal, at its list price unless `values` has a price.

    Raises NotFound, Forbidden, Required, Duplicate; Invalid for a price in another currency than the deal's.
    """
    opportunity = await _editable(session, viewer, values["opportunity_id"])
    product = await records.find(session, viewer, Product, values["product_id"], field="product_id")
    settled = opportunity.currency or await _currency_of_lines(session, viewer, opportunity)
    try:
        defaults = line_defaults(viewer, product, settled, values.get("currency"))
    except Invalid as error:
        raise error.prefixed("price") from None
    return await records.create(
        session, viewer, OpportunityLine, values={**defaults, **values, "currency": defaults["currency"]}
    )


def line_defaults(
    viewer: Viewer, product: Product | None, deal_currency: str | None, currency: str | None
) -> dict[str, str | Decimal | None]:
    """Currency of a new line, and its list price if that is in the currency.

    The currency is the first known one of the deal's, the line's own, the product's and the workspace's. Raises Invalid
    about `currency` if the line's own is not the deal's.
    """
    listed = product.currency if product else None
    settled = deal_currency or currency or listed or viewer.currency
    if currency not in (None, settled):
        raise Invalid(f"The deal is in {settled}.", "currency")
    if product is not None and listed == settled:
        return {"currency": settled, "price": product.price}
    return {"currency": settled}


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
    session: AsyncSession,
    viewer: Viewer,
    model: type[ContactRole | OpportunityLine],
    *,
    id: str,
    expected_version: int | None,
) -> Opportunity:
    """Remove a contact role or a line, which needs permission to edit the deal. Returns the deal.

    Raises NotFound, Forbidden, Conflict.
    """
    part = await records.find(session, viewer, model, id, to=Permission.EDIT)
    opportunity = await records.find(session, viewer, Opportunity, part.opportunity_id)
    try:
        records.check_version(part, expected_version)
    except Conflict as error:
        error.current = opportunity  # the payload shows the deal, not the removed part
        raise
    part.deleted_at = now()
    return opportunity


async def _editable(session: AsyncSession, viewer: Viewer, opportunity_id: str) -> Opportunity:
    field = "opportunity_id"
    return await records.find(
        session, viewer, Opportunity, opportunity_id, to=Permission.EDIT, field=field, forbidden_field=field
    )


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
    """Currency of the deal's lines, which all have the same; None if no line has one."""
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
    """Rank below a card, above a card, or on top of the stage. Cards that the viewer cannot see count too."""
    if above_id is not None and below_id is not None:
        raise Invalid("Name the card above or the card below, not both.", "below_id")
    others = viewer.statement(
        "other cards",
        lambda: (
            sa.select(_CARDS.rank)
            .where(unscoped(Opportunity, _UNSEEN_RANKS), _CARDS.workspace_id == viewer.workspace_id)
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
        raise records.no_such(Opportunity, field)
    if row.stage_id != stage_id:
        raise Invalid("This card is in another stage.", field)
    rank: str = row.rank
    return rank


class OpportunityImport(ImportRules[Opportunity]):
    model = Opportunity
    facts = {Stage: ("pipeline_id", "name", "probability", "forecast_category", "required_fields")}
    assigned = frozenset({"rank"})

    def derive(self, values: Row) -> None:
        stage = self.index.facts_of(Stage, values.get("stage_id"))
        if stage is not None:
            pipelines.check_pipeline(stage, values.setdefault("pipeline_id", stage.pipeline_id))

    def complete(self, deal: Opportunity, given: Values) -> None:
        stage = self.index.facts_of(Stage, deal.stage_id)
        if stage is None:
            return  # the missing stage is reported with the other required columns
        for name, value in stage_defaults(stage).items():
            if name not in given:
                setattr(deal, name, value)
        check_required_fields(deal, stage)

    async def before_insert(self, rows: Sequence[Row]) -> None:
        """Rank new deals below the cards of their stages, in the order of their rows."""
        stages: dict[str, list[Row]] = defaultdict(list)
        for row in rows:
            stages[row["stage_id"]].append(row)
        for stage_id, cards in stages.items():
            for card, rank in zip(cards, await self._next_ranks(stage_id, len(cards)), strict=True):
                card["rank"] = rank

    async def change(self, deal: Opportunity, changed: Row, given: Values) -> bool:
        stage_id = changed.pop("stage_id", None)
        _check_currency_kept(deal, changed)
        self.assign(deal, changed, given)
        stage = self.index.facts_of(Stage, stage_id or deal.stage_id)
        if stage_id is not None and stage is not None:
            [rank] = await self._next_ranks(stage_id, 1)
            deal.enter(stage, rank)
            for name in changed.keys() & {"probability", "forecast_category", "stage_entered_at"}:
                setattr(deal, name, changed[name])
            check_required_fields(deal, stage)
        if stage is not None:
            pipelines.check_pipeline(stage, deal.pipeline_id, "pipeline_id")
        records.default_currency(self.viewer, deal, given)
        return self.session.is_modified(deal)

    @functools.cached_property
    def _last_ranks(self) -> dict[str, str | None]:
        return {}

    async def _next_ranks(self, stage_id: str, count: int) -> list[str]:
        if stage_id not in self._last_ranks:
            last = (
                sa.select(sa.func.max(Opportunity.rank))
                .where(unscoped(Opportunity, _UNSEEN_RANKS))
                .where(Opportunity.workspace_id == self.viewer.workspace_id, Opportunity.stage_id == stage_id)
            )
            self._last_ranks[stage_id] = await self.session.scalar(last)
        spread = ranks.spread(count, self._last_ranks[stage_id])
        self._last_ranks[stage_id] = spread[-1]
        return spread


class OpportunityLineImport(ImportRules[OpportunityLine]):
    model = OpportunityLine
    facts = {Opportunity: ("currency",), Product: ("price", "currency")}

    def complete(self, line: OpportunityLine, given: Values) -> None:
        product = self.index.facts_of(Product, line.product_id)
        deal = self.index.facts_of(Opportunity, line.opportunity_id)
        defaults = line_defaults(self.viewer, product, deal.currency if deal else None, line.currency)
        for name, value in defaults.items():
            if name not in given:
                setattr(line, name, value)

    async def change(self, line: OpportunityLine, changed: Row, given: Values) -> bool:
        _check_currency_kept(line, changed)
        return await super().change(line, changed, given)


def _check_currency_kept(record: Opportunity | OpportunityLine, changed: Mapping[str, object]) -> None:
    if record.currency is not None and "currency" in changed:
        raise Invalid(f"The amount is in {record.currency}: a deal and its lines keep their currency.", "currency")
