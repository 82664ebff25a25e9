"""Every setting, read once from CRM_GRAPH_* variables."""

from __future__ import annotations

import dataclasses
import enum
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import urlsplit

from crm_graph.errors import ConfigurationError

PREFIX = "CRM_GRAPH_"
WEAK_SECRETS = {"secret", "changeme", "password"}
MIN_SECRET_BYTES = 32
MIN_SECRET_CHARACTERS = 10  # different ones

log = logging.getLogger(__name__)


class PersistedQueries(enum.Enum):
    """Persisted queries are refused, accepted beside plain queries, or required."""

    OFF = "off"
    ON = "on"
    ONLY = "only"


def _or_none(default: int) -> int:
    """A number that may be 0, which turns it off."""
    return field(default=default, metadata={"minimum": 0})


def _one_of(*values: str) -> str:
    """One of `values`. The first is the default."""
    return field(default=values[0], metadata={"values": values})


def _renamed(default: int, old_name: str) -> int:
    """A number that is still read from the variable it had in the last release."""
    return field(default=default, metadata={"old_name": PREFIX + old_name})


@dataclass(frozen=True)
class Settings:
    """docs/operators/settings.md describes each one."""

    database_url: str = "sqlite+aiosqlite:///crm.db"
    broadcast_url: str = "memory://"
    secret_key: str = field(default="", repr=False)
    access_token_minutes: int = 15
    refresh_token_days: int = 30
    session_days: int = 90
    sign_in_attempts: int = _renamed(10, "SIGN_IN_TRIES")
    retention_days: int = 30
    operations_per_socket: int = _renamed(100, "SOCKET_OPERATIONS")
    user_operations: int = 1000
    socket_message_bytes: int = 1_000_000
    body_bytes: int = 1_000_000
    batch_operations: int = 0
    operation_cost: int = _or_none(25_000)
    cost_available: int = _or_none(200_000)
    cost_refill_per_second: int = _renamed(10_000, "COST_RESTORED")
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
        """Raises ConfigurationError on a value of the wrong type, and on a setting with both its old and new name."""
        environ = os.environ if environ is None else environ
        values: dict[str, object] = {}
        for setting in dataclasses.fields(cls):
            name, old_name = _variable(setting), setting.metadata.get("old_name", "")
            if name in environ and old_name in environ:
                raise ConfigurationError(f"{old_name} is the old name of {name}, and both are set. Unset {old_name}.")
            for each in (name, old_name):
                if each in environ:
                    values[setting.name] = _parse(each, environ[each], setting)
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
        """Raises ConfigurationError where the signing secret is missing or could be guessed."""
        secret = self.secret_key
        if (
            len(secret.encode()) < MIN_SECRET_BYTES
            or secret.lower() in WEAK_SECRETS
            or len(set(secret)) < MIN_SECRET_CHARACTERS
        ):
            state = "is not set" if not secret else "is too weak"
            raise ConfigurationError(
                f"CRM_GRAPH_SECRET_KEY {state}. Set it to at least {MIN_SECRET_BYTES} random characters, for example: "
                'export CRM_GRAPH_SECRET_KEY="$(python3 -c "import secrets; print(secrets.token_urlsafe(48))")"'
            )

    def check_workers(self, workers: int) -> None:
        """Raises ConfigurationError if a setting does not work with several worker processes."""
        if workers > 1 and self.broadcast_url.startswith("memory:"):
            raise ConfigurationError(
                f"{workers} workers cannot share a broadcast in memory. Set CRM_GRAPH_BROADCAST_URL to "
                "redis://127.0.0.1:6379, or start one worker."
            )
        if workers > 1 and self.metrics:
            raise ConfigurationError(
                f"CRM_GRAPH_METRICS needs one process per port, and {workers} workers share one. Start {workers} "
                "servers with one worker each, on different ports."
            )


def warn_about_old_names(environ: Mapping[str, str] | None = None) -> None:
    """Log a warning for each variable that is set by its old name."""
    environ = os.environ if environ is None else environ
    for setting in dataclasses.fields(Settings):
        old_name = setting.metadata.get("old_name", "")
        if old_name in environ:
            log.warning("%s is now %s. The next release ignores the old name.", old_name, _variable(setting))


def _variable(setting: dataclasses.Field[object]) -> str:
    return PREFIX + setting.name.upper()


def _parse(name: str, text: str, setting: dataclasses.Field[object]) -> object:
    """The text as the type of the setting's default."""
    default = setting.default
    if isinstance(default, bool):
        if text.lower() not in {"0", "1", "true", "false", "yes", "no", "on", "off"}:
            raise ConfigurationError(f"{name} is {text!r}. Set it to 1 or 0.")
        return text.lower() in {"1", "true", "yes", "on"}
    if isinstance(default, int):
        minimum = setting.metadata.get("minimum", min(default, 1))
        if not text.isascii() or not text.isdigit() or int(text) < minimum:
            raise ConfigurationError(f"{name} is {text!r}. Set it to a whole number of at least {minimum}.")
        return int(text)
    if isinstance(default, enum.Enum):
        choices = {each.value: each for each in type(default)}
        if text.lower() not in choices:
            raise ConfigurationError(f"{name} is {text!r}. Set it to one of {', '.join(choices)}.")
        return choices[text.lower()]
    if isinstance(default, tuple):
        return tuple(_origin(name, each) for each in text.replace(",", " ").split())
    values = setting.metadata.get("values")
    if values and text not in values:
        raise ConfigurationError(f"{name} is {text!r}. Set it to {' or '.join(values)}.")
    return text


def _origin(name: str, text: str) -> str:
    """An origin as browsers send it: scheme, host and port, without a path."""
    try:
        parts = urlsplit(text)
        bare = text == f"{parts.scheme}://{parts.netloc}" and parts.username is None and parts.port != 0
        whole = bare and parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        whole = False
    if not whole:
        raise ConfigurationError(
            f"{name} has {text!r}. Write origins such as https://crm.example, with commas between."
        )
    return text
