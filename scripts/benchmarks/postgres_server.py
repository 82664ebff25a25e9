"""A PostgreSQL server of its own: a new folder, a free port, and gone at the end."""

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

USER = "postgres"  # whom to be where this runs as root, which PostgreSQL refuses to be run by
MEMORY = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20  # of this machine, in MB
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "300",  # of several servers with pools of their own
    "unix_socket_directories": "",
    "shared_buffers": f"{MEMORY // 4}MB",  # as a database server has it, not the default for any machine
    "effective_cache_size": f"{MEMORY // 2}MB",
    "max_wal_size": "8GB",  # no checkpoint amid the measuring
    "random_page_cost": "1.1",  # no disk turns any more
    "jit": "off",  # for everybody: to compile a statement takes longer than to run any of these
}


@contextlib.contextmanager
def cluster() -> Iterator[str]:
    """The URL of a PostgreSQL server that the bench has for itself."""
    programs = _programs()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # told to end, it still stops what it started
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
    """The folder of the newest PostgreSQL that is installed; Debian has it on no PATH."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda found: int(found.parts[-3]))
    found = str(debian[-1]) if debian else shutil.which("initdb")
    if found is None:
        raise SystemExit("reads: PostgreSQL is not installed (Debian: postgresql). Install it, or name a --database.")
    return Path(found).parent


def _run(command: Sequence[str | Path]) -> None:
    # A program that stays must not hold this one's pipes.
    with tempfile.TemporaryFile() as printed:
        other = {"user": USER, "group": USER, "extra_groups": []} if os.geteuid() == 0 else {}
        done = subprocess.run(command, stdout=printed, stderr=printed, stdin=subprocess.DEVNULL, cwd="/", **other)
        if done.returncode:
            printed.seek(0)
            raise RuntimeError(f"{Path(command[0]).name} failed: {printed.read().decode(errors='replace')}")
