"""Compiled statements that return the JSON of a whole operation, sent to the driver directly."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import functions, visitors
from sqlalchemy.sql.compiler import SQLCompiler

from crm_graph.access import Viewer
from crm_graph.database import Database
from crm_graph.database.batching import BatchedStatement
from crm_graph.models.types import Id
from loaders.sql_json.expressions import JsonArray, JsonRows
from loaders.sql_json.variables import Read, Variables

WORKSPACE, USER = "viewer_workspace", "viewer_user"
"""The names of the parameters for a viewer's ids."""
_AGGREGATES = (JsonRows, JsonArray, functions.count, functions.sum, functions.min, functions.max)
_SCALARS = (sa.Integer, sa.Boolean, sa.Date, sa.DateTime)


@dataclass(frozen=True)
class Statement:
    """A compiled statement. `values` read its parameters, in order, from the variables of a request.

    `batched` is the form for many requests; None on SQLite, and for a statement that reads more than single records.
    """

    text: str
    values: tuple[Read, ...]
    batched: BatchedStatement | None = None

    @classmethod
    def of(
        cls, select: sa.Select[str], reads: Mapping[str, Read], known: Mapping[str, Read], dialect: Dialect
    ) -> Statement:
        """Compile a select of one text. `reads` read the parameters that come with a request, by name, and `known`
        those of the requester, which need no conversion."""
        compiled = select.compile(dialect=dialect)
        names, text = compiled.positiontup or (), str(compiled)
        values = tuple(known.get(name) or _value(compiled.binds[name], reads, dialect) for name in names)
        if dialect.name != "postgresql" or _reads_many_rows(select):
            return cls(text, values)
        binds = {name: compiled.binds[name] for name in names}
        fallback = _batched(select, binds, [name for name in names if name in reads or name in known], dialect)
        own = [name for name in names if name in reads]
        return cls(text, values, None if fallback is None else _batched(select, binds, own, dialect, fallback))

    async def answer(self, database: Database, variables: Variables) -> str | None:
        """The JSON. Raises BadUserInput for a value that no column can hold, and the errors of Database.fetch_text."""
        values = [value(variables) for value in self.values]
        if self.batched is not None:
            return await database.batcher.fetch(self.text, self.batched, values)
        return await database.fetch_text(self.text, values)


def placeholder_viewer(viewer: Viewer) -> Viewer:
    """A viewer whose ids are parameters: it stands for all viewers with the same rights."""
    user_id: Any = None if viewer.user_id is None else sa.bindparam(USER, type_=Id())
    workspace_id: Any = sa.bindparam(WORKSPACE, type_=Id())
    return Viewer(workspace_id, user_id, viewer.role, "", "", "", viewer.defaults)


def viewer_parameters(viewer: Viewer) -> dict[str, object]:
    """The values of these parameters."""
    return {WORKSPACE: viewer.workspace_id, USER: viewer.user_id}


def _reads_many_rows(select: sa.Select[str]) -> bool:
    """True for a statement that aggregates: it takes long enough to deserve a connection of its own."""
    return any(isinstance(element, _AGGREGATES) for element in visitors.iterate(select))


@functools.cache
def _batch_compiler(base: Any) -> Callable[..., SQLCompiler]:
    """A compiler that renders parameters as columns, where `batch_columns` has one for their name.

    It is made at run time, from the dialect in use: importing a dialect that is not in use slows the start.
    """

    def __init__(
        self: Any, dialect: Dialect, statement: sa.Select[str], columns: Mapping[str, sa.ColumnElement[object]]
    ) -> None:
        self.batch_columns = columns
        base.__init__(self, dialect, statement)

    def visit_bindparam(self: Any, bindparam: sa.BindParameter[object], *args: object, **kwargs: object) -> Any:
        column = self.batch_columns.get(bindparam.key)
        return base.visit_bindparam(self, bindparam, *args, **kwargs) if column is None else self.process(column)

    return type("BatchCompiler", (base,), {"__init__": __init__, "visit_bindparam": visit_bindparam})


def _batched(
    select: sa.Select[str],
    binds: Mapping[str, sa.BindParameter[object]],
    batched: Sequence[str],
    dialect: Dialect,
    fallback: BatchedStatement | None = None,
) -> BatchedStatement | None:
    """The form of a select for many requests: it takes the parameters named by `batched` from a table of requests.

    None if there are no such parameters, or if one of them has no scalar type.
    """
    types = {name: _element_type(binds[name], dialect) for name in batched}
    if not batched or None in types.values():
        return None
    place_of = {name: place for place, name in enumerate(binds)}
    name_of = {bind: name for name, bind in binds.items()}
    arrays = {f"batch_{place_of[name]}": name for name in batched}
    parameters = [sa.bindparam(array, type_=sa.ARRAY(types[name])) for array, name in arrays.items()]  # type: ignore[arg-type]
    columns: list[sa.ColumnClause[object]] = [sa.column(f"p{place_of[name]}") for name in batched]
    requests = (
        sa.func.unnest(*parameters).table_valued(*columns, with_ordinality="place").render_derived(name="requests")
    )
    outer = sa.select(select.scalar_subquery()).select_from(requests).order_by(requests.c.place)
    base: Any = dialect.statement_compiler
    compiler = _batch_compiler(base)
    compiled = compiler(dialect, outer, {name: requests.c[f"p{place_of[name]}"] for name in batched})
    order = tuple(
        place_of[arrays[name] if name in arrays else name_of[compiled.binds[name]]]
        for name in compiled.positiontup or ()
    )
    return BatchedStatement(str(compiled), tuple(place_of[name] for name in batched), fallback, order)


def _element_type(parameter: sa.BindParameter[object], dialect: Dialect) -> sa.types.TypeEngine[Any] | None:
    """The type of an array's elements that are values of a parameter; texts have no length, which would cut them."""
    kind = parameter.type
    impl = kind.load_dialect_impl(dialect) if isinstance(kind, sa.TypeDecorator) else kind
    if isinstance(impl, sa.String):
        return sa.String()
    return impl if isinstance(impl, _SCALARS) else None


def _value(parameter: sa.BindParameter[object], reads: Mapping[str, Read], dialect: Dialect) -> Read:
    assert not parameter.expanding, "a list of unknown length is one parameter: in_array"
    prepare = parameter.type.dialect_impl(dialect).bind_processor(dialect)
    read = reads.get(parameter.key)
    if read is not None:
        return read if prepare is None else lambda variables: prepare(read(variables))
    make = parameter.callable
    if make is not None:
        return lambda variables: make() if prepare is None else prepare(make())
    constant = parameter.value if prepare is None else prepare(parameter.value)
    return lambda variables: constant
