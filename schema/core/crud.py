"""Standard operations of entities: a record by id, a list, create, update, delete and restore.

    crud(Case, create=mutation("Create a case in a team's queue.", cases.create), verbs={"close_case": ...})

declares the payload CasePayload, the queries `case` and `cases`, and the mutations `createCase`, `updateCase`,
`closeCase`, `deleteCase` and `restoreCase`.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any, Optional

import strawberry

from crm_graph import records
from crm_graph.records import label
from schema.core.connections import Connection
from schema.core.declare import by_id, connection, declared_class, edge, snake_case
from schema.core.mutations import Mutation, MutationInput, Payload, RecordInput, Service, mutation
from schema.core.registry import TYPES, mutation_fields, named_type, query_fields

Write = Service | Mutation


def crud(
    node: type,
    *,
    create: Write = records.create,
    update: Write = records.update,
    delete: Write = records.delete,
    restore: Write = records.restore,
    verbs: Mapping[str, Mutation] | None = None,
    create_verb: str = "create",
    position: float = math.inf,
) -> Any:
    """Declare the payload, the queries and the mutations of a node type; the payload is returned.

    Each write is a service or, to describe it in other words, a `mutation`. `verbs` are the entity's other mutations
    that return its payload, by name. `position` is the place of the fields among those of Query and Mutation.
    """
    model = TYPES[node.__name__].__model__
    noun, name, plural = label(model), snake_case(node.__name__), model.__tablename__
    payload = payload_type(node)
    one = by_id(f"The {noun} with this id; null if it does not exist or you may not see it.")
    every = connection(f"All {plural.replace('_', ' ')} that you may see.")
    queries = {name: (Optional[node], one), plural: (Connection[node], every)}  # type: ignore[valid-type]
    query_fields(position)(declared_class(f"{node.__name__}Query", node.__module__, queries))
    writes = {
        f"{create_verb}_{name}": _write(f"Create {_article(noun)}.", create, node),
        f"update_{name}": _write(f"Update {_article(noun)}.", update, node),
        **(verbs or {}),
    }
    writes[f"delete_{name}"] = _write(f"Delete {_article(noun)}.", delete, node, RecordInput)
    writes[f"restore_{name}"] = _write(f"Restore a deleted {noun}.", restore, node, RecordInput)
    mutations = {each: (payload, field) for each, field in writes.items()}
    mutation_fields(position)(declared_class(f"{node.__name__}Mutation", node.__module__, mutations))
    return payload


def payload_type(node: type) -> type:
    """The payload with the record of a node type."""
    noun = label(TYPES[node.__name__].__model__)
    record = edge(f"The {noun}; null if the write failed or you may no longer see it.", by="record_id")
    fields = {snake_case(node.__name__): (Optional[node], record)}
    payload = declared_class(f"{node.__name__}Payload", node.__module__, fields, Payload)
    return named_type(strawberry.type(payload, description=f"The {noun} after the write."))


def _write(description: str, write: Write, node: type, input_: type[MutationInput] | None = None) -> Mutation:
    field = write if isinstance(write, Mutation) else mutation(description, write)
    field.input = field.input or input_
    if field.model is None and "model" in inspect.signature(field.service).parameters:
        field.model = TYPES[node.__name__].__model__
    return field


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeio' else 'a'} {noun}"
