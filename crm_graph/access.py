"""Who may see and do what. `visible` is the only gate to rows; `require` the only check of what is done to them.

What must look past the gate says `unscoped(Model, reason)`. Both leave a comment in the SQL, by which the tests prove
that no statement on an entity's table goes round them.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import aliased
from sqlalchemy.sql.compiler import SQLCompiler

from crm_graph import models
from crm_graph.db import Condition
from crm_graph.errors import Forbidden
from crm_graph.models import Role, Visibility


@dataclass(frozen=True)
class Viewer:
    """Who asks: a user, by a session or a token, or the system itself (`user_id` None) on somebody's command line."""

    workspace_id: str
    user_id: str | None
    role: Role
    actor: str
    epoch: str
    currency: str
    defaults: Mapping[str, Visibility]

    @classmethod
    def of(cls, workspace: models.Workspace, user: models.User | None, actor: str) -> Viewer:
        return cls(
            workspace_id=workspace.id,
            user_id=user.id if user else None,
            role=user.role if user else Role.ADMIN,
            actor=actor,
            epoch=workspace.epoch,
            currency=workspace.currency,
            defaults={
                "accounts": workspace.account_visibility,
                "leads": workspace.lead_visibility,
                "opportunities": workspace.opportunity_visibility,
                "cases": workspace.case_visibility,
                "campaigns": workspace.campaign_visibility,
            },
        )


class Permission(enum.StrEnum):
    """What a role allows. EDIT and DELETE ask for the record's consent too: see `editable`."""

    CREATE = "CREATE"
    EDIT = "EDIT"
    DELETE = "DELETE"
    IMPORT = "IMPORT"
    SETTINGS = "SETTINGS"
    USERS = "USERS"


ALLOWED: Mapping[Role, frozenset[Permission]] = {
    Role.ADMIN: frozenset(Permission),
    Role.MANAGER: frozenset(Permission),
    Role.REP: frozenset({Permission.CREATE, Permission.EDIT}),
    Role.READ_ONLY: frozenset(),
}


def require(viewer: Viewer, permission: Permission, *, editable: bool = True) -> None:
    """Raises Forbidden unless the viewer's role has the permission and, for an existing record, it is `editable`."""
    if permission not in ALLOWED[viewer.role]:
        raise Forbidden(f"Your role {viewer.role} does not allow this.")
    if not editable:
        raise Forbidden("Only its owner, the owner's managers and team, and an admin may change this record.")


class _Gate(Condition):
    """A condition that leaves a comment in the SQL."""

    inherit_cache = True
    name = "gate"


@compiles(_Gate)
def _compile_gate(element: _Gate, compiler: SQLCompiler, **kwargs: Any) -> str:
    condition, comment = element.clauses
    return f"({compiler.process(condition, **kwargs)}) {compiler.process(comment, **kwargs)}"


def _marked(mark: str, model: Any, condition: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    return _Gate(condition, sa.literal_column(f"/* {mark} {_class(model).__tablename__} */"))


def visible(model: Any, viewer: Viewer, *, deleted: bool = False) -> sa.ColumnElement[bool]:
    """The condition on `model` (a class or an alias of one) under which the viewer may see a row.

    `deleted` lets deleted rows through as well.
    """
    conditions = [model.workspace_id == viewer.workspace_id, _sight(model, viewer)]
    if not deleted:
        conditions.append(model.deleted_at.is_(None))
    return _marked("visible", model, sa.and_(*conditions))


def unscoped(model: Any, reason: str) -> sa.ColumnElement[bool]:
    """A condition that is always true, for what must look past the gate; `reason` says why."""
    assert reason
    return _marked("unscoped", model, sa.true())


def editable(model: Any, viewer: Viewer) -> sa.ColumnElement[bool]:
    """Whether the record itself lets the viewer change it, given a role that may change records at all."""
    if viewer.role is Role.ADMIN:
        return sa.true()
    match _class(model):
        case models.Account | models.Lead | models.Opportunity | models.Case | models.Campaign as kind:
            return sa.true() if viewer.defaults[kind.__tablename__] is Visibility.PUBLIC else _mine(model, viewer)
        case models.Contact:
            return _follows(model.account_id, models.Account, viewer, editable, _mine(model, viewer))
        case models.Activity:
            return sa.or_(model.owner_id.is_(None), _mine(model, viewer))
        case models.CampaignMember:
            return _follows(model.campaign_id, models.Campaign, viewer, editable)
        case models.ContactRole | models.OpportunityLine:
            return _follows(model.opportunity_id, models.Opportunity, viewer, editable)
        case models.ApiToken:
            return sa.and_(model.user_id == viewer.user_id)
        case _:
            return sa.true()


def _sight(model: Any, viewer: Viewer) -> sa.ColumnElement[bool]:
    if viewer.role is Role.ADMIN:
        return sa.true()
    match _class(model):
        case models.Account | models.Lead | models.Opportunity | models.Case | models.Campaign as kind:
            return _mine(model, viewer) if viewer.defaults[kind.__tablename__] is Visibility.PRIVATE else sa.true()
        case models.Contact:
            if viewer.defaults["accounts"] is not Visibility.PRIVATE:
                return sa.true()
            return _follows(model.account_id, models.Account, viewer, _sight, _mine(model, viewer))
        case models.Activity:
            return _activity_sight(model, viewer)
        case models.CampaignMember:
            return sa.and_(
                _follows(model.campaign_id, models.Campaign, viewer, _sight),
                _follows(model.contact_id, models.Contact, viewer, _sight, sa.true()),
                _follows(model.lead_id, models.Lead, viewer, _sight, sa.true()),
            )
        case models.ContactRole:
            return sa.and_(
                _follows(model.opportunity_id, models.Opportunity, viewer, _sight),
                _follows(model.contact_id, models.Contact, viewer, _sight),
            )
        case models.OpportunityLine:
            return _follows(model.opportunity_id, models.Opportunity, viewer, _sight)
        case models.ApiToken:
            return sa.and_(model.user_id == viewer.user_id)
        case _:
            return sa.true()


def _mine(model: Any, viewer: Viewer) -> sa.ColumnElement[bool]:
    """The record is the viewer's, of somebody below the viewer, or of a team of the viewer's."""
    report, membership = aliased(models.Report), aliased(models.Membership)
    below = sa.select(report.user_id).where(
        report.workspace_id == viewer.workspace_id, report.manager_id == viewer.user_id
    )
    teams = sa.select(membership.team_id).where(membership.user_id == viewer.user_id, visible(membership, viewer))
    return sa.or_(model.owner_id.in_(below), model.team_id.in_(teams))


def _follows(
    key: Any,
    target: Any,
    viewer: Viewer,
    rule: Any,
    otherwise: sa.ColumnElement[bool] | None = None,
) -> sa.ColumnElement[bool]:
    """The rule of the record that `key` points to decides; where the key is null, `otherwise` does."""
    other = aliased(target)
    condition = rule(other, viewer)
    if isinstance(condition, sa.True_):
        return sa.true()
    found = sa.exists().where(
        other.id == key, _marked("visible", other, sa.and_(other.workspace_id == viewer.workspace_id, condition))
    )
    return found if otherwise is None else sa.or_(found, sa.and_(key.is_(None), otherwise))


def _activity_sight(model: Any, viewer: Viewer) -> sa.ColumnElement[bool]:
    link, participant = aliased(models.ActivityLink), aliased(models.Participant)
    targets = {
        link.account_id: models.Account,
        link.contact_id: models.Contact,
        link.lead_id: models.Lead,
        link.opportunity_id: models.Opportunity,
        link.case_id: models.Case,
        link.campaign_id: models.Campaign,
    }
    related = [sa.and_(key.is_not(None), _follows(key, target, viewer, _sight)) for key, target in targets.items()]
    return sa.or_(
        model.owner_id == viewer.user_id,
        sa.exists().where(
            participant.workspace_id == viewer.workspace_id,
            participant.activity_id == model.id,
            participant.user_id == viewer.user_id,
        ),
        sa.exists().where(link.workspace_id == viewer.workspace_id, link.activity_id == model.id, sa.or_(*related)),
    )


def _class(model: Any) -> Any:
    return sa.inspect(model).mapper.class_
