"""The audit log, for admins: sign-ins, tokens, and everything that decides what users may see and do."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING

import strawberry
from strawberry.types.arguments import StrawberryArgument
from strawberry.utils.str_converters import to_camel_case

from crm_graph import models
from crm_graph.models import Action
from loaders.core.pages import PageRequest
from loaders.platform.audit import AuditFilter, count_audit, load_audit
from schema.core import Connection, ConnectionPage, edge, page_arguments
from schema.core.context import Info
from schema.core.costs import FREE, costs
from schema.core.declared import Arguments, DeclaredField, argument, declared
from schema.core.registry import query_fields
from schema.core.scalars import enum_type

if TYPE_CHECKING:
    from schema.core.node_types import User

enum_type(Action, "AuditAction")
CLIENT = "client"
"""The field with the address of a sign-in, which is no column of the user."""


@costs(FREE)
@strawberry.type(description="A changed field. Passwords and tokens are left out.")
class AuditField:
    name: str = strawberry.field(description="Name of the field.")
    old: str | None = strawberry.field(description="The old value as JSON; null if there was none.")
    new: str | None = strawberry.field(description="The new value as JSON; null if there is none.")


@strawberry.type(description="An action on a user, a team, a membership, an API token or the workspace.")
class AuditEvent:
    happened_at: dt.datetime = strawberry.field(description="Time of the action.")
    action: Action = strawberry.field(description="The action.")
    actor: User | None = edge("The user who did it; null for the system and for failed sign-ins.", by="user_id")
    record_id: strawberry.ID = strawberry.field(description="Id of the affected record.")

    @strawberry.field(description="The cause: the name of a mutation, or `import`.")
    def cause(root: strawberry.Parent[models.Change]) -> str:
        return to_camel_case(root.cause)

    @strawberry.field(description="Type of the affected record.")
    def record_type(root: strawberry.Parent[models.Change]) -> str:
        return root.entity

    @strawberry.field(
        description="The actor's credentials: `user:…` with a session, `token:…`, `system:…` or `nobody`."
    )
    def via(root: strawberry.Parent[models.Change]) -> str:
        return root.actor

    @strawberry.field(description="Network address of a sign-in.")
    def client(root: strawberry.Parent[models.Change]) -> str | None:
        _, address = root.fields.get(CLIENT, (None, None))
        return address

    @strawberry.field(description="The changed fields.")
    def fields(root: strawberry.Parent[models.Change]) -> list[AuditField]:
        return [
            AuditField(name=to_camel_case(name), old=_json(old), new=_json(new))
            for name, (old, new) in sorted(root.fields.items())
            if name != CLIENT
        ]


def _json(value: object) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False)


class _Audit(DeclaredField):
    """The root field of the audit log."""

    def declare_arguments(self) -> list[StrawberryArgument]:
        return [
            *page_arguments(),
            argument("actions", list[Action] | None, "Only these actions; all if omitted."),
            argument("about", strawberry.ID | None, "Only actions on this record or by this user."),
        ]

    async def resolve(self, source: object, info: Info, arguments: Arguments) -> ConnectionPage:
        loaders, filter_ = (
            info.context.loaders,
            AuditFilter(arguments.pop("actions", None), arguments.pop("about", None)),
        )
        request = PageRequest(**arguments)
        request.check()
        page = await loaders.read(lambda session: load_audit(session, loaders.viewer, request, filter_))
        return ConnectionPage(page, lambda: loaders.read(lambda session: count_audit(session, loaders.viewer, filter_)))


@query_fields(14)
class AuditQuery:
    audit: Connection[AuditEvent] = declared(
        _Audit,
        "The audit log, newest first: sign-ins, including failed ones, and actions on users, teams, API tokens and the "
        "workspace. For admins.",
    )
