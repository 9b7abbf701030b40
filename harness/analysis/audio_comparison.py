"""Similarity of each arm's audio to the original's. Audio is kept during a run and compared after the run.

A scenario is compared with its original: the same text, voice and speed, spoken by the parent model on the CPU. If the
original is unknown or not in the run, the scenario is compared with the run's reference arm
(`audio_limits.counterpart_of`). The reference is also compared with itself in another launch, where the generator has
another seed. That comparison has its own metrics (`lsd_itself`, `mcd_itself`): the noise floor of the other distances.
"""

import tempfile
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import TYPE_CHECKING, Self

from harness.analysis.audio_limits import Split, counterpart_of, find_wrong, is_original_of, is_yardstick, split_of
from harness.analysis.conclude import SUMMARY_LEVEL, Conclusions
from harness.analysis.gate import check_targets
from harness.analysis.stats.comparison import Target
from harness.analysis.stats.estimate import summarise
from harness.core.records.repetition import Phase
from harness.core.records.run import RunData
from harness.core.records.scenario import Mode, Scenario
from harness.core.records.value import Reading
from harness.core.records.verdict import Summary, TargetResult, Verdict, VerdictKind
from harness.metrics.definitions.audio import NOISE, SIMILARITY
from harness.metrics.registry import METRICS
from harness.store.audio import KEPT_LAUNCHES, audio_path, prune_audio, write_audio

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LONGEST_CHARACTERS = 250
"""Audio is kept for texts up to this length: chars-200 and below."""
PERCEPTION_S = 8.0
"""PESQ takes as long as the speech, so it is computed only for utterances up to this length."""
NO_OTHER_SIDE = "the run has nothing else with this text to compare it with"
IS_THE_REFERENCE = "it is the reference of the others"
OTHER_RATE = "its sample rate differs from that of its reference"
ONE_LAUNCH = "one launch: there is no other seed to compare it with"


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioSimilarity:
    """A scenario's audio similarity values: one mapping (metric → reading) per compared launch.

    `reference` is the scenario that it was compared with, or None. `known` is True if the reference is its known
    original; `itself` is True if the reference is the same scenario with another seed. `reason` explains missing
    values.
    """

    scenario_id: str
    reference: Scenario | None = None
    known: bool = False
    joined: bool = False
    """Whether the two split the text differently: its audio is joined from other segments."""
    figures: tuple[Mapping[str, Reading], ...] = ()
    launches: tuple[int, ...] = ()
    """The launch of each mapping of `figures`."""
    reason: str = ""

    @property
    def itself(self) -> bool:
        """Whether the scenario was compared with itself."""
        return self.reference is not None and self.reference.id == self.scenario_id

    def typical(self, metric: str) -> float | None:
        """The median over the launches."""
        known = [reading.value for each in self.figures if (reading := each[metric]).value is not None]
        return median(known) if known else None


class Recording:
    """The audio that a run keeps. Use it as a context manager: it deletes the workers' temporary files at the end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._scratch = tempfile.TemporaryDirectory(prefix="kokoro-bench-audio-", ignore_cleanup_errors=True)
        self._kept: dict[tuple[str, int], str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._scratch.cleanup()

    def place(self, scenario: Scenario, launch: int, *, characters: int) -> str:
        """The path where a worker writes a repetition's audio, or "" if that audio is not kept."""
        if launch >= self.launches(scenario, characters=characters):
            return ""
        return self._kept.setdefault((scenario.id, launch), f"{self._scratch.name}/{len(self._kept)}.npy")

    @staticmethod
    def launches(scenario: Scenario, *, characters: int) -> int:
        """For how many launches the audio of a text is kept.

        Audio of long texts, of start-up scenarios and of later launches is not kept. Audio of whole texts is compared,
        so it is kept for two launches. Streamed audio and audio from HTTP is kept for one launch, to listen to.
        """
        kept = {Mode.WHOLE: KEPT_LAUNCHES, Mode.STREAM: 1, Mode.ENDPOINT: 1}.get(scenario.mode, 0)
        return kept if characters <= LONGEST_CHARACTERS else 0

    def keeps(self, scenario_id: str, launch: int) -> bool:
        """Whether a worker was asked to write that audio."""
        return (scenario_id, launch) in self._kept

    def audio(self, scenario_id: str, launch: int) -> "NDArray[np.float32] | None":
        """Mono audio, or None if none was kept."""
        import numpy as np

        with suppress(KeyError, OSError, ValueError):
            found: NDArray[np.float32] = np.load(self._kept[scenario_id, launch])
            return found
        return None

    def kept(self) -> Mapping[tuple[str, int], str]:
        """(Scenario id, launch) → the file in NumPy's format that a worker was asked to write."""
        return self._kept

    def save(self, data: RunData) -> str:
        """Write the kept audio as FLAC files and prune the files of old runs. Return an error sentence, or ""."""
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


def compare_all(
    data: RunData, recording: Recording, *, references: Collection[str] = ()
) -> tuple[AudioSimilarity, ...]:
    """The audio similarity of every scenario whose audio was kept.

    Each scenario is compared with its counterpart; a scenario that is the counterpart of others is also compared with
    itself. `references` are the arms that the run's verdicts name as their reference. Streamed audio is compared where
    the text was split differently.
    """
    rates = _sample_rates(data)
    splits = _splits(data)
    kept = [
        each
        for each in data.run.scenarios
        if any((each.id, launch) in rates and recording.keeps(each.id, launch) for launch in range(KEPT_LAUNCHES))
    ]
    found = []
    for scenario in kept:
        other = counterpart_of(scenario, data.run.scenarios, references=references)
        joined = other is not None and splits[scenario.arm.id] != splits[other.arm.id]
        if scenario.mode is not Mode.WHOLE and not joined:
            continue
        yardstick = is_yardstick(scenario, data.run.scenarios, references=references) and scenario.mode is Mode.WHOLE
        if other is not None:
            known = is_original_of(other, scenario, data.run.scenarios)
            found.append(_compare(scenario, other, recording, rates, known=known, joined=joined))
        else:
            found.append(
                AudioSimilarity(scenario_id=scenario.id, reason=IS_THE_REFERENCE if yardstick else NO_OTHER_SIDE)
            )
        if yardstick:
            found.append(_compare(scenario, scenario, recording, rates))
    return tuple(found)


def with_audio_similarity(conclusions: Conclusions, found: Sequence[AudioSimilarity]) -> Conclusions:
    """The conclusions with the audio similarity filled in, and a failed verdict for each variant that sounds wrong.

    Targets on similarity metrics are checked again. A note names each scenario that was compared with something other
    than its known original.
    """
    names = {False: [metric.name for metric in SIMILARITY], True: [metric.name for metric in NOISE]}
    figures = {(each.scenario_id, name): each for each in found for name in names[each.itself]}
    summaries = tuple(
        _summary(summary, figures[summary.scenario_id, summary.metric])
        if (summary.scenario_id, summary.metric) in figures
        else summary
        for summary in conclusions.summaries
    )
    yardsticks = {each.scenario_id: each for each in found if each.itself}
    verdicts = tuple(verdict for each in found if (verdict := _verdict(each, yardsticks)))
    return replace(
        conclusions,
        summaries=summaries,
        verdicts=(*conclusions.verdicts, *verdicts),
        targets=checked_targets(conclusions.targets, summaries, {*names[False], *names[True]}),
        notes=(*conclusions.notes, *_notes(found)),
    )


def _compare(
    scenario: Scenario,
    other: Scenario,
    recording: Recording,
    rates: Mapping[tuple[str, int], int],
    *,
    known: bool = False,
    joined: bool = False,
) -> AudioSimilarity:
    """Compare a scenario with another in each launch, or with itself in the other launch."""
    from harness.metrics.audio.similarity import compare

    itself = other.id == scenario.id
    if itself and scenario.variant is None:
        return AudioSimilarity(scenario_id=scenario.id, reference=other, reason="each launch has another text")
    pairs = [(1, 0)] if itself else [(launch, launch) for launch in range(KEPT_LAUNCHES)]
    figures: dict[int, Mapping[str, Reading]] = {}
    reason = ONE_LAUNCH if itself else f"the audio of {other.arm.id} was not kept"
    for ours, theirs in pairs:
        variant, reference = recording.audio(scenario.id, ours), recording.audio(other.id, theirs)
        rate = rates.get((scenario.id, ours))
        if variant is None or reference is None or rate is None:
            continue
        if rates.get((other.id, theirs)) != rate:
            reason = OTHER_RATE
            continue
        listened = not figures and len(reference) <= PERCEPTION_S * rate
        figures[ours] = _named(compare(variant, reference, rate, perception=listened, joined=joined), itself=itself)
    return AudioSimilarity(
        scenario_id=scenario.id,
        reference=other,
        known=known,
        joined=joined,
        figures=tuple(figures.values()),
        launches=tuple(figures),
        reason="" if figures else reason,
    )


def _named(figures: Mapping[str, Reading], *, itself: bool) -> Mapping[str, Reading]:
    """The values by metric name. A comparison with itself has only the distances, named `…_itself`."""
    if not itself:
        return figures
    return {each.name: figures[each.name.removesuffix("_itself")] for each in NOISE}


def _summary(before: Summary, found: AudioSimilarity) -> Summary:
    readings = [each[before.metric] for each in found.figures]
    known = tuple((reading.value,) for reading in readings if reading.value is not None)
    reason = next((reading.reason for reading in readings), found.reason)
    return summarise(
        scenario_id=before.scenario_id,
        metric=before.metric,
        definition=before.definition,
        values=known,
        level=SUMMARY_LEVEL,
        reason=reason,
    )


def checked_targets(
    before: Sequence[TargetResult], summaries: Sequence[Summary], names: Collection[str]
) -> tuple[TargetResult, ...]:
    """The targets; those on the metrics `names` are checked with the new summaries."""
    known = {(each.scenario_id, each.metric): each for each in summaries if each.metric in names}
    return tuple(
        check_targets([_target(each, known[each.scenario_id, each.metric])])[0]
        if (each.scenario_id, each.metric) in known
        else each
        for each in before
    )


def _target(before: TargetResult, summary: Summary) -> Target:
    metric = METRICS[before.metric]
    return Target(
        scenario_id=before.scenario_id,
        metric=before.metric,
        limit=before.limit,
        higher_is_better=not metric.lower_is_better,
        observed=Reading(value=summary.median, reason=summary.reason),
        interval=summary.interval,
        shown=metric.format,
    )


def _notes(found: Sequence[AudioSimilarity]) -> list[str]:
    """One note for each arm that was compared with something other than its known original."""
    compared = dict.fromkeys(
        (each.scenario_id.partition("/")[0], each.reference.arm.id)
        for each in found
        if each.figures and each.reference is not None and not each.known and not each.itself
    )
    return [
        f"sound: {ours} is compared with {theirs}: the run has no known original of it" for ours, theirs in compared
    ]


def _verdict(found: AudioSimilarity, yardsticks: Mapping[str, AudioSimilarity]) -> Verdict | None:
    """A failed verdict if a variant sounds wrong compared with its known original; None without a known original."""
    if not found.known or found.reference is None or not found.figures:
        return None
    own = yardsticks.get(found.reference.id)
    wrong = find_wrong(
        mcd=found.typical("mcd"),  # unknown of joined speech
        own_mcd=own.typical("mcd_itself") if own else None,
        duration_ratio=found.typical("duration_ratio"),
    )
    if wrong is None:
        return None
    return Verdict(
        scenario_id=found.scenario_id,
        metric=wrong.metric,
        kind=VerdictKind.FAILED,
        reference=found.reference.id,
        reason=wrong.reason,
        advice="listen to it: its audio is kept with the results; its speed does not count while its output differs",
    )


def _splits(data: RunData) -> Mapping[str, Split]:
    """Arm id → how it splits a text, as its engine reported it in any launch."""
    reported = {each.arm_id: each.facts.options for each in data.launches if each.facts.options}
    return {each.arm.id: split_of(each.arm, reported.get(each.arm.id, ())) for each in data.run.scenarios}


def _sample_rates(data: RunData) -> dict[tuple[str, int], int]:
    """(Scenario id, launch) → sample rate in Hz, from the measured repetitions with valid audio."""
    return {
        (each.scenario_id, each.launch): each.audio.sample_rate
        for each in data.repetitions
        if each.phase is Phase.MEASURED and each.audio is not None and each.audio.finite
    }
