"""The history of an account in one list."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, TypeVar

import strawberry
from strawberry.dataloader import DataLoader
from strawberry.types.arguments import StrawberryArgument

from crm_graph import models
from crm_graph.models import CaseStatus, Change, Entity
from loaders import Page, PageRequest
from loaders.accounts.timelines import (
    ACTIVITY,
    MOVE,
    RESPONSE,
    STATUS,
    load_changes,
    load_timeline_counts,
    load_timelines,
)
from schema.core import ConnectionPage, page_arguments
from schema.core.context import Info
from schema.core.declared import Arguments, DeclaredField
from schema.core.registry import interface_type

if TYPE_CHECKING:
    from schema.core.node_types import Activity, CampaignMember, Case, Opportunity, Stage, User

E = TypeVar("E", bound=Entity)


async def _change(entry: TimelineEntry, info: Info) -> Change:
    change = await info.context.loaders.by_parent_ids(load_changes).load(entry.revision)
    assert change is not None, "the timeline has only entries of the log"
    return change


async def _one(info: Info, model: type[E], record_id: str | None) -> E | None:
    return None if record_id is None else await info.context.loaders.by_key(model).load(record_id)


@strawberry.interface(description="An event in the history of an account.")
class TimelineEntry:
    id: strawberry.ID = strawberry.field(description="Unique in the timeline.")
    at: dt.datetime = strawberry.field(description="Time it happened.")
    record_id: strawberry.Private[str]
    revision: strawberry.Private[int]

    @strawberry.field(description="The user who did it; for an activity, its owner.")
    async def actor(self, info: Info) -> User | None:
        change = await _change(self, info)
        return await _one(info, models.User, change.user_id)


@interface_type
@strawberry.type(description="An activity.")
class ActivityEntry(TimelineEntry):
    @strawberry.field(description="The activity.")
    async def activity(self, info: Info) -> Activity | None:
        return await _one(info, models.Activity, self.record_id)

    @strawberry.field(description="The owner of the activity.")
    async def actor(self, info: Info) -> User | None:
        activity = await _one(info, models.Activity, self.record_id)
        return await _one(info, models.User, None if activity is None else activity.owner_id)


@interface_type
@strawberry.type(description="A deal moved to another stage.")
class StageMove(TimelineEntry):
    @strawberry.field(description="The deal.")
    async def opportunity(self, info: Info) -> Opportunity | None:
        return await _one(info, models.Opportunity, self.record_id)

    @strawberry.field(description="The previous stage.")
    async def from_stage(self, info: Info) -> Stage | None:
        old, _ = (await _change(self, info)).fields["stage_id"]
        return await _one(info, models.Stage, old)

    @strawberry.field(description="The new stage.")
    async def to_stage(self, info: Info) -> Stage | None:
        _, new = (await _change(self, info)).fields["stage_id"]
        return await _one(info, models.Stage, new)


@interface_type
@strawberry.type(description="The status of a case changed.")
class CaseStatusChange(TimelineEntry):
    @strawberry.field(description="The case.")
    async def case(self, info: Info) -> Case | None:
        return await _one(info, models.Case, self.record_id)

    @strawberry.field(description="The previous status.")
    async def from_status(self, info: Info) -> CaseStatus | None:
        old, _ = (await _change(self, info)).fields["status"]
        return old and CaseStatus(old)

    @strawberry.field(description="The new status.")
    async def to_status(self, info: Info) -> CaseStatus:
        _, new = (await _change(self, info)).fields["status"]
        return CaseStatus(new)


@interface_type
@strawberry.type(description="A contact or lead responded to a campaign.")
class MemberResponse(TimelineEntry):
    @strawberry.field(description="The member who responded.")
    async def campaign_member(self, info: Info) -> CampaignMember | None:
        return await _one(info, models.CampaignMember, self.record_id)


ENTRIES = {ACTIVITY: ActivityEntry, MOVE: StageMove, STATUS: CaseStatusChange, RESPONSE: MemberResponse}


class Timeline(DeclaredField):
    """The field from an account to its timeline."""

    def declare_arguments(self) -> list[StrawberryArgument]:
        return page_arguments()

    async def resolve(self, source: models.Account, info: Info, arguments: Arguments) -> ConnectionPage:
        loaders, request = info.context.loaders, PageRequest(**arguments)
        request.check()
        pages: DataLoader[str, Page] = loaders.batch(
            ("timeline", request), lambda session, ids: load_timelines(session, loaders.viewer, request, ids)
        )
        counts = loaders.by_parent_ids(load_timeline_counts)
        page = await pages.load(source.id)
        entries = [
            ENTRIES[row.kind](
                id=strawberry.ID(f"{row.record_id}.{row.revision}"),
                at=row.at,
                record_id=row.record_id,
                revision=row.revision,
            )
            for row in page.rows
        ]
        return ConnectionPage(
            Page(entries, page.cursors, page.has_next, page.has_previous), lambda: counts.load(source.id)
        )
