"""The recordings that pages play and draw, embedded as data URLs at one loudness."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from harness.core.records.value import Reading, unknown
from harness.store.audio import audio_path
from reports.text.format import NARROW, number
from reports.views.loudness import TARGET_LUFS, Level, gain_words, matched, with_gain
from reports.views.speech import Speech

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Signal: TypeAlias = NDArray[np.float64]

LARGEST = 1_200_000
"""The most bytes of a recording in a page, so that a page stays below 3 MB."""


@dataclass(frozen=True, kw_only=True)
class Recording:
    """A stored file, and its samples (mono, full scale 1). Launches are counted from 0."""

    scenario_id: str
    launch: int
    content: bytes
    samples: "Signal"
    rate: int

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate

    @cached_property
    def bands(self) -> "Signal":
        """The power of each mel band, shape (frames, 40), for the spectrogram and for the difference."""
        from harness.metrics.audio.spectra import mel_powers, power_spectra

        return mel_powers(power_spectra(self.samples, self.rate), self.rate)


def read_recording(
    folder: Path, run_id: str, *, scenario_id: str, launch: int, largest: int = LARGEST
) -> Recording | None:
    """A scenario's recording of a launch; None if it is missing, damaged, or larger than `largest` bytes."""
    import soundfile

    try:
        content = audio_path(folder, run_id, scenario_id=scenario_id, launch=launch).read_bytes()
        if len(content) > largest:
            return None
        samples, rate = soundfile.read(io.BytesIO(content), dtype="float64")
    except (OSError, soundfile.SoundFileError):
        return None
    if samples.ndim != 1 or not len(samples):
        return None
    return Recording(scenario_id=scenario_id, launch=launch, content=content, samples=samples, rate=rate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sounding:
    """The sound of a player as a data URL, and its gain in words, "" if its level is unknown."""

    source: str
    gain: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelledPlayers:
    """Players in the order of their recordings. `level` is a sentence on their common level, "" without one."""

    players: tuple[Sounding, ...]
    level: str


def levelled(recordings: Sequence[Recording], speech: Speech, *, whose: str = "") -> LevelledPlayers:
    """The recordings at one level: −23 LUFS, or that of the first, which the sentence calls `whose` level.

    They are unchanged if no loudness is known.
    """
    if all(_loudness(each, speech).value is None for each in recordings):
        unchanged = tuple(Sounding(source=_address(each.content), gain="") for each in recordings)
        return LevelledPlayers(players=unchanged, level="")
    levels = [Level(loudness=_loudness(each, speech), peak=float(abs(each.samples).max())) for each in recordings]
    own = levels[0].loudness.value if whose else None
    target = TARGET_LUFS if own is None else own
    found = matched(levels, target=target)
    players = tuple(
        Sounding(source=_address(with_gain(each.content, each.samples, each.rate, gain)), gain=gain_words(gain))
        for each, gain in zip(recordings, found.gains, strict=True)
    )
    return LevelledPlayers(
        players=players, level=_sentence(found.level, target, whose=whose if own is not None else "")
    )


def _loudness(recording: Recording, speech: Speech) -> Reading:
    found = speech.loudness(recording.scenario_id, recording.launch)
    return found or unknown("its loudness was not measured")


def _sentence(level: float | None, target: float, *, whose: str) -> str:
    if level is None:
        return ""
    named = f"{whose} level" if whose else f"{number(target, 0)}{NARROW}LUFS"
    at = f"{number(level, 1)}{NARROW}LUFS"
    if level < target - 0.05:
        at += f", {number(target - level, 1)}{NARROW}dB below {named}, so that none clips"
    elif whose:
        at += f", {named}"
    return f"The players are matched in loudness, at {at}. The files that the run keeps are as recorded."


def _address(content: bytes) -> str:
    return f"data:audio/flac;base64,{base64.b64encode(content).decode()}"
