"""A PostgreSQL server of the tests' own: Debian's programs, a folder that is thrown away, a free port on loopback."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
        user = _somebody() if os.geteuid() == 0 else None
        if user:
            shutil.chown(folder, user)
        with _started(found, Path(folder) / "data", user) as url:
            yield url


@contextmanager
def _started(found: dict[str, str], data: Path, user: str | None) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c fsync=off -c unix_socket_directories="
    made = ["-U", USER, "-A", "trust", "-E", "UTF8", "--no-locale", "-N"]
    _run([found["initdb"], "-D", str(data), *made], user)
    _run([found["pg_ctl"], "-D", str(data), "-w", "-l", str(data / "log"), "-o", options, "start"], user)
    try:
        yield f"postgresql://{USER}@127.0.0.1:{port}/postgres"
    finally:
        _run([found["pg_ctl"], "-D", str(data), "-w", "-m", "immediate", "stop"], user)


def _somebody() -> str:
    """A user of this machine who is not root: PostgreSQL's own where Debian made one."""
    import pwd

    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise NoServerError("no user postgres or nobody to run PostgreSQL as")


def _run(command: list[str], user: str | None) -> None:
    # The server inherits what it is given; a pipe would keep us waiting for it.
    quiet = subprocess.DEVNULL
    try:
        done = subprocess.run(
            command, stdin=quiet, stdout=quiet, stderr=quiet, cwd="/", check=False, timeout=120, user=user
        )
    except OSError as error:
        raise NoServerError(f"{command[0]} cannot be run as {user or 'this user'}: {error.strerror}") from error
    if done.returncode:
        raise NoServerError(f"{' '.join(command[:6])} … ended with exit code {done.returncode}")
