"""The audit, for admins: sign-ins, tokens, and whatever decides what users may see and do."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import strawberry
from strawberry.types.arguments import StrawberryArgument
from strawberry.utils.str_converters import to_camel_case

from crm_graph import models
from crm_graph.models import Action
from loaders.core.pages import PageRequest
from loaders.platform.audit import AuditFilter, count_audit, load_audit
from schema.core import Connection, ConnectionPage, edge, page_arguments
from schema.core.costs import FREE, costs
from schema.core.declared import DeclaredField, argument
from schema.core.registry import query_fields
from schema.core.scalars import enum_type

if TYPE_CHECKING:
    from schema.core.node_types import User

AuditAction: Any = enum_type(Action, "AuditAction")
CLIENT = "client"
"""What the log keeps of a sign-in, beside the columns of its user."""


@costs(FREE)
@strawberry.type(description="A field that was changed. Passwords and tokens are not told.")
class AuditField:
    name: str = strawberry.field(description="Its name.")
    old: str | None = strawberry.field(description="What it was, as JSON; null for nothing.")
    new: str | None = strawberry.field(description="What it became, as JSON; null for nothing.")


@strawberry.type(description="Something done to a user, a team, a membership, an API token or the workspace.")
class AuditEvent:
    happened_at: dt.datetime = strawberry.field(description="When it happened.")
    action: AuditAction = strawberry.field(description="What was done.")
    actor: User | None = edge("Who did it; null for the system, and for who failed to sign in.", by="user_id")
    record_id: strawberry.ID = strawberry.field(description="The id of the record that it was done to.")

    @strawberry.field(description="What brought it about: the name of a mutation, or `import`.")
    def cause(root: strawberry.Parent[models.Change]) -> str:
        return to_camel_case(root.cause)

    @strawberry.field(description="The type of that record.")
    def record_type(root: strawberry.Parent[models.Change]) -> str:
        return root.entity

    @strawberry.field(description="What the actor came by: `user:…` with a session, `token:…`, `system:…`, `nobody`.")
    def via(root: strawberry.Parent[models.Change]) -> str:
        return root.actor

    @strawberry.field(description="The address that a sign-in came from.")
    def client(root: strawberry.Parent[models.Change]) -> str | None:
        _, address = root.fields.get(CLIENT, (None, None))
        return address

    @strawberry.field(description="The fields that it changed.")
    def fields(root: strawberry.Parent[models.Change]) -> list[AuditField]:
        return [
            AuditField(name=to_camel_case(name), old=_json(old), new=_json(new))
            for name, (old, new) in sorted(root.fields.items())
            if name != CLIENT
        ]


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False)


class _Audit(DeclaredField):
    """The field that leads to the audit."""

    def declare_arguments(self) -> list[StrawberryArgument]:
        return [
            *page_arguments(),
            argument("actions", list[AuditAction] | None, "Only events of these kinds; all if omitted."),
            argument("about", strawberry.ID | None, "Only what was done to this record, or by this user."),
        ]

    async def get_result(self, source: Any, info: Any, args: list[Any], kwargs: dict[str, Any]) -> ConnectionPage:
        loaders, filter_ = info.context.loaders, AuditFilter(kwargs.pop("actions", None), kwargs.pop("about", None))
        request = PageRequest(**kwargs)
        request.check()
        page = await loaders.read(lambda session: load_audit(session, loaders.viewer, request, filter_))
        return ConnectionPage(page, lambda: loaders.read(lambda session: count_audit(session, loaders.viewer, filter_)))


def _audit(description: str) -> Any:
    return _Audit(description=description)


@query_fields(14)
class AuditQuery:
    audit: Connection[AuditEvent] = _audit(
        "Sign-ins, failed ones too, and what was done to users, teams, API tokens and the workspace, newest first: for "
        "admins."
    )
