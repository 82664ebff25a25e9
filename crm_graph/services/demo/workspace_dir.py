"""The demo's folder: a database, and the secret that its password and token derive from."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.engine import URL

from crm_graph import auth, migrations
from crm_graph.access import Viewer
from crm_graph.auth import passwords
from crm_graph.changelog import ChangeLog
from crm_graph.database import Database
from crm_graph.errors import ConfigurationError
from crm_graph.models import Visibility
from crm_graph.services.demo import company
from crm_graph.services.demo.insert import insert_demo
from crm_graph.services.demo.sample_data import PEOPLE
from crm_graph.services.platform import setup
from crm_graph.settings import Settings

SYSTEM = "system:demo"


@dataclass(frozen=True)
class WorkspaceDir:
    """An existing folder with its secret."""

    folder: Path
    secret: str

    @classmethod
    def at(cls, folder: Path, *, fresh: bool = False) -> WorkspaceDir:
        """Open a folder, or create it; `fresh` deletes its data. Raises ConfigurationError."""
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if fresh:
                for name in ("secret", "crm.db", "crm.db-wal", "crm.db-shm"):
                    (folder / name).unlink(missing_ok=True)
            return cls(folder.resolve(), _secret(folder))
        except OSError as error:
            raise ConfigurationError(
                f"The folder {folder} cannot be used: {error.strerror}. Choose another with --folder."
            ) from None

    @property
    def database(self) -> Path:
        return self.folder / "crm.db"

    @property
    def email(self) -> str:
        return company.email_of(PEOPLE[0][0])

    @property
    def password(self) -> str:
        return self._derived("password")[:12].lower()

    @property
    def token(self) -> str:
        return auth.API_TOKEN_PREFIX + self._derived("token").lower()

    @property
    def settings(self) -> Settings:
        """Settings of a demo server: GraphiQL is signed in, and tools may introspect and use GET."""
        return Settings(
            database_url=_url(self.database),
            secret_key=self.secret,
            graphiql=True,
            explain=True,
            introspection=True,
            get_queries=True,
            get_without_header=True,
            demo_token=self.token,
        )

    def _derived(self, purpose: str) -> str:
        made = hmac.digest(self.secret.encode(), purpose.encode(), hashlib.sha256)
        return base64.b32encode(made).decode().rstrip("=")

    async def prepare(self, accounts: int) -> bool:
        """Migrate the data, or create it. Returns whether it existed."""
        if self.database.exists():
            await _migrate(self.database)
            return True
        # Built under another name, so that interrupted work is not mistaken for a database.
        unfinished = self.folder / "unfinished.db"
        for name in ("unfinished.db", "unfinished.db-wal", "unfinished.db-shm"):
            (self.folder / name).unlink(missing_ok=True)
        await _migrate(unfinished)
        await self._fill(unfinished, accounts)
        unfinished.rename(self.database)
        return False

    async def _fill(self, path: Path, accounts: int) -> None:
        database = Database(_url(path))
        changelog = ChangeLog(database, "memory://")
        await changelog.open()
        workspace = setup.new_workspace(company.COMPANY)
        # Different defaults, so that visibility differs by user.
        workspace.visibility_defaults = {"Lead": Visibility.PRIVATE, "Opportunity": Visibility.PUBLIC_READ}
        viewer = Viewer.of(workspace, None, SYSTEM)
        password_hash = await passwords.hashed(self.password)
        async with changelog.transaction(viewer, "demo") as session:
            session.add(workspace)
            await session.flush()
            token_hash = auth.digest(self.token)
            await insert_demo(session, viewer, accounts=accounts, password_hash=password_hash, token_hash=token_hash)
        await changelog.close()
        await database.close()


def _url(path: Path) -> str:
    return URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)


def _secret(folder: Path) -> str:
    """The folder's secret: made with the first data, and needed for all that is in it."""
    path = folder / "secret"
    if path.exists() and (known := path.read_text().strip()):
        return known
    if (folder / "crm.db").exists():
        raise ConfigurationError(f"{folder} has data, but its secret is missing. Start over with --fresh.")
    made = secrets.token_urlsafe(48)
    with open(path, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(made)
    return made


async def _migrate(path: Path) -> None:
    database = Database(_url(path))
    if await migrations.current(database.reader) != migrations.newest():
        await migrations.upgrade(database.writer)
    await database.close()
