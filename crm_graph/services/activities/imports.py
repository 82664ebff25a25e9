"""Import rules of activities, whose links are rows of another table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import sqlalchemy as sa

from crm_graph.changelog import journal_of
from crm_graph.database import in_array
from crm_graph.database.prepared import insert_many
from crm_graph.models import Activity, ActivityLink
from crm_graph.records import Values
from crm_graph.records.import_rules import ImportRules, Row
from crm_graph.services.activities.activities import ACCOUNT_SOURCES, link_changes, plan_task

Links = dict[str, str]
"""The records that a row links its activity to: {column of `ActivityLink`: id}."""


class ActivityImport(ImportRules[Activity]):
    """An import adds links, and removes none. Like the service, it links the accounts of linked records too."""

    model = Activity
    facts = dict.fromkeys(ACCOUNT_SOURCES.values(), ("account_id",))
    parts = [ActivityLink.__table__.c[target] for target in ActivityLink.TARGETS]
    links: Mapping[str, Links] = {}

    def complete(self, activity: Activity, given: Values) -> None:
        plan_task(activity, given)
        if activity.done and activity.done_at is None:
            activity.done_at = activity.due_at or self.moment

    def settle(self, activity: Activity, changed: Values) -> None:
        activity.done_at = (activity.done_at or self.moment) if activity.done else None

    async def before_insert(self, rows: Sequence[Row]) -> None:
        self.links = {row["id"]: _take_links(row) for row in rows}

    async def insert_parts(self, rows: Sequence[Row]) -> None:
        for row in rows:
            links = self.links[row["id"]]
            row["links"] = await self._insert(row["id"], links, self._with_accounts(links))

    async def before_update(self, changes: Sequence[tuple[str, Row]]) -> set[str]:
        self.links = {record_id: _take_links(values) for record_id, values in changes}
        found: dict[str, set[str]] = defaultdict(set)
        for record_id, _, target in await self._stored(self.links):
            found[record_id].add(target)
        return {each for each, links in self.links.items() if not found[each].issuperset(links.values())}

    async def change_parts(self, activity: Activity) -> bool:
        links = self.links[activity.id]
        before = {target: chosen for _, chosen, target in await self._stored([activity.id])}
        missing = [(name, target) for name, target in self._with_accounts(links) if target not in before]
        if not missing:
            return False
        await self._insert(activity.id, links, missing)
        journal = journal_of(self.session)
        activity.updated_at = journal.happened_at
        after = {**before, **{target: links.get(name) == target for name, target in missing}}
        journal.note(activity, link_changes(before, after))
        return True

    async def _stored(self, activity_ids: Iterable[str]) -> list[tuple[str, bool, str]]:
        """Stored links: the activity's id, whether the link was chosen, and the target's id."""
        ids = list(activity_ids)
        if not ids:
            return []
        statement = sa.select(ActivityLink).where(
            ActivityLink.workspace_id == self.viewer.workspace_id, in_array(ActivityLink.activity_id, ids)
        )
        found = []
        for link in await self.session.scalars(statement):
            name = next(name for name in ActivityLink.TARGETS if getattr(link, name) is not None)
            found.append((link.activity_id, not link.derived, getattr(link, name)))
        return found

    def _with_accounts(self, links: Links) -> list[tuple[str, str]]:
        """The links, and those to the accounts of linked contacts, deals and cases."""
        pairs = dict.fromkeys(links.items())
        for name, model in ACCOUNT_SOURCES.items():
            source = self.index.facts_of(model, links.get(name))
            if source is not None and source.account_id is not None:
                pairs["account_id", source.account_id] = None
        return list(pairs)

    async def _insert(self, activity_id: str, chosen: Links, links: list[tuple[str, str]]) -> list[str] | None:
        """Insert links. Returns the ids of their targets as the log has them."""
        rows = []
        for name, target in links:
            key = {"workspace_id": self.viewer.workspace_id, "id": ActivityLink.new_id(), "activity_id": activity_id}
            derived = chosen.get(name) != target
            rows.append({**key, **dict.fromkeys(ActivityLink.TARGETS), name: target, "derived": derived})
        if rows:
            await insert_many(self.session, ActivityLink, rows)
        return sorted(target for _, target in links) or None


def _take_links(values: Row) -> Links:
    """Remove the links from values and return them."""
    return {name: target for name in ActivityLink.TARGETS if (target := values.pop(name, None)) is not None}
