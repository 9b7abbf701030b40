"""The halves of a model and the statistics of its voices, made once and kept in the cache folder."""

import hashlib
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
from harness.core.files import move_durably, replacing
from harness.core.subprocesses import command
from harness.engines.pooled.windows.cut import VERSION
from harness.engines.speech import EngineRefusal

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from harness.engines.pooled.windows.session import Statistics

FOLDER = "windows"
CUT_TIMEOUT_S = 300.0
UNUSED_S = 30 * 86_400
"""Halves, as large as their model, that no process has loaded for so long are removed when others are made.

Age alone decides: two revisions of this engine, side by side in a duel, would else remove each other's.
"""
_PACKAGE = str(Path(__file__).parents[3])


def halves_of(model: Path, digest: str) -> tuple[Path, Path]:
    """The halves of a model with this SHA-256, cut in a process of its own if they are not there yet. EngineRefusal."""
    from filelock import FileLock

    folder = default_root() / FOLDER / f"{digest[:32]}-{VERSION}"
    features, sound = halves = folder / "features.onnx", folder / "sound.onnx"
    # Each is whole where it is. A lock needs a folder that can be written, and a cache may be read-only.
    if all(each.exists() for each in halves):
        with suppress(OSError):
            os.utime(folder)
        return halves
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "lock"):
            if not all(each.exists() for each in halves):
                parts = features.with_suffix(".part"), sound.with_suffix(".part")
                _remove_unused(folder)
                _cut(model, *parts)
                for part, path in zip(parts, halves, strict=True):
                    move_durably(part, path)
    except OSError as error:
        raise EngineRefusal(f"the model's halves cannot be kept in {folder}: {error.strerror or error}") from error
    return halves


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
