"""The context of resolvers: the viewer, and the means to read and write."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

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
    """`compiled` if one SQL statement executed the operation, `executed` if Python did."""
    auth_error: str = "Sign in first: send a token as `Authorization: Bearer …`."
    extensions: dict[str, object] = field(default_factory=dict)
    until: float | None = None
    """Time of the event loop at which a query is cancelled."""
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
        """Drop everything that was read. Loaders and their contents refer to each other, so that only the garbage
        collector would free them."""
        if self._loaders is not None:
            self._loaders.forget()

    @property
    def principal_or_none(self) -> Principal | None:
        """The principal; None for an anonymous request."""
        return self._principal

    def assume_cached(self, principal: Principal, verify: Callable[[], Awaitable[Principal]]) -> None:
        """Continue as a principal from the cache until `verify` reads the present one."""
        self.principal, self._verify = principal, verify

    async def verify(self) -> None:
        """Verify an assumed principal. A compiled statement does so itself."""
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
        """The sender's network address."""
        return None if self.caller is None else self.caller.address

    @property
    def principal(self) -> Principal:
        """Raises Unauthenticated."""
        if self._principal is None:
            raise Unauthenticated(self.auth_error)
        return self._principal

    @principal.setter
    def principal(self, principal: Principal) -> None:
        """Continue as a principal. Everything that was read for another one is dropped."""
        self._principal, self.viewer_or_none = principal, principal.viewer
        self._loaders = None


Info = strawberry.Info[Context, None]
