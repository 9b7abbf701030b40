"""Files that a user names for an output: checked before anything is measured, and written whole or not at all."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.core.errors import UsageError
from harness.core.files import check_folder, write_atomically

REMEDY = "name a place that can be written"


def check_file(path: Path, *, where: str) -> None:
    """Make the folder of a file that is to be written, and prove that the file can be.

    `where` names the option. UsageError where it cannot: before the measuring, and not after it.
    """
    with _explained(path, where):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if _is_special(path):
            _require_permission(path)
            return
        target = path.resolve()
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            _require_permission(target)
        check_folder(target.parent)


def check_directory(path: Path, *, where: str) -> None:
    """Make a folder that is to be written into, and prove that it can be. UsageError where it cannot."""
    with _explained(path, where):
        path.mkdir(parents=True, exist_ok=True)
        check_folder(path)


def write_whole(path: Path, content: bytes, *, where: str) -> None:
    """Write a file so that it is there as a whole, or as it was before; its folder is made. UsageError where it fails.

    A pipe or a device gets the bytes as they are: it cannot be replaced.
    """
    with _explained(path, where):
        if _is_special(path):
            path.write_bytes(content)
            return
        target = path.resolve()
        if target.exists():
            _require_permission(target)
        write_atomically(target, content)


def append_whole(path: Path, content: bytes, *, where: str) -> None:
    """Add to the end of a file, or leave it as it is; its folder is made. UsageError where it fails."""
    with _explained(path, where):
        if not _is_special(path):
            path.resolve().parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab", buffering=0) as file:
            regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            before = file.seek(0, os.SEEK_END) if regular else 0
            try:
                rest = memoryview(content)
                while rest:
                    rest = rest[file.write(rest) :]
            except OSError:
                if regular:
                    file.truncate(before)
                raise


def _is_special(path: Path) -> bool:
    """A pipe, a device, or what stands for an open file of this process, such as /dev/stdout."""
    return path.exists() and (not path.is_file() or str(path.absolute()).startswith(("/dev/", "/proc/")))


def _require_permission(target: Path) -> None:
    """To replace a file takes no permission to write it: who made it read-only meant it."""
    if not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(target))


@contextmanager
def _explained(path: Path, where: str) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        if isinstance(error, FileExistsError | NotADirectoryError):
            reason = "a file stands where a folder is needed"
        raise UsageError(f"{path} cannot be written: {reason}", where=where, remedy=REMEDY) from error
