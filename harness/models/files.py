"""A model's files and their digests."""

import contextlib
import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from harness.core.errors import ModelError
from harness.core.files import write_atomically
from harness.core.record_files import read_record
from harness.core.records.scenario import ModelVariant

Report = Callable[[str], None]
"""Receives a line about a slow step: a build, or a wait for another process."""

SETTLED_S = 2.0
"""If a file changed less than this (s) before it was hashed, it may change again with the same time stamp."""


def silent(message: str, /) -> None:
    """A `Report` that prints nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFiles:
    """A model variant and the two files that a worker opens."""

    variant: ModelVariant
    model_path: Path
    voices_path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class _Remembered:
    """A digest, with the file's size and time stamps when it was computed."""

    path: str
    size: int
    mtime_ns: int
    inode: int
    sha256: str


def sha256_of(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes, without a cache. Raises ModelError if the file cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise ModelError("no such file", where=str(path), remedy="check the path") from None
    except OSError as error:
        raise ModelError(
            f"cannot be read: {error.strerror or error}", where=str(path), remedy="check the path and its permissions"
        ) from None


def joined_digest(digests: list[str]) -> str:
    """The digest of a model with external weight files; for a single file its own digest."""
    return digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()


class Digests:
    """A cache of files' SHA-256 by path, size, time stamps and inode, so that runs do not hash 325 MB each time.

    There is one small cache file per path, so that processes do not overwrite each other's digests. If the folder is
    read-only, a file is hashed again the next time.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def of(self, path: Path) -> str:
        """The digest of `path`, from the cache if the file has not changed."""
        path = path.absolute()
        try:
            now = path.stat()
        except OSError:
            return sha256_of(path)
        known = self._recall(path)
        if known is not None and (known.size, known.mtime_ns, known.inode) == _identity(now):
            return known.sha256
        sha256 = sha256_of(path)
        if time.time_ns() - now.st_mtime_ns > SETTLED_S * 1e9:
            self.remember(path, sha256=sha256, seen=now)
        return sha256

    def remember(self, path: Path, *, sha256: str, seen: os.stat_result | None = None) -> None:
        """Store the digest of `path`. `seen` is its status when it was hashed (None: its current status)."""
        path = path.absolute()
        size, mtime_ns, inode = _identity(seen or path.stat())
        entry = _Remembered(path=str(path), size=size, mtime_ns=mtime_ns, inode=inode, sha256=sha256)
        with contextlib.suppress(OSError):
            write_atomically(self._file(path), msgspec.json.encode(entry))

    def _recall(self, path: Path) -> _Remembered | None:
        known = read_record(self._file(path), _Remembered)
        return known if known is not None and known.path == str(path) else None

    def _file(self, path: Path) -> Path:
        return self._folder / f"{hashlib.sha256(str(path).encode()).hexdigest()[:32]}.json"


def _identity(entry: os.stat_result) -> tuple[int, int, int]:
    return entry.st_size, entry.st_mtime_ns, entry.st_ino
