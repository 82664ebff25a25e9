"""Puts records into the database many at a time: new ones by bulk inserts, and of the others only what differs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from crm_graph.access import Viewer, unscoped
from crm_graph.changelog import journal_of
from crm_graph.database import in_array
from crm_graph.database.prepared import insert_many
from crm_graph.errors import DomainError
from crm_graph.models import Activity, ActivityLink, Case, Entity, Lead, Membership, Opportunity, User
from crm_graph.records import ranks
from crm_graph.services.activities.activities import link_changes
from crm_graph.services.importing import rules
from crm_graph.services.importing.lookup_index import LookupIndex
from crm_graph.services.importing.rows import RecordPlan, Row
from crm_graph.services.platform import users
from crm_graph.services.service import cases

Values = dict[str, Any]
ANALYZE_ROWS = 100
REASON = "an import changes what it says, whoever sees it"


@dataclass(frozen=True)
class RecordChange:
    """What a row says about a record that there is already."""

    record_id: str
    values: Values
    plan: RecordPlan
    file: str
    row: Row


class BulkWriter:
    """The writing half of an import. `users_moved` tells whether the closure of who reports to whom is out of date."""

    def __init__(self, session: AsyncSession, viewer: Viewer, lookup: LookupIndex) -> None:
        self.session = session
        self.viewer = viewer
        self.lookup = lookup
        self.journal = journal_of(session)
        self.context = rules.Context(viewer, lookup, self.journal.happened_at)
        self.users_moved = False
        self._inserted: Counter[type[Entity]] = Counter()
        self._last_ranks: dict[str, str | None] = {}

    # New records

    async def insert(self, model: type[Entity], rows: list[Values], fresh: Mapping[type[Entity], Any]) -> None:
        """Whole rows; `fresh` are all that are about to be inserted."""
        if model is Opportunity:
            await self._rank(rows)
        if model is Case:
            for row, number in zip(rows, await cases.numbers(self.session, self.viewer, len(rows)), strict=True):
                row["number"] = number
        links = [_take_links(row) for row in rows] if model is Activity else []
        await insert_many(self.session, model, rows)
        if model is Activity:
            rows = [
                {**row, "links": await self._link(row["id"], each, self._with_accounts(each))}
                for row, each in zip(rows, links, strict=True)
            ]
        self.journal.add_packed(model, rows)
        await self._analyze(model, len(rows))
        if model is User:
            self.users_moved = True
            await self._join(rows, fresh.get(Membership, {}).values())

    async def _analyze(self, model: type[Entity], count: int) -> None:
        """Let PostgreSQL look at a table that is filling up. It plans the checks of foreign keys once a connection,
        and by what it knows of a table that was empty, each check would read all rows of the workspace."""
        before = self._inserted[model]
        self._inserted[model] += count
        if before < ANALYZE_ROWS <= before + count and self.session.get_bind().dialect.name == "postgresql":
            await self.session.execute(sa.text(f"ANALYZE (SKIP_LOCKED) {model.__tablename__}"))

    async def _rank(self, rows: list[Values]) -> None:
        """New deals come below the cards of their stages, in the order of their rows."""
        stages: dict[str, list[Values]] = defaultdict(list)
        for row in rows:
            stages[row["stage_id"]].append(row)
        for stage_id, cards in stages.items():
            for card, rank in zip(cards, await self._next_ranks(stage_id, len(cards)), strict=True):
                card["rank"] = rank

    async def _next_ranks(self, stage_id: str, count: int) -> list[str]:
        if stage_id not in self._last_ranks:
            last = (
                sa.select(sa.func.max(Opportunity.rank))
                .where(unscoped(Opportunity, "unseen cards keep their places"))
                .where(Opportunity.workspace_id == self.viewer.workspace_id, Opportunity.stage_id == stage_id)
            )
            self._last_ranks[stage_id] = await self.session.scalar(last)
        places = ranks.spread(count, self._last_ranks[stage_id])
        self._last_ranks[stage_id] = places[-1]
        return places

    async def _join(self, rows: Sequence[Values], others: Iterable[Values]) -> None:
        """New users become members of their home teams, unless rows of their own say so."""
        said = {(each["user_id"], each["team_id"]) for each in others}
        blank = rules.blank(Membership, self.context.moment)
        places = []
        for row in rows:
            if row["team_id"] is not None and (row["id"], row["team_id"]) not in said:
                key = {"workspace_id": self.viewer.workspace_id, "id": Membership.new_id()}
                places.append({**blank, **key, "user_id": row["id"], "team_id": row["team_id"]})
                self.lookup.add(Membership, key["id"], places[-1])
        if places:
            await insert_many(self.session, Membership, places)
            self.journal.add_packed(Membership, places)

    # Records that there are

    async def update(
        self, model: Any, changes: Sequence[RecordChange]
    ) -> tuple[set[str], list[tuple[RecordChange, DomainError]]]:
        """Make the records what the rows say. Answers the ids of those that changed, and what could not be.

        A deleted record and a converted lead stay as they are.
        """
        links = {each.record_id: _take_links(each.values) for each in changes} if model is Activity else {}
        differing = await self._differing(model, changes)
        loaded = await self._load(model, {each.record_id for each in differing} | {*await self._unlinked(links)})
        changed: set[str] = set()
        faults: list[tuple[RecordChange, DomainError]] = []
        for each in differing:
            record = loaded.get(each.record_id)
            if record is None:
                continue
            try:
                if await self._change(record, each.values):
                    changed.add(record.id)
            except DomainError as error:
                faults.append((each, error))
                self.session.expunge(record)
                del loaded[each.record_id]
        for record_id, wanted in links.items():
            if record_id in loaded and await self._relate(loaded[record_id], wanted):
                changed.add(record_id)
        await self.session.flush()
        return changed, faults

    async def _differing(self, model: Any, changes: Sequence[RecordChange]) -> list[RecordChange]:
        names = sorted({name for each in changes for name in each.values})
        ids = [each.record_id for each in changes]
        frozen = model.converted_at.is_not(None) if model is Lead else sa.false()
        statement = sa.select(model.id, *(getattr(model, name) for name in names)).where(
            unscoped(model, REASON), model.workspace_id == self.viewer.workspace_id, in_array(model.id, ids)
        )
        statement = statement.where(model.deleted_at.is_(None), sa.not_(frozen))
        current = {row.id: row._asdict() for row in await self.session.execute(statement)}
        return [
            each
            for each in changes
            if each.record_id in current
            and any(current[each.record_id][name] != value for name, value in each.values.items())
        ]

    async def _load(self, model: Any, ids: set[str]) -> dict[str, Any]:
        if not ids:
            return {}
        statement = (
            sa.select(model)
            .where(unscoped(model, REASON), model.workspace_id == self.viewer.workspace_id)
            .where(in_array(model.id, sorted(ids)), model.deleted_at.is_(None))
            .order_by(model.id)
            .with_for_update(of=model)
        )
        return {record.id: record for record in await self.session.scalars(statement)}

    async def _change(self, record: Any, values: Values) -> bool:
        changed = {name: value for name, value in values.items() if getattr(record, name) != value}
        if not changed:
            return False
        if isinstance(record, User):
            await users.update(self.session, self.viewer, id=record.id, values=changed, expected_version=None)
            await self.session.flush()
            return True
        rank = None
        if isinstance(record, Opportunity) and "stage_id" in changed:
            [rank] = await self._next_ranks(changed["stage_id"], 1)
        rules.apply_changes(self.context, record, changed, values, rank)
        return self.session.is_modified(record)

    # What activities are about

    async def _unlinked(self, links: Mapping[str, Values]) -> list[str]:
        """The activities that are not about all that their rows say."""
        found: dict[str, set[str]] = defaultdict(set)
        if links:
            for record_id, _, target in await self._targets(list(links)):
                found[record_id].add(target)
        return [each for each, wanted in links.items() if not found[each].issuperset(wanted.values())]

    async def _relate(self, activity: Activity, wanted: Values) -> bool:
        before = {target: chosen for _, chosen, target in await self._targets([activity.id])}
        missing = [(name, target) for name, target in self._with_accounts(wanted) if target not in before]
        if not missing:
            return False
        await self._link(activity.id, wanted, missing)
        activity.updated_at = self.journal.happened_at
        after = {**before, **{target: wanted.get(name) == target for name, target in missing}}
        self.journal.note(activity, link_changes(before, after))
        return True

    async def _targets(self, ids: list[str]) -> list[tuple[str, bool, str]]:
        """The activities' links: of which one, whether it was chosen, and to what."""
        statement = sa.select(ActivityLink).where(
            ActivityLink.workspace_id == self.viewer.workspace_id, in_array(ActivityLink.activity_id, ids)
        )
        found = []
        for link in await self.session.scalars(statement):
            name = next(name for name in ActivityLink.TARGETS if getattr(link, name) is not None)
            found.append((link.activity_id, not link.derived, getattr(link, name)))
        return found

    def _with_accounts(self, wanted: Values) -> list[tuple[str, str]]:
        """The links, and those to the accounts of the contacts, deals and cases among them."""
        pairs = dict.fromkeys((name, target) for name, target in wanted.items())
        for name, model in rules.OF_ACCOUNTS.items():
            account_id = self.context.fact(model, wanted.get(name), "account_id")
            if account_id is not None:
                pairs["account_id", account_id] = None
        return list(pairs)

    async def _link(self, activity_id: str, chosen: Values, links: list[tuple[str, str]]) -> list[str] | None:
        """Make links; the ids of their targets, as the log has them."""
        rows = []
        for name, target in links:
            key = {"workspace_id": self.viewer.workspace_id, "id": ActivityLink.new_id(), "activity_id": activity_id}
            derived = chosen.get(name) != target
            rows.append({**key, **dict.fromkeys(ActivityLink.TARGETS), name: target, "derived": derived})
        if rows:
            await insert_many(self.session, ActivityLink, rows)
        return sorted(target for _, target in links) or None


def _take_links(values: Values) -> Values:
    """What an activity is about, taken out of its values."""
    return {name: target for name in ActivityLink.TARGETS if (target := values.pop(name, None)) is not None}
