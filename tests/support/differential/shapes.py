"""Selections of operations. hypothesis-graphql draws them from shapes: each is the schema without arguments, with lists
instead of pages, and with a few fields of each type, so that selections are deep rather than wide."""

from __future__ import annotations

import functools
from random import Random
from typing import Any

from graphql import (
    DocumentNode,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    build_schema,
    get_named_type,
    is_leaf_type,
    print_schema,
)
from hypothesis import strategies as st
from hypothesis_graphql import queries

SHAPES = 12
LEAVES = 2
LEADS = 4
NODES = 5
ROOTS = ("node", "nodes", "pipelineBoard")
LEFT_OUT = {"audit", "changes"}
"""Pages of the log, whose rows a Python resolver always reads."""
SELDOM = {"timeline", "participants", "response", "workspace"}
"""Fields that only one in four shapes has."""


@functools.cache
def shape_of(schema: GraphQLSchema, number: int) -> GraphQLSchema:
    """One of the shapes of a schema."""
    text = print_schema(schema)
    node: Any = schema.type_map["Node"]
    nodes = [each.name for each in schema.get_implementations(node).objects]
    for name in set(nodes) - set(_turn(nodes, NODES, number)):
        text = text.replace(f"type {name} implements Node {{", f"type {name} {{")
    shape = build_schema(text)
    for kind in shape.type_map.values():
        if isinstance(kind, (GraphQLObjectType, GraphQLInterfaceType)) and not kind.name.startswith("__"):
            kept = _kept(kind, shape, number)
            for name, field in list(kind.fields.items()):
                field.args = {}
                field.type = _collapsed(shape, field.type)
                if name not in kept:
                    del kind.fields[name]
    return shape


def _kept(kind: Any, shape: GraphQLSchema, number: int) -> set[str]:
    names = [name for name in kind.fields if name not in LEFT_OUT and (name not in SELDOM or number % 4 == 3)]
    chance = Random(kind.name)
    chance.shuffle(names)
    leaves = [name for name in names if is_leaf_type(get_named_type(kind.fields[name].type))]
    leads = [name for name in names if name not in leaves]
    if kind is shape.query_type:
        special = [name for name in leads if name in ROOTS]
        others = [name for name in leads if name not in ROOTS]
        return {*_turn(others, 3, number), *(_turn(special, 1, number // 2) if number % 2 else [])}
    return {"id", *_turn(leaves, LEAVES, number), *_turn(leads, LEADS, number)}


def _turn(names: list[str], size: int, number: int) -> list[str]:
    """The next few of the names, shape after shape."""
    if len(names) <= size:
        return names
    start = number * size
    return [names[(start + place) % len(names)] for place in range(size)]


def _collapsed(shape: GraphQLSchema, kind: Any) -> Any:
    name = get_named_type(kind).name
    return shape.type_map[name.removesuffix("Connection")] if name.endswith("Connection") else kind


def selections(schema: GraphQLSchema, number: int) -> st.SearchStrategy[DocumentNode]:
    """Documents that select something from a shape."""
    return queries(shape_of(schema, number), print_ast=lambda document: document)
