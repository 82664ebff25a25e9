"""Statements that answer a whole operation with its JSON, straight from the driver."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect

from crm_graph.access import Viewer
from crm_graph.db import Database
from crm_graph.models.types import Id
from loaders.compiled.given import Read, Variables

WORKSPACE, USER = "viewer_workspace", "viewer_user"
"""The parameters that stand for a viewer's ids."""


@dataclass(frozen=True)
class Statement:
    """The text, and its parameters in their order: each tells its value, given the variables of a request."""

    text: str
    values: tuple[Read, ...]

    @classmethod
    def of(
        cls, select: sa.Select[Any], reads: Mapping[str, Read], known: Mapping[str, Read], dialect: Dialect
    ) -> Statement:
        """`reads` are the parameters that come with a request, by name, and `known` those that are texts of our own."""
        compiled = select.compile(dialect=dialect)
        names = compiled.positiontup or ()
        values = [known.get(name) or _value(compiled.binds[name], reads, dialect) for name in names]
        return cls(str(compiled), tuple(values))

    async def answer(self, database: Database, variables: Variables) -> str | None:
        """The JSON. Raises BadUserInput for a value that no column can have, and what Database.fetch_text does."""
        return await database.fetch_text(self.text, [value(variables) for value in self.values])


def pattern(viewer: Viewer) -> Viewer:
    """A viewer who stands for all who see by the same rules: his ids are parameters."""
    user_id: Any = None if viewer.user_id is None else sa.bindparam(USER, type_=Id())
    workspace_id: Any = sa.bindparam(WORKSPACE, type_=Id())
    return Viewer(workspace_id, user_id, viewer.role, "", "", "", viewer.defaults)


def ids_of(viewer: Viewer) -> dict[str, Any]:
    """The values of those parameters."""
    return {WORKSPACE: viewer.workspace_id, USER: viewer.user_id}


def _value(parameter: sa.BindParameter[Any], reads: Mapping[str, Read], dialect: Dialect) -> Read:
    assert not parameter.expanding, "a list of unknown length is one parameter: among"
    prepare = parameter.type.dialect_impl(dialect).bind_processor(dialect)
    read = reads.get(parameter.key)
    if read is not None:
        return read if prepare is None else lambda variables: prepare(read(variables))
    make = parameter.callable
    if make is not None:
        return lambda variables: make() if prepare is None else prepare(make())
    constant = parameter.value if prepare is None else prepare(parameter.value)
    return lambda variables: constant
