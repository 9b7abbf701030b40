"""Players at one level: the gain of each recording, so that a louder one is not taken for a better one.

The gain is applied to the samples that a page carries, and so it holds without scripts and whatever the player's own
volume is. The files that a run keeps are not changed.
"""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.core.records.value import Reading, known, unknown
from reports.text.format import NARROW, number, visible

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

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
