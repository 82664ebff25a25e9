"""The workspace: its name, its currency and its default visibility."""

from __future__ import annotations

from typing import TypeVar

import sqlalchemy as sa
import strawberry

from crm_graph import models
from crm_graph.access import DEFAULT_FIELDS, default_column
from crm_graph.access.defaults import complete
from crm_graph.models import Visibility
from crm_graph.services.platform import workspaces
from loaders.platform.workspaces import load_revision, load_workspace, revision_of
from loaders.sql_json.expressions import Expression, as_json
from loaders.sql_json.pages import RowScope, scalar
from schema.core import maybe
from schema.core.context import Info
from schema.core.declared import Arguments, DeclaredField, declared
from schema.core.mutations import Payload, PayloadSource, mutation, write_input
from schema.core.registry import mutation_fields, query_fields
from schema.core.scalars import CurrencyCode, enum_type
from schema.core.selection import FieldSelection

T = TypeVar("T")
enum_type(Visibility)
NAME = "Name of the company."
CURRENCY = "Currency of amounts that are sent without one."
DEFAULTS = {
    "account_visibility": "Default visibility of accounts and their contacts.",
    "lead_visibility": "Default visibility of leads.",
    "opportunity_visibility": "Default visibility of opportunities.",
    "case_visibility": "Default visibility of cases.",
    "campaign_visibility": "Default visibility of campaigns.",
}
DEFAULTS |= {
    name: f"Default visibility of {models.ENTITIES[entity].__tablename__.replace('_', ' ')}."
    for entity, name in DEFAULT_FIELDS.items()
    if name not in DEFAULTS
}
"""The visibility defaults with their descriptions: those of the released schema in its order, then all others."""
ENTITIES = {name: entity for entity, name in DEFAULT_FIELDS.items()}
"""The entities by the names of their visibility defaults."""


class _VisibilityDefault(DeclaredField):
    """The visibility default of one entity."""

    def resolve(self, source: models.Workspace, info: Info, arguments: Arguments) -> Visibility:
        return complete(source.visibility_defaults)[ENTITIES[self.python_name]]

    def compile(self, selection: FieldSelection, scope: RowScope) -> Expression:
        return as_json(default_column(scope.row.visibility_defaults, ENTITIES[self.python_name]))


class _Revision(DeclaredField):
    """The revision of the answer."""

    async def resolve(self, source: object, info: Info, arguments: Arguments) -> object:
        loaders = info.context.loaders
        return await loaders.read(lambda session: load_revision(session, loaders.viewer))

    def compile(self, selection: FieldSelection, scope: RowScope) -> Expression:
        return scalar(revision_of(selection.viewer), scope)


class _Workspace(DeclaredField):
    """The viewer's workspace."""

    async def resolve(self, source: object, info: Info, arguments: Arguments) -> object:
        return await _load(info)

    def compile(self, selection: FieldSelection, scope: RowScope) -> Expression:
        row = scope.alias(models.Workspace)
        here = row.id == selection.viewer.workspace_id
        return scalar(sa.select(selection.record(scope.within(row))).select_from(row).where(here), scope)


def _with_defaults(cls: type[T]) -> type[T]:
    """Class decorator: a field for each visibility default, before the last field."""
    last = cls.__annotations__.popitem()
    for name, meaning in DEFAULTS.items():
        cls.__annotations__[name] = Visibility
        setattr(cls, name, _VisibilityDefault(description=meaning))
    cls.__annotations__.update([last])
    return cls


@strawberry.type(description="One company's CRM, isolated from all others.")
@_with_defaults
class Workspace:
    id: strawberry.ID = strawberry.field(description="Id of the workspace.")
    name: str = strawberry.field(description=NAME)
    currency: CurrencyCode = strawberry.field(description=CURRENCY)
    revision: str = declared(_Revision, "Revision of its last change.")


write_input(
    "UpdateWorkspaceInput",
    "Changes to the workspace.",
    {},
    {
        "name": (maybe(str), NAME),
        "currency": (maybe(CurrencyCode), CURRENCY),
        **{name: (maybe(Visibility), meaning) for name, meaning in DEFAULTS.items()},
    },
)


@strawberry.type(description="The workspace after the write.")
class WorkspacePayload(Payload):
    @strawberry.field(graphql_type=Workspace | None, description="The workspace; null if the write failed.")
    async def workspace(root: strawberry.Parent[PayloadSource], info: Info) -> models.Workspace | None:
        return await _load(info) if root.workspace_id else None


@query_fields(11)
class WorkspaceQuery:
    workspace: Workspace = declared(_Workspace, "Your workspace.")
    revision: str = declared(_Revision, "The revision of this response. Subscribe `after` it to miss nothing.")


@mutation_fields(11)
class WorkspaceMutation:
    update_workspace: WorkspacePayload = mutation("Update the workspace. For admins.", workspaces.update)


async def _load(info: Info) -> models.Workspace:
    loaders = info.context.loaders
    return await loaders.read(lambda session: load_workspace(session, loaders.viewer))
