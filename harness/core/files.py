"""Files written as a whole: a reader, a kill or a power cut finds the new content or the one before, never half."""

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO


def write_atomically(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write one file; its folder is made. OSError where it fails, and then the file is as before.

    `durable` waits until the bytes are on the disk, so that a power cut cannot empty a file that was there.
    """
    write_all({path: content}, durable=durable)


def write_all(contents: Mapping[Path, bytes], *, durable: bool = True) -> None:
    """Write several files: all beside their places first, then each into its place, so that a full disk changes none.

    Their folders are made. OSError where it fails; `durable` is as for `write_atomically`.
    """
    with ExitStack() as cleaning:
        parts: dict[Path, Path] = {}
        for path, content in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            parts[path] = _part(path)
            cleaning.callback(parts[path].unlink, missing_ok=True)
            with parts[path].open("xb") as file:
                file.write(content)
                _finish(file, durable=durable)
        for path, part in parts.items():
            _put(part, path)


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[IO[bytes]]:
    """A file to write piece by piece; it takes the name `path` when all is well, and is removed otherwise."""
    part = _part(path)
    try:
        with part.open("xb") as file:
            yield file
            _finish(file, durable=durable)
        _put(part, path)
    finally:
        part.unlink(missing_ok=True)


def append_whole(path: Path, content: bytes, *, durable: bool = False) -> None:
    """Append all of `content` to a file, or nothing of it. OSError where it fails, such as on a full disk.

    `durable` waits until the bytes are on the disk.
    """
    with path.open("ab", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        try:
            if file.write(content) != len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            file.truncate(size)
            raise
        if durable:
            os.fsync(file.fileno())


def check_folder(folder: Path) -> None:
    """Prove that a file can be written into `folder`. OSError where it cannot, such as on a full disk."""
    part = _part(folder / "check")
    try:
        with part.open("xb") as file:
            file.write(b"\n")
    finally:
        part.unlink(missing_ok=True)


def move_durably(source: Path, target: Path) -> None:
    """Give a finished file its name: its bytes reach the disk before its name does."""
    with source.open("rb+") as file:
        os.fsync(file.fileno())
    source.replace(target)
    if os.name == "posix":
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.urandom(4).hex()}.part")


def _finish(file: IO[bytes], *, durable: bool) -> None:
    file.flush()
    if durable:
        os.fsync(file.fileno())


def _put(part: Path, target: Path) -> None:
    if target.exists():
        part.chmod(stat.S_IMODE(target.stat().st_mode))
    try:
        part.replace(target)
    except OSError as error:
        if error.errno not in (errno.EBUSY, errno.EXDEV):
            raise
        target.write_bytes(part.read_bytes())  # a single file mounted into a container can only be filled
