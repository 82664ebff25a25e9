"""Conditions on the rows that a viewer may read and edit. `visible` is the only way to rows of entities.

Code that must look at rows which the viewer cannot see uses `unscoped(Model, reason)`. Both leave a comment in the SQL,
by which the tests prove that no statement reads an entity's table without one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from crm_graph.access.policies import allows, depends_on_user, is_restricted, marked
from crm_graph.access.viewer import Viewer
from crm_graph.models import ENTITIES, Change, Opportunity, Role, StageTotal, Visibility, WorkspaceRow


def visible(model: Any, viewer: Viewer, *, deleted: bool = False, linked: bool = False) -> sa.ColumnElement[bool]:
    """The condition on `model` (a class or an alias of one) under which the viewer may see a row.

    `deleted` lets deleted rows through as well. `linked` promises that the rows are activities that have links: for a
    viewer who sees the records of all entities, their links are not looked up. Raises TypeError for a class without a
    `read_policy`.
    """

    def build() -> sa.ColumnElement[bool]:
        conditions = [model.workspace_id == viewer.workspace_id]
        if not linked or Visibility.PRIVATE in viewer.defaults.values():
            conditions.append(allows(_class(model), "read", model, viewer))
        if not deleted:
            conditions.append(model.deleted_at.is_(None))
        return marked("visible", _class(model).__tablename__, sa.and_(*conditions))

    return _once(viewer, model, ("visible", model, deleted, linked), build)


def unscoped(model: Any, reason: str) -> sa.ColumnElement[bool]:
    """A condition that is always true, for reading rows that the viewer cannot see; `reason` is why."""
    assert reason
    return marked("unscoped", _class(model).__tablename__, sa.true())


def editable(model: Any, viewer: Viewer) -> sa.ColumnElement[bool]:
    """The condition under which the record's `edit_policy` lets the viewer change it, apart from the role."""
    return _once(viewer, model, ("editable", model), lambda: allows(_class(model), "edit", model, viewer))


def was_visible(
    model: type[WorkspaceRow], viewer: Viewer, side: Literal["before", "after"] = "before"
) -> sa.ColumnElement[bool]:
    """The condition on `changes`: could the viewer, with today's permissions, see the record before (or after) this
    change? The record must have existed then."""
    return _once(
        viewer, model, ("was visible", model, side), lambda: allows(model, "read", _RecordAtChange(side), viewer)
    )


class _RecordAtChange:
    """The columns of a record that decide who sees it, as a row of the log has them."""

    def __init__(self, side: str) -> None:
        self._values = getattr(Change, side)

    def __getattr__(self, name: str) -> Any:
        return Change.record_id if name == "id" else self._values[name].as_string()


def visible_totals(viewer: Viewer) -> sa.ColumnElement[bool]:
    """The condition on StageTotal under which the viewer may see a row.

    The deals of a row have one owner and one team, so the policy of deals applies. An empty id matches no user or team.
    """

    def build() -> sa.ColumnElement[bool]:
        here = StageTotal.workspace_id == viewer.workspace_id
        condition = sa.and_(here, allows(Opportunity, "read", StageTotal, viewer))
        return marked("visible", StageTotal.__tablename__, condition)

    return _once(viewer, StageTotal, ("visible", StageTotal), build)


def is_private(viewer: Viewer, entity: str) -> bool:
    """True if the workspace's default restricts the viewer to the entity's records of the viewer, of users below the
    viewer, and of the viewer's teams."""
    if viewer.role is Role.ADMIN or entity not in viewer.defaults:
        return False
    return is_restricted(viewer, ENTITIES[entity], "read")


@dataclass(frozen=True)
class VisibilityScope:
    """The part of a viewer that determines the visible records: viewers with equal scopes get equal answers.

    `private` are the entities whose default is PRIVATE. `user_id` is None where the answer is the same for all users,
    or for all admins (`sees_everything`).
    """

    workspace_id: str
    private: tuple[str, ...]
    sees_everything: bool
    user_id: str | None


def visibility_scope(viewer: Viewer, kinds: Collection[type[WorkspaceRow]]) -> VisibilityScope:
    """The scope in which a viewer sees records of these kinds."""
    if viewer.role is Role.ADMIN:
        return VisibilityScope(viewer.workspace_id, (), True, None)
    private = tuple(entity for entity, default in viewer.defaults.items() if default is Visibility.PRIVATE)
    personal = bool(private) or any(map(depends_on_user, kinds))
    return VisibilityScope(viewer.workspace_id, private, False, viewer.user_id if personal else None)


def _once(
    viewer: Viewer, model: Any, key: Hashable, build: Callable[[], sa.ColumnElement[bool]]
) -> sa.ColumnElement[bool]:
    """The viewer's condition on a class is built once; a condition on an alias serves only one statement."""
    return viewer.condition(key, build) if isinstance(model, type) else build()


def _class(model: Any) -> type[WorkspaceRow]:
    kind: type[WorkspaceRow] = model if isinstance(model, type) else sa.inspect(model).mapper.class_
    return kind
