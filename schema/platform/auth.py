"""Signing in and out, passwords and API tokens.

These inputs take no idempotency key: the response to a key is stored, and these responses are secrets.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Optional

import strawberry

from crm_graph import auth, models
from crm_graph.auth import SignedIn
from crm_graph.changelog import advance
from crm_graph.errors import DomainError
from crm_graph.services.platform import users
from loaders.sql_json.expressions import Expression, JsonLiteral
from loaders.sql_json.pages import RowScope
from schema.core import compile_one, edge
from schema.core.context import Context, Info
from schema.core.costs import FREE, costs
from schema.core.declared import Arguments, DeclaredField, declared
from schema.core.filters import input_type
from schema.core.mutations import MutationInput, Payload, PayloadSource, UserError, mutation, user_error
from schema.core.registry import mutation_fields, query_fields
from schema.core.selection import FieldSelection
from schema.platform.users import UserPayload

if TYPE_CHECKING:
    from schema.core.node_types import ApiToken, User

INPUT = strawberry.argument(description="The values to write.")


@strawberry.input(description="The credentials of a user.")
class SignInInput:
    email: str = strawberry.field(description="Email address of the user.")
    password: str = strawberry.field(description="Password of the user.")


@strawberry.input(description="A refresh token to exchange.")
class RefreshTokenInput:
    refresh_token: str = strawberry.field(description="The latest refresh token of the session.")


@strawberry.input(description="The token to continue with.")
class RenewTokenInput:
    token: str = strawberry.field(description="An access token or API token of the same user.")


@strawberry.input(description="A new password for yourself.")
class ChangePasswordInput:
    current_password: str = strawberry.field(description="The current password.")
    new_password: str = strawberry.field(description="The new password: 8 to 200 characters.")


@strawberry.input(description="A new password for another user.")
class SetPasswordInput:
    user_id: strawberry.ID = strawberry.field(description="Id of the user.")
    password: str = strawberry.field(description="The new password: 8 to 200 characters.")


SignOutEverywhereInput = input_type(
    "SignOutEverywhereInput",
    MutationInput,
    {"include_api_tokens": (Optional[bool], "True to revoke the API tokens too; they stay if omitted.")},
    "Credentials to revoke besides the sessions.",
)
CreateApiTokenInput = input_type(
    "CreateApiTokenInput",
    MutationInput,
    {
        "name": (str, "Purpose of the token."),
        "expires_at": (Optional[dt.datetime], "Expiry time; if omitted, it is valid until revoked."),
    },
    "A new API token.",
)
RevokeApiTokenInput = input_type(
    "RevokeApiTokenInput", MutationInput, {"id": (strawberry.ID, "Id of the token.")}, "The API token to revoke."
)


@strawberry.type(description="The tokens for the next requests.")
class SignInPayload(Payload):
    access_token: str | None = strawberry.field(description="The token to send as `Authorization: Bearer …`.")
    expires_at: dt.datetime | None = strawberry.field(description="Expiry time of the access token.")
    refresh_token: str | None = strawberry.field(
        description="The token for refreshToken. It works once; using it again ends the session."
    )
    user: User | None = edge("The user who signed in.", by="record_id")


@costs(FREE)
@strawberry.type(description="The state of the token.")
class RenewTokenPayload:
    expires_at: dt.datetime | None = strawberry.field(
        description="Expiry time of the token; null if it does not expire."
    )
    user: User | None = edge("The user of the token.", by="record_id")
    user_errors: list[UserError] = strawberry.field(
        description="The reasons for the rejection; empty if the token is valid."
    )


@strawberry.type(description="The result of signing out.")
class SignOutPayload(Payload):
    user: User | None = edge("The user who signed out.", by="record_id")


@strawberry.type(description="The API token.")
class ApiTokenPayload(Payload):
    api_token: ApiToken | None = edge(
        "The token's record; null if the write failed or the token is revoked.", by="record_id"
    )
    token: str | None = strawberry.field(description="The token itself. It is shown only once, on creation.")


class _ViewerField(DeclaredField):
    """The viewer's user."""

    def resolve(self, source: object, info: Info, arguments: Arguments) -> object:
        user_id = info.context.viewer.user_id
        return None if user_id is None else info.context.loaders.by_key(models.User).load(user_id)

    def compile(self, selection: FieldSelection, scope: RowScope) -> Expression:
        user_id = selection.viewer.user_id
        return JsonLiteral(None) if user_id is None else compile_one(selection, scope, models.User, user_id)


@query_fields(10)
class AuthQuery:
    viewer: User | None = declared(_ViewerField, "The signed-in user.")


@mutation_fields(10)
class AuthMutation:
    @strawberry.field(
        graphql_type=SignInPayload,
        description="Sign in with email and password. All wrong credentials give the same error.",
    )
    async def sign_in(self, info: Info, input: Annotated[SignInInput, INPUT]) -> PayloadSource:
        context = info.context
        signed_in = await auth.sign_in(
            context.changelog, context.settings, email=input.email, password=input.password, client=context.address
        )
        return _tokens(context, signed_in)

    @strawberry.field(
        graphql_type=SignInPayload,
        description="Exchange the latest refresh token for new tokens. An older one ends the session.",
    )
    async def refresh_token(self, info: Info, input: Annotated[RefreshTokenInput, INPUT]) -> PayloadSource:
        context = info.context
        return _tokens(
            context, await auth.refresh(context.changelog, context.settings, refresh_token=input.refresh_token)
        )

    @strawberry.field(
        graphql_type=RenewTokenPayload,
        description="On a websocket, continue with another token of the same user; running operations go on. `signIn` "
        "and `refreshToken` do so too. Over HTTP, check whether a token is valid.",
    )
    async def renew_token(self, info: Info, input: Annotated[RenewTokenInput, INPUT]) -> PayloadSource:
        context = info.context
        try:
            async with context.database.read() as session:
                context.principal = await auth.switch_token(
                    session, context.settings, context.principal, token=input.token
                )
        except DomainError as error:
            return PayloadSource({}, None, [user_error(error)])
        ids = {"record_id": context.viewer.user_id, "expires_at": context.principal.expires_at}
        return PayloadSource(ids, None, [])

    @strawberry.field(graphql_type=SignOutPayload, description="End the session of this request.")
    async def sign_out(self, info: Info) -> PayloadSource:
        context = info.context

        async def write() -> int:
            async with context.changelog.transaction(context.viewer, "signOut") as session:
                await auth.sign_out(session, context.viewer, session_id=context.principal.session_id)
                return await advance(session)

        return await _payload(context, context.viewer.user_id, write)

    sign_out_everywhere: SignOutPayload = mutation(
        "End all your sessions, including this one.", auth.sign_out_everywhere, SignOutEverywhereInput
    )
    create_api_token: ApiTokenPayload = mutation(
        "Create a token for a program that acts as you. Only for users who signed in with a password.",
        auth.create_api_token,
        CreateApiTokenInput,
    )
    revoke_api_token: ApiTokenPayload = mutation(
        "Revoke one of your tokens. Admins may revoke any token.", auth.revoke_api_token, RevokeApiTokenInput
    )

    @strawberry.field(graphql_type=UserPayload, description="Change your password and end all your other sessions.")
    async def change_password(self, info: Info, input: Annotated[ChangePasswordInput, INPUT]) -> PayloadSource:
        context = info.context
        return await _payload(
            context,
            context.viewer.user_id,
            lambda: auth.change_password(
                context.changelog,
                context.settings,
                context.principal,
                current=input.current_password,
                new=input.new_password,
            ),
        )

    @strawberry.field(graphql_type=UserPayload, description="Set another user's password and end the user's sessions.")
    async def set_password(self, info: Info, input: Annotated[SetPasswordInput, INPUT]) -> PayloadSource:
        context, user_id = info.context, input.user_id
        return await _payload(
            context,
            user_id,
            lambda: users.set_password(context.changelog, context.viewer, user_id=user_id, password=input.password),
        )


def _tokens(context: Context, signed_in: SignedIn) -> PayloadSource:
    """The payload of a sign-in. The rest of the operation runs as the user who signed in."""
    context.principal = signed_in.principal
    viewer = signed_in.principal.viewer
    ids = {
        "record_id": viewer.user_id,
        "access_token": signed_in.access_token,
        "expires_at": signed_in.expires_at,
        "refresh_token": signed_in.refresh_token,
    }
    return PayloadSource(ids, f"{viewer.epoch}.{signed_in.revision}", [])


async def _payload(context: Context, user_id: str | None, write: Callable[[], Awaitable[int]]) -> PayloadSource:
    """The payload of a write in more than one transaction."""
    try:
        revision = await write()
    except DomainError as error:
        return PayloadSource({}, None, [user_error(error)])
    finally:
        context.loaders.forget()
    return PayloadSource({"record_id": user_id}, f"{context.viewer.epoch}.{revision}", [])
