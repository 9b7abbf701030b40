"""A PostgreSQL server of the tests' own: Debian's programs, a folder that is thrown away, a free port on loopback."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

USER = "kokoro"


class NoServerError(Exception):
    """Why no server could be started."""


def programs() -> dict[str, str]:
    """Where initdb and pg_ctl are: on the path, or where Debian keeps them."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    found = {
        name: next((path for place in (None, *debian) if (path := shutil.which(name, path=place))), None)
        for name in ("initdb", "pg_ctl")
    }
    if missing := [name for name, path in found.items() if path is None]:
        raise NoServerError(f"no PostgreSQL here ({' and '.join(missing)} not found)")
    return {name: path for name, path in found.items() if path is not None}


@contextmanager
def server() -> Iterator[str]:
    """Start a server, yield the URL of an empty database, and end it. NoServerError where it cannot be."""
    found = programs()
    with tempfile.TemporaryDirectory(prefix="kokoro-postgres-", ignore_cleanup_errors=True) as folder:
        # PostgreSQL refuses to run as root.
        others = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        if others:
            shutil.chown(folder, "postgres")
        with _started(found, Path(folder) / "data", others) as url:
            yield url


@contextmanager
def _started(found: dict[str, str], data: Path, others: list[str]) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c fsync=off -c unix_socket_directories="
    _run([*others, found["initdb"], "-D", str(data), "-U", USER, "-A", "trust", "-E", "UTF8", "--no-locale", "-N"])
    _run([*others, found["pg_ctl"], "-D", str(data), "-w", "-l", str(data / "log"), "-o", options, "start"])
    try:
        yield f"postgresql://{USER}@127.0.0.1:{port}/postgres"
    finally:
        _run([*others, found["pg_ctl"], "-D", str(data), "-w", "-m", "immediate", "stop"])


def _run(command: list[str]) -> None:
    # The server inherits what it is given; a pipe would keep us waiting for it.
    quiet = subprocess.DEVNULL
    done = subprocess.run(command, stdin=quiet, stdout=quiet, stderr=quiet, cwd="/", check=False, timeout=120)
    if done.returncode:
        raise NoServerError(f"{' '.join(command[:6])} … ended with exit code {done.returncode}")
