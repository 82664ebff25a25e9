"""What every resolver gets: who asks, and what to read and write with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import strawberry

from crm_graph.access import Viewer
from crm_graph.auth import Principal
from crm_graph.changelog import ChangeLog
from crm_graph.database import Database
from crm_graph.errors import Unauthenticated
from crm_graph.settings import Settings
from loaders import Loaders
from schema.core.caller import Caller


@dataclass
class Context:
    """The context of one operation.

    `viewer_or_none` is None for a request without a valid token; `auth_error` is then the reason. `extensions` are sent
    with the answer.
    """

    settings: Settings
    database: Database
    changelog: ChangeLog
    caller: Caller | None = None
    viewer_or_none: Viewer | None = None
    execution: str | None = None
    """How its operation was answered: «compiled» by one statement, or «executed» in Python."""
    auth_error: str = "Sign in first: send a token as «Authorization: Bearer …»."
    extensions: dict[str, Any] = field(default_factory=dict)
    until: float | None = None
    """The loop's time at which a query is ended."""
    _principal: Principal | None = None
    _verify: Callable[[], Awaitable[Principal]] | None = field(default=None, repr=False)
    _loaders: Loaders | None = field(default=None, repr=False)

    @property
    def viewer(self) -> Viewer:
        """Raises Unauthenticated."""
        if self.viewer_or_none is None:
            raise Unauthenticated(self.auth_error)
        return self.viewer_or_none

    @property
    def loaders(self) -> Loaders:
        if self._loaders is None:
            self._loaders = Loaders(self.database, self.viewer, self.until)
        return self._loaders

    def forget(self) -> None:
        """What was read is not needed any more. Loaders and what is in them hold each other: they would be there until
        Python looks for garbage, and make that take long."""
        if self._loaders is not None:
            self._loaders.forget()

    @property
    def principal_or_none(self) -> Principal | None:
        """The principal, where there is one."""
        return self._principal

    def assume_cached(self, principal: Principal, verify: Callable[[], Awaitable[Principal]]) -> None:
        """Go on as somebody who was known a moment ago, until `verify` tells who it is now."""
        self.principal, self._verify = principal, verify

    async def verify(self) -> None:
        """Make sure of who asks, which a compiled statement does by itself."""
        if self._verify is None:
            return
        verify, self._verify = self._verify, None
        try:
            self.principal = await verify()
        except Unauthenticated as error:
            self._principal = self.viewer_or_none = self._loaders = None
            self.auth_error = error.message

    @property
    def address(self) -> str | None:
        """Where the request came from."""
        return None if self.caller is None else self.caller.address

    @property
    def principal(self) -> Principal:
        """Raises Unauthenticated."""
        if self._principal is None:
            raise Unauthenticated(self.auth_error)
        return self._principal

    @principal.setter
    def principal(self, principal: Principal) -> None:
        """Go on as somebody: what was read for anybody else is forgotten."""
        self._principal, self.viewer_or_none = principal, principal.viewer
        self._loaders = None


Info = strawberry.Info[Context, None]
