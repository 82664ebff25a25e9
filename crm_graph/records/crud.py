"""What is the same for every record: finding it through the gate, cleaning values, create, update, delete, restore."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from crm_graph import models
from crm_graph.access import Permission, Viewer, editable, require, unscoped, visible
from crm_graph.database.prepared import find_records
from crm_graph.errors import Conflict, Duplicate, Invalid, NotFound, Required
from crm_graph.models import Base, Entity, OwnedEntity
from crm_graph.models.types import Amount

E = TypeVar("E", bound=Entity)
Values = Mapping[str, Any]
TABLES: Mapping[str, type[Entity]] = {
    mapper.class_.__tablename__: mapper.class_ for mapper in Base.registry.mappers if issubclass(mapper.class_, Entity)
}


def label(model: type[Any]) -> str:
    """The name of an entity in a sentence: «opportunity line»."""
    return re.sub(r"(?<!^)(?=[A-Z])", " ", model.__name__).lower()


async def find(
    session: AsyncSession,
    viewer: Viewer,
    model: type[E],
    record_id: str,
    *,
    to: Permission | None = None,
    field: str | None = "id",
    deleted: bool = False,
) -> E:
    """One record that the viewer may see, and with `to` also change; then its row is locked until the commit.

    Raises NotFound and Forbidden, about `field`.
    """

    def build() -> sa.Select[E, bool]:
        statement = sa.select(model, editable(model, viewer)).where(
            visible(model, viewer, deleted=deleted), model.id == sa.bindparam("record_id")
        )
        return statement if to is None else statement.with_for_update(of=model, key_share=True)

    statement = viewer.statement(("find", model, to is None, deleted), build)
    found = await find_records(session, model, statement, {"record_id": record_id})
    if not found:
        raise NotFound(f"There is no such {label(model)}.", field)
    record: E
    record, may_edit = found[0]
    if to is not None:
        require(viewer, to, editable=may_edit)
    return record


async def create(session: AsyncSession, viewer: Viewer, model: type[E], *, values: Values, **fixed: Any) -> E:
    """A new record. Its owner is the viewer unless the values name another or nobody; its team the owner's home team.

    `fixed` are the columns that the service decides and vouches for: they may point to what the viewer cannot see.
    Raises Forbidden, Invalid, Required, NotFound, Duplicate.
    """
    require(viewer, Permission.CREATE)
    cleaned = clean(model, values)
    for column in model.__table__.columns:
        if column.key in values or column.key in fixed or column.nullable or column.default is not None:
            continue
        if column.key != "workspace_id":
            raise Required("A value is needed.", column.key)
    await check_references(session, viewer, model, cleaned)
    await _check_external_id(session, viewer, model, cleaned)
    record = model(workspace_id=viewer.workspace_id, id=model.new_id(), **{**cleaned, **fixed})
    if isinstance(record, OwnedEntity):
        if "owner_id" not in values and "team_id" not in values:
            record.owner_id = viewer.user_id
        if "team_id" not in values and record.owner_id is not None:
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
    """Change what is in `values`; None empties a field. A new owner brings his home team unless a team is named.

    Raises NotFound, Forbidden, Conflict, Invalid, Required, Duplicate.
    """
    record = await find(session, viewer, model, id, to=Permission.EDIT)
    check_version(record, expected_version)
    await assign(session, viewer, record, values)
    return record


async def assign(session: AsyncSession, viewer: Viewer, record: Entity, values: Values) -> None:
    """Set cleaned and checked values on a record that the viewer may change."""
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
    """Take a record out of all lists; `restore` brings it back. Raises NotFound, Forbidden, Conflict."""
    record = await find(session, viewer, model, id, to=Permission.DELETE)
    check_version(record, expected_version)
    record.deleted_at = models.now()
    return record


async def restore(
    session: AsyncSession, viewer: Viewer, model: type[E], *, id: str, expected_version: int | None = None
) -> E:
    """Bring a deleted record back; one that is not deleted stays as it is. Raises NotFound, Forbidden, Conflict."""
    record = await find(session, viewer, model, id, to=Permission.DELETE, deleted=True)
    check_version(record, expected_version)
    record.deleted_at = None
    return record


def check_version(record: Entity, expected: int | None) -> None:
    """Raises Conflict, with the record as it is now, where the client knew an older version."""
    if expected is not None and expected != record.version:
        raise Conflict(
            f"The {label(type(record))} was changed meanwhile: it is at version {record.version}, not {expected}.",
            "expected_version",
            current=record,
        )


def clean(model: type[Any], values: Values) -> dict[str, Any]:
    """The values in standard form. Raises Invalid and Required, naming the field."""
    cleaned: dict[str, Any] = {}
    for name, value in values.items():
        column = model.__table__.columns[name]
        try:
            if value is None:
                if not column.nullable:
                    raise Required("A value is needed.")
                cleaned[name] = None
            else:
                cleaned[name] = column.type.clean(value)
        except Invalid as error:
            raise error.prefixed(name) from None
    return cleaned


async def check_references(session: AsyncSession, viewer: Viewer, model: type[Any], values: Values) -> None:
    """Raises NotFound for an id that names no record the viewer may see."""
    for name, value in values.items():
        table = model.__table__.columns[name].info.get("references")
        if table is None or value is None:
            continue
        target = TABLES[table]
        found = sa.select(target.id).where(visible(target, viewer), target.id == value)
        if await session.scalar(found) is None:
            raise NotFound(f"There is no such {label(target)}.", name)


async def check_acyclic(
    session: AsyncSession, viewer: Viewer, model: Any, record_id: str, parent_id: str | None, field: str
) -> None:
    """Raises Invalid where the record is its new parent or stands above it."""
    if parent_id is None:
        return
    # Two moves at once could close a cycle that neither sees: the workspace's row lets them pass one by one.
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
        raise Invalid(f"This {label(model)} stands above that one already: it would close a circle.", field)


def default_currency(viewer: Viewer, record: Any, values: Values) -> None:
    """Amounts without a currency are in the workspace's. Raises Invalid where a new currency would be that of an
    amount which is not in `values`."""
    columns = type(record).__table__.columns
    if "currency" not in columns:
        return
    amounts = [column.key for column in columns if isinstance(column.type, Amount) and column.key != "quantity"]
    kept = [name for name in amounts if name not in values and getattr(record, name) is not None]
    if kept and "currency" in values and sa.inspect(record).attrs.currency.history.deleted not in ((), [None]):
        raise Invalid("All amounts of one record are in one currency.", f"{amounts[0]}.currency")
    if record.currency is None and any(getattr(record, name) is not None for name in amounts):
        record.currency = viewer.currency


async def home_team(session: AsyncSession, viewer: Viewer, user_id: str) -> str | None:
    """The team that the records of a user belong to."""
    user = models.User
    return await session.scalar(sa.select(user.team_id).where(visible(user, viewer), user.id == user_id))


async def _check_external_id(session: AsyncSession, viewer: Viewer, model: Any, values: Values) -> None:
    external_id = values.get("external_id")
    if external_id is None:
        return
    taken = (
        sa.select(model.id)
        .where(unscoped(model, "an external id is taken by unseen and deleted records too"))
        .where(model.workspace_id == viewer.workspace_id, model.external_id == external_id)
    )
    if await session.scalar(taken) is not None:
        raise Duplicate(f"Another {label(model)} has this external id.", "external_id")
