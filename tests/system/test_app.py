"""The application as a whole."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from crm_graph import app, migrations
from crm_graph.settings import Settings


@pytest.mark.parametrize("introspection", [True, False])
async def test_the_schema_is_told_only_where_a_setting_says_so(tmp_path: Path, introspection: bool) -> None:
    settings = Settings(database_url=f"sqlite:///{tmp_path}/crm.db", introspection=introspection)
    transport = httpx.ASGITransport(app=app.build(settings))
    async with httpx.AsyncClient(transport=transport, base_url="http://crm.test") as client:
        response = await client.post("/graphql", json={"query": "{ __schema { queryType { name } } }"})

    answer = response.json()
    if introspection:
        assert answer == {"data": {"__schema": {"queryType": {"name": "Query"}}}}
    else:
        assert answer.keys() == {"errors"}
        assert [each["extensions"]["code"] for each in answer["errors"]] == ["BAD_USER_INPUT", "BAD_USER_INPUT"]


@pytest.mark.parametrize(("graphiql", "status"), [(True, 200), (False, 406)])
async def test_graphiql_is_served_only_where_a_setting_says_so(tmp_path: Path, graphiql: bool, status: int) -> None:
    settings = Settings(database_url=f"sqlite:///{tmp_path}/crm.db", graphiql=graphiql, demo_token="crm_</script>")
    transport = httpx.ASGITransport(app=app.build(settings))
    async with httpx.AsyncClient(transport=transport, base_url="http://crm.test") as client:
        response = await client.get("/graphql", headers={"Accept": "text/html"})

    assert response.status_code == status
    assert ("crm_\\u003c/script>" in response.text) is graphiql
    assert "crm_</script>" not in response.text


async def test_a_server_is_ready_without_the_broadcast_but_not_without_the_database(
    application: Starlette, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(*arguments: object, **options: object) -> None:
        await asyncio.Event().wait()

    transport = httpx.ASGITransport(app=application)
    async with httpx.AsyncClient(transport=transport, base_url="http://crm.test") as client:
        response = await client.get("/readyz")
        assert (response.status_code, response.json()) == (200, health("ok", "ok", "connected"))
        monkeypatch.setattr(application.state.changelog.notifier, "connected", False)
        response = await client.get("/readyz")
        assert (response.status_code, response.json()) == (200, health("degraded", "ok", "reconnecting"))
        monkeypatch.setattr(app, "READINESS_TIMEOUT_SECONDS", 0.05)
        monkeypatch.setattr(migrations, "require_current", hang)
        response = await client.get("/readyz")
        assert (response.status_code, response.json()) == (503, health("not ready", "not ready", "reconnecting"))


async def test_a_server_that_is_about_to_stop_is_not_ready(
    application: Starlette, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(application.state.service.connections, "draining", True)
    transport = httpx.ASGITransport(app=application)
    async with httpx.AsyncClient(transport=transport, base_url="http://crm.test") as client:
        response = await client.get("/readyz")
        alive = await client.get("/healthz")

    assert (response.status_code, response.json()) == (503, {"status": "stopping"})
    assert alive.status_code == 200


async def test_a_server_stays_ready_when_the_next_version_has_migrated(
    application: Starlette, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = httpx.ASGITransport(app=application)
    async with httpx.AsyncClient(transport=transport, base_url="http://crm.test") as client:
        monkeypatch.setattr(migrations, "newest", lambda: "0000")
        assert (await client.get("/readyz")).status_code == 200
        monkeypatch.setattr(migrations, "newest", lambda: "9999")
        assert (await client.get("/readyz")).status_code == 503


async def test_a_server_without_tables_is_not_ready(tmp_path: Path) -> None:
    settings = Settings(database_url=f"sqlite:///{tmp_path}/crm.db")
    transport = httpx.ASGITransport(app=app.build(settings))
    async with httpx.AsyncClient(transport=transport, base_url="http://crm.test") as client:
        response = await client.get("/readyz")

    assert (response.status_code, response.json()) == (503, health("not ready", "not ready", "reconnecting"))


def health(status: str, database: str, broadcast: str) -> dict[str, str]:
    return {"status": status, "database": database, "broadcast": broadcast}
