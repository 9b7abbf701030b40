"""The halves of a model and the statistics of its voices, made once and kept in the cache folder."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

from harness.core.cache_root import default_root
from harness.core.files import move_durably, replacing, write_atomically
from harness.core.subprocesses import command
from harness.engines.pooled.windows.cut import VERSION
from harness.engines.speech import EngineRefusal

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from harness.engines.pooled.windows.session import Statistics

FOLDER = "windows"
DIGITS = 32
"""Hexadecimal digits of a model's SHA-256 in the name of the folder of its halves."""
SIZES = "sizes.json"
"""The file beside the halves with the size (bytes) of each, written last."""
CUT_TIMEOUT_S = 300.0
UNUSED_S = 30 * 86_400
"""Halves, as large as their model, that no process has loaded for so long are removed when others are made.

Age alone decides: two revisions of this engine, side by side in a duel, would else remove each other's.
"""
_PACKAGE = str(Path(__file__).parents[3])


def halves_of(model: Path, digest: str) -> tuple[Path, Path]:
    """The halves of a model with this SHA-256, cut in a process of its own if they are not there yet. EngineRefusal."""
    from filelock import FileLock

    folder = default_root() / FOLDER / f"{digest[:DIGITS]}-{VERSION}"
    features, sound = halves = folder / "features.onnx", folder / "sound.onnx"
    # A lock needs a folder that can be written, and a cache may be read-only.
    if _are_whole(halves):
        with suppress(OSError):
            os.utime(folder)
        return halves
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "lock"):
            if not _are_whole(halves):
                parts = features.with_suffix(".part"), sound.with_suffix(".part")
                _remove_unused(folder)
                _cut(model, *parts)
                (folder / SIZES).unlink(missing_ok=True)
                sizes = {path.name: part.stat().st_size for part, path in zip(parts, halves, strict=True)}
                for part, path in zip(parts, halves, strict=True):
                    move_durably(part, path)
                write_atomically(folder / SIZES, json.dumps(sizes).encode())
    except OSError as error:
        if not all(each.exists() for each in halves):
            raise EngineRefusal(f"the model's halves cannot be kept in {folder}: {error.strerror or error}") from error
        if (folder / SIZES).exists():
            raise EngineRefusal(
                f"the model's halves in {folder} are damaged, and cannot be made again there: "
                f"{error.strerror or error}; remove the folder"
            ) from error
        # An earlier version made them, and has not noted their sizes.
    return halves


def _are_whole(halves: tuple[Path, ...]) -> bool:
    """Whether both files have the sizes that they were made with: a copy of a cache, or a crash, may cut one short."""
    try:
        sizes = json.loads((halves[0].parent / SIZES).read_text("utf-8"))
        return all(each.stat().st_size == sizes[each.name] for each in halves)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _remove_unused(but: Path) -> None:
    for folder in but.parent.iterdir():
        with suppress(OSError):  # another process removes it too
            if folder != but and time.time() - folder.stat().st_mtime > UNUSED_S:
                shutil.rmtree(folder)


def _cut(model: Path, features: Path, sound: Path) -> None:
    # Loading the graph takes several times its size, which would count as this process's peak memory.
    arguments = [str(model), str(features), str(sound)]
    line = command(sys.executable, _PACKAGE, "harness.engines.pooled.windows.make", arguments)
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=CUT_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise EngineRefusal(f"cutting the model in two took longer than {CUT_TIMEOUT_S:.0f} s") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise EngineRefusal(f"this model cannot be decoded in windows: {last[:300]}")


class Priors:
    """The statistics of voices by their styles, each computed once; those in `folder` outlast the process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, Statistics] = {}
        self._lock = threading.Lock()

    def get(self, style: "NDArray[np.float32]", compute: "Callable[[], Statistics]") -> "Statistics":
        """The statistics of the voice with this style, float32 [rows, 1, 256]."""
        import numpy as np

        key = hashlib.sha256(style.tobytes()).hexdigest()[:32]
        with self._lock:
            if key in self._known:
                return self._known[key]
            path = self._folder / f"voice-{key}.npz"
            try:
                with path.open("rb") as stored, np.load(stored) as kept:
                    found: Statistics = tuple(kept[f"arr_{place}"] for place in range(len(kept.files)))
            except (OSError, ValueError, KeyError, EOFError, BadZipFile):
                found = compute()
                with suppress(OSError), replacing(path, durable=False) as file:  # kept in memory all the same
                    np.savez(file, *found)
            self._known[key] = found
            return found
