"""Operations compiled into statements, once for all requests that differ in nothing but values."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from graphql import (
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLInputType,
    GraphQLLeafType,
    GraphQLNonNull,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    Undefined,
    VariableValues,
    get_variable_values,
    is_leaf_type,
    is_non_null_type,
)
from graphql.execution.get_variable_signature import GraphQLVariableSignature, get_variable_signature
from graphql.execution.values import VariableValueSource
from graphql.utilities import coerce_input_value
from sqlalchemy.engine import Dialect

from crm_graph.access import Viewer
from crm_graph.auth import KEY, Principal, valid_session_condition
from crm_graph.database import StatementTooDeep
from crm_graph.errors import BadUserInput
from loaders.sql_json.statement import USER, WORKSPACE, Statement, placeholder_viewer
from loaders.sql_json.variables import Parameters, Read, variable_shape
from schema.core.context import Context
from schema.core.selection import NotCompilable, OperationSelection
from schema.execution.documents import ParsedDocument

if TYPE_CHECKING:
    from schema.execution.schema import CrmSchema

_REQUESTER = {name: itemgetter(f":{name}") for name in (WORKSPACE, USER, KEY)}
log = logging.getLogger(__name__)


@dataclass(eq=False)
class PlanNode:
    """Where a request with certain values ends up: at a statement, or with Python where that is None; or, if `pin` says
    so, at the next way, by one more of its values."""

    statement: Statement | None = None
    pin: Read | None = None
    ways: _PlanNodes = field(default_factory=dict)


_PlanNodes = dict[Hashable, PlanNode]
_PlanPath = list[tuple[_PlanNodes, Hashable]]
"""The turns that lead to the end of a way."""


@dataclass
class OperationPlan:
    """What is known of an operation: its variables, and the ways by who asks and the shape of their values."""

    node: OperationDefinitionNode
    variables: Sequence[tuple[GraphQLVariableSignature, GraphQLLeafType | None]]
    """With their types, where these are no lists and no objects."""
    ways: _PlanNodes = field(default_factory=dict)

    @classmethod
    def of(cls, schema: GraphQLSchema, node: OperationDefinitionNode) -> OperationPlan:
        found = [get_variable_signature(schema, each) for each in node.variable_definitions or ()]
        return cls(node, [(each, _leaf(each.type)) for each in found if isinstance(each, GraphQLVariableSignature)])

    def read(self, schema: GraphQLSchema, sent: Mapping[str, Any]) -> VariableValues | None:
        """The values of the variables; None where they are wrong."""
        values = VariableValues({}, {})
        for signature, leaf in self.variables:
            value = sent.get(signature.name, Undefined)
            if leaf is not None and isinstance(value, str):  # as most are
                try:
                    values.coerced[signature.name] = leaf.coerce_input_value(value)
                except Exception:  # whatever a scalar raises: Python will say what is wrong
                    return None
            elif isinstance(value, (dict, list)) or (value is Undefined and signature.default is not None):
                read = get_variable_values(schema, self.node.variable_definitions or (), dict(sent))
                return read if isinstance(read, VariableValues) else None
            elif value is not Undefined or isinstance(signature.type, GraphQLNonNull):
                coerced = coerce_input_value(value, signature.type)
                if coerced is Undefined:
                    return None
                values.coerced[signature.name] = coerced
            values.sources[signature.name] = VariableValueSource(signature, value)
        return values


@dataclass(frozen=True)
class Requester:
    """For whom an operation is answered: without a principal, nothing has to be proven."""

    viewer: Viewer
    principal: Principal | None

    @property
    def kind(self) -> Hashable:
        """What of it decides which statement answers."""
        signed_in = self.principal and bool(self.principal.session_id)
        return self.viewer.role, self.viewer.user_id is None, *self.viewer.defaults.values(), signed_in

    @property
    def given(self) -> Mapping[str, Any]:
        """The values of its parameters, beside those of variables, which cannot have such names."""
        key = None if self.principal is None else self.principal.key[1]
        return {f":{WORKSPACE}": self.viewer.workspace_id, f":{USER}": self.viewer.user_id, f":{KEY}": key}


def _leaf(kind: GraphQLInputType) -> GraphQLLeafType | None:
    inner = kind.of_type if is_non_null_type(kind) else kind
    return inner if is_leaf_type(inner) else None


class PlanCache:
    """Makes the statements of operations, and finds them again: those that were asked last, as many as ROOM characters
    of SQL. The documents have them, and are forgotten elsewhere."""

    ROOM = 20_000_000
    EACH = 1_000

    def __init__(self, schema: CrmSchema) -> None:
        self._schema = schema
        self._ends: OrderedDict[PlanNode, tuple[_PlanPath, int]] = OrderedDict()
        """The ends of all ways, with the characters that each takes."""
        self._size = 0

    async def execute(
        self, context: Context, document: ParsedDocument, name: str | None, sent: Mapping[str, Any] | None
    ) -> str | None:
        """The data of a query as JSON; None where Python is to answer, which also knows best how to refuse, and where
        the asker is not any more who he was."""
        known = document.compiled.get((self, name)) or self._learn(document, name)
        values = None if known is None else known.read(self._schema._schema, sent or {})
        if known is None or values is None:
            return None
        asker, database = Requester(context.viewer, context.principal_or_none), context.database
        way = None
        try:
            way = self._find(database.reader.dialect, asker, document, known, values)
            if way.statement is None:
                return None
            return await way.statement.answer(database, {**values.coerced, **asker.given})
        except BadUserInput:
            return None
        except StatementTooDeep:
            assert way is not None
            way.statement = None
            return None
        except Exception:
            log.exception("A compiled statement failed")
            return None

    def _learn(self, document: ParsedDocument, name: str | None) -> OperationPlan | None:
        """What is to be known of an operation, if it is a query."""
        node = document.operation(name)
        if node is None or node.operation is not OperationType.QUERY:
            return None
        known = document.compiled[self, name] = OperationPlan.of(self._schema._schema, node)
        return known

    def _find(
        self,
        dialect: Dialect,
        asker: Requester,
        document: ParsedDocument,
        known: OperationPlan,
        values: VariableValues,
    ) -> PlanNode:
        """The end of the way of a request. Raises BadUserInput."""
        key = (dialect.name, asker.kind, variable_shape(values.coerced))
        way = known.ways.get(key)
        while way is not None and way.pin is not None:
            way = way.ways.get(way.pin(values.coerced))
        if way is None:
            parameters = Parameters(values.coerced)
            way = PlanNode(self._compile(dialect, asker, document, known.node, values, parameters))
            path: _PlanPath = [(known.ways, key)]
            for pin in parameters.specialized_on:
                ways, turn = path[-1]
                fork = ways.setdefault(turn, PlanNode(pin=pin))
                path.append((fork.ways, pin(values.coerced)))
            parameters.variables = {}  # the statement lasts longer than this request
            self._remember(way, path)
        else:
            self._ends.move_to_end(way)
        return way

    def _compile(
        self,
        dialect: Dialect,
        asker: Requester,
        document: ParsedDocument,
        operation: OperationDefinitionNode,
        values: VariableValues,
        parameters: Parameters,
    ) -> Statement | None:
        assert document.node is not None
        fragments = {
            each.name.value: each for each in document.node.definitions if isinstance(each, FragmentDefinitionNode)
        }
        schema, viewer = self._schema, placeholder_viewer(asker.viewer)
        asked = OperationSelection(
            schema._schema,
            operation,
            fragments,
            VariableValues(values.sources, parameters.placeholders()),
            viewer,
            schema.schema_converter.scalar_registry,
            schema.config,
        )
        try:
            answer = asked.write()
        except (NotCompilable, GraphQLError):
            return None
        if asker.principal is not None:
            answer = sa.case((valid_session_condition(asker.principal, viewer), answer))
        return Statement.of(sa.select(answer), parameters.reads, _REQUESTER, dialect)

    def _remember(self, way: PlanNode, path: _PlanPath) -> None:
        """Keep the end of a way, and forget others for it."""
        ways, turn = path[-1]
        ways[turn] = way
        text = "" if way.statement is None else way.statement.text
        size = self.EACH + len(text) + sum(len(repr(turn)) for _, turn in path)
        self._ends[way] = path, size
        self._size += size
        while self._size > self.ROOM:
            _, (path, size) = self._ends.popitem(last=False)
            self._size -= size
            for ways, turn in reversed(path):
                if ways[turn].ways:
                    break  # others go on from here
                del ways[turn]
