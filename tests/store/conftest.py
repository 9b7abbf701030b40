"""Stores to test on, and small runs to put in them."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from harness.core.records.environment import Conditions, Machine, Subject
from harness.core.records.repetition import (
    AudioFeatures,
    Block,
    Canary,
    ChunkMark,
    Launch,
    LoadPart,
    Outcome,
    OutcomeKind,
    Phase,
    Repetition,
    StageMark,
)
from harness.core.records.run import RunData, RunRecord, RunStatus, Setting
from harness.core.records.scenario import Arm, Mode, ModelVariant, Scenario
from harness.core.records.value import known, unknown
from harness.core.records.verdict import Estimate, Summary, TargetKind, TargetResult, Verdict, VerdictKind
from harness.store.runs import RunStore, open_store
from tests.store.strategies import register_what_records_hold

register_what_records_hold()


@pytest.fixture
def store(store_url: str) -> Iterator[RunStore]:
    with open_store(store_url, now=lambda: 5_000.0) as opened:
        yield opened


def scenario(model: str = "replica", text_class: str = "short", mode: Mode = Mode.WHOLE) -> Scenario:
    variant = ModelVariant(name=model, sha256="ab" * 32, size=325_000_000, origin="replica")
    return Scenario(
        arm=Arm(engine="kokoro", model=variant, threads=2), mode=mode, text_class=text_class, voice="af_heart"
    )


SCENARIOS = (
    scenario(),
    scenario("replica-int8"),
    scenario(text_class="long", mode=Mode.STREAM),
    scenario(mode=Mode.LOAD_WARM),
)


@pytest.fixture
def make_run() -> Callable[..., RunRecord]:
    def make(**changes: Any) -> RunRecord:
        run = RunRecord(
            id="20260102-030405",
            started_at=1_767_323_045.0,
            seed=7,
            selection="quick",
            machine=Machine(
                key="two-core-x86-1a2b3c",
                system="Linux",
                architecture="x86_64",
                cpu="Example CPU",
                logical_cpus=2,
                physical_cpus=1,
                memory=8 * 2**30,
            ),
            conditions=Conditions(taken_at=1_767_323_044.0, readings=(("load_1min", known(0.25)),)),
            subject=Subject(packages=(("onnxruntime", "1.31.1"),), python="3.11.7", revision="c0ffee"),
            setting=Setting(corpus="d" * 64, protocol=1),
            scenarios=SCENARIOS,
            budget_s=300.0,
            pid=4242,
            boot="boot-1",
        )
        return replace(run, **changes)

    return make


@pytest.fixture
def make_repetition() -> Callable[..., Repetition]:
    def make(**changes: Any) -> Repetition:
        repetition = Repetition(
            scenario_id=SCENARIOS[0].id,
            launch=1,
            block=1,
            position=1,
            phase=Phase.MEASURED,
            variant=0,
            characters=60,
            started_at=1_767_323_050.125,
            end_ns=1_250_000_000,
            chunks=(ChunkMark(at_ns=1_250_000_000, frames=60_000),),
            stages=(StageMark(stage="inference", start_ns=2_000_000, end_ns=1_240_000_000),),
            cpu_ns=2_400_000_000,
            audio=AudioFeatures(
                sample_rate=24_000,
                frames=60_000,
                sha256="5e" * 32,
                finite=True,
                peak=0.7,
                rms_dbfs=-21.25,
                clipped_share=0.0,
                onset_frame=4_800,
            ),
        )
        return replace(repetition, **changes)

    return make


@pytest.fixture
def make_block() -> Callable[..., Block]:
    def make(number: int = 1, **changes: Any) -> Block:
        block = Block(
            block=number,
            launch=1,
            order=tuple(scenario.id for scenario in SCENARIOS[:3]),
            started_at=1_767_323_050.0 + number,
            wall_ns=3_750_000_000,
            canary=Canary(numpy_ns=1_000_000, graph_ns=2_000_000),
        )
        return replace(block, **changes)

    return make


@pytest.fixture
def small_run(
    make_run: Callable[..., RunRecord],
    make_repetition: Callable[..., Repetition],
    make_block: Callable[..., Block],
) -> RunData:
    """A run in which something of every kind happened, as it stands when it is over."""
    first, second, streamed, loading = (scenario.id for scenario in SCENARIOS)
    silent = Outcome(kind=OutcomeKind.INVALID_AUDIO, reason='silent; all of it, "quoted",\r\nin two lines')
    streamed_chunks = (ChunkMark(at_ns=300_000_000, frames=24_000), ChunkMark(at_ns=900_000_000, frames=48_000))
    repetitions = [make_repetition(phase=Phase.FIRST, block=0, position=0, end_ns=2_000_000_000)]
    for number in (1, 2, 3):
        repetitions += [
            make_repetition(block=number, end_ns=1_000_000_000 + 10_000_000 * number),
            make_repetition(block=number, position=2, scenario_id=second, end_ns=1_500_000_000, outcome=silent),
            make_repetition(block=number, position=3, scenario_id=streamed, chunks=streamed_chunks),
        ]
    interval = Estimate(point=1.02, low=1.01, high=1.03, level=0.95, method="order statistics", n=3, launches=1)
    worse = Estimate(point=0.11, low=0.07, high=0.15, level=0.999, method="hierarchical", n=3, launches=1)
    return RunData(
        run=make_run(
            status=RunStatus.FAILED,
            ended_at=1_767_323_345.5,
            conditions_at_end=Conditions(taken_at=1_767_323_345.0, readings=(("steal_share", unknown("no counter")),)),
            reason="one scenario has no valid repetition",
            notes=("made by hand",),
        ),
        launches=(
            Launch(
                arm_id=SCENARIOS[0].arm.id,
                launch=1,
                started_at=1_767_323_046.0,
                page_cache="warm",
                parts=(LoadPart(name="session", ns=800_000_000),),
                rss_loaded=500_000_000,
            ),
        ),
        blocks=tuple(make_block(number) for number in (1, 2, 3)),
        repetitions=tuple(repetitions),
        summaries=(
            Summary(scenario_id=first, metric="latency", definition=1, n=3, median=1.02, interval=interval),
            Summary(scenario_id=second, metric="latency", definition=1, n=0, reason="no valid repetition"),
            Summary(scenario_id=streamed, metric="ttfa", definition=2, n=3, median=0.3, q1=0.3, q3=0.3, minimum=0.1),
        ),
        verdicts=(
            Verdict(
                scenario_id=first,
                metric="latency",
                kind=VerdictKind.REGRESSED,
                reference="baseline",
                change=worse,
                tolerance=0.05,
                suspects=("onnxruntime 1.30 → 1.31.1",),
            ),
            Verdict(scenario_id=second, metric="latency", kind=VerdictKind.FAILED, reason="no valid repetition"),
            Verdict(scenario_id=loading, metric="load_time", kind=VerdictKind.MISSING),
        ),
        targets=(
            TargetResult(scenario_id=streamed, metric="ttfa", limit=0.2, kind=TargetKind.MISSED, observed=known(0.3)),
        ),
    )


def put(store: RunStore, data: RunData) -> str:
    """Store a whole run the way the laboratory does, and return its id."""
    begun = replace(data.run, status=RunStatus.RUNNING, ended_at=None, conditions_at_end=None, reason="", notes=())
    run_id = store.begin(begun)
    for launch in data.launches:
        store.add_launch(run_id, launch)
    blocks = {(block.launch, block.block) for block in data.blocks}
    store.add_repetitions(run_id, [r for r in data.repetitions if (r.launch, r.block) not in blocks])
    for block in data.blocks:
        mine = [r for r in data.repetitions if (r.launch, r.block) == (block.launch, block.block)]
        store.add_block(run_id, block, mine)
    store.conclude(run_id, data.summaries, data.verdicts, data.targets)
    if data.run.ended_at is not None:
        store.finish(
            run_id,
            status=data.run.status,
            ended_at=data.run.ended_at,
            conditions_at_end=data.run.conditions_at_end,
            reason=data.run.reason,
            notes=data.run.notes,
        )
    return run_id


@pytest.fixture(name="put")
def _put() -> Callable[[RunStore, RunData], str]:
    return put
