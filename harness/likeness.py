"""How much each arm's audio sounds like the original's: kept while a run measures, compared once it has ended.

A scenario is held against its original: the same text, voice and speed by the model that it was made from, on the CPU.
The original is held against itself in another launch, whose generator has another seed: its own row of a table is what
the rows of its variants are read beside.
"""

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import TYPE_CHECKING, Self

from harness.judge.estimate import summarise
from harness.judge.likeness import find_wrong, original_of
from harness.metrics.definitions.likeness import LIKENESS
from harness.metrics.registry import METRICS
from harness.records.reading import Reading
from harness.records.repetition import Phase
from harness.records.run import RunData
from harness.records.scenario import Mode, Scenario
from harness.records.verdict import Summary, Verdict, VerdictKind
from harness.store.audio import KEPT_LAUNCHES, audio_path, prune_audio, write_audio
from harness.verdicts import SUMMARY_LEVEL, Conclusions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LONGEST_CHARACTERS = 250
"""Texts up to this are kept: chars-200 and below."""
PERCEPTION_S = 8.0
"""PESQ takes as long as the speech: it is left to utterances up to this."""
NO_ORIGINAL = "the run has no original of it on the CPU to compare with"
ONE_LAUNCH = "one launch: the original has no other seed to be compared with"


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """A scenario's figures of likeness, one mapping (metric → reading) per launch compared.

    `reference_id` is the original's scenario, the scenario's own id where it is the original itself under another seed;
    `reason` says why there are no figures, where there are none.
    """

    scenario_id: str
    reference_id: str = ""
    figures: tuple[Mapping[str, Reading], ...] = ()
    reason: str = ""

    @property
    def itself(self) -> bool:
        """Whether an original was held against itself."""
        return self.reference_id == self.scenario_id

    def typical(self, metric: str) -> float | None:
        """The median over the launches."""
        known = [reading.value for each in self.figures if (reading := each[metric]).value is not None]
        return median(known) if known else None


class Recording:
    """What a run keeps of its audio. Used as a context manager: what workers left behind goes with it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._scratch = tempfile.TemporaryDirectory(prefix="kokoro-bench-audio-", ignore_cleanup_errors=True)
        self._kept: dict[tuple[str, int], str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._scratch.cleanup()

    def place(self, scenario: Scenario, launch: int, *, characters: int) -> str:
        """Where a worker is to leave a repetition's audio; "" for what is too long, a start, or of a later launch.

        Only what is spoken whole is compared, and so kept of two launches; of what is streamed, or comes over HTTP, one
        is kept to be listened to.
        """
        launches = {Mode.WHOLE: KEPT_LAUNCHES, Mode.STREAM: 1, Mode.ENDPOINT: 1}.get(scenario.mode, 0)
        if launch >= launches or characters > LONGEST_CHARACTERS:
            return ""
        return self._kept.setdefault((scenario.id, launch), f"{self._scratch.name}/{len(self._kept)}.npy")

    def audio(self, scenario_id: str, launch: int) -> "NDArray[np.float32] | None":
        """Mono audio, None where none was kept."""
        import numpy as np

        with suppress(KeyError, OSError, ValueError):
            found: NDArray[np.float32] = np.load(self._kept[scenario_id, launch])
            return found
        return None

    def save(self, data: RunData) -> str:
        """Write what was kept as FLAC files of the run, and let go of old runs'; a sentence where that failed."""
        rates = _sample_rates(data)
        try:
            for scenario_id, launch in self._kept:
                audio = self.audio(scenario_id, launch)
                if audio is not None and (scenario_id, launch) in rates:
                    path = audio_path(self._folder, data.run.id, scenario_id=scenario_id, launch=launch)
                    write_audio(path, audio, rates[scenario_id, launch])
        except OSError as error:
            return f"audio: not kept: {error}"
        prune_audio(self._folder)
        return ""


def compare_all(data: RunData, recording: Recording) -> tuple[Likeness, ...]:
    """The likeness of every scenario whose audio was to be kept."""
    rates = _sample_rates(data)
    found = []
    for scenario in data.run.scenarios:
        if (
            not any((scenario.id, launch) in rates for launch in range(KEPT_LAUNCHES))
            or scenario.mode is not Mode.WHOLE
        ):
            continue
        original = original_of(scenario, data.run.scenarios)
        if original is None:
            found.append(Likeness(scenario_id=scenario.id, reason=NO_ORIGINAL))
        elif recording.audio(scenario.id, 0) is not None:
            found.append(_compare(scenario, original, recording, rates))
    return tuple(found)


def with_likeness(conclusions: Conclusions, found: Sequence[Likeness]) -> Conclusions:
    """The conclusions with figures of likeness in place of the unknown ones, and a failure for what sounds wrong."""
    figures = {(each.scenario_id, name): each for each in found for name in (metric.name for metric in LIKENESS)}
    summaries = tuple(
        _summary(summary, figures[summary.scenario_id, summary.metric])
        if (summary.scenario_id, summary.metric) in figures
        else summary
        for summary in conclusions.summaries
    )
    originals = {each.scenario_id: each for each in found if each.itself}
    verdicts = tuple(verdict for each in found if (verdict := _verdict(each, originals)))
    return replace(conclusions, summaries=summaries, verdicts=(*conclusions.verdicts, *verdicts))


def _compare(
    scenario: Scenario, original: Scenario, recording: Recording, rates: Mapping[tuple[str, int], int]
) -> Likeness:
    """A variant against its original in each launch; an original against itself in the other."""
    from harness.metrics.similarity import compare

    itself = original.id == scenario.id
    if itself and scenario.variant is None:
        return Likeness(scenario_id=scenario.id, reason="each launch speaks another text")
    pairs = [(1, 0)] if itself else [(launch, launch) for launch in range(KEPT_LAUNCHES)]
    figures: list[Mapping[str, Reading]] = []
    for ours, theirs in pairs:
        variant, reference = recording.audio(scenario.id, ours), recording.audio(original.id, theirs)
        rate = rates.get((scenario.id, ours))
        if variant is None or reference is None or rate is None:
            continue
        listened = not figures and len(reference) <= PERCEPTION_S * rate
        figures.append(compare(variant, reference, rate, perception=listened))
    reason = "" if figures else ONE_LAUNCH if itself else "the original's audio was not kept"
    return Likeness(scenario_id=scenario.id, reference_id=original.id, figures=tuple(figures), reason=reason)


def _summary(before: Summary, found: Likeness) -> Summary:
    readings = [each[before.metric] for each in found.figures]
    known = tuple((reading.value,) for reading in readings if reading.value is not None)
    reason = next((reading.reason for reading in readings), found.reason)
    return summarise(
        scenario_id=before.scenario_id,
        metric=before.metric,
        definition=before.definition,
        values=known,
        level=SUMMARY_LEVEL,
        bounds=METRICS[before.metric].bounds,
        reason=reason,
    )


def _verdict(found: Likeness, originals: Mapping[str, Likeness]) -> Verdict | None:
    """A failure where a variant sounds wrong."""
    original = originals.get(found.reference_id)
    if found.itself or not found.figures:
        return None
    wrong = find_wrong(
        mcd=found.typical("mcd"),
        own_mcd=original.typical("mcd") if original else None,
        duration_ratio=found.typical("duration_ratio"),
    )
    if wrong is None:
        return None
    return Verdict(
        scenario_id=found.scenario_id,
        metric=wrong.metric,
        kind=VerdictKind.FAILED,
        reference=found.reference_id,
        reason=wrong.reason,
        advice="listen to it: its audio is kept beside the results; however fast it is, it does not do the same",
    )


def _sample_rates(data: RunData) -> dict[tuple[str, int], int]:
    """(Scenario, launch) → Hz, of every measured repetition that has valid audio."""
    return {
        (each.scenario_id, each.launch): each.audio.sample_rate
        for each in data.repetitions
        if each.phase is Phase.MEASURED and each.audio is not None and each.audio.finite
    }
