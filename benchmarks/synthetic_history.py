"""Synthetic runs: seeded, plausible, with planted truths (a step, a gain, failures), for benchmarks and tests.

Nothing here was measured. A run is drawn from a small model of speed: duration of the audio from the text's length,
time from the arm's real-time factor, times a factor per launch and one per repetition. The same arguments give the
same run, independent of earlier draws.
"""

import hashlib
import math
import random
from collections.abc import Iterable, Iterator
from dataclasses import replace

from benchmarks.synthetic_run import CLASSES, FIRST_NIGHT, NIGHT_S, Made, factor, hash_of
from benchmarks.synthetic_verdicts import conclude
from harness.core.records.environment import Conditions, Machine, Subject
from harness.core.records.repetition import (
    AudioFeatures,
    Block,
    Canary,
    ChunkMark,
    Disturbance,
    EngineFacts,
    Launch,
    LoadPart,
    Memory,
    Outcome,
    OutcomeKind,
    Phase,
    Repetition,
    StageMark,
)
from harness.core.records.run import RunData, RunRecord, RunStatus, Setting
from harness.core.records.scenario import Arm, Mode, ModelVariant, Scenario
from harness.core.records.value import known, unknown

SAMPLE_RATE = 24_000

LAUNCH_SPREAD = 0.012
REPETITION_SPREAD = 0.02
"""Standard deviations of the log of the factors per launch and per repetition."""


def made_run(made: Made, night: int, *, raw: bool = True) -> RunData:
    """The run of one night. Without `raw` it has only its head, summaries and verdicts."""
    scenarios = tuple(_scenarios(made))
    rng = random.Random(f"{made.seed}/{night}")  # noqa: S311 - made data, no secret
    started = FIRST_NIGHT + night * NIGHT_S
    launches = tuple(_launches(made, scenarios, rng, started))
    blocks = tuple(_blocks(made, scenarios, rng, started))
    repetitions = tuple(_repetitions(made, scenarios, blocks, rng, night))
    summaries, verdicts, targets = conclude(made, scenarios, launches, repetitions, night)
    data = RunData(
        run=_record(made, scenarios, night, started),
        launches=launches,
        blocks=blocks,
        repetitions=repetitions,
        summaries=summaries,
        verdicts=verdicts,
        targets=targets,
    )
    return data if raw else replace(data, launches=(), blocks=(), repetitions=())


def _scenarios(made: Made) -> Iterator[Scenario]:
    for model in made.models:
        for provider in made.providers:
            arm = Arm(engine="kokoro", model=_variant(model), provider=provider)
            for mode in made.modes:
                for text_class in made.classes:
                    yield Scenario(arm=arm, mode=mode, text_class=text_class, voice="af_heart")
            if made.load:
                yield Scenario(arm=arm, mode=Mode.LOAD_WARM, text_class="tiny", voice="af_heart")
    if made.troubles:
        arm = Arm(engine="kokoro", model=_variant(made.models[0]), provider="openvino")
        yield Scenario(arm=arm, mode=Mode.WHOLE, text_class=made.classes[0], voice="af_heart")


def _variant(name: str) -> ModelVariant:
    quantised = "int8" in name
    digest = hashlib.sha256(name.encode()).hexdigest()
    return ModelVariant(
        name=name,
        sha256=digest,
        size=92_361_116 if quantised else 325_532_232,
        origin="quantised" if quantised else "replica",
        recipe="dynamic, unsigned 8-bit weights" if quantised else "replica of Kokoro-82M",
    )


def _record(made: Made, scenarios: tuple[Scenario, ...], night: int, started: float) -> RunRecord:
    rng = random.Random(f"conditions/{made.seed}/{night}")  # noqa: S311 - made data
    machine = Machine(
        key="linux-x86-64-epyc-7763-2cpu-8gib-5f0c1d",
        system="Linux",
        architecture="x86_64",
        cpu="AMD EPYC 7763 64-Core Processor",
        logical_cpus=2,
        physical_cpus=1,
        memory=8 << 30,
        cpu_limit=2.0,
    )
    conditions = Conditions(
        taken_at=started,
        readings=(
            ("load_1min", known(round(rng.uniform(0.02, 0.4), 2))),
            ("frequency_mhz", known(2445.0 + rng.randrange(800))),
            ("memory_available_bytes", known(6.1e9)),
            ("temperature_c", unknown("no sensor is exposed to this virtual machine")),
        ),
        texts=(("governor", "performance"), ("container", "none found")),
    )
    newer = night >= min((step.night for step in made.steps), default=0)
    subject = Subject(
        packages=(
            ("kokoro-onnx", "0.6.1"),
            ("numpy", "2.4.6"),
            ("onnxruntime", "1.32.0" if newer else "1.31.1"),
        ),
        python="3.11.7",
        revision=hashlib.sha256(f"{made.seed}/{night}".encode()).hexdigest()[:40],
        models=tuple((name, _variant(name).sha256) for name in made.models),
    )
    return RunRecord(
        id=f"2026-{night:04d}-{hash_of(f'{made.seed}-{night}') % 0xFFFF:04x}",
        started_at=started,
        ended_at=started + 284.0,
        seed=made.seed * 1000 + night,
        selection="suites -m quick",
        machine=machine,
        conditions=conditions,
        conditions_at_end=replace(conditions, taken_at=started + 284.0),
        subject=subject,
        setting=Setting(corpus="c0ffee" * 10 + "c0ff", protocol=1),
        scenarios=scenarios,
        budget_s=300.0,
        status=RunStatus.FAILED if made.troubles else RunStatus.COMPLETE,
        reason="1 of the scenarios could not be measured validly" if made.troubles else "",
        pid=4242,
        boot="made",
    )


def _speed(scenario: Scenario) -> float:
    """Seconds of work per second of audio."""
    quantised = scenario.arm.model is not None and "int8" in scenario.arm.model.name
    return (0.62 if quantised else 0.51) * (1 + 0.1 * (hash_of(scenario.arm.provider) % 5))


def _spread(rng: random.Random, deviation: float) -> float:
    return math.exp(rng.gauss(0.0, deviation))


def _launches(made: Made, scenarios: Iterable[Scenario], rng: random.Random, started: float) -> Iterator[Launch]:
    seen = dict.fromkeys(scenario.arm.id for scenario in scenarios)
    for arm_id in seen:
        for launch in range(made.launches):
            if "openvino" in arm_id and made.troubles:
                refusal = Outcome(
                    kind=OutcomeKind.REFUSED,
                    reason="OpenVINOExecutionProvider is not in this onnxruntime",
                    stderr_tail="available providers: CPUExecutionProvider",
                )
                yield Launch(
                    arm_id=arm_id, launch=launch, started_at=started, page_cache="warm", outcome=refusal, dedicated=True
                )
                continue
            parts = (
                ("interpreter", 0.11),
                ("import", 0.9),
                ("session", 1.3),
                ("voices", 0.05),
                ("phonemiser", 0.2),
                ("first_inference", 0.6),
            )
            yield Launch(
                arm_id=arm_id,
                launch=launch,
                started_at=started + launch * 90,
                page_cache="warm",
                parts=tuple(LoadPart(name=name, ns=int(s * 1e9 * _spread(rng, 0.02))) for name, s in parts),
                rss_loaded=int(610e6 * _spread(rng, 0.004)),
                facts=EngineFacts(
                    providers=("CPUExecutionProvider",), packages=(("onnxruntime", "1.32.0"),), sample_rate=SAMPLE_RATE
                ),
            )


def _blocks(made: Made, scenarios: tuple[Scenario, ...], rng: random.Random, started: float) -> Iterator[Block]:
    ids = [scenario.id for scenario in scenarios if not scenario.mode.is_start_up]
    for block in range(made.blocks):
        order = list(ids)
        rng.shuffle(order)
        yield Block(
            block=block,
            launch=block * made.launches // made.blocks,
            order=tuple(order),
            started_at=started + 20 * block,
            wall_ns=int(19e9 * _spread(rng, 0.02)),
            canary=Canary(numpy_ns=int(31e6 * _spread(rng, 0.01)), graph_ns=int(44e6 * _spread(rng, 0.01))),
        )


def _repetitions(
    made: Made, scenarios: tuple[Scenario, ...], blocks: tuple[Block, ...], rng: random.Random, night: int
) -> Iterator[Repetition]:
    by_id = {scenario.id: scenario for scenario in scenarios}
    launch_factor: dict[tuple[str, int], float] = {}
    for launch in sorted({block.launch for block in blocks}):
        first = next(block for block in blocks if block.launch == launch)
        for position, scenario_id in enumerate(sorted(first.order)):
            made_one = _repetition(made, by_id[scenario_id], first, position, 1.15, 0.5)
            yield replace(made_one, phase=Phase.WARMUP)
    for block in blocks:
        for position, scenario_id in enumerate(block.order):
            scenario = by_id[scenario_id]
            key = (scenario.arm.id, block.launch)
            if key not in launch_factor:
                launch_factor[key] = _spread(rng, LAUNCH_SPREAD)
            scale = launch_factor[key] * _spread(rng, REPETITION_SPREAD) * factor(made, scenario_id, night)
            yield _repetition(made, scenario, block, position, scale, rng.random())


def _repetition(made: Made, scenario: Scenario, block: Block, position: int, scale: float, chance: float) -> Repetition:
    refused = made.troubles and scenario.arm.provider == "openvino"
    silent = made.troubles and scenario.text_class == made.classes[0] and scenario.mode is Mode.STREAM and chance < 0.12
    disturbed = chance > 0.95
    characters = CLASSES[scenario.text_class]
    frames = int((0.35 + characters / 15) * SAMPLE_RATE)
    work_ns = int((0.04 + _speed(scenario) * frames / SAMPLE_RATE) * scale * (1.25 if disturbed else 1.0) * 1e9)
    common = {
        "scenario_id": scenario.id,
        "launch": block.launch,
        "block": block.block,
        "position": position,
        "phase": Phase.MEASURED,
        "variant": 0,
        "characters": characters,
        "started_at": block.started_at + position,
    }
    if refused:
        outcome = Outcome(kind=OutcomeKind.REFUSED, reason="OpenVINOExecutionProvider is not in this onnxruntime")
        return Repetition(**common, end_ns=0, outcome=outcome)  # type: ignore[arg-type]
    pieces = max(1, characters // 60) if scenario.mode is Mode.STREAM else 1
    chunks = tuple(ChunkMark(at_ns=work_ns * (piece + 1) // pieces, frames=frames // pieces) for piece in range(pieces))
    phonemised, inferred = int(work_ns * 0.04), int(work_ns * 0.97)
    return Repetition(
        **common,  # type: ignore[arg-type]
        end_ns=work_ns,
        chunks=chunks,
        stages=(
            StageMark(stage="phonemise", start_ns=0, end_ns=phonemised),
            StageMark(stage="inference", start_ns=phonemised, end_ns=inferred),
            StageMark(stage="postprocess", start_ns=inferred, end_ns=work_ns),
        ),
        cpu_ns=int(work_ns * 1.9),
        memory=_memory(scenario, block, made=made),
        disturbance=Disturbance(
            steal_share=0.08 if disturbed else 0.001,
            others_cpu_share=0.01,
            involuntary_switches=61 if disturbed else 3,
            marks=("steal",) if disturbed else (),
        ),
        audio=AudioFeatures(
            sample_rate=SAMPLE_RATE,
            frames=frames,
            sha256=hashlib.sha256(scenario.id.encode()).hexdigest(),
            finite=True,
            peak=0.0 if silent else 0.71,
            rms_dbfs=None if silent else -23.4,
            clipped_share=0.0,
            onset_frame=None if silent else int(0.24 * SAMPLE_RATE),
            onset_reason="no sound above -40 dBFS" if silent else "",
        ),
        outcome=Outcome(kind=OutcomeKind.INVALID_AUDIO, reason="silent: no sound above -40 dBFS")
        if silent
        else Outcome(),
    )


def _memory(scenario: Scenario, block: Block, *, made: Made) -> Memory:
    base = 610_000_000 + 40_000 * CLASSES[scenario.text_class] + 200_000 * block.block
    if made.troubles and scenario.text_class == made.classes[-1]:
        return Memory(rss_before=base, rss_after=base, peak_reason="the kernel does not allow a reset of the mark")
    return Memory(rss_before=base, rss_after=base + 100_000, peak=base + 90_000_000)
