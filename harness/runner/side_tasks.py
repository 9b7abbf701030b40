"""Tasks of a run outside the timing: verify placement, keep and compare audio, profile arms that differ."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.analysis.audio_comparison import AudioSimilarity, Recording, compare_all, with_audio_similarity
from harness.analysis.conclude import Conclusions
from harness.analysis.speech_facts import speech_facts
from harness.analysis.speech_quality import with_speech
from harness.core.cache_root import default_root
from harness.core.clock import ScriptedClock
from harness.core.errors import RuntimeBuildError
from harness.core.records.repetition import Phase, Repetition
from harness.core.records.run import RunData, RunStatus
from harness.core.records.scenario import Scenario
from harness.core.records.speech import SpeechReading, SpeechSheet
from harness.engines.languages import spoken_language
from harness.measure.conductor.worker_factory import WorkerFactory
from harness.measure.speech.analyser import KeptAudio, SpeechAnalyser
from harness.measure.speech.runtime import JudgeRuntime, prepare
from harness.plan.config import Config
from harness.plan.matrix import Plan
from harness.runner.duel_causes import Profiler
from harness.runner.placement import verify_placement
from harness.runner.profiles import ProfileTask
from harness.runner.resources import Reporter, Resources
from harness.store.audio import SPEECH, write_speech

Explain = Callable[[Conclusions, RunData, Profiler], Conclusions]


class SideTasks:
    """A context manager for a measurement. Call `worker_factory` before it and `complete` after it."""

    def __init__(
        self,
        plan: Plan,
        resources: Resources,
        *,
        config: Config,
        refusals: Mapping[str, str],
        report: Reporter,
        stop: Callable[[], bool] = bool,
    ) -> None:
        """`config` says whether the kept audio is judged and each arm profiled. Both end early once `stop` is true.

        Nothing that a scripted engine sends is speech.
        """
        self._plan = plan
        self._worker_factory = resources.worker_factory
        self._clock = resources.clock
        self._weights = resources.weights
        self._recording = Recording(config.audio)
        self._refusals = dict(refusals)
        self._report = report
        self._notes: Sequence[str] = ()
        self._audio = config.audio
        self._traces = config.traces
        self._profiled = config["profile"] == "on"
        self._began_ns = self._ended_ns = self._clock.now_ns()
        self._stop = stop
        judged = config["quality"] == "on" and not isinstance(resources.clock, ScriptedClock)
        self._speech = SpeechTask(plan, report=report, stop=stop) if judged else None

    def __enter__(self) -> Self:
        self._recording.__enter__()
        if self._speech is not None:
            # Before anything is timed: a build needs every core.
            self._speech.prepare(self._kept_characters())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._recording.__exit__(kind, error, at)

    def worker_factory(self) -> WorkerFactory:
        """Verify placement, and return a worker factory that keeps audio and refuses the arms that cannot run."""
        open_arms = [arm for arm in self._plan.arms if arm.id not in self._refusals]
        voices = {scenario.arm: scenario.voice for scenario in self._plan.scenarios}
        placement_check = verify_placement(
            open_arms, worker_factory=self._worker_factory, voices=voices, seed=self._seed
        )
        self._notes = placement_check.notes
        self._began_ns = self._clock.now_ns()
        return replace(self._worker_factory, audio=self._keep, refusals={**self._refusals, **placement_check.refusals})

    def complete(self, conclusions: Conclusions, data: RunData, explain: Explain) -> Conclusions:
        """The conclusions with audio similarity, profiles and notes. An interrupted run gets only the notes."""
        sheet, notes = SpeechSheet(), tuple[str, ...]()
        self._ended_ns = self._clock.now_ns()
        if data.run.status is not RunStatus.INTERRUPTED:
            references = {verdict.reference for verdict in conclusions.verdicts}
            similarity = compare_all(data, self._recording, references=references)
            conclusions = with_audio_similarity(conclusions, similarity)
            conclusions, sheet = self._judged(conclusions, similarity, data)
            conclusions, notes = self._explained(conclusions, data, explain)
        kept = self._recording.save(data) or _write(self._audio, data.run.id, sheet)
        notes = (*conclusions.notes, *self._notes, *notes, *([kept] if kept else []))
        return replace(conclusions, notes=notes)

    def _explained(
        self, conclusions: Conclusions, data: RunData, explain: Explain
    ) -> tuple[Conclusions, tuple[str, ...]]:
        """The conclusions with what profiles show, and notes on the profiles."""
        task = ProfileTask(
            self._plan,
            data,
            worker_factory=self._worker_factory,
            clock=self._clock,
            folder=self._traces,
            report=self._report,
        )
        began_ns = self._clock.now_ns()
        if not self._stop():
            conclusions = explain(conclusions, data, task)
        if self._profiled:
            # Judging the speech is no part of the budget.
            spent_ns = self._ended_ns - self._began_ns + self._clock.now_ns() - began_ns
            task.every_arm(self._stop, left_s=data.run.budget_s - spent_ns / 1e9)
        return conclusions, task.save()

    def _judged(
        self, conclusions: Conclusions, similarity: Sequence[AudioSimilarity], data: RunData
    ) -> tuple[Conclusions, SpeechSheet]:
        """The conclusions with what the kept audio says and how it sounds."""
        if self._speech is None:
            return conclusions, SpeechSheet()
        readings = self._speech.readings(data, self._recording.kept())
        facts = speech_facts(similarity, data, weights=self._weights)
        conclusions, verdicts = with_speech(
            conclusions, readings, similarity, data, reason=self._speech.reason, facts=facts
        )
        return conclusions, SpeechSheet(readings=readings, verdicts=verdicts)

    def _kept_characters(self) -> list[int]:
        """The length of the text of each recording that will be kept."""
        with_text = [each for each in self._plan.scenarios if each.text_class]
        lengths = [(each, self._plan.utterance(each, 0).characters) for each in with_text]
        planned = self._plan.run_limits.launches
        kept = [(length, min(planned, self._recording.launches(each, characters=length))) for each, length in lengths]
        return [length for length, launches in kept for _ in range(launches)]

    @property
    def _seed(self) -> int:
        return self._plan.run_limits.seed + 1

    def _keep(self, scenario: Scenario, launch: int) -> str:
        return self._recording.place(scenario, launch, characters=self._plan.utterance(scenario, 0).characters)


def _write(audio: Path, run_id: str, sheet: SpeechSheet) -> str:
    """Keep the sheet beside the audio. Return an error sentence, or ""."""
    try:
        if sheet.readings:
            write_speech(audio, run_id, sheet)
    except OSError as error:
        return f"{SPEECH}: not kept: {error}"
    return ""


def unexplained(conclusions: Conclusions, data: RunData, profiler: Profiler) -> Conclusions:
    """The conclusions unchanged, for runs that profile nothing."""
    del data, profiler
    return conclusions


SECONDS_PER_CHARACTER = 1 / 15
"""The length of speech (s) for a character of its text."""
LOADING_S, RECORDING_S, JUDGING = 3.0, 1.2, 0.1
"""CPU time (s) for loading the tools, for each recording whatever its length, and for a second of speech.

The recogniser pads a recording to 30 s, and the larger estimator of quality repeats it to 9 s.
"""


class SpeechTask:
    """Judges the speech of one run. If its tools are unavailable, `reason` says why, and only speed is measured."""

    def __init__(self, plan: Plan, *, report: Reporter, stop: Callable[[], bool]) -> None:
        """No further audio is judged once `stop` returns True."""
        self._plan = plan
        self._report = report
        self._stop = stop
        self._runtime: JudgeRuntime | None = None
        self.reason = ""

    def prepare(self, characters: Sequence[int]) -> None:
        """Build the environment of the tools if it does not exist, and say how long judging will take.

        `characters` are the lengths of the texts of the recordings that will be kept.
        """
        try:
            self._runtime = prepare(default_root(), report=self._report)
        except RuntimeBuildError as error:
            self.reason = f"the speech tools cannot be had: {error}"
            self._report(f"{self.reason}; speed is measured without them")
            return
        if characters:
            seconds = sum(characters) * SECONDS_PER_CHARACTER
            takes_s = math.ceil((LOADING_S + RECORDING_S * len(characters) + JUDGING * seconds) / 5) * 5
            self._report(
                f"after measuring, judging {seconds:.0f} s of speech takes about {takes_s} s (`--quality off`: none)"
            )

    def readings(self, data: RunData, kept: Mapping[tuple[str, int], str]) -> tuple[SpeechReading, ...]:
        """A reading of each kept audio; `kept`: (scenario id, launch) → file."""
        analyser = SpeechAnalyser(
            root=default_root(), report=self._report, runtime=self._runtime, reason=self.reason, stop=self._stop
        )
        found = analyser.analyse(self._recordings(data, kept))
        if analyser.seconds:
            self._report(
                f"judged {analyser.seconds:.0f} s of audio in {analyser.cpu_s:.0f} s of processor time "
                f"({analyser.cpu_s / analyser.seconds:.2f} per second)"
            )
        return found

    def _recordings(self, data: RunData, kept: Mapping[tuple[str, int], str]) -> list[KeptAudio]:
        scenarios = {each.id: each for each in data.run.scenarios}
        spoken = _first(data)
        return [self._recording(scenarios[key[0]], spoken[key], path) for key, path in kept.items() if key in spoken]

    def _recording(self, scenario: Scenario, repetition: Repetition, path: str) -> KeptAudio:
        assert repetition.audio is not None  # noqa: S101 - for the type checker
        text = self._plan.utterances[scenario.text_class][repetition.variant]
        return KeptAudio(
            scenario_id=scenario.id,
            launch=repetition.launch,
            path=path,
            sample_rate=repetition.audio.sample_rate,
            text=text.text,
            language=scenario.language or spoken_language(scenario.voice, written=text.language),
            is_phonemes=text.is_phonemes,
        )


def _first(data: RunData) -> Mapping[tuple[str, int], Repetition]:
    """(Scenario id, launch) → the repetition whose audio is kept: the last of the launch's first measured block."""
    found: dict[tuple[str, int], Repetition] = {}
    for each in data.repetitions:
        if each.phase is not Phase.MEASURED or each.audio is None:
            continue
        key = (each.scenario_id, each.launch)
        if key not in found or each.block <= found[key].block:
            found[key] = each
    return found
