"""The audio of runs: 16-bit FLAC files in a separate folder, kept for the newest runs only.

`<folder>/<run id>/<scenario>-<digest>.launch-<number>.flac`, launches counted from 1; the folder is `audio/` beside
the results database. `<folder>/<run id>/speech.json` holds what the audio was judged to be (`SpeechSheet`).
"""

import contextlib
import hashlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from harness.core.files import write_atomically
from harness.core.names import slug
from harness.core.record_files import read_record
from harness.core.records.speech import SpeechSheet

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

KEPT_RUNS = 30
"""The number of newest runs whose audio is kept. A run of the quick selection keeps about 4 MB."""
KEPT_LAUNCHES = 2
"""The number of launches whose first block is kept: two seeds, so that an original can be compared with itself.

Streamed audio and audio over HTTP is kept from the first launch only, to listen to it.
"""
SPEECH = "speech.json"
_READABLE = 120


def audio_path(folder: Path, run_id: str, *, scenario_id: str, launch: int) -> Path:
    """The path of the audio of a scenario's first measured repetition in a launch (counted from 0), if it was kept.

    The digest distinguishes ids that a file system would not, because it ignores case or limits length.
    """
    readable = slug(scenario_id.replace("/", "--"))[:_READABLE]
    digest = hashlib.sha256(scenario_id.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return folder / run_id / f"{readable}-{digest}.launch-{launch + 1}.flac"


def write_audio(path: Path, audio: "NDArray[np.float32]", sample_rate: int) -> None:
    """Write mono audio as 16-bit FLAC. Samples beyond full scale are clipped, as in a player. Raises OSError."""
    import soundfile

    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        soundfile.write(path, audio.clip(-1.0, 1.0), sample_rate, format="FLAC", subtype="PCM_16")
    except soundfile.SoundFileError as error:
        raise OSError(f"{path}: {error}") from error


def write_speech(folder: Path, run_id: str, sheet: SpeechSheet) -> None:
    """Keep what a run's audio was judged to be beside it. OSError where that cannot be written."""
    write_atomically(folder / run_id / SPEECH, msgspec.json.format(msgspec.json.encode(sheet)))


def read_speech(folder: Path, run_id: str) -> SpeechSheet | None:
    """What a run's audio was judged to be; None where nothing was kept, or nothing that this version can read."""
    return read_record(folder / run_id / SPEECH, SpeechSheet) if run_id else None


def delete_audio(folder: Path, run_id: str) -> None:
    """Delete the audio of a run, if there is any."""
    if run_id:
        shutil.rmtree(folder / run_id, ignore_errors=True)


def prune_audio(folder: Path, *, keep: int = KEPT_RUNS) -> None:
    """Delete the audio of all but the newest `keep` runs. Ids of runs begin with the time of their start."""
    with contextlib.suppress(OSError):
        runs = sorted((each.name for each in folder.iterdir() if each.is_dir()), reverse=True)
        for run_id in runs[keep:]:
            delete_audio(folder, run_id)
