"""Reads and writes of any entity: find, create, update, delete and restore, with the checks they share."""

from __future__ import annotations

import functools
import re
from collections.abc import Container, Mapping
from typing import Any, Protocol, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from crm_graph import models
from crm_graph.access import Permission, Viewer, editable, require, unscoped, visible
from crm_graph.database.prepared import find_records
from crm_graph.errors import Conflict, Duplicate, Forbidden, Invalid, NotFound, Required
from crm_graph.models import ENTITIES, Base, Entity, OwnedEntity
from crm_graph.models.types import Amount

E = TypeVar("E", bound=Entity)


class _Priced(Protocol):
    currency: str | None


Values = Mapping[str, Any]
"""Column values by column name."""
TABLES: Mapping[str, type[Entity]] = {each.__tablename__: each for each in ENTITIES.values()}
REQUIRED = "A value is needed."


def label(model: type[Base]) -> str:
    """Name of an entity in a sentence: `opportunity line`."""
    return re.sub(r"(?<!^)(?=[A-Z])", " ", model.__name__).lower()


def no_such(model: type[Base], field: str | None) -> NotFound:
    """Error for an id that names no record the viewer may see."""
    return NotFound(f"There is no such {label(model)}.", field)


def cycle(model: type[Base], field: str) -> Invalid:
    """Error for a parent that is the record itself or below it."""
    return Invalid(f"This {label(model)} is already above the other one. This would create a cycle.", field)


async def find(
    session: AsyncSession,
    viewer: Viewer,
    model: type[E],
    record_id: str,
    *,
    to: Permission | None = None,
    field: str | None = "id",
    forbidden_field: str | None = None,
    deleted: bool = False,
) -> E:
    """Return a record that the viewer may see. With `to`, the viewer must also have that permission, and the row is
    locked until the commit.

    Raises NotFound about `field`, and Forbidden about `forbidden_field`.
    """

    def build() -> sa.Select[E, bool]:
        statement = sa.select(model, editable(model, viewer)).where(
            visible(model, viewer, deleted=deleted), model.id == sa.bindparam("record_id")
        )
        return statement if to is None else statement.with_for_update(of=model, key_share=True)

    statement = viewer.statement(("find", model, to is None, deleted), build)
    found = await find_records(session, model, statement, {"record_id": record_id})
    if not found:
        raise no_such(model, field)
    record: E
    record, may_edit = found[0]
    if to is not None:
        try:
            require(viewer, to, editable=may_edit)
        except Forbidden as error:
            error.field = forbidden_field
            raise
    return record


async def create(session: AsyncSession, viewer: Viewer, model: type[E], *, values: Values, **fixed: Any) -> E:
    """Create a record. Its owner is the viewer unless `values` names an owner or a team; its team is the owner's home
    team unless `values` names one.

    `fixed` are columns that the service sets itself: they are not checked, and may refer to records that the viewer
    cannot see. Raises Forbidden, Invalid, Required, NotFound, Duplicate.
    """
    require(viewer, Permission.CREATE)
    cleaned = clean(model, values)
    for column in model.__table__.columns:
        if column.key in values or column.key in fixed or column.nullable or column.default is not None:
            continue
        if column.key != "workspace_id":
            raise Required(REQUIRED, column.key)
    await check_references(session, viewer, model, cleaned)
    await _check_external_id(session, viewer, model, cleaned)
    record = model(workspace_id=viewer.workspace_id, id=model.new_id(), **{**cleaned, **fixed})
    if isinstance(record, OwnedEntity) and default_owner(viewer, record, values) and record.owner_id is not None:
        record.team_id = await home_team(session, viewer, record.owner_id)
    default_currency(viewer, record, values)
    session.add(record)
    return record


async def update(
    session: AsyncSession,
    viewer: Viewer,
    model: type[E],
    *,
    id: str,
    values: Values,
    expected_version: int | None = None,
) -> E:
    """Set `values`; None empties a column. A new owner brings their home team unless `values` names a team.

    Raises NotFound, Forbidden, Conflict, Invalid, Required, Duplicate.
    """
    record = await find(session, viewer, model, id, to=Permission.EDIT)
    check_version(record, expected_version)
    await assign(session, viewer, record, values)
    return record


async def assign(session: AsyncSession, viewer: Viewer, record: Entity, values: Values) -> None:
    """Clean, check and set values on a record that the viewer may change.

    Raises Invalid, Required, NotFound, Duplicate.
    """
    model = type(record)
    cleaned = clean(model, values)
    changed = {name: value for name, value in cleaned.items() if getattr(record, name) != value}
    await check_references(session, viewer, model, changed)
    await _check_external_id(session, viewer, model, changed)
    if "parent_id" in changed:
        await check_acyclic(session, viewer, model, record.id, changed["parent_id"], "parent_id")
    for name, value in changed.items():
        setattr(record, name, value)
    if isinstance(record, OwnedEntity) and "owner_id" in changed and "team_id" not in values:
        owner_id = changed["owner_id"]
        record.team_id = owner_id and await home_team(session, viewer, owner_id)
    default_currency(viewer, record, values)


async def delete(
    session: AsyncSession, viewer: Viewer, model: type[E], *, id: str, expected_version: int | None = None
) -> E:
    """Delete a record softly: `restore` brings it back. Raises NotFound, Forbidden, Conflict."""
    record = await find(session, viewer, model, id, to=Permission.DELETE)
    check_version(record, expected_version)
    record.deleted_at = models.now()
    return record


async def restore(
    session: AsyncSession, viewer: Viewer, model: type[E], *, id: str, expected_version: int | None = None
) -> E:
    """Restore a deleted record; others stay as they are. Raises NotFound, Forbidden, Conflict."""
    record = await find(session, viewer, model, id, to=Permission.DELETE, deleted=True)
    check_version(record, expected_version)
    record.deleted_at = None
    return record


def check_version(record: Entity, expected: int | None) -> None:
    """Raises Conflict, with the current record, if the client expected another version."""
    if expected is not None and expected != record.version:
        raise Conflict(
            f"The {label(type(record))} was changed meanwhile: it is at version {record.version}, not {expected}.",
            "expected_version",
            current=record,
        )


def clean(model: type[Any], values: Values) -> dict[str, Any]:
    """Values in the standard form of their columns' types. Raises Invalid and Required about the column."""
    cleaned: dict[str, Any] = {}
    for name, value in values.items():
        column = model.__table__.columns[name]
        try:
            if value is None:
                if not column.nullable:
                    raise Required(REQUIRED)
                cleaned[name] = None
            else:
                cleaned[name] = column.type.clean(value)
        except Invalid as error:
            raise error.prefixed(name) from None
    return cleaned


async def check_references(session: AsyncSession, viewer: Viewer, model: type[Entity], values: Values) -> None:
    """Raises NotFound if a value refers to a record that the viewer cannot see."""
    for name, value in values.items():
        table = model.__table__.columns[name].info.get("references")
        if table is None or value is None:
            continue
        target = TABLES[table]
        found = sa.select(target.id).where(visible(target, viewer), target.id == value)
        if await session.scalar(found) is None:
            raise no_such(target, name)


async def check_acyclic(
    session: AsyncSession, viewer: Viewer, model: type[Entity], record_id: str, parent_id: str | None, field: str
) -> None:
    """Raises Invalid about `field` if the record is its new parent, or above it."""
    if parent_id is None:
        return
    # Two concurrent moves could close a cycle that neither can see. The lock on the workspace's row serializes them.
    await session.execute(
        sa.select(models.Workspace.id)
        .where(models.Workspace.id == viewer.workspace_id)
        .with_for_update(key_share=True)  # others may still refer to the row, as every insert does
    )
    above = (
        sa.select(model.id, model.__table__.columns[field].label("above"))
        .where(unscoped(model, "a cycle may pass through unseen records"))
        .where(model.workspace_id == viewer.workspace_id, model.id == parent_id)
        .cte("above", recursive=True)
    )
    next_up = aliased(model)
    above = above.union(
        sa.select(next_up.id, getattr(next_up, field))
        .where(unscoped(next_up, "a cycle may pass through unseen records"))
        .where(next_up.workspace_id == viewer.workspace_id, next_up.id == above.c.above)
    )
    if await session.scalar(sa.select(above.c.id).where(above.c.id == record_id)) is not None:
        raise cycle(model, field)


def default_owner(viewer: Viewer, record: OwnedEntity, named: Container[str]) -> bool:
    """Make the viewer the owner of a new record unless its owner or team is `named`.

    Returns whether the record's team is the owner's home team: unless a team is named.
    """
    if "owner_id" not in named and "team_id" not in named:
        record.owner_id = viewer.user_id
    return "team_id" not in named


@functools.cache
def amount_columns(model: type[Base]) -> tuple[str, ...]:
    """Columns with money in the record's currency; none if the entity has no currency."""
    columns = model.__table__.columns
    if "currency" not in columns:
        return ()
    return tuple(each.key for each in columns if isinstance(each.type, Amount) and each.key != "quantity")


def default_currency(viewer: Viewer, record: Entity, values: Values) -> None:
    """Give a record with an amount and no currency the workspace's currency.

    Raises Invalid if `values` has a new currency, but not all of the record's amounts: it would revalue the others.
    """
    amounts = amount_columns(type(record))
    if not amounts:
        return
    kept = [name for name in amounts if name not in values and getattr(record, name) is not None]
    if kept and "currency" in values and sa.inspect(record).attrs.currency.history.deleted not in ((), [None]):
        raise Invalid("All amounts of one record are in one currency.", f"{amounts[0]}.currency")
    fill_currency(viewer, record)


def fill_currency(viewer: Viewer, record: Entity) -> None:
    """Give a record with an amount and no currency the workspace's currency."""
    amounts = amount_columns(type(record))
    if not amounts:
        return
    priced = cast(_Priced, record)
    if priced.currency is None and any(getattr(record, name) is not None for name in amounts):
        priced.currency = viewer.currency


async def home_team(session: AsyncSession, viewer: Viewer, user_id: str) -> str | None:
    """Id of a user's home team, which owns the records of the user."""
    user = models.User
    return await session.scalar(sa.select(user.team_id).where(visible(user, viewer), user.id == user_id))


async def _check_external_id(session: AsyncSession, viewer: Viewer, model: type[Entity], values: Values) -> None:
    external_id = values.get("external_id")
    if external_id is None:
        return
    taken = (
        sa.select(model.id)
        .where(unscoped(model, "an external id is taken by unseen and deleted records too"))
        .where(model.workspace_id == viewer.workspace_id, model.__table__.columns["external_id"] == external_id)
    )
    if await session.scalar(taken) is not None:
        raise Duplicate(f"Another {label(model)} has this external id.", "external_id")
