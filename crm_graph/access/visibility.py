"""Who may see and do what. `visible` is the only gate to rows; `require` the only check of what is done to them.

What must look past the gate says `unscoped(Model, reason)`. Both leave a comment in the SQL, by which the tests prove
that no statement on an entity's table goes round them.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from crm_graph import models
from crm_graph.database import Condition
from crm_graph.errors import Forbidden
from crm_graph.models import Role, Visibility

S = TypeVar("S", bound=sa.Executable)


DEFAULTS = {
    "accounts": "account_visibility",
    "leads": "lead_visibility",
    "opportunities": "opportunity_visibility",
    "cases": "case_visibility",
    "campaigns": "campaign_visibility",
}
"""Where a workspace says who sees the records of these tables."""


@dataclass(frozen=True)
class Viewer:
    """Who asks: a user, by a session or a token, or the system itself (`user_id` None) on somebody's command line."""

    workspace_id: str
    user_id: str | None
    role: Role
    actor: str
    epoch: str
    currency: str
    defaults: Mapping[str, Visibility] = field(hash=False)
    _conditions: dict[Any, sa.ColumnElement[bool]] = field(default_factory=dict, compare=False, repr=False)
    _statements: dict[Hashable, Any] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, workspace: models.Workspace, user: models.User | None, actor: str) -> Viewer:
        defaults = tuple((entities, getattr(workspace, column)) for entities, column in DEFAULTS.items())
        user_id, role = (user.id, user.role) if user else (None, Role.ADMIN)
        return _viewer(workspace.id, user_id, role, actor, workspace.epoch, workspace.currency, defaults)

    def statement(self, key: Hashable, build: Callable[[], S]) -> S:
        """A statement that the viewer's operations send again and again. It is built once, which else takes longer
        than the database takes to answer; what differs each time are parameters with names."""
        if key not in self._statements:
            self._statements[key] = build()
        statement: S = self._statements[key]
        return statement


@functools.lru_cache(maxsize=1000)
def _viewer(
    workspace_id: str,
    user_id: str | None,
    role: Role,
    actor: str,
    epoch: str,
    currency: str,
    defaults: tuple[tuple[str, Visibility], ...],
) -> Viewer:
    """Equal viewers are one, so that the conditions of the gate are built once for a user and not for each request."""
    return Viewer(workspace_id, user_id, role, actor, epoch, currency, dict(defaults))


class Permission(enum.StrEnum):
    """What a role allows. EDIT and DELETE ask for the record's consent too: see `editable`."""

    CREATE = "CREATE"
    EDIT = "EDIT"
    DELETE = "DELETE"
    IMPORT = "IMPORT"
    SETTINGS = "SETTINGS"
    USERS = "USERS"


ASSIGNED = (models.Account, models.Lead, models.Opportunity, models.Case, models.Campaign)
PERSONAL = {models.Activity, models.Participant, models.ApiToken}
"""Kinds of records of which everybody sees others, whatever the defaults say."""
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


def _marked(mark: str, kind: type[Any], condition: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    return _Gate(condition, sa.literal_column(f"/* {mark} {kind.__tablename__} */"))


def visible(model: Any, viewer: Viewer, *, deleted: bool = False, linked: bool = False) -> sa.ColumnElement[bool]:
    """The condition on `model` (a class or an alias of one) under which the viewer may see a row.

    `deleted` lets deleted rows through as well. `linked` says that the rows are activities that have links: who sees
    records of every kind need not look whether they have.
    """

    def build() -> sa.ColumnElement[bool]:
        conditions = [model.workspace_id == viewer.workspace_id]
        if not linked or Visibility.PRIVATE in viewer.defaults.values():
            conditions.append(_sight(_class(model), model, viewer))
        if not deleted:
            conditions.append(model.deleted_at.is_(None))
        return _marked("visible", _class(model), sa.and_(*conditions))

    return _once(viewer, model, ("visible", model, deleted, linked), build)


def saw(model: type[Any], viewer: Viewer, side: Literal["before", "after"] = "before") -> sa.ColumnElement[bool]:
    """The condition on the log under which a row's `before`, or its `after`, was visible to the viewer, by what he sees
    today.

    The caller has seen to it that the record was there then.
    """
    return _once(viewer, model, ("saw", model, side), lambda: _sight(model, _Side(side), viewer))


class _Side:
    """A record as a row of the log has it: what decides sight, as it was before or after."""

    def __init__(self, side: str) -> None:
        self._values = getattr(models.Change, side)

    def __getattr__(self, name: str) -> Any:
        return models.Change.record_id if name == "id" else self._values[name].as_string()


def is_private(viewer: Viewer, name: str) -> bool:
    """Whether of the entity with this name the viewer sees only what is his, of those below him, or of his teams."""
    kind = {each.__name__: each for each in ASSIGNED}.get(name)
    private = kind is not None and viewer.defaults[kind.__tablename__] is Visibility.PRIVATE
    return private and viewer.role is not Role.ADMIN


def sight_of(viewer: Viewer, kinds: Collection[type[Any]]) -> Sight:
    """What decides which records of these kinds a viewer sees: those with equal sight have equal answers."""
    if viewer.role is Role.ADMIN:
        return Sight(viewer.workspace_id, (), True, None)
    private = tuple(entities for entities, default in viewer.defaults.items() if default is Visibility.PRIVATE)
    personal = bool(private) or not PERSONAL.isdisjoint(kinds)
    return Sight(viewer.workspace_id, private, False, viewer.user_id if personal else None)


@dataclass(frozen=True)
class Sight:
    """`user_id` is None where all who are not admins, or all who are, see the same."""

    workspace_id: str
    private: tuple[str, ...]
    everything: bool
    user_id: str | None


def visible_totals(viewer: Viewer) -> sa.ColumnElement[bool]:
    """The condition on StageTotal under which the viewer may see a row: its deals all have one owner and one team,
    which is what sight of a deal is decided by. An empty id is nobody's."""
    totals = models.StageTotal

    def build() -> sa.ColumnElement[bool]:
        here = totals.workspace_id == viewer.workspace_id
        return _marked("visible", totals, sa.and_(here, _sight(models.Opportunity, totals, viewer)))

    return _once(viewer, totals, ("visible", totals), build)


def unscoped(model: Any, reason: str) -> sa.ColumnElement[bool]:
    """A condition that is always true, for what must look past the gate; `reason` says why."""
    assert reason
    return _marked("unscoped", _class(model), sa.true())


def editable(model: Any, viewer: Viewer) -> sa.ColumnElement[bool]:
    """Whether the record itself lets the viewer change it, given a role that may change records at all."""
    return _once(viewer, model, ("editable", model), lambda: _consent(_class(model), model, viewer))


def _once(viewer: Viewer, model: Any, key: Any, build: Callable[[], sa.ColumnElement[bool]]) -> sa.ColumnElement[bool]:
    """The viewer's condition on a class is built once; one on an alias is of one statement only."""
    if not isinstance(model, type):
        return build()
    if key not in viewer._conditions:
        viewer._conditions[key] = build()
    return viewer._conditions[key]


def _consent(kind: type[Any], row: Any, viewer: Viewer) -> sa.ColumnElement[bool]:
    """Whether a row of a kind lets the viewer change it. `row` has the kind's columns as attributes."""
    if viewer.role is Role.ADMIN:
        return sa.true()
    match kind:
        case models.Account | models.Lead | models.Opportunity | models.Case | models.Campaign:
            return sa.true() if viewer.defaults[kind.__tablename__] is Visibility.PUBLIC else _mine(row, viewer)
        case models.Contact:
            return _follows(row.account_id, models.Account, viewer, _consent, _mine(row, viewer))
        case models.Activity:
            return sa.or_(row.owner_id.is_(None), _mine(row, viewer))
        case models.CampaignMember:
            return _follows(row.campaign_id, models.Campaign, viewer, _consent)
        case models.ContactRole | models.OpportunityLine:
            return _follows(row.opportunity_id, models.Opportunity, viewer, _consent)
        case models.ApiToken:
            return sa.and_(row.user_id == viewer.user_id)
        case _:
            return sa.true()


def _sight(kind: type[Any], row: Any, viewer: Viewer) -> sa.ColumnElement[bool]:
    """Whether a row of a kind shows itself to the viewer. `row` has the kind's columns as attributes."""
    if viewer.role is Role.ADMIN:
        return sa.true()
    match kind:
        case models.Account | models.Lead | models.Opportunity | models.Case | models.Campaign:
            return _mine(row, viewer) if viewer.defaults[kind.__tablename__] is Visibility.PRIVATE else sa.true()
        case models.Contact:
            if viewer.defaults["accounts"] is not Visibility.PRIVATE:
                return sa.true()
            return _follows(row.account_id, models.Account, viewer, _sight, _mine(row, viewer))
        case models.Activity:
            return _activity_sight(row, viewer)
        case models.CampaignMember:
            return sa.and_(
                _follows(row.campaign_id, models.Campaign, viewer, _sight),
                _follows(row.contact_id, models.Contact, viewer, _sight, sa.true()),
                _follows(row.lead_id, models.Lead, viewer, _sight, sa.true()),
            )
        case models.ContactRole:
            return sa.and_(
                _follows(row.opportunity_id, models.Opportunity, viewer, _sight),
                _follows(row.contact_id, models.Contact, viewer, _sight),
            )
        case models.OpportunityLine:
            return _follows(row.opportunity_id, models.Opportunity, viewer, _sight)
        case models.ApiToken:
            return sa.and_(row.user_id == viewer.user_id)
        case _:
            return sa.true()


def _mine(row: Any, viewer: Viewer) -> sa.ColumnElement[bool]:
    """The record is the viewer's, of somebody below the viewer, or of a team of the viewer's."""
    report, membership = models.Report, models.Membership
    below = sa.select(report.user_id).where(
        report.workspace_id == viewer.workspace_id, report.manager_id == viewer.user_id
    )
    teams = sa.select(membership.team_id).where(membership.user_id == viewer.user_id, visible(membership, viewer))
    return sa.or_(row.owner_id.in_(below.correlate(None)), row.team_id.in_(teams.correlate(None)))


def _follows(
    key: Any,
    target: Any,
    viewer: Viewer,
    rule: Callable[[type[Any], Any, Viewer], sa.ColumnElement[bool]],
    otherwise: sa.ColumnElement[bool] | None = None,
) -> sa.ColumnElement[bool]:
    """The rule of the record that `key` points to decides; where the key is null, `otherwise` does."""
    other = _other(target)
    condition = rule(target, other, viewer)
    if isinstance(condition, sa.True_):
        return sa.true()
    found = sa.exists().where(
        other.id == key, _marked("visible", target, sa.and_(other.workspace_id == viewer.workspace_id, condition))
    )
    return found if otherwise is None else sa.or_(found, sa.and_(key.is_(None), otherwise))


@functools.cache
def _other(target: Any) -> Any:
    """The columns of a table for a condition on another's rows. An alias has all of them, so it is made once; no two
    conditions on rows of one table stand within each other."""
    return target.__table__.alias().c


def _activity_sight(row: Any, viewer: Viewer) -> sa.ColumnElement[bool]:
    link, participant = _other(models.ActivityLink), _other(models.Participant)
    targets = {
        link.account_id: models.Account,
        link.contact_id: models.Contact,
        link.lead_id: models.Lead,
        link.opportunity_id: models.Opportunity,
        link.case_id: models.Case,
        link.campaign_id: models.Campaign,
    }
    followed = {key: _follows(key, target, viewer, _sight) for key, target in targets.items()}
    chosen = sa.not_(link.derived)
    if not all(isinstance(each, sa.True_) for each in followed.values()):  # otherwise it may be any of them
        chosen = sa.and_(chosen, sa.or_(*(sa.and_(key.is_not(None), each) for key, each in followed.items())))
    return sa.or_(  # in the order in which they are likely, since the first that holds is enough
        row.owner_id == viewer.user_id,
        sa.exists().where(link.workspace_id == viewer.workspace_id, link.activity_id == row.id, chosen),
        sa.exists().where(
            participant.workspace_id == viewer.workspace_id,
            participant.activity_id == row.id,
            participant.user_id == viewer.user_id,
        ),
    )


def _class(model: Any) -> type[Any]:
    kind: type[Any] = model if isinstance(model, type) else sa.inspect(model).mapper.class_
    return kind
