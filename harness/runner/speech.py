"""Judges the audio that a run kept: prepares the tools before the measurement, and uses them after it."""

from collections.abc import Callable, Mapping

from harness.core.cache_root import default_root
from harness.core.errors import RuntimeBuildError
from harness.core.records.repetition import Phase, Repetition
from harness.core.records.run import RunData
from harness.core.records.scenario import Scenario
from harness.core.records.speech import SpeechReading
from harness.engines.languages import spoken_language
from harness.measure.speech.analyser import KeptAudio, SpeechAnalyser
from harness.measure.speech.runtime import JudgeRuntime, prepare
from harness.plan.matrix import Plan
from harness.runner.resources import Reporter


class SpeechTask:
    """Judges the speech of one run. If its tools are unavailable, `reason` says why, and only speed is measured."""

    def __init__(self, plan: Plan, *, report: Reporter, stop: Callable[[], bool]) -> None:
        """No further audio is judged once `stop` returns True."""
        self._plan = plan
        self._report = report
        self._stop = stop
        self._runtime: JudgeRuntime | None = None
        self.reason = ""

    def prepare(self) -> None:
        """Build the environment of the tools if it does not exist."""
        try:
            self._runtime = prepare(default_root(), report=self._report)
        except RuntimeBuildError as error:
            self.reason = f"the speech tools cannot be had: {error}"
            self._report(f"{self.reason}; speed is measured without them")

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
