"""A temporary folder for each command, which all of its processes use, and which is removed when it ends.

Phonemizer copies espeak-ng's library into the temporary folder, and a worker that is killed leaves the copy behind. So
do other libraries. The next command removes the folders of commands that were killed.

A lock beside the folder, which the operating system releases with the last process that holds it, says that the folder
is in use. The command and its workers hold it.
"""

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, which does not remove the files of loaded libraries either
    fcntl = None  # type: ignore[assignment]

PREFIX = "kokoro-bench-tmp-"
_LOCK = ".lock"
_VARIABLES = ("TMPDIR", "TEMP", "TMP")
_held: list[int] = []


class _Process:
    """What lives as long as this process."""


_PROCESS = _Process()


def descriptors() -> tuple[int, ...]:
    """The descriptors that a process must inherit so that this command's folder counts as used while it runs."""
    return tuple(_held)


def shared_folder() -> Path:
    """The temporary folder that outlasts this command, also for a command that another one has started."""
    found = Path(tempfile.gettempdir())
    return found.parent if found.name.startswith(PREFIX) else found


@contextmanager
def own_temporary_folder() -> Iterator[None]:
    """Use a temporary folder of this command's own, after those of dead commands are removed.

    Where none can be made, such as on a full disk, the shared one is used.
    """
    before = {name: os.environ.get(name) for name in _VARIABLES}, tempfile.tempdir
    if fcntl is not None:
        with suppress(OSError):
            shared = shared_folder()
            _remove_dead(shared)
            lock, folder = _claim(shared)
            folder.mkdir(mode=0o700)
            tempfile.tempdir = str(folder)
            os.environ.update(dict.fromkeys(_VARIABLES, tempfile.tempdir))
            _held.append(lock)
            # At the end of the process, because libraries remove what they have there in finalizers, which run in the
            # opposite order of their making: this one is the first.
            weakref.finalize(_PROCESS, _remove_own, lock, folder, os.getpid())
    try:
        yield
    finally:
        variables, tempfile.tempdir = before
        for name, value in variables.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        _held.clear()


def _claim(shared: Path) -> tuple[int, Path]:
    """A locked file with a new name, and the folder that it stands for, which is still to be made."""
    while True:
        lock, name = tempfile.mkstemp(prefix=PREFIX, suffix=_LOCK, dir=shared)
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Another command may have found it before it was locked, and removed it.
        if Path(name).exists():
            return lock, Path(name.removesuffix(_LOCK))
        os.close(lock)


def _remove_dead(shared: Path) -> None:
    """Remove the folders of this user's commands of which no process is left."""
    for file in shared.glob(f"{PREFIX}*{_LOCK}"):
        with suppress(OSError):
            if file.lstat().st_uid != os.getuid():
                continue
            lock = os.open(file, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(lock)
                continue
            _remove(lock, Path(str(file).removesuffix(_LOCK)))


def _remove_own(lock: int, folder: Path, owner: int) -> None:
    """Remove the folder of this process; a fork of it has inherited the finalizer, and does nothing."""
    if os.getpid() == owner:
        _remove(lock, folder)


def _remove(lock: int, folder: Path) -> None:
    """Remove a folder and its lock, which is held, and release it."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.with_name(folder.name + _LOCK).unlink(missing_ok=True)
    finally:
        os.close(lock)
