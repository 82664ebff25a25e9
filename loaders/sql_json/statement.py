"""Statements that answer a whole operation with its JSON, straight from the driver."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect

from crm_graph.access import Viewer
from crm_graph.database import Database
from crm_graph.database.batching import BatchedStatement
from crm_graph.models.types import Id
from loaders.sql_json.variables import Read, Variables

WORKSPACE, USER = "viewer_workspace", "viewer_user"
"""The parameters that stand for a viewer's ids."""
_PARAMETER = re.compile(r"\$(\d+)::(TIMESTAMP WITH TIME ZONE|[A-Z]+)(?![\w(\[]| WITH| PRECISION)")
_OF_ROWS = re.compile(r"\b(string_agg|count|sum|max|min)\(")


@dataclass(frozen=True)
class Statement:
    """The text, and its parameters in their order: each tells its value, given the variables of a request. `several`
    answers several requests at once, where that is worth while."""

    text: str
    values: tuple[Read, ...]
    several: BatchedStatement | None = None

    @classmethod
    def of(
        cls, select: sa.Select[Any], reads: Mapping[str, Read], known: Mapping[str, Read], dialect: Dialect
    ) -> Statement:
        """`reads` are the parameters that come with a request, by name, and `known` those that are texts of our own."""
        compiled = select.compile(dialect=dialect)
        names, text = compiled.positiontup or (), str(compiled)
        values = tuple(known.get(name) or _value(compiled.binds[name], reads, dialect) for name in names)
        if dialect.name == "sqlite":
            return cls(text, values)
        own, askers = ([place for place, name in enumerate(names) if name in some] for some in (reads, known))
        wider = _for_several(text, sorted([*own, *askers]))
        return cls(text, values, None if wider is None else _for_several(text, own, wider))

    async def answer(self, database: Database, variables: Variables) -> str | None:
        """The JSON. Raises BadUserInput for a value that no column can have, and what Database.fetch_text does."""
        values = [value(variables) for value in self.values]
        if self.several is not None:
            return await database.batcher.fetch(self.text, self.several, values)
        return await database.fetch_text(self.text, values)


def placeholder_viewer(viewer: Viewer) -> Viewer:
    """A viewer who stands for all who see by the same rules: his ids are parameters."""
    user_id: Any = None if viewer.user_id is None else sa.bindparam(USER, type_=Id())
    workspace_id: Any = sa.bindparam(WORKSPACE, type_=Id())
    return Viewer(workspace_id, user_id, viewer.role, "", "", "", viewer.defaults)


def viewer_parameters(viewer: Viewer) -> dict[str, Any]:
    """The values of those parameters."""
    return {WORKSPACE: viewer.workspace_id, USER: viewer.user_id}


def _for_several(text: str, own: Sequence[int], wider: BatchedStatement | None = None) -> BatchedStatement | None:
    """`own` are the places of the parameters that each request has its own value of. None for a statement that reads
    more than a record and those it points to, which takes long enough to have a connection to itself."""
    kinds: dict[int, str] = {}

    def column(found: re.Match[str]) -> str:
        place, kind = int(found[1]) - 1, found[2]
        if place not in own:
            return found[0]
        kinds[place] = kind
        return f"asked.p{place}"

    body = _PARAMETER.sub(column, text)
    if not own or len(kinds) < len(own) or _OF_ROWS.search(body):
        return None
    lists = ", ".join(f"${place + 1}::{kinds[place]}[]" for place in own)
    columns = ", ".join(f"p{place}" for place in own)
    source = f"unnest({lists}) WITH ORDINALITY AS asked({columns}, place)"
    return BatchedStatement(f"SELECT ({body}) FROM {source} ORDER BY asked.place", tuple(own), wider)


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
