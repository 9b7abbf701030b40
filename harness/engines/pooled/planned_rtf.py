"""The real-time factor that a server plans its segments for, measured once, at its warm-up.

The planned value decides where texts are split. It is never measured again, so that the audio of a text does not change
while the server runs, and it is one of a few values (`PLANNED`), so that it rarely differs from start to start. On a
machine that becomes slower than planned, the next segment comes late and playback stops until then.
"""

# ruff: noqa: RUF001 - the phonemes look like Latin letters

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from harness.engines.kokoro.engine import SAMPLE_RATE
from harness.engines.pooled.splitter import TAIL
from harness.engines.pooled.synthesizer import WARM_UP

if TYPE_CHECKING:
    from harness.engines.pooled.pool import Timed
    from harness.engines.pooled.synthesizer import Synthesizer

PLANNED = (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7, 0.8, 1.0)
MARGIN = 1.25
"""The planned value is at least so many times the measured one: other work on the machine slows segments."""

_SHORT = "ðə kwˈɪk bɹˈaʊn fˈɑːks ɹˈʌnz."
"""Little more than `TAIL`, as a segment that follows a short first one: the shorter, the higher the factor."""
MEASURED = (_SHORT, WARM_UP[-1], _SHORT)
"""After `WARM_UP`: two runs of each length, because the faster one repeats better from start to start."""


class RtfSource(StrEnum):
    """Where a planned real-time factor comes from."""

    MEASURED = "measured"
    GIVEN = "given"
    DEFAULT = "default"
    """Nothing was measured: there was no warm-up, or it was cut short."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRtf:
    """A planned real-time factor. `segments` has what was measured: phonemes, and the factor of the slowest session.

    `keeps_up` is False if all sessions together are slower than playback.
    """

    planned: float
    source: RtfSource
    segments: tuple[tuple[int, float], ...] = ()
    keeps_up: bool = True

    def sentence(self) -> str:
        """The planned value and what it was measured from, for the log of a server."""
        plan = f"segments are planned for a real-time factor of {self.planned:g}"
        if self.source is RtfSource.GIVEN:
            return f"{plan}, as given"
        if self.source is RtfSource.DEFAULT:
            return f"{plan}, the default: none was measured"
        shown = ", ".join(f"{rtf:.2f} with {phonemes} phonemes" for phonemes, rtf in self.segments)
        if not self.keeps_up:
            return f"{plan}, but this machine cannot keep up with playback, which will stop within texts: {shown}"
        return f"{plan}: measured {shown}; --planned-rtf {self.planned:g} repeats it"

    def report(self) -> dict[str, object]:
        """The same for programs."""
        return {
            "planned": self.planned,
            "source": self.source.value,
            "segments": [{"phonemes": phonemes, "rtf": rtf} for phonemes, rtf in self.segments],
            "keeps_up": self.keeps_up,
        }


def warm_up_and_measure(synthesizer: "Synthesizer", voice: str, *, go_on: Callable[[], bool]) -> PlannedRtf | None:
    """Warm up, and measure on all sessions at the same time. None if `go_on` ended that before any segment."""
    first = synthesizer.warm_up(voice, go_on=go_on)
    then = synthesizer.warm_up(voice, texts=MEASURED, go_on=go_on)
    return planned_from([(*warm, *measured) for warm, measured in zip(first, then, strict=True)])


def planned_from(sessions: "Sequence[Sequence[Timed[Any]]]") -> PlannedRtf | None:
    """The value to plan for, from each session's runs of at least `TAIL` phonemes; None without any.

    It suits the shortest segments on the slowest session.
    """
    factors = [found for runs in sessions if (found := _lowest(runs))]
    if not factors:
        return None
    lengths = sorted({length for each in factors for length in each})
    segments = [(length, max(each[length] for each in factors if length in each)) for length in lengths]
    wanted = MARGIN * max(rtf for _, rtf in segments)
    return PlannedRtf(
        planned=next((value for value in PLANNED if value >= wanted), PLANNED[-1]),
        source=RtfSource.MEASURED,
        segments=tuple(segments),
        keeps_up=sum(1 / max(each.values()) for each in factors) >= 1,
    )


def _lowest(runs: "Sequence[Timed[Any]]") -> dict[int, float]:
    """Phonemes → the lowest real-time factor of a session's runs of that length."""
    found: dict[int, float] = {}
    for run in runs:
        if run.load >= TAIL and len(run.result):
            rtf = run.seconds * SAMPLE_RATE / len(run.result)
            found[round(run.load)] = min(rtf, found.get(round(run.load), rtf))
    return found
