"""Builds worker orders from scenarios and arms."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from harness.core.records.repetition import Phase, Repetition
from harness.core.records.scenario import Arm, Mode, Scenario, Utterance, original_digest
from harness.engines.languages import spoken_language
from harness.engines.protocol import EngineOrder
from harness.measure.conductor.worker_factory import ArmFiles
from harness.measure.worker.protocol import ConcurrentOrder, LoadOrder, PageCache, RequestText, SynthesisOrder
from harness.plan.corpus import seconds_per_character
from harness.plan.matrix import Plan, RunLimits

NO_BLOCK = -1
"""The block number of repetitions outside the blocks."""


class Originals:
    """Audio durations of the original models per text. They reveal a derived model that leaves out text.

    `scenarios` are all scenarios of the plan. They determine which model is the original of which.
    """

    def __init__(self, scenarios: Sequence[Scenario] = ()) -> None:
        self._scenarios = scenarios
        self._seconds: dict[tuple[object, ...], float] = {}

    def handle(self, scenario: Scenario, repetition: Repetition) -> None:
        """Record the audio duration of an original."""
        if not is_derived(scenario, self._scenarios) and repetition.outcome.valid and repetition.audio:
            seconds = repetition.audio.frames / repetition.audio.sample_rate
            self._seconds[_duration_key(scenario, repetition.variant)] = seconds

    def seconds_for(self, scenario: Scenario, utterance: Utterance) -> float | None:
        """Audio duration of the original in s; None for an original, or if none was measured yet."""
        if not is_derived(scenario, self._scenarios):
            return None
        return self._seconds.get(_duration_key(scenario, utterance.variant))


def is_derived(scenario: Scenario, scenarios: Sequence[Scenario] = ()) -> bool:
    """Whether the scenario's model has an original other than itself; `scenarios` are all of the plan."""
    return bool(scenario.arm.model and original_digest(scenario.arm.model, scenarios))


def synthesis_order(
    scenario: Scenario,
    utterance: Utterance,
    *,
    launch: int,
    block: int,
    position: int,
    phase: Phase,
    original_seconds: float | None,
    audio_path: str = "",
) -> SynthesisOrder:
    """The order for one repetition.

    `original_seconds` is the length (s) of the original's audio, None if it is unknown.
    """
    band = seconds_per_character(utterance)
    return SynthesisOrder(
        scenario_id=scenario.id,
        launch=launch,
        block=block if phase is Phase.MEASURED else NO_BLOCK,
        position=position,
        phase=phase,
        variant=utterance.variant,
        text=utterance.text,
        voice=scenario.voice,
        speed=scenario.speed,
        language=order_language(scenario, utterance),
        is_phonemes=utterance.is_phonemes,
        stream=scenario.mode in (Mode.STREAM, Mode.ENDPOINT),
        band_low=band.low,
        band_high=band.high,
        original_seconds=original_seconds,
        audio_path=audio_path,
    )


def concurrent_order(
    scenario: Scenario, texts: Sequence[Utterance], *, launch: int, block: int, phase: Phase, seed: int
) -> ConcurrentOrder:
    """An order for concurrent texts or for a load on a server. Measured answers are compared with solo ones."""
    return ConcurrentOrder(
        scenario_id=scenario.id,
        launch=launch,
        block=block if phase is Phase.MEASURED else NO_BLOCK,
        phase=phase,
        texts=tuple(_request_text(scenario, each) for each in texts),
        voice=scenario.voice,
        speed=scenario.speed,
        seed=seed,
        traffic=scenario.traffic,
        compare=scenario.traffic is None and phase is Phase.MEASURED,
    )


def order_language(scenario: Scenario, utterance: Utterance) -> str:
    """The language of an order: the user's, else the voice's own. A server gets only the user's."""
    if scenario.language or scenario.arm.url:
        return scenario.language
    return spoken_language(scenario.voice, written=utterance.language)


def concurrent_timeout(scenario: Scenario, texts: Sequence[Utterance], run_limits: RunLimits) -> float:
    """Seconds after which concurrent requests are abandoned.

    The requests have their own time-outs. This limit is for a client that hangs, so it adds the longest request
    time-out to the duration of the load.
    """
    if scenario.traffic is not None:
        return scenario.traffic.longest_s + run_limits.timeout_s + 60.0
    answer_s = float(dict(scenario.arm.session_options).get("total_timeout", 300.0))
    # All at once, then each alone, twice.
    return min(answer_s, run_limits.timeout_for(max(each.characters for each in texts))) * (1 + 2 * len(texts)) + 60.0


def _request_text(scenario: Scenario, utterance: Utterance) -> RequestText:
    band = seconds_per_character(utterance)
    return RequestText(
        text_class=utterance.text_class,
        variant=utterance.variant,
        text=utterance.text,
        language=order_language(scenario, utterance),
        band_low=band.low,
        band_high=band.high,
    )


def load_order(
    arm: Arm,
    files: ArmFiles,
    *,
    plan: Plan,
    launch: int,
    page_cache: PageCache = "warm",
    dedicated: bool = False,
    speak_first: bool = True,
) -> LoadOrder:
    """The order that starts an arm's engine."""
    scenario = next(scenario for scenario in plan.scenarios if scenario.arm == arm)
    return LoadOrder(
        arm_id=arm.id,
        launch=launch,
        page_cache=page_cache,
        dedicated=dedicated,
        speak_first=speak_first,
        slowdown=arm.slowdown,
        # The same seed for every arm of a launch, so that the generator's noise affects all arms alike.
        engine=engine_order(
            arm,
            files,
            voice=scenario.voice,
            # The harness of another revision may not know the field.
            language="" if arm.revision else scenario.language,
            seed=1 + plan.run_limits.seed * 1_000 + launch,
            script=dict(plan.script),
        ),
    )


def engine_order(
    arm: Arm,
    files: ArmFiles,
    *,
    voice: str,
    seed: int,
    language: str = "",
    profile: str = "",
    script: Mapping[str, str] = MappingProxyType({}),
) -> EngineOrder:
    """The order that starts an arm's engine with `files`. The other arguments are fields of `EngineOrder`."""
    return EngineOrder(
        engine=arm.engine,
        model=arm.model.name if arm.model else "",
        model_path=files.model_path,
        voices_path=files.voices_path,
        voice=voice,
        language=language,
        provider=arm.provider,
        threads=arm.threads,
        provider_options=dict(arm.provider_options),
        session_options=dict(arm.session_options),
        url=arm.url,
        server=files.server,
        # The harness of another revision may not know the field.
        logs="" if arm.revision else files.logs,
        seed=seed,
        profile=profile,
        script=script,
    )


def _duration_key(scenario: Scenario, variant: int) -> tuple[object, ...]:
    """A key: two arms with equal keys must produce audio of equal duration."""
    return scenario.text_class, variant, scenario.voice, scenario.language, scenario.speed, scenario.mode
