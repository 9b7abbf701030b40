"""What the conductor orders: from scenarios and arms to messages."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from harness.core.records.repetition import Phase, Repetition
from harness.core.records.scenario import Arm, Mode, Scenario, Utterance
from harness.engines.languages import spoken_language
from harness.engines.protocol import EngineOrder
from harness.measure.conductor.worker_factory import ArmFiles
from harness.measure.worker.protocol import ConcurrentOrder, LoadOrder, PageCache, SpeakOrder, Spoken
from harness.plan.corpus import seconds_per_character
from harness.plan.matrix import Plan, RunLimits

NO_BLOCK = -1
"""The block of what is spoken outside the blocks."""


class Originals:
    """How long the original models speak each text, so that a derived model that leaves text out is found."""

    def __init__(self) -> None:
        self._seconds: dict[tuple[object, ...], float] = {}

    def handle(self, scenario: Scenario, repetition: Repetition) -> None:
        """Remember what an original took."""
        if not is_derived(scenario) and repetition.outcome.valid and repetition.audio:
            seconds = repetition.audio.frames / repetition.audio.sample_rate
            self._seconds[_spoken_alike(scenario, repetition.variant)] = seconds

    def seconds_for(self, scenario: Scenario, utterance: Utterance) -> float | None:
        """What the original took; None for an original, and where none was heard."""
        return self._seconds.get(_spoken_alike(scenario, utterance.variant)) if is_derived(scenario) else None


def is_derived(scenario: Scenario) -> bool:
    """Whether the scenario's model was made from another."""
    return bool(scenario.arm.model and scenario.arm.model.parent)


def speak_order(
    scenario: Scenario,
    utterance: Utterance,
    *,
    launch: int,
    block: int,
    position: int,
    phase: Phase,
    original_seconds: float | None,
    audio_path: str = "",
) -> SpeakOrder:
    """One repetition of a scenario."""
    band = seconds_per_character(utterance)
    return SpeakOrder(
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


def crowd_order(
    scenario: Scenario, texts: Sequence[Utterance], *, launch: int, block: int, phase: Phase, seed: int
) -> ConcurrentOrder:
    """So many texts at once, or a load on a server. Answers are compared with those given alone in the blocks."""
    return ConcurrentOrder(
        scenario_id=scenario.id,
        launch=launch,
        block=block if phase is Phase.MEASURED else NO_BLOCK,
        phase=phase,
        texts=tuple(_spoken(scenario, each) for each in texts),
        voice=scenario.voice,
        speed=scenario.speed,
        seed=seed,
        traffic=scenario.traffic,
        compare=scenario.traffic is None and phase is Phase.MEASURED,
    )


def order_language(scenario: Scenario, utterance: Utterance) -> str:
    """The language that an order names: the user's, else the voice's own. A server is told the user's alone."""
    if scenario.language or scenario.arm.url:
        return scenario.language
    return spoken_language(scenario.voice, written=utterance.language)


def crowd_timeout(scenario: Scenario, texts: Sequence[Utterance], run_limits: RunLimits) -> float:
    """Seconds after which a crowd is given up.

    Its requests have time-outs of their own: this is for a client that hangs, so the longest that those allow is added
    to the load's own time.
    """
    if scenario.traffic is not None:
        return scenario.traffic.longest_s + run_limits.timeout_s + 60.0
    answer_s = float(dict(scenario.arm.session_options).get("total_timeout", 300.0))
    # All at once, and each alone, twice.
    return min(answer_s, run_limits.timeout_for(max(each.characters for each in texts))) * (1 + 2 * len(texts)) + 60.0


def _spoken(scenario: Scenario, utterance: Utterance) -> Spoken:
    band = seconds_per_character(utterance)
    return Spoken(
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
    """The start of an arm's engine."""
    scenario = next(scenario for scenario in plan.scenarios if scenario.arm == arm)
    return LoadOrder(
        arm_id=arm.id,
        launch=launch,
        page_cache=page_cache,
        dedicated=dedicated,
        speak_first=speak_first,
        slowdown=arm.slowdown,
        # The same seed for every arm of a launch: what the generator's noise does, it does to all.
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
    """What an arm is to its engine."""
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
        seed=seed,
        profile=profile,
        script=script,
    )


def _spoken_alike(scenario: Scenario, variant: int) -> tuple[object, ...]:
    """What must be equal for two arms to speak equally long."""
    return scenario.text_class, variant, scenario.voice, scenario.language, scenario.speed, scenario.mode
