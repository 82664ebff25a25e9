"""Mutations: an input derived from a node type, one transaction, one payload.

    @strawberry.type
    class OpportunityMutation:
        move_opportunity: OpportunityPayload = mutation("Move a deal.", opportunities.move, MoveOpportunityInput)

The service is called as service(session, viewer, **input). It gets the fields of the record together as `values`. It
returns a record, or a dict of the payload's values.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any, ClassVar, Optional

import strawberry
from strawberry import UNSET, Some
from strawberry.types.arguments import StrawberryArgument
from strawberry.utils.str_converters import capitalize_first, to_camel_case

from crm_graph.changelog import advance, flush
from crm_graph.errors import Code, Conflict, DomainError, Duplicate, Invalid
from crm_graph.models import Entity
from crm_graph.records import idempotency
from schema.core.context import Context, Info
from schema.core.costs import FREE, costs
from schema.core.declared import Arguments, DeclaredField, argument
from schema.core.filters import INPUT_TYPES, input_type
from schema.core.scalars import CurrencyCode, enum_type

Service = Callable[..., Awaitable[Entity | Mapping[str, object]]]
enum_type(Code, "ErrorCode")


@costs(FREE)
@strawberry.type(description="The reason for a failed write. Nothing was changed.")
class UserError:
    code: Code = strawberry.field(description="Kind of error.")
    field: str | None = strawberry.field(description="Path of the input field with the error: `emails.0.address`.")
    message: str = strawberry.field(description="Description of the error in one sentence.")


class PayloadSource:
    """The source of a payload's fields: the values that the service returned, or the errors."""

    def __init__(self, ids: Mapping[str, object], revision: str | None, user_errors: list[UserError]) -> None:
        self.__dict__.update(ids)
        self.revision = revision
        self.user_errors = user_errors

    def __getattr__(self, name: str) -> None:
        return None


@costs(FREE)
@strawberry.type(description="The result of a mutation.")
class Payload:
    revision: str | None = strawberry.field(description="Revision of the workspace after the write.")
    user_errors: list[UserError] = strawberry.field(description="The reasons for a failed write; empty on success.")


@strawberry.input(description="An amount of money.")
class MoneyInput:
    amount: Decimal = strawberry.field(description="Exact amount: at most 14 digits before the point and 4 after it.")
    currency: CurrencyCode | None = strawberry.field(description="Currency; the workspace's if omitted.", default=None)


INPUT_TYPES["MoneyInput"] = MoneyInput
KEY = (
    Optional[str],
    "A key that you choose, of at most 100 characters. Repeating the write with it has no further effect.",
)
VERSION = (Optional[int], "The version that you know; the write is rejected if it is not the latest.")


class MutationInput:
    """The input of a mutation.

    `record_fields` are the fields of the record, which the service gets as `values`; `own_fields` are all others. Both
    are kept as `write_input` got them, so that another input can extend them.
    """

    own_fields: ClassVar[Mapping[str, tuple[object, str]]] = {}
    record_fields: ClassVar[Mapping[str, tuple[object, str]]] = {}

    def arguments(self) -> dict[str, object]:
        """The keyword arguments of the service. Raises Invalid for amounts in several currencies."""
        values: dict[str, object] = {}
        arguments: dict[str, object] = {"values": values} if self.record_fields else {}
        for name, value in vars(self).items():
            if name in self.record_fields:
                if value is not UNSET and value is not None:
                    _take(values, name, value.value if isinstance(value, Some) else value)
            elif name != "idempotency_key":
                arguments[name] = None if value is UNSET else value
        return arguments


def _take(values: dict[str, object], name: str, value: object) -> None:
    if isinstance(value, MoneyInput):
        values[name] = value.amount
        if value.currency is not None and values.setdefault("currency", value.currency) != value.currency:
            raise Invalid("All amounts of one record are in one currency.", f"{name}.currency")
    else:
        values[name] = value


def write_input(
    name: str,
    description: str,
    fields: Mapping[str, tuple[object, str]],
    record_fields: Mapping[str, tuple[object, str]] | None = None,
) -> type[MutationInput]:
    """An input of a mutation: `fields` are its own, `record_fields` those that go to the service as `values`."""
    made = input_type(name, MutationInput, {**fields, **(record_fields or {}), "idempotency_key": KEY}, description)
    made.own_fields, made.record_fields = fields, record_fields or {}
    return made


class Mutation(DeclaredField):
    """A root field that writes in one transaction."""

    service: Service
    input: type[MutationInput] | None
    model: type[Entity] | None = None

    def declare_arguments(self) -> list[StrawberryArgument]:
        kind = self.input or INPUT_TYPES[f"{capitalize_first(to_camel_case(self.python_name))}Input"]
        return [argument("input", kind, "The values to write.", UNSET)]

    async def resolve(self, source: object, info: Info, arguments: Arguments) -> PayloadSource:
        context, write = info.context, arguments["input"]
        viewer = context.viewer
        try:
            try:
                ids, revision, renew = await self._write(context, write)
            except Duplicate as error:
                # Two requests with one key ran at once. The first is committed; repeat its response.
                if error.field != "key":
                    raise
                ids, revision, renew = await self._write(context, write)
        except DomainError as error:
            current = error.current if isinstance(error, Conflict) else None
            context.loaders.forget()
            return PayloadSource(
                {"record_id": current.id} if isinstance(current, Entity) else {}, None, [user_error(error)]
            )
        renew()
        return PayloadSource(ids, f"{viewer.epoch}.{revision}", [])

    async def _write(
        self, context: Context, write: MutationInput
    ) -> tuple[Mapping[str, object], int, Callable[[], None]]:
        """The payload's values, the revision, and a function that updates the context's loaders."""
        viewer, sent, renew = context.viewer, vars(write).get("idempotency_key"), context.loaders.forget
        key = None if sent is UNSET else sent
        async with context.changelog.transaction(viewer, self.python_name) as session:
            if key is not None:
                fingerprint = hashlib.sha256(f"{self.python_name}{write}".encode()).hexdigest()
                if done := await idempotency.recall(session, viewer, key, fingerprint):
                    return done.result, done.revision, renew
            on = () if self.model is None else (self.model,)
            answer = await self.service(session, viewer, *on, **write.arguments())
            if isinstance(answer, Entity):
                ids: Mapping[str, object] = {"record_id": answer.id}
                await flush(session)
                renew = await context.loaders.preload_written(session, answer)
            else:
                ids = answer
            revision = await advance(session)
            if key is not None:
                await idempotency.remember(session, viewer, key, ids, revision)
        return ids, revision, renew


def user_error(error: DomainError) -> UserError:
    path = error.field and ".".join(to_camel_case(part) for part in error.field.split("."))
    return UserError(code=error.code, field=path, message=error.message)


def mutation(
    description: str, service: Service, input_: type[MutationInput] | None = None, *, model: type[Entity] | None = None
) -> Any:
    """A mutation that calls a service with its input: `CloseCaseInput` for `close_case` if omitted.

    A service that is the same for all entities gets `model` too.
    """
    field = Mutation(description=description)
    field.service, field.input, field.model = service, input_, model
    return field


RecordInput = write_input(
    "RecordInput",
    "The record to delete or restore.",
    {"id": (strawberry.ID, "Id of the record."), "expected_version": VERSION},
)
