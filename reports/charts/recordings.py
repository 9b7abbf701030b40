"""The recordings that pages play and draw, matched in loudness and embedded as data URLs."""

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from harness.core.records.value import Reading, known, unknown
from harness.store.audio import audio_path
from reports.text.format import NARROW, number, visible
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
        """The length in seconds."""
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


TARGET_LUFS = -23.0
"""The level of EBU R 128, where a page's recordings have no original in common."""
CEILING_DB = -0.1
"""The loudest sample may come so near to full scale."""
MOST_LOWERED_DB = 12.0
"""So much a recording that has no room for more gain may lower the level of all: then it stays below it instead."""
STEP_DB = 0.1
"""Gains are rounded to what is shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """What a recording is like: its loudness (LUFS) or why it is unknown, and its largest sample (full scale 1)."""

    loudness: Reading
    peak: float

    @property
    def room(self) -> float:
        """The gain (dB) that it can have without clipping."""
        return CEILING_DB - 20 * math.log10(self.peak) if self.peak > 0 else math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """The common level (LUFS), None where no loudness is known, and the gain of each recording (dB) or why none."""

    level: float | None
    gains: tuple[Reading, ...]


def matched(levels: Sequence[Level], *, target: float) -> Matched:
    """The gains that bring recordings to `target` (LUFS), or to the highest level below it at which none clips."""
    reachable = [each.loudness.value + each.room for each in levels if each.loudness.value is not None]
    if not reachable:
        return Matched(level=None, gains=tuple(unknown(each.loudness.reason) for each in levels))
    common = max(min(target, *reachable), target - MOST_LOWERED_DB)
    return Matched(level=common, gains=tuple(_gain(each, common) for each in levels))


def _gain(level: Level, common: float) -> Reading:
    if level.loudness.value is None:
        return unknown(level.loudness.reason)
    gain = round((common - level.loudness.value) / STEP_DB) * STEP_DB
    return known(gain if gain <= level.room else math.floor(level.room / STEP_DB) * STEP_DB)


def gain_words(gain: Reading) -> str:
    """A gain beside its player."""
    if gain.value is None:
        return f"level as recorded: {visible(gain.reason)}" if gain.reason else "level as recorded"
    sign = "+" if gain.value > STEP_DB / 2 else ""
    return f"gain {sign}{number(gain.value, 1)}{NARROW}dB"


def with_gain(content: bytes, samples: "NDArray[np.float64]", rate: int, gain: Reading) -> bytes:
    """The FLAC file `content`, of mono `samples`, with a gain; the same bytes where there is none to apply."""
    if gain.value is None or abs(gain.value) < STEP_DB / 2:
        return content
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, samples * 10 ** (gain.value / 20), rate, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()
