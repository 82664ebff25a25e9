"""Policies as SQL: the one place that interprets the `read_policy` and the `edit_policy` of the models."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.base import ReadOnlyColumnCollection
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import KeyedColumnElement

from crm_graph.access.viewer import Viewer
from crm_graph.database import Condition
from crm_graph.models import ENTITIES, TABLES, Entity, Membership, ReportingLine, Role, Visibility, WorkspaceRow
from crm_graph.models.policies import (
    AllOf,
    AnyOf,
    Everyone,
    Holder,
    InheritsFrom,
    LinkedRecords,
    OwnerAndTeam,
    Policy,
    RelatedHolder,
    Unowned,
    WorkspaceDefault,
)

Access = Literal["read", "edit"]
Model = type[WorkspaceRow]
Columns = ReadOnlyColumnCollection[str, KeyedColumnElement[Any]]


class _Marked(Condition):
    """A condition that leaves a comment in the SQL."""

    inherit_cache = True
    name = "marked"


@compiles(_Marked)
def _compile_marked(element: _Marked, compiler: SQLCompiler, **kwargs: object) -> str:
    condition, comment = element.clauses
    return f"({compiler.process(condition, **kwargs)}) {compiler.process(comment, **kwargs)}"


def marked(mark: str, table: str, condition: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    """The condition with a comment behind it, by which the tests recognize a restricted statement."""
    return _Marked(condition, sa.literal_column(f"/* {mark} {table} */"))


def policy_of(kind: Model, access: Access) -> Policy:
    """Raises TypeError for a class without one: its rows cannot be read or edited by anyone."""
    policy = getattr(kind, f"{access}_policy", None)
    if not isinstance(policy, Policy):
        raise TypeError(f"{kind.__name__} has no {access}_policy: set one from crm_graph.models.policies.")
    return policy


def allows(kind: Model, access: Access, row: object, viewer: Viewer) -> sa.ColumnElement[bool]:
    """The condition under which the viewer may read or edit a row of a kind, which has its columns as attributes.

    It is `sa.true()` itself where it holds for every row. Raises TypeError for a kind without a policy.
    """
    policy = policy_of(kind, access)
    if viewer.role is Role.ADMIN:
        return sa.true()
    return _condition(policy, kind, access, row, viewer)


def _condition(policy: Policy, kind: Model, access: Access, row: object, viewer: Viewer) -> sa.ColumnElement[bool]:
    match policy:
        case Everyone():
            return sa.true()
        case WorkspaceDefault():
            return _owner_and_team(row, viewer) if is_restricted(viewer, kind, access) else sa.true()
        case OwnerAndTeam():
            return _owner_and_team(row, viewer)
        case Unowned():
            return _column(row, "owner_id").is_(None)
        case Holder(column):
            return _column(row, column) == viewer.user_id
        case InheritsFrom(column, unlinked):
            return _inherited(column, unlinked, kind, access, row, viewer)
        case LinkedRecords():
            return _linked(policy, access, row, viewer)
        case RelatedHolder(table, column, holder):
            other = _columns(TABLES[table])
            return sa.exists().where(
                other.workspace_id == viewer.workspace_id,
                other[column] == _column(row, "id"),
                other[holder] == viewer.user_id,
            )
        case AllOf(policies=policies):
            return sa.and_(*(_condition(each, kind, access, row, viewer) for each in policies))
        case AnyOf(policies=policies):
            return sa.or_(*(_condition(each, kind, access, row, viewer) for each in policies))
    raise TypeError(f"{kind.__name__} has an unknown policy: {policy!r}")


def is_restricted(viewer: Viewer, kind: Model, access: Access) -> bool:
    """True if the workspace's default restricts reading, or editing, to `OwnerAndTeam`."""
    default = viewer.defaults[kind.__name__]
    return default is Visibility.PRIVATE if access == "read" else default is not Visibility.PUBLIC


def _column(row: object, name: str) -> sa.ColumnElement[object]:
    column: sa.ColumnElement[object] = getattr(row, name)
    return column


def _owner_and_team(row: object, viewer: Viewer) -> sa.ColumnElement[bool]:
    line, membership = ReportingLine, Membership
    below = sa.select(line.user_id).where(line.workspace_id == viewer.workspace_id, line.manager_id == viewer.user_id)
    teams = sa.select(membership.team_id).where(
        membership.user_id == viewer.user_id, viewer.condition("memberships", lambda: _current_memberships(viewer))
    )
    return sa.or_(
        _column(row, "owner_id").in_(below.correlate(None)), _column(row, "team_id").in_(teams.correlate(None))
    )


def _current_memberships(viewer: Viewer) -> sa.ColumnElement[bool]:
    here = Membership.workspace_id == viewer.workspace_id
    return marked("visible", Membership.__tablename__, sa.and_(here, Membership.deleted_at.is_(None)))


def _inherited(
    column: str, unlinked: Policy | None, kind: Model, access: Access, row: object, viewer: Viewer
) -> sa.ColumnElement[bool]:
    key = _column(row, column)
    condition = _through(key, target_of(kind, column), access, viewer)
    if unlinked is None or isinstance(condition, sa.True_):
        return condition
    return sa.or_(condition, sa.and_(key.is_(None), _condition(unlinked, kind, access, row, viewer)))


def _through(key: sa.ColumnElement[object], target: Model, access: Access, viewer: Viewer) -> sa.ColumnElement[bool]:
    """The condition under which the viewer may read or edit the record that a key refers to; true for no key where
    everyone may."""
    other = _columns(target)
    condition = allows(target, access, other, viewer)
    if isinstance(condition, sa.True_):
        return sa.true()
    here = sa.and_(other.workspace_id == viewer.workspace_id, condition)
    return sa.exists().where(other.id == key, marked("visible", target.__tablename__, here))


def _linked(policy: LinkedRecords, access: Access, row: object, viewer: Viewer) -> sa.ColumnElement[bool]:
    links = TABLES[policy.table]
    link = _columns(links)
    found = {link[name]: _through(link[name], target, access, viewer) for name, target in linked_by(policy).items()}
    counts = sa.not_(link[policy.ignored])
    if not all(isinstance(each, sa.True_) for each in found.values()):  # otherwise any link will do
        counts = sa.and_(counts, sa.or_(*(sa.and_(key.is_not(None), each) for key, each in found.items())))
    return sa.exists().where(
        link.workspace_id == viewer.workspace_id, link[policy.column] == _column(row, "id"), counts
    )


@functools.cache
def _columns(kind: Model) -> Columns:
    """The columns of a table for a condition on another's rows. One alias serves all statements: no two conditions on
    rows of one table stand within each other."""
    return kind.__table__.alias().c


# Properties derived from the policies


@functools.cache
def target_of(kind: Model, column: str) -> Model:
    """The class of the records that a column refers to."""
    return TABLES[kind.__table__.columns[column].info["references"]]


@functools.cache
def linked_by(policy: LinkedRecords) -> Mapping[str, Model]:
    """The columns of the table of links that refer to other records, and the classes of these."""
    links = TABLES[policy.table]
    columns = [each.key for each in links.__table__.columns if "references" in each.info and each.key != policy.column]
    return {column: target_of(links, column) for column in columns}


@functools.cache
def inherits_from(kind: Model) -> Mapping[str, Model]:
    """The columns whose records decide who reads a row of a kind, and the classes of these records."""
    parts = policy_of(kind, "read").parts()
    return {each.column: target_of(kind, each.column) for each in parts if isinstance(each, InheritsFrom)}


@functools.cache
def depends_on_user(kind: Model) -> bool:
    """True if users see different records of a kind even when no default of the workspace is PRIVATE."""

    def depends(policy: Policy) -> bool:
        match policy:
            case Everyone() | WorkspaceDefault():
                return False
            case InheritsFrom(column):
                return depends_on_user(target_of(kind, column))
            case AllOf(policies=policies) | AnyOf(policies=policies):
                return any(map(depends, policies))
        return True

    return depends(policy_of(kind, "read"))


def _sources(kind: Model) -> set[Model]:
    linked = [each for each in policy_of(kind, "read").parts() if isinstance(each, LinkedRecords)]
    return {*inherits_from(kind).values(), *(target for each in linked for target in linked_by(each).values())}


VISIBILITY_SOURCES: Mapping[str, type[Entity]] = {
    name: kind for name, kind in ENTITIES.items() if any(kind in _sources(each) for each in ENTITIES.values())
}
"""The entities, by name, on whose visibility the visibility of other entities depends."""
INHERITED: Mapping[type[Entity], Mapping[str, Model]] = {
    kind: columns for kind in ENTITIES.values() if (columns := inherits_from(kind))
}
"""The entities whose visibility depends on others: {entity: {column: the class that it refers to}}."""
