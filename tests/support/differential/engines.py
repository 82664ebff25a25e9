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
    """A new schema, which has compiled nothing yet."""
    return build_schema(compiled=True)


@dataclass
class Execution:
    """One way to answer operations. It remembers its viewers, and what they keep in mind."""

    schema: CrmSchema
    settings: Settings
    database: Database
    changelog: ChangeLog
    viewers: dict[Who, Viewer | None] = field(default_factory=dict)

    async def answer(self, case: Case, document: ParsedDocument) -> Answer:
        """The answer as it would be sent."""
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
        """What each of them answers. Raises AssertionError for an operation that is not valid."""
        document = self.read(case)
        assert not document.errors, (str(case), document.errors)
        return await self.ordinary.answer(case, document), await self.compiled.answer(case, document)

    async def twins(self, case: Case) -> list[Answer]:
        """What the compiled one answers to an operation that is asked twice at once, as one statement where that can
        be."""
        document = self.read(case)
        return await asyncio.gather(*(self.compiled.answer(case, document) for _ in range(2)))

    async def differ(self, case: Case) -> bool:
        """Whether the answers to an operation differ; false for one that is not valid."""
        return not self.read(case).errors and difference(*await self.answers(case)) is not None
