"""Voices from elsewhere than the release: each array's digest is checked, and the file is written anew from them.

Written by NumPy in the order of the voices' names, the 54 arrays of the npm archive make the published voices file,
byte for byte; that is checked by its digest and not presumed.
"""

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from harness.core.errors import ModelError
from harness.models.files import sha256_of
from harness.models.public import PackagedFile, VoiceArchive
from harness.models.voices import ROWS, STYLE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Voices = Mapping[str, NDArray[np.float32]]
    """Voice → its array, [510, 1, 256]."""

NPM_TIMEOUT_S = 300.0
NPM_OPTIONS = ("--fetch-retries=0", "--fetch-timeout=60000", "--loglevel=error")
"""npm's own retries take 70 s where no registry can be reached."""
NPM_REMEDY = "install npm, or check the registry that it uses here"


def voice_digests() -> Mapping[str, str]:
    """Voice → SHA-256 (hex) of its published array: float32, little-endian, [510, 1, 256]."""
    text = files("harness.models").joinpath("voice_digests.txt").read_text(encoding="ascii")
    return dict(line.split() for line in text.splitlines())


def voices_by_npm(archive: VoiceArchive, folder: Path) -> "Voices":
    """All voices of the npm package. Raises ModelError with npm's reason, or if the archive is not the pinned one."""
    import numpy as np

    what = f"{archive.package} {archive.version}"
    packed = _packed(archive, folder)
    sha256 = sha256_of(packed)
    if sha256 != archive.sha256:
        packed.unlink()
        raise ModelError(
            f"the archive has the SHA-256 {sha256[:12]}… and should have {archive.sha256[:12]}…",
            where=what,
            remedy=NPM_REMEDY,
        )
    found = {}
    with tarfile.open(packed) as tar:
        for member in tar:
            path = Path(member.name)
            if path.parent.as_posix() == archive.folder and path.suffix == ".bin" and (file := tar.extractfile(member)):
                values = np.frombuffer(file.read(), dtype="<f4")
                if values.size == ROWS * STYLE[0] * STYLE[1]:
                    found[path.stem] = values.reshape(ROWS, *STYLE)
    return _checked(found, where=what)


def voices_in_package(file: Path, source: PackagedFile) -> "Voices":
    """The voices of an npz archive from a package. ModelError for one that is not as published."""
    import numpy as np

    try:
        with np.load(file) as archive:
            found = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ModelError(f"{source.path} is no archive of voices: {error}", where=source.package) from error
    return _checked(found, where=source.package)


def write_voices(voices: "Voices", target: Path) -> str:
    """Write a voices file and return its SHA-256 (hex). The same voices give the same bytes."""
    import numpy as np

    buffer = io.BytesIO()
    np.savez(buffer, **{name: voices[name] for name in sorted(voices)})  # type: ignore[arg-type]  # allow_pickle's stub
    content = buffer.getvalue()
    target.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def _packed(archive: VoiceArchive, folder: Path) -> Path:
    what = f"{archive.package} {archive.version}"
    npm = shutil.which("npm")
    if npm is None:
        raise ModelError("npm is not installed", where=what, remedy=NPM_REMEDY)
    folder.mkdir(parents=True, exist_ok=True)
    command = [npm, "pack", f"{archive.package}@{archive.version}", "--json", "--ignore-scripts"]
    command += ["--cache", str(folder / "npm"), *NPM_OPTIONS]
    try:
        done = subprocess.run(
            [*command, "--pack-destination", str(folder)],
            cwd=folder,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=NPM_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ModelError(f"npm cannot be run: {error}", where=what, remedy=NPM_REMEDY) from error
    if done.returncode:
        raise ModelError(f"npm fails: {_reason(done.stderr)}", where=what, remedy=NPM_REMEDY)
    try:
        packed = folder / Path(json.loads(done.stdout)[0]["filename"]).name
    except (ValueError, LookupError, TypeError) as error:
        raise ModelError("npm did not say which file it wrote", where=what, remedy=NPM_REMEDY) from error
    if not packed.is_file():
        raise ModelError(f"npm did not write {packed.name}", where=what, remedy=NPM_REMEDY)
    return packed


def _reason(log: str) -> str:
    """The sentence of npm's error: it follows lines of codes, and advice and the place of a log come after it."""
    lines = [line for text in log.splitlines() if (line := text.strip())]
    ours = [line.removeprefix("npm error").removeprefix("npm ERR!").strip() for line in lines]
    sentences = [line for line in ours if line and not line.startswith(("code ", "syscall ", "errno "))]
    return sentences[0] if sentences else "it gives no reason"


def _checked(voices: "Voices", *, where: str) -> "Voices":
    """The voices, if there are some and each is as published."""
    known = voice_digests()
    wrong = [
        name
        for name, values in voices.items()
        if values.dtype != "<f4" or hashlib.sha256(values.tobytes()).hexdigest() != known.get(name)
    ]
    if wrong or not voices:
        what = f"the voices {', '.join(sorted(wrong))} are not as published" if wrong else "there is no voice in it"
        raise ModelError(what, where=where, remedy="try another source: --from release, index or npm")
    return voices
