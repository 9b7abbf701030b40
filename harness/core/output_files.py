"""Output files that a user names: checked before the measurement, and written completely or not at all."""

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import combinations
from pathlib import Path

from harness.core.errors import UsageError
from harness.core.files import check_folder, write_atomically

REMEDY = "name a place that can be written"


OWN_FILE = "give each a file of its own"


def check_distinct(files: Mapping[str, Path], *, pages: tuple[str, Path] | None = None) -> None:
    """Refuse outputs of which one would replace another. `files` are by the names of their options.

    `pages` are the option and the folder of a report. Its pages are HTML files. A pipe and a device may be named twice,
    because they are written to and not replaced. Raises UsageError, and then nothing is made.
    """
    for (option, path), (other, second) in combinations(files.items(), 2):
        if _is_same(path, second):
            raise UsageError(f"the same file as {other}, {path}", where=option, remedy=OWN_FILE)
    if pages is None:
        return
    folder_option, folder = pages
    for option, path in files.items():
        if _is_same(path, folder):
            raise UsageError(f"the same place as {folder_option}, {path}", where=option, remedy=OWN_FILE)
        if path.suffix == ".html" and any(_is_same(parent, folder) for parent in _resolved(path).parents):
            raise UsageError(
                f"{path} may be a page of the report in {folder}, which {folder_option} names",
                where=option,
                remedy="name a file outside of that folder",
            )


def is_same_file(path: Path, other: Path) -> bool:
    """Whether two paths name one file, however they are written and whether or not it exists."""
    with suppress(OSError):
        return path.samefile(other)
    return _resolved(path) == _resolved(other)


def _is_same(path: Path, other: Path) -> bool:
    return not _is_special(path) and is_same_file(path, other)


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # a loop of links, which `check_file` explains
        return path.absolute()


def check_file(path: Path, *, where: str) -> None:
    """Make the folder of an output file, and check that the file can be written.

    `where` names the option. Raises UsageError, before the measurement and not after it.
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
    """Make an output folder, and check that files can be written into it. Raises UsageError."""
    with _explained(path, where):
        path.mkdir(parents=True, exist_ok=True)
        check_folder(path)


def write_whole(path: Path, content: bytes, *, where: str) -> None:
    """Write a file atomically; its folder is made. Raises UsageError, and then the file is unchanged.

    A pipe or a device cannot be replaced, so the bytes are written to it directly.
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
    """Append to a file; its folder is made. Raises UsageError, and then the file is unchanged."""
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
    """Whether a path is a pipe, a device, or an open file of this process, such as /dev/stdout."""
    return path.exists() and (not path.is_file() or str(path.absolute()).startswith(("/dev/", "/proc/")))


def _require_permission(target: Path) -> None:
    """Raise an error for a read-only file. Replacing a file would not need permission to write to it."""
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
