"""The base classes of all tables. Every key is (workspace_id, id), so no row can refer to another workspace."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedColumn, declared_attr, mapped_column
from typeid import TypeID

from crm_graph.models import types
from crm_graph.models.policies import Policy

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def reference(table: str, *, nullable: bool = True, index: bool = True) -> MappedColumn[Any]:
    """A column with the id of a row of `table` in the same workspace: its type, its foreign key and its index."""
    return mapped_column(types.Id(), nullable=nullable, info={"references": table, "indexed": index})


class Base(DeclarativeBase):
    metadata = sa.MetaData(naming_convention=NAMES)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: types.Text(),
        int: types.Integer(),
        bool: types.Boolean(),
        Decimal: types.Amount(),
        dt.datetime: types.Time(),
        dt.date: types.Date(),
    }

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        table = cls.__dict__.get("__table__")
        if not isinstance(table, sa.Table):
            return
        for column in list(table.columns):
            target = column.info.get("references")
            if target is not None:
                keys = ["workspace_id", column.name]
                table.append_constraint(
                    sa.ForeignKeyConstraint(keys, [f"{target}.workspace_id", f"{target}.id"], use_alter=False)
                )
                if column.info["indexed"]:
                    sa.Index(None, table.c.workspace_id, column)


class WorkspaceRow(Base):
    """A row that belongs to a workspace. Only a class with a `read_policy` can be read through `access.visible`."""

    __abstract__ = True
    prefix: ClassVar[str]
    read_policy: ClassVar[Policy]

    @declared_attr
    def workspace_id(cls) -> Mapped[str]:
        return mapped_column(types.Id(), sa.ForeignKey("workspaces.id"), primary_key=True, sort_order=-20)

    @declared_attr
    def id(cls) -> Mapped[str]:
        return mapped_column(types.Id(), primary_key=True, default=cls.new_id, sort_order=-19)

    @classmethod
    def new_id(cls) -> str:
        """A new TypeID: sortable by time, unique everywhere."""
        return str(TypeID(prefix=cls.prefix))


class Entity(WorkspaceRow):
    """A record with a version, timestamps and soft deletion, whose changes are logged.

    A concrete entity needs a `read_policy` and an `edit_policy`: without them its definition raises TypeError.
    `EVENTS` names the columns whose change is an action of its own in the log.
    """

    __abstract__ = True
    edit_policy: ClassVar[Policy]
    EVENTS: ClassVar[dict[str, str]] = {}

    def __init_subclass__(cls, **kwargs: object) -> None:
        for name in () if "__abstract__" in cls.__dict__ else ("read_policy", "edit_policy"):
            if not isinstance(getattr(cls, name, None), Policy):
                raise TypeError(f"{cls.__name__} has no {name}: set one from crm_graph.models.policies.")
        super().__init_subclass__(**kwargs)

    version: Mapped[int] = mapped_column(types.Integer(minimum=1), default=1, sort_order=90)
    created_at: Mapped[dt.datetime] = mapped_column(default=now, sort_order=91)
    updated_at: Mapped[dt.datetime] = mapped_column(default=now, sort_order=92)
    deleted_at: Mapped[dt.datetime | None] = mapped_column(sort_order=93)
    custom: Mapped[dict[str, object]] = mapped_column(types.Json(), default=dict, sort_order=94)

    @declared_attr.directive
    def __mapper_args__(cls) -> dict[str, object]:
        return {"version_id_col": cls.version}


class OwnedEntity(Entity):
    """An entity with an owner and a team, by which most policies decide."""

    __abstract__ = True

    owner_id: Mapped[str | None] = mapped_column(
        types.Id(), info={"references": "users", "indexed": True}, sort_order=80
    )
    team_id: Mapped[str | None] = mapped_column(
        types.Id(), info={"references": "teams", "indexed": True}, sort_order=81
    )
    external_id: Mapped[str | None] = mapped_column(types.Text(100), sort_order=82)

    @declared_attr.directive
    def __table_args__(cls) -> tuple[sa.schema.SchemaItem, ...]:
        return (sa.UniqueConstraint("workspace_id", "external_id"),)


class Rollup(Base):
    """A table of totals over the records of one entity, which each transaction that changes such records updates.

    The primary key is the workspace and the columns of `contribution`'s key; all other columns are sums.
    """

    __abstract__ = True
    entity: ClassVar[str]

    @declared_attr
    def workspace_id(cls) -> Mapped[str]:
        return mapped_column(types.Id(), sa.ForeignKey("workspaces.id"), primary_key=True, sort_order=-20)

    @classmethod
    def contribution(cls, values: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[int, ...]] | None:
        """The key and the sums to which a record adds, given its snapshot columns in wire values; None for no row.

        The columns of a record that does not exist yet are all None.
        """
        raise NotImplementedError


class Visibility(enum.StrEnum):
    """The users who read and edit records that are not theirs.

    PUBLIC: everyone reads and edits.
    PUBLIC_READ: everyone reads; the owner, the owner's managers and team, and admins edit.
    PRIVATE: the owner, the owner's managers and team, and admins read and edit.
    """

    PUBLIC = "PUBLIC"
    PUBLIC_READ = "PUBLIC_READ"
    PRIVATE = "PRIVATE"
