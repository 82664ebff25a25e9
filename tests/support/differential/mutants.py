"""Ways for the compiled execution to be wrong, each of which the comparison must catch.

A break puts something wrong in the place of what statements are compiled with, while a fresh schema compiles them.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import sqlalchemy as sa
from graphql.execution import collect_fields

from crm_graph.access import Viewer, policies, visibility
from loaders import SortKey
from loaders.core import pages as shared
from loaders.sql_json import pages
from schema.core import fields, lists
from schema.core import selection as asked
from schema.execution.parsing import ParsedDocument
from tests.support.differential.answers import Answer, difference
from tests.support.differential.engines import Execution, Pair
from tests.support.differential.operations import Case


@dataclass(frozen=True)
class Mutant:
    """A mutation that is active inside `broken`. It can only show in operations that contain `word` and, if `hidden`,
    for viewers from whom records are hidden."""

    broken: Callable[[], AbstractContextManager[Any]]
    word: str = ""
    hidden: bool = False

    def may_show(self, case: Case) -> bool:
        return self.word in case.text and (case.who.sees_less or not self.hidden)


@dataclass
class MutantExecution(Execution):
    """An execution with a mutation."""

    broken: Callable[[], AbstractContextManager[Any]] = contextlib.nullcontext

    async def answer(self, case: Case, document: ParsedDocument) -> Answer:
        with self.broken():
            return await super().answer(case, document)


@dataclass
class MutantPair(Pair):
    """The ordinary execution and a compiled one with a mutation. Answers that were not compiled do not count."""

    async def caught(self, case: Case) -> str | None:
        """The difference between the answers to a valid operation, or None."""
        if self.read(case).errors:
            return None
        right, wrong = await self.answers(case)
        return difference(right, wrong) if wrong.execution == "compiled" else None

    async def differ(self, case: Case) -> bool:
        return await self.caught(case) is not None


def _visible(without: str) -> Callable[..., sa.ColumnElement[bool]]:
    """The visibility filter without one of its conditions."""

    def visible(model: Any, viewer: Viewer, *, deleted: bool = False) -> sa.ColumnElement[bool]:
        conditions = {
            "workspace": model.workspace_id == viewer.workspace_id,
            "sight": policies.allows(visibility._class(model), "read", model, viewer),
            "deleted": sa.true() if deleted else model.deleted_at.is_(None),
        }
        kept = (condition for name, condition in conditions.items() if name != without)
        return sa.and_(visibility.unscoped(model, "broken on purpose"), *kept)

    return visible


@contextlib.contextmanager
def _gate(without: str) -> Iterator[None]:
    """In lists, and in the records that one record leads to."""
    with (
        patch.object(shared, "visible", _visible(without)),
        patch.object(fields, "visible", _visible(without)),
    ):
        yield


def _gate_of_edges() -> AbstractContextManager[Any]:
    right = fields.ToOne.compile

    def compile(self: Any, asked: Any, at: Any) -> Any:
        with patch.object(fields, "visible", _visible("sight")):
            return right(self, asked, at)

    return patch.object(fields.ToOne, "compile", compile)


def _order(change: Callable[[SortKey], SortKey | None]) -> AbstractContextManager[Any]:
    """Orders with each term changed, without terms that become None."""
    right = shared.ordering

    def ordering(model: Any, request: Any, keys: list[Any]) -> list[Any]:
        both = [(changed, key) for term, key in zip(request.order, keys, strict=True) if (changed := change(term))]
        terms, kept = zip(*both, strict=True) if both else ((), ())
        return right(model, dataclasses.replace(request, order=terms), list(kept))

    return patch.object(pages, "ordering", ordering)


def _no_tiebreak(term: SortKey) -> SortKey | None:
    return None if term.column == "id" else term


def _other_nulls(term: SortKey) -> SortKey:
    return dataclasses.replace(term, nulls_first=not term.nulls_first)


def _other_direction(term: SortKey) -> SortKey:
    return dataclasses.replace(term, descending=not term.descending)


def _goes_on() -> AbstractContextManager[Any]:
    wrong = property(lambda self: sa.func.count() >= self.request.size)
    return patch.object(pages.PageRows, "goes_on", wrong)


def _total() -> AbstractContextManager[Any]:
    right = pages.count_rows

    def count_rows(viewer: Viewer, model: Any, request: Any, *rest: Any) -> Any:
        return right(viewer, model, dataclasses.replace(request, where=None), *rest)

    return patch.object(lists, "count_rows", count_rows)


def _alias() -> AbstractContextManager[Any]:
    right = asked.OperationSelection._object

    def under_names(self: Any, kind: Any, found: Any, part: Any) -> Any:
        names = {details[0].node.name.value: details for details in found.grouped_field_set.values()}
        return right(self, kind, found._replace(grouped_field_set=names), part)

    return patch.object(asked.OperationSelection, "_object", under_names)


def _skip() -> AbstractContextManager[Any]:
    right = collect_fields.should_include_node

    def should_include_node(context: Any, node: Any, *rest: Any) -> bool:
        kept = tuple(each for each in node.directives or () if each.name.value != "skip")
        return right(context, dataclasses.replace(node, directives=kept), *rest)

    return patch.object(collect_fields, "should_include_node", should_include_node)


MUTANTS = {
    "the gate on a nested edge": Mutant(_gate_of_edges, hidden=True),
    "deleted rows": Mutant(lambda: _gate("deleted")),
    "the workspace": Mutant(lambda: _gate("workspace")),
    "the tiebreak of an order": Mutant(lambda: _order(_no_tiebreak), "orderBy"),
    "nulls in an order": Mutant(lambda: _order(_other_nulls), "orderBy"),
    "direction": Mutant(lambda: _order(_other_direction), "orderBy"),
    "hasNextPage": Mutant(_goes_on, "hasNextPage"),
    "totalCount": Mutant(_total, "totalCount"),
    "an alias": Mutant(_alias, ": "),
    "@skip": Mutant(_skip, "@skip"),
}
