"""Compiles queries to SQL statements, and caches them for all requests that differ only in values."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter

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
from strawberry import Schema

from crm_graph.access import Viewer
from crm_graph.auth import KEY, Principal, valid_session_condition
from crm_graph.bounded_cache import BoundedCache
from crm_graph.database import StatementTooDeep
from crm_graph.errors import BadUserInput
from loaders.sql_json.statement import USER, WORKSPACE, Statement, placeholder_viewer
from loaders.sql_json.variables import Parameters, Read, variable_shape
from schema.core.context import Context
from schema.core.selection import NotCompilable, OperationSelection
from schema.execution.parsing import ParsedDocument

MAX_CACHED_CHARACTERS = 20_000_000
"""Of SQL, over all cached statements."""
ENTRY_CHARACTERS = 1_000
"""Weight of a cached statement in addition to its text."""
_REQUESTER = {name: itemgetter(f":{name}") for name in (WORKSPACE, USER, KEY)}
log = logging.getLogger(__name__)


@dataclass(eq=False)
class PlanNode:
    """Node of the plan tree. A leaf holds a statement, or None if Python must execute. An inner node branches on one
    more variable, whose value is part of the SQL (`pin`)."""

    statement: Statement | None = None
    pin: Read | None = None
    branches: _Branches = field(default_factory=dict)


_Branches = dict[Hashable, PlanNode]
_Path = list[tuple[_Branches, Hashable]]
"""The branches that lead to a leaf, each with its key."""


@dataclass
class OperationPlan:
    """An operation with its variables and its plan tree, whose roots are keyed by dialect, requester and the shape of
    the variables' values."""

    node: OperationDefinitionNode
    variables: Sequence[tuple[GraphQLVariableSignature, GraphQLLeafType | None]]
    """Each variable, and its type if that is a leaf."""
    branches: _Branches = field(default_factory=dict)

    @classmethod
    def of(cls, schema: GraphQLSchema, node: OperationDefinitionNode) -> OperationPlan:
        found = [get_variable_signature(schema, each) for each in node.variable_definitions or ()]
        return cls(node, [(each, _leaf(each.type)) for each in found if isinstance(each, GraphQLVariableSignature)])

    def read(self, schema: GraphQLSchema, sent: Mapping[str, object]) -> VariableValues | None:
        """The coerced values of the variables; None if one is invalid."""
        values = VariableValues({}, {})
        for signature, leaf in self.variables:
            value = sent.get(signature.name, Undefined)
            if leaf is not None and isinstance(value, str):  # the common case
                try:
                    values.coerced[signature.name] = leaf.coerce_input_value(value)
                except Exception:  # a scalar may raise anything; Python execution reports it
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
    """The viewer of an operation. With a principal, the statement also checks that its session is still valid."""

    viewer: Viewer
    principal: Principal | None

    @property
    def kind(self) -> Hashable:
        """The part that the statement depends on."""
        signed_in = self.principal and bool(self.principal.session_id)
        return self.viewer.role, self.viewer.user_id is None, *self.viewer.defaults.values(), signed_in

    @property
    def parameters(self) -> Mapping[str, object]:
        """Values of the parameters. Variables cannot have such names."""
        key = None if self.principal is None else self.principal.key[1]
        return {f":{WORKSPACE}": self.viewer.workspace_id, f":{USER}": self.viewer.user_id, f":{KEY}": key}


def _leaf(kind: GraphQLInputType) -> GraphQLLeafType | None:
    inner = kind.of_type if is_non_null_type(kind) else kind
    return inner if is_leaf_type(inner) else None


class PlanCache:
    """Compiles operations, and caches the leaves of their plan trees. The trees themselves are in the documents."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._leaves: BoundedCache[PlanNode, _Path] = BoundedCache(MAX_CACHED_CHARACTERS, on_evict=_prune)

    async def execute(
        self, context: Context, document: ParsedDocument, name: str | None, sent: Mapping[str, object] | None
    ) -> str | None:
        """The data of a query as JSON.

        None if Python has to execute it: the query cannot be compiled, the request is invalid, the session has ended,
        or the statement failed.
        """
        plan: OperationPlan | None = document.memo.get((self, name)) or self._analyze(document, name)
        values = None if plan is None else plan.read(self._schema._schema, sent or {})
        if plan is None or values is None:
            return None
        requester, database = Requester(context.viewer, context.principal_or_none), context.database
        leaf = None
        try:
            leaf = self._find(database.reader.dialect, requester, document, plan, values)
            if leaf.statement is None:
                return None
            return await leaf.statement.answer(database, {**values.coerced, **requester.parameters})
        except BadUserInput:
            return None
        except StatementTooDeep:
            assert leaf is not None
            leaf.statement = None
            return None
        except Exception:
            log.exception("A compiled statement failed; executing the query in Python.")
            return None

    def _analyze(self, document: ParsedDocument, name: str | None) -> OperationPlan | None:
        """The empty plan tree of an operation; None if it is not a query."""
        node = document.operation(name)
        if node is None or node.operation is not OperationType.QUERY:
            return None
        plan = document.memo[self, name] = OperationPlan.of(self._schema._schema, node)
        return plan

    def _find(
        self,
        dialect: Dialect,
        requester: Requester,
        document: ParsedDocument,
        plan: OperationPlan,
        values: VariableValues,
    ) -> PlanNode:
        """The leaf for a request, compiled if it is new. Raises BadUserInput."""
        key = (dialect.name, requester.kind, variable_shape(values.coerced))
        node = plan.branches.get(key)
        while node is not None and node.pin is not None:
            node = node.branches.get(node.pin(values.coerced))
        if node is not None:
            self._leaves.get(node)  # marks it as used
            return node
        parameters = Parameters(values.coerced)
        leaf = PlanNode(self._compile(dialect, requester, document, plan.node, values, parameters))
        path: _Path = [(plan.branches, key)]
        for pin in parameters.specialized_on:
            branches, last = path[-1]
            fork = branches.setdefault(last, PlanNode(pin=pin))
            path.append((fork.branches, pin(values.coerced)))
        parameters.variables = {}  # the statement outlives this request
        branches, last = path[-1]
        branches[last] = leaf
        sql = "" if leaf.statement is None else leaf.statement.text
        self._leaves.set(leaf, path, ENTRY_CHARACTERS + len(sql) + sum(len(repr(each)) for _, each in path))
        return leaf

    def _compile(
        self,
        dialect: Dialect,
        requester: Requester,
        document: ParsedDocument,
        operation: OperationDefinitionNode,
        values: VariableValues,
        parameters: Parameters,
    ) -> Statement | None:
        assert document.node is not None
        fragments = {
            each.name.value: each for each in document.node.definitions if isinstance(each, FragmentDefinitionNode)
        }
        schema, viewer = self._schema, placeholder_viewer(requester.viewer)
        selection = OperationSelection(
            schema._schema,
            operation,
            fragments,
            VariableValues(values.sources, parameters.placeholders()),
            viewer,
            schema.schema_converter.scalar_registry,
            schema.config,
        )
        try:
            answer = selection.write()
        except (NotCompilable, GraphQLError):
            return None
        if requester.principal is not None:
            answer = sa.case((valid_session_condition(requester.principal, viewer), answer))
        return Statement.of(sa.select(answer), parameters.reads, _REQUESTER, dialect)


def _prune(leaf: PlanNode, path: _Path) -> None:
    """Remove a leaf from its tree, with the inner nodes that are then empty."""
    for branches, key in reversed(path):
        if branches[key].branches:
            break  # other leaves remain below
        del branches[key]
