"""Signing in and out, passwords and API tokens.

None of these inputs takes an idempotency key: a key's answer is kept, and these answers are secrets.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, Optional

import strawberry

from crm_graph import auth, models
from crm_graph.auth import SignedIn
from crm_graph.changelog import advance
from crm_graph.errors import DomainError
from crm_graph.services.platform import users
from loaders.sql_json.expressions import Literal
from loaders.sql_json.pages import At
from schema.core import compile_one, edge
from schema.core.context import Context, Info
from schema.core.costs import FREE, costs
from schema.core.declared import DeclaredField
from schema.core.filters import input_type
from schema.core.mutations import MutationInput, Payload, PayloadSource, UserError, mutation, user_error
from schema.core.registry import mutation_fields, query_fields
from schema.core.selection import FieldSelection
from schema.platform.users import UserPayload

if TYPE_CHECKING:
    from schema.core.node_types import ApiToken, User

INPUT = strawberry.argument(description="What to write.")


@strawberry.input(description="Who signs in.")
class SignInInput:
    email: str = strawberry.field(description="The user's email address.")
    password: str = strawberry.field(description="The user's password.")


@strawberry.input(description="A token to be changed for new ones.")
class RefreshTokenInput:
    refresh_token: str = strawberry.field(description="The newest refresh token of the session.")


@strawberry.input(description="A token to go on with.")
class RenewTokenInput:
    token: str = strawberry.field(description="An access token or an API token of the same user.")


@strawberry.input(description="A new password for oneself.")
class ChangePasswordInput:
    current_password: str = strawberry.field(description="The password until now.")
    new_password: str = strawberry.field(description="The password from now on: 8 to 200 characters.")


@strawberry.input(description="A new password for another user.")
class SetPasswordInput:
    user_id: strawberry.ID = strawberry.field(description="Whose password.")
    password: str = strawberry.field(description="The password from now on: 8 to 200 characters.")


SignOutEverywhereInput = input_type(
    "SignOutEverywhereInput",
    (MutationInput,),
    {"include_api_tokens": (Optional[bool], "Whether to revoke the API tokens too; they stay if omitted.")},
    "What to end.",
)
CreateApiTokenInput = input_type(
    "CreateApiTokenInput",
    (MutationInput,),
    {
        "name": (str, "What the token is for."),
        "expires_at": (Optional[dt.datetime], "Until when it is good; for as long as nobody revokes it if omitted."),
    },
    "A new API token.",
)
RevokeApiTokenInput = input_type(
    "RevokeApiTokenInput", (MutationInput,), {"id": (strawberry.ID, "Which one.")}, "Which API token to revoke."
)


@strawberry.type(description="What a client needs for its next requests.")
class SignInPayload(Payload):
    access_token: str | None = strawberry.field(description="The token to send as «Authorization: Bearer …».")
    expires_at: dt.datetime | None = strawberry.field(description="Until when the access token is good.")
    refresh_token: str | None = strawberry.field(
        description="The token to get new tokens with, once: using it again ends the session."
    )
    user: User | None = edge("Who signed in.", by="record_id")


@costs(FREE)
@strawberry.type(description="The token, if it is valid.")
class RenewTokenPayload:
    expires_at: dt.datetime | None = strawberry.field(description="Until when it is good; null if it has no end.")
    user: User | None = edge("Whose it is.", by="record_id")
    user_errors: list[UserError] = strawberry.field(description="Why it was refused; empty when it is good.")


@strawberry.type(description="Whether the session has ended.")
class SignOutPayload(Payload):
    user: User | None = edge("Who signed out.", by="record_id")


@strawberry.type(description="The token.")
class ApiTokenPayload(Payload):
    api_token: ApiToken | None = edge("The token's record; null if it was refused or revoked.", by="record_id")
    token: str | None = strawberry.field(description="The token itself, shown only now, when it was made.")


class _Asking(DeclaredField):
    """The user who asks."""

    def get_result(self, source: Any, info: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        user_id = info.context.viewer.user_id
        return None if user_id is None else info.context.loaders.one(models.User).load(user_id)

    def compile(self, selection: FieldSelection, at: At) -> Any:
        user_id = selection.viewer.user_id
        return Literal(None) if user_id is None else compile_one(selection, at, models.User, user_id)


def _asking(description: str) -> Any:
    return _Asking(description=description)


@query_fields(10)
class AuthQuery:
    viewer: User | None = _asking("The signed-in user.")


@mutation_fields(10)
class AuthMutation:
    @strawberry.field(
        graphql_type=SignInPayload,
        description="Sign in with email and password. Whatever was wrong, the answer is the same.",
    )
    async def sign_in(self, info: Info, input: Annotated[SignInInput, INPUT]) -> PayloadSource:
        context = info.context
        signed_in = await auth.sign_in(
            context.feed, context.settings, email=input.email, password=input.password, client=context.address
        )
        return _tokens(context, signed_in)

    @strawberry.field(
        graphql_type=SignInPayload,
        description="New tokens for the newest refresh token. An older one ends the session.",
    )
    async def refresh_token(self, info: Info, input: Annotated[RefreshTokenInput, INPUT]) -> PayloadSource:
        context = info.context
        return _tokens(context, await auth.refresh(context.feed, context.settings, refresh_token=input.refresh_token))

    @strawberry.field(
        graphql_type=RenewTokenPayload,
        description="On a websocket: go on by another token of the same user; what runs there runs on. `signIn` and "
        "`refreshToken` do that too. Elsewhere it tells whether the token is good.",
    )
    async def renew_token(self, info: Info, input: Annotated[RenewTokenInput, INPUT]) -> PayloadSource:
        context = info.context
        try:
            async with context.database.read() as session:
                context.principal = await auth.exchange(session, context.settings, context.principal, token=input.token)
        except DomainError as error:
            return PayloadSource({}, None, [user_error(error)])
        ids = {"record_id": context.viewer.user_id, "expires_at": context.principal.expires_at}
        return PayloadSource(ids, None, [])

    @strawberry.field(graphql_type=SignOutPayload, description="End the session that this request came by.")
    async def sign_out(self, info: Info) -> PayloadSource:
        context = info.context

        async def write() -> int:
            async with context.feed.transaction(context.viewer, "signOut") as session:
                await auth.sign_out(session, context.viewer, session_id=context.principal.session_id)
                return await advance(session)

        return await _answer(context, context.viewer.user_id, write)

    sign_out_everywhere: SignOutPayload = mutation(
        "End all of one's sessions, this one too.", auth.sign_out_everywhere, SignOutEverywhereInput
    )
    create_api_token: ApiTokenPayload = mutation(
        "Make a token for a program that acts as oneself. Only who signed in with a password may.",
        auth.create_api_token,
        CreateApiTokenInput,
    )
    revoke_api_token: ApiTokenPayload = mutation(
        "End one of one's own tokens; admins, anybody's.", auth.revoke_api_token, RevokeApiTokenInput
    )

    @strawberry.field(
        graphql_type=UserPayload, description="Change one's own password, which ends all of one's other sessions."
    )
    async def change_password(self, info: Info, input: Annotated[ChangePasswordInput, INPUT]) -> PayloadSource:
        context = info.context
        return await _answer(
            context,
            context.viewer.user_id,
            lambda: auth.change_password(
                context.feed,
                context.settings,
                context.principal,
                current=input.current_password,
                new=input.new_password,
            ),
        )

    @strawberry.field(
        graphql_type=UserPayload, description="Give another user a password, which ends the user's sessions."
    )
    async def set_password(self, info: Info, input: Annotated[SetPasswordInput, INPUT]) -> PayloadSource:
        context, user_id = info.context, input.user_id
        return await _answer(
            context,
            user_id,
            lambda: users.set_password(context.feed, context.viewer, user_id=user_id, password=input.password),
        )


def _tokens(context: Context, signed_in: SignedIn) -> PayloadSource:
    """The payload of a sign-in; what else the operation asks for is asked by who signed in."""
    context.principal = signed_in.principal
    viewer = signed_in.principal.viewer
    ids = {
        "record_id": viewer.user_id,
        "access_token": signed_in.access_token,
        "expires_at": signed_in.expires_at,
        "refresh_token": signed_in.refresh_token,
    }
    return PayloadSource(ids, f"{viewer.epoch}.{signed_in.revision}", [])


async def _answer(context: Context, user_id: str | None, write: Callable[[], Awaitable[int]]) -> PayloadSource:
    """The payload of a write that is more than one transaction."""
    try:
        revision = await write()
    except DomainError as error:
        return PayloadSource({}, None, [user_error(error)])
    finally:
        context.loaders.forget()
    return PayloadSource({"record_id": user_id}, f"{context.viewer.epoch}.{revision}", [])
