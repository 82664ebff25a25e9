"""A workspace for one test: its users, and their requests through GraphQL."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from starlette.applications import Starlette

from crm_graph import app, auth
from crm_graph.access import Viewer
from crm_graph.changelog import ChangeLog
from crm_graph.database import Database
from crm_graph.models import ApiToken, Base, Change, Membership, ReportingLine, Role, Team, User, Visibility, Workspace
from crm_graph.settings import Settings
from tests.support.databases import POOL_SIZE, without_sync
from tests.support.servers import SECRET
from tests.support.visibility_hook import VisibilityHook


@dataclass
class Person:
    """A user with a token."""

    id: str
    token: str
    role: Role


@dataclass
class World:
    """The workspace, its admin, and direct access to the database."""

    application: Starlette
    workspace_id: str
    admin: Person
    client: httpx.AsyncClient = field(repr=False)
    engine: AsyncEngine = field(repr=False)
    shares_engine: bool = False

    @property
    def database(self) -> Database:
        database: Database = self.application.state.database
        return database

    @property
    def changelog(self) -> ChangeLog:
        changelog: ChangeLog = self.application.state.changelog
        return changelog

    @property
    def compiled(self) -> bool:
        """True if queries are compiled."""
        compiled: bool = self.application.state.settings.compiled
        return compiled

    async def close(self) -> None:
        await self.client.aclose()
        if not self.shares_engine:
            await self.engine.dispose()

    # Requests

    async def ask(self, document: str, *, by: Person | None = None, **variables: Any) -> dict[str, Any]:
        """The complete answer to an operation, with errors."""
        return await self.send({"query": document, "variables": variables}, token=(by or self.admin).token)

    async def data(self, document: str, *, by: Person | None = None, **variables: Any) -> dict[str, Any]:
        """The data of an operation that must succeed."""
        answer = await self.ask(document, by=by, **variables)
        assert "errors" not in answer, answer["errors"]
        data: dict[str, Any] = answer["data"]
        return data

    async def write(self, mutation: str, selection: str, *, by: Person | None = None, **values: Any) -> dict[str, Any]:
        """The payload of a mutation with one input, refused or not: {"userErrors": [...], ...selection}."""
        name = mutation[0].upper() + mutation[1:]
        kind = "RecordInput" if mutation.startswith(("delete", "restore")) else f"{name}Input"
        document = (
            f"mutation Write($input: {kind}!) {{ answer: {mutation}(input: $input) "
            f"{{ revision userErrors {{ code field message }} {selection} }} }}"
        )
        data = await self.data(document, by=by, input=values)
        answer: dict[str, Any] = data["answer"]
        return answer

    async def make(self, entity: str, *, by: Person | None = None, **values: Any) -> str:
        """The id of a new record, made by the entity's create mutation: `make("account", name="Acme")`."""
        mutation = "logActivity" if entity == "activity" else f"create{entity[0].upper()}{entity[1:]}"
        answer = await self.write(mutation, f"record: {entity} {{ id }}", by=by, **values)
        assert answer["userErrors"] == [], answer["userErrors"]
        record_id: str = answer["record"]["id"]
        return record_id

    async def send(self, body: Any, *, token: str | None = None, **options: Any) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        response = await self.client.post("/graphql", json=body, headers=headers, **options)
        answer: dict[str, Any] = response.json()
        return answer

    def statements(self) -> contextlib.AbstractContextManager[list[str]]:
        """The SQL statements sent inside the block, sign-in included."""
        recording: contextlib.AbstractContextManager[list[str]] = self.application.state.visibility_hook.record()
        return recording

    # People and settings

    async def person(
        self,
        role: Role = Role.REP,
        *,
        manager: Person | None = None,
        team_id: str | None = None,
        name: str | None = None,
    ) -> Person:
        """Create a user who reports to `manager`, with a home team."""
        async with self.raw() as connection:
            managers = []
            if manager is not None:
                above = sa.select(ReportingLine.manager_id, ReportingLine.depth).where(
                    ReportingLine.user_id == manager.id
                )
                managers = [(row[0], row[1] + 1) for row in await connection.execute(above)]
            return await _add_person(connection, self.workspace_id, role, name, manager, managers, team_id)

    async def team(self, *members: Person, name: str = "Team") -> str:
        """Create a team with these members, and return its id. Their home team stays the same."""
        team_id = Team.new_id()
        async with self.raw() as connection:
            row = {"workspace_id": self.workspace_id, "id": team_id, "name": name}
            await connection.execute(sa.insert(Team), [row])
        await self.join(team_id, *members)
        return team_id

    async def join(self, team_id: str, *members: Person) -> None:
        """Make people members of a team."""
        async with self.raw() as connection:
            for member in members:
                values = {"workspace_id": self.workspace_id, "team_id": team_id, "user_id": member.id}
                await connection.execute(sa.insert(Membership), [{**values, "id": Membership.new_id()}])

    async def default(self, entities: str, visibility: Visibility) -> None:
        """Set the default visibility of an entity: `default("account", Visibility.PRIVATE)`."""
        async with self.raw() as connection:
            here = Workspace.id == self.workspace_id
            stored = (await connection.execute(sa.select(Workspace.visibility_defaults).where(here))).scalar_one()
            defaults = {**stored, f"{entities[0].upper()}{entities[1:]}": visibility}
            await connection.execute(sa.update(Workspace).where(here).values(visibility_defaults=defaults))

    # Direct access to the database

    @contextlib.asynccontextmanager
    async def raw(self) -> AsyncIterator[Any]:
        """A connection of a separate, unchecked engine, which commits at the end."""
        async with self.engine.begin() as connection:
            yield connection

    async def rows(self, model: Any) -> list[dict[str, Any]]:
        """All of the workspace's rows of a table, oldest first: keys grow with time."""
        table = model.__table__
        async with self.raw() as connection:
            found = await connection.execute(
                sa.select(table).where(table.c.workspace_id == self.workspace_id).order_by(*table.primary_key.columns)
            )
            return [dict(row) for row in found.mappings()]

    async def everything(self) -> dict[str, list[dict[str, Any]]]:
        """Every row of the workspace, log included: to assert that nothing changed."""
        content = {}
        async with self.raw() as connection:
            for table in Base.metadata.sorted_tables:
                key = table.c.get("workspace_id", table.c.get("id"))
                if key is None or table.name in {"sign_in_tries", "sessions"}:
                    continue
                found = await connection.execute(
                    sa.select(table).where(key == self.workspace_id).order_by(*table.primary_key.columns)
                )
                content[table.name] = [dict(row) for row in found.mappings()]
        return content

    async def changes(self) -> list[dict[str, Any]]:
        """The workspace's log in order."""
        return sorted(await self.rows(Change), key=lambda row: row["revision"])

    async def viewer(self, person: Person | None = None) -> Viewer:
        """The viewer of a user, for calling services directly."""
        async with self.database.read() as session:
            principal = await auth.authenticate(session, self.application.state.settings, (person or self.admin).token)
        return principal.viewer


@contextlib.asynccontextmanager
async def running(database_url: str, **settings: Any) -> AsyncIterator[Starlette]:
    """An application with these settings. The visibility hook checks all of its statements."""
    settings = {"pool_size": POOL_SIZE, **settings}
    application = app.build(Settings(database_url=database_url, secret_key=SECRET, **settings))
    application.state.visibility_hook = VisibilityHook(application.state.database)
    for engine in application.state.database.engines:
        without_sync(engine)
    async with application.router.lifespan_context(application):
        yield application


async def build_world(application: Starlette, engine: AsyncEngine | None = None) -> World:
    """A new workspace with an admin. Without an engine, the world has its own."""
    workspace = {"id": f"ws_{auth.new_api_token()[4:30]}", "name": "Test"}
    shares_engine = engine is not None
    if engine is None:
        engine = create_async_engine(application.state.database.url, pool_size=1)
    async with engine.begin() as connection:
        await connection.execute(sa.insert(Workspace), [workspace])
        admin = await _add_person(connection, workspace["id"], Role.ADMIN, "Ada Admin", None, [], None)
    transport = httpx.ASGITransport(app=application)
    client = httpx.AsyncClient(transport=transport, base_url="http://crm.test")
    return World(application, workspace["id"], admin, client, engine, shares_engine)


async def _add_person(
    connection: Any,
    workspace_id: str,
    role: Role,
    name: str | None,
    manager: Person | None,
    above: list[tuple[str, int]],
    team_id: str | None,
) -> Person:
    person = Person(User.new_id(), auth.new_api_token(), role)
    user = {
        "workspace_id": workspace_id,
        "id": person.id,
        "name": name or f"{role} {person.id[-4:]}",
        "role": role,
        "manager_id": manager and manager.id,
        "team_id": team_id,
    }
    await connection.execute(sa.insert(User), [user])
    token = {"workspace_id": workspace_id, "id": ApiToken.new_id(), "user_id": person.id, "name": "test"}
    await connection.execute(sa.insert(ApiToken), [{**token, "token_hash": auth.digest(person.token)}])
    lines = [(person.id, 0), *above]
    rows = [{"workspace_id": workspace_id, "manager_id": m, "user_id": person.id, "depth": d} for m, d in lines]
    await connection.execute(sa.insert(ReportingLine), rows)
    if team_id is not None:
        place = {"workspace_id": workspace_id, "id": Membership.new_id(), "team_id": team_id, "user_id": person.id}
        await connection.execute(sa.insert(Membership), [place])
    return person
