"""The root fields of an Apollo Federation subgraph: its schema with the keys of its types, and records by key."""

from __future__ import annotations

import asyncio
import functools
from dataclasses import replace

import strawberry
from graphql import ObjectTypeDefinitionNode, parse, print_ast
from strawberry import UNSET
from strawberry.annotation import StrawberryAnnotation
from strawberry.tools import create_type
from strawberry.types.arguments import StrawberryArgument
from strawberry.types.base import StrawberryList, StrawberryOptional, get_object_definition
from strawberry.types.field import StrawberryField
from strawberry.types.union import StrawberryUnion

from crm_graph.errors import BadUserInput
from crm_graph.models import Entity
from loaders import Loaders
from schema.core import TYPES
from schema.core.context import Info
from schema.core.declared import Arguments, DeclaredField, argument
from schema.core.scalars import Representation

LINK = 'extend schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: ["@key", "@shareable"])'
KEYS = {"id": "id", "externalId": "external_id"}
"""Key fields and their columns. A type without an external id only has the first."""
SHARED = {"Address", "EmailAddress", "Money", "PageInfo", "PhoneNumber", "SocialProfile"}
"""Value types, which other subgraphs may define too."""


class _Entities(DeclaredField):
    """The records of representations, in their order."""

    def declare_arguments(self) -> list[StrawberryArgument]:
        about = "Each with `__typename` and a key of that type: `id`, or `externalId` if the type has one."
        return [argument("representations", list[Representation], about, UNSET)]

    async def resolve(self, source: object, info: Info, arguments: Arguments) -> list[Entity | None]:
        loaders = info.context.loaders
        selection = [_read(f"representations.{place}", each) for place, each in enumerate(arguments["representations"])]
        return list(await asyncio.gather(*(_load(loaders, *each) for each in selection)))


async def _load(loaders: Loaders, model: type[Entity], column: str, key: str | None) -> Entity | None:
    return None if key is None else await loaders.by_key(model, column).load(key)


def _read(path: str, representation: object) -> tuple[type[Entity], str, str | None]:
    """The model, the key's column and the key, which may be null. Raises BadUserInput."""
    if not isinstance(representation, dict) or not isinstance(name := representation.get("__typename"), str):
        raise BadUserInput("An object with `__typename` is expected.", path)
    kind = TYPES.get(name)
    if kind is None:
        raise BadUserInput(f"There are no entities of a type {name!r}.", f"{path}.__typename")
    given = [key for key in _keys(name) if key in representation]
    if not given:
        raise BadUserInput(f"A key is missing: {' or '.join(_keys(name))}.", path)
    key = next((each for each in given if representation[each] is not None), given[0])
    value = representation[key]
    if not isinstance(value, str | None):
        raise BadUserInput("A string is expected.", f"{path}.{key}")
    return kind.__model__, KEYS[key], value


@functools.cache
def _keys(name: str) -> list[str]:
    columns = {field.python_name for field in TYPES[name].__strawberry_definition__.fields}
    return [key for key, column in KEYS.items() if column in columns]


@strawberry.type(name="_Service", description="This server as a subgraph.")
class Service:
    sdl: str = strawberry.field(description="The schema with the directives of Apollo Federation.")


class _Service(DeclaredField):
    """The schema that gateways compose."""

    def resolve(self, source: object, info: Info, arguments: Arguments) -> Service:
        return Service(sdl=print_subgraph(info.schema))


def subgraph_query(query: type, *, introspection: bool) -> type:
    """The query type with the fields for gateways; with the schema only if introspection is allowed."""
    entity = StrawberryUnion(
        "_Entity",
        type_annotations=tuple(StrawberryAnnotation(kind) for kind in TYPES.values()),
        description="Any record. Gateways find it by its keys.",
    )
    selection: list[StrawberryField] = [
        _Entities(
            python_name="_entities",
            graphql_name="_entities",
            type_annotation=StrawberryAnnotation(StrawberryList(StrawberryOptional(entity))),
            description="The records of these representations; null for each that you may not see.",
        )
    ]
    if introspection:
        selection.append(
            _Service(
                python_name="_service",
                graphql_name="_service",
                type_annotation=StrawberryAnnotation(Service),
                description="The schema for gateways.",
            )
        )
    bases = (create_type("Subgraph", selection), query)
    description = get_object_definition(query, strict=True).description
    return strawberry.type(type("Query", bases, {}), description=description)


@functools.lru_cache(maxsize=1)
def print_subgraph(schema: strawberry.Schema) -> str:
    """The schema in the form that gateways compose."""
    marks = {name: " ".join(f'@key(fields: "{key}")' for key in _keys(name)) for name in TYPES}
    marks |= dict.fromkeys(SHARED, "@shareable")
    directives = {
        name: parse(f"type {name} {mark}", no_location=True).definitions[0].directives  # type: ignore[attr-defined]
        for name, mark in marks.items()
    }
    document = parse(schema.as_str(), no_location=True)
    definitions = [
        replace(each, directives=directives[each.name.value])
        if isinstance(each, ObjectTypeDefinitionNode) and each.name.value in directives
        else each
        for each in document.definitions
    ]
    return f"{LINK}\n\n{print_ast(replace(document, definitions=tuple(definitions)))}"
