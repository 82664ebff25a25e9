"""A temporary PostgreSQL server for a bench, in a new folder and on a free port."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from common import free_port

USER = "postgres"  # runs the server if this process is root's, which PostgreSQL refuses
MEMORY = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20  # of this machine, in MB
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "300",  # several servers, each with its pool
    "unix_socket_directories": "",
    "shared_buffers": f"{MEMORY // 4}MB",  # usual on a database server; the default is for any machine
    "effective_cache_size": f"{MEMORY // 2}MB",
    "max_wal_size": "8GB",  # no checkpoint while measuring
    "random_page_cost": "1.1",  # for an SSD
    "jit": "off",  # as crm-graph sets it for its own connections
}


@contextlib.contextmanager
def postgres_server() -> Iterator[str]:
    """Yield the URL of a new PostgreSQL server, and remove it at the end."""
    programs = _programs()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stop the server on SIGTERM, too
    with tempfile.TemporaryDirectory(prefix="crm-graph-postgres-") as parent:
        folder, port = Path(parent) / "data", free_port()
        if os.geteuid() == 0:
            owner = pwd.getpwnam(USER)
            os.chown(parent, owner.pw_uid, owner.pw_gid)
        _run([programs / "initdb", "-D", folder, "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"])
        settings = " ".join(f"-c {name}={value!r}" for name, value in {**SETTINGS, "port": port}.items())
        control = [programs / "pg_ctl", "-D", folder, "-w"]
        _run([*control, "-l", folder / "log", "-o", settings, "start"])
        try:
            yield f"postgresql://{USER}@127.0.0.1:{port}/{USER}"
        finally:
            _run([*control, "-m", "immediate", "stop"])


def _programs() -> Path:
    """Folder of the newest installed PostgreSQL. Debian does not put it on the PATH."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda found: int(found.parts[-3]))
    found = str(debian[-1]) if debian else shutil.which("initdb")
    if found is None:
        raise SystemExit("bench: PostgreSQL is not installed. Install it (Debian: postgresql), or pass --database URL.")
    return Path(found).parent


def _run(command: Sequence[str | Path]) -> None:
    # Not a pipe: the server would keep it open.
    with tempfile.TemporaryFile() as printed:
        other = {"user": USER, "group": USER, "extra_groups": []} if os.geteuid() == 0 else {}
        done = subprocess.run(command, stdout=printed, stderr=printed, stdin=subprocess.DEVNULL, cwd="/", **other)
        if done.returncode:
            printed.seek(0)
            raise RuntimeError(f"{Path(command[0]).name} failed: {printed.read().decode(errors='replace')}")
