"""The two executions of an operation."""

from __future__ import annotations

import asyncio
import functools
from dataclasses import dataclass, field

from crm_graph.access import Viewer
from crm_graph.changelog import ChangeLog
from crm_graph.database import Database
from crm_graph.settings import Settings
from schema import build_schema
from schema.core.context import Context
from schema.execution.parsing import ParsedDocument
from schema.execution.schema import CrmSchema, dump_json, format_response
from tests.support.differential.answers import Answer, difference
from tests.support.differential.dataset import HERE, Who, rows_of
from tests.support.differential.operations import Case


@functools.cache
def ordinary_schema() -> CrmSchema:
    return build_schema(compiled=False)


def compiled_schema() -> CrmSchema:
    """A new schema, without any compiled plan."""
    return build_schema(compiled=True)


@dataclass
class Execution:
    """One execution of operations. It caches its viewers with their conditions and statements."""

    schema: CrmSchema
    settings: Settings
    database: Database
    changelog: ChangeLog
    viewers: dict[Who, Viewer | None] = field(default_factory=dict)

    async def answer(self, case: Case, document: ParsedDocument) -> Answer:
        """The answer in the form in which it is sent."""
        if case.who not in self.viewers:
            self.viewers[case.who] = case.who.viewer(rows_of(HERE))
        context = Context(self.settings, self.database, self.changelog, viewer_or_none=self.viewers[case.who])
        result = await self.schema.execute_document(context, document, case.name, case.variables)
        text = dump_json(format_response(result.data, result.errors))
        return Answer(text, getattr(context, "execution", "executed"))


@dataclass
class Pair:
    """Two executions over the same rows."""

    ordinary: Execution
    compiled: Execution

    def read(self, case: Case) -> ParsedDocument:
        return self.ordinary.schema.parse(case.text)

    async def answers(self, case: Case) -> tuple[Answer, Answer]:
        """The answers of both. Raises AssertionError for an invalid operation."""
        document = self.read(case)
        assert not document.errors, (str(case), document.errors)
        return await self.ordinary.answer(case, document), await self.compiled.answer(case, document)

    async def twins(self, case: Case) -> list[Answer]:
        """The compiled answers to two equal concurrent operations, which share a statement if possible."""
        document = self.read(case)
        return await asyncio.gather(*(self.compiled.answer(case, document) for _ in range(2)))

    async def differ(self, case: Case) -> bool:
        """True if the answers to an operation differ; False for an invalid one."""
        return not self.read(case).errors and difference(*await self.answers(case)) is not None
