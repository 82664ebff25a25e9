"""Every setting, read once from CRM_GRAPH_* variables."""

from __future__ import annotations

import dataclasses
import enum
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import urlsplit

from crm_graph.errors import RefusedToStart

WEAK_SECRETS = {"secret", "changeme", "password"}
SECRET_BYTES = 32


class PersistedQueries(enum.Enum):
    """Whether clients may name documents by ids, and whether they may do anything else."""

    OFF = "off"
    ON = "on"
    ONLY = "only"


def _or_none(default: int) -> int:
    """A number that may be 0, for none."""
    return field(default=default, metadata={"least": 0})


def _one_of(*values: str) -> str:
    """One of some texts, by default the first."""
    return field(default=values[0], metadata={"values": values})


@dataclass(frozen=True)
class Settings:
    """The README's configuration table describes each one."""

    database_url: str = "sqlite+aiosqlite:///crm.db"
    broadcast_url: str = "memory://"
    secret_key: str = field(default="", repr=False)
    access_token_minutes: int = 15
    refresh_token_days: int = 30
    session_days: int = 90
    sign_in_tries: int = 10
    retention_days: int = 30
    socket_operations: int = 100
    user_operations: int = 1000
    socket_message_bytes: int = 1_000_000
    body_bytes: int = 1_000_000
    batch_operations: int = 0
    operation_cost: int = _or_none(25_000)
    cost_available: int = _or_none(200_000)
    cost_restored: int = 10_000
    query_seconds: int = _or_none(30)
    running_operations: int = 50
    waiting_operations: int = _or_none(500)
    persisted_queries: PersistedQueries = PersistedQueries.ON
    get_queries: bool = False
    get_without_header: bool = False
    origins: tuple[str, ...] = ()
    pool_size: int = 10
    compiled: bool = True
    explain: bool = False
    phone_region: str = "US"
    log_format: str = _one_of("text", "json")
    metrics: bool = False
    tracing: bool = False
    drain_seconds: int = _or_none(0)
    graphiql: bool = False
    introspection: bool = False
    federation: bool = False
    demo_token: str = field(default="", repr=False)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Raises RefusedToStart on a number or a switch that is none."""
        environ = os.environ if environ is None else environ
        values: dict[str, object] = {}
        for setting in dataclasses.fields(cls):
            name = f"CRM_GRAPH_{setting.name.upper()}"
            if name in environ:
                values[setting.name] = _parse(name, environ[name], setting)
        return cls(**values)  # type: ignore[arg-type]  # each value has its default's type

    @property
    def access_token_life(self) -> timedelta:
        return timedelta(minutes=self.access_token_minutes)

    @property
    def refresh_token_life(self) -> timedelta:
        return timedelta(days=self.refresh_token_days)

    @property
    def session_life(self) -> timedelta:
        return timedelta(days=self.session_days)

    @property
    def retention(self) -> timedelta:
        return timedelta(days=self.retention_days)

    def check_secret(self) -> None:
        """Raises RefusedToStart where the signing secret is missing or could be guessed."""
        secret = self.secret_key
        if len(secret.encode()) < SECRET_BYTES or secret.lower() in WEAK_SECRETS or len(set(secret)) < 10:
            state = "is not set" if not secret else "is too weak"
            raise RefusedToStart(
                f"CRM_GRAPH_SECRET_KEY {state}. Set it to at least {SECRET_BYTES} random characters, for example: "
                'export CRM_GRAPH_SECRET_KEY="$(python3 -c "import secrets; print(secrets.token_urlsafe(48))")"'
            )

    def check_workers(self, workers: int) -> None:
        """Raises RefusedToStart where several processes would not hear of each other's changes."""
        if workers > 1 and self.broadcast_url.startswith("memory:"):
            raise RefusedToStart(
                f"{workers} workers cannot share a broadcast in memory. Set CRM_GRAPH_BROADCAST_URL to "
                "redis://127.0.0.1:6379, or start one worker."
            )
        if workers > 1 and self.metrics:
            raise RefusedToStart(
                f"{workers} workers at one port cannot be told apart by who reads CRM_GRAPH_METRICS. Start as many "
                "servers of one worker each, at ports of their own."
            )


def _parse(name: str, text: str, setting: dataclasses.Field[object]) -> object:
    """A value of the type that the setting's default has."""
    default = setting.default
    if isinstance(default, bool):
        if text.lower() not in {"0", "1", "true", "false", "yes", "no", "on", "off"}:
            raise RefusedToStart(f"{name} is {text!r}. Set it to 1 or 0.")
        return text.lower() in {"1", "true", "yes", "on"}
    if isinstance(default, int):
        least = setting.metadata.get("least", min(default, 1))
        if not text.isascii() or not text.isdigit() or int(text) < least:
            raise RefusedToStart(f"{name} is {text!r}. Set it to a whole number of at least {least}.")
        return int(text)
    if isinstance(default, enum.Enum):
        choices = {each.value: each for each in type(default)}
        if text.lower() not in choices:
            raise RefusedToStart(f"{name} is {text!r}. Set it to one of {', '.join(choices)}.")
        return choices[text.lower()]
    if isinstance(default, tuple):
        return tuple(_origin(name, each) for each in text.replace(",", " ").split())
    values = setting.metadata.get("values")
    if values and text not in values:
        raise RefusedToStart(f"{name} is {text!r}. Set it to {' or '.join(values)}.")
    return text


def _origin(name: str, text: str) -> str:
    """An origin as browsers send it."""
    try:
        parts = urlsplit(text)
        bare = text == f"{parts.scheme}://{parts.netloc}" and parts.username is None and parts.port != 0
        whole = bare and parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        whole = False
    if not whole:
        raise RefusedToStart(f"{name} has {text!r}. Write origins such as https://crm.example, with commas between.")
    return text
