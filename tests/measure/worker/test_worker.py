"""The worker on a scripted clock, where every stamp is a known number."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.core.clock import SCRIPTED_EPOCH, ScriptedClock
from harness.core.records.repetition import (
    ChunkMark,
    Disturbance,
    Launch,
    LoadPart,
    Memory,
    Outcome,
    OutcomeKind,
    Phase,
    Repetition,
    StageMark,
)
from harness.engines.protocol import EngineOrder
from harness.measure.worker.probes import ScriptedProbes
from harness.measure.worker.process import serve
from harness.measure.worker.protocol import (
    Answer,
    CanaryOrder,
    LoadOrder,
    SynthesisOrder,
    read_answer,
    write_order,
)
from harness.measure.worker.worker import Worker

MS = 1_000_000
MIB = 1 << 20


TOO_SHORT = (
    "The audio is silent: every sample is 0. "
    "The audio is too short: 0.00 s, where 0.60 s to 20000000000.00 s are plausible for 20 characters."
)


class RestlessProbes(ScriptedProbes):
    """Notes when the worker comes to rest."""

    def __init__(self) -> None:
        self.rests = 0

    def rest(self) -> None:
        self.rests += 1


def load_order(slowdown: float = 0.0, **script: str) -> LoadOrder:
    script = {"noise": "0", **script}
    engine = EngineOrder(engine="scripted", model="scripted", voice="af_heart", script=script)
    return LoadOrder(arm_id="scripted.cpu.tdefault", launch=2, engine=engine, slowdown=slowdown)


def speak_order(characters: int = 20, **changes: Any) -> SynthesisOrder:
    order = SynthesisOrder(
        scenario_id="scripted.cpu.tdefault/whole/chars-20/af_heart",
        launch=2,
        block=5,
        position=3,
        phase=Phase.MEASURED,
        variant=1,
        text="a" * characters,
        voice="af_heart",
    )
    return replace(order, **changes)


@pytest.fixture
def worker() -> Worker:
    return Worker(clock=ScriptedClock(), probes=ScriptedProbes())


def loaded(worker: Worker, order: LoadOrder | None = None) -> Launch:
    launch = worker.answer(order or load_order()).launch
    assert launch is not None
    return launch


def spoken(worker: Worker, order: SynthesisOrder | None = None) -> Repetition:
    repetition = worker.answer(order or speak_order()).repetition
    assert repetition is not None
    return repetition


def test_a_launch_is_split_into_its_parts(worker: Worker) -> None:
    launch = loaded(worker, replace(load_order(), page_cache="cold", dedicated=True))
    assert launch.parts == (
        LoadPart(name="import", ns=400 * MS),
        LoadPart(name="session", ns=800 * MS),
        LoadPart(name="voices", ns=20 * MS),
        LoadPart(name="phonemiser", ns=30 * MS),
        # "Hello world.": 12 characters, 0.84 s of audio, at 0.2 s of work each, and 3 ms around it.
        LoadPart(name="first_inference", ns=171 * MS),
    )
    assert (launch.arm_id, launch.launch, launch.page_cache, launch.dedicated) == (
        "scripted.cpu.tdefault",
        2,
        "cold",
        True,
    )
    assert launch.started_at == SCRIPTED_EPOCH
    assert launch.rss_loaded == 200 * MIB
    assert launch.facts.providers == ("cpu",)
    assert launch.outcome == Outcome()


def test_the_first_inference_is_no_repetition_and_leaves_no_stamps(worker: Worker) -> None:
    loaded(worker)
    assert [mark.stage for mark in spoken(worker).stages] == ["phonemise", "inference", "postprocess"]


def test_a_whole_text_is_one_chunk_with_every_stamp(worker: Worker) -> None:
    loaded(worker)
    found = spoken(worker)
    assert found == Repetition(
        scenario_id="scripted.cpu.tdefault/whole/chars-20/af_heart",
        launch=2,
        block=5,
        position=3,
        phase=Phase.MEASURED,
        variant=1,
        characters=20,
        started_at=SCRIPTED_EPOCH + 1.421,
        end_ns=283 * MS,
        chunks=(ChunkMark(at_ns=283 * MS, frames=33_600),),
        stages=(
            StageMark(stage="phonemise", start_ns=0, end_ns=2 * MS),
            StageMark(stage="inference", start_ns=2 * MS, end_ns=282 * MS),
            StageMark(stage="postprocess", start_ns=282 * MS, end_ns=283 * MS),
        ),
        cpu_ns=283 * MS,
        memory=Memory(rss_before=200 * MIB, rss_after=200 * MIB, peak=230 * MIB),
        disturbance=Disturbance(steal_share=0.0, others_cpu_share=0.0, involuntary_switches=0),
        audio=found.audio,
    )
    assert found.audio is not None
    assert (found.audio.sample_rate, found.audio.frames) == (24_000, 33_600)


def test_a_stream_is_stamped_chunk_by_chunk(worker: Worker) -> None:
    loaded(worker)
    found = spoken(worker, speak_order(450, stream=True))
    assert found.chunks == (
        ChunkMark(at_ns=2_803 * MS, frames=336_000),
        ChunkMark(at_ns=5_604 * MS, frames=336_000),
        ChunkMark(at_ns=6_305 * MS, frames=84_000),
    )
    assert found.end_ns == 6_305 * MS
    assert [(mark.end_ns - mark.start_ns) // MS for mark in found.stages if mark.stage == "inference"] == [
        2_800,
        2_800,
        700,
    ]


def test_speed_shortens_the_audio_and_the_band_with_it(worker: Worker) -> None:
    loaded(worker)
    # 1.4 s at speed 1 are 0.7 s at speed 2: 0.035 s a character, in a band that is halved to 0.03 … 0.05.
    found = spoken(worker, speak_order(speed=2.0, band_low=0.06, band_high=0.1))
    assert found.chunks[0].frames == 16_800
    assert found.outcome.valid


def test_a_planted_slowdown_is_a_delay_in_proportion_to_the_inference(worker: Worker) -> None:
    loaded(worker, load_order(slowdown=0.1))
    found = spoken(worker)
    assert found.stages == (
        StageMark(stage="phonemise", start_ns=0, end_ns=2 * MS),
        StageMark(stage="inference", start_ns=2 * MS, end_ns=310 * MS),
        StageMark(stage="postprocess", start_ns=310 * MS, end_ns=311 * MS),
    )
    assert found.end_ns == 311 * MS


def test_a_slowdown_is_planted_in_the_first_inference_too_but_not_in_loading(worker: Worker) -> None:
    plain = {part.name: part.ns for part in loaded(Worker(clock=ScriptedClock(), probes=ScriptedProbes())).parts}
    slowed = {part.name: part.ns for part in loaded(worker, load_order(slowdown=0.5)).parts}
    assert slowed == plain | {"first_inference": 171 * MS + 84 * MS}


@pytest.mark.parametrize(
    ("script", "changes", "reason"),
    [
        ({"fault": "silent"}, {}, "The audio is silent: every sample is 0."),
        (
            {"fault": "truncate"},
            {"band_low": 0.03},
            TOO_SHORT,
        ),
        (
            {},
            {"band_high": 0.05},
            "The audio is too long: 1.40 s, where 0.00 s to 1.00 s are plausible for 20 characters.",
        ),
        (
            {},
            {"original_seconds": 2.0},
            "The audio is truncated: 1.40 s are 70 % of the original's 2.00 s, less than 75 %.",
        ),
    ],
)
def test_audio_that_may_carry_no_figures_says_why(
    worker: Worker, script: dict[str, str], changes: dict[str, Any], reason: str
) -> None:
    loaded(worker, load_order(0.0, **script))
    found = spoken(worker, speak_order(**changes))
    assert found.outcome.kind is OutcomeKind.INVALID_AUDIO
    assert found.outcome.reason == reason


def test_an_original_as_long_as_three_quarters_allow_is_no_truncation(worker: Worker) -> None:
    loaded(worker)
    assert spoken(worker, speak_order(original_seconds=1.4 / 0.75)).outcome.valid


def test_an_engine_that_raises_is_an_outcome_and_the_worker_goes_on(worker: Worker) -> None:
    loaded(worker, load_order(fault="raise", fault_text="20"))
    failed = spoken(worker, speak_order(20))
    assert failed.outcome == Outcome(kind=OutcomeKind.ERROR, reason="ScriptedFault: the script asked for an error")
    assert failed.audio is None
    assert spoken(worker, speak_order(19)).outcome.valid


def test_a_failed_first_inference_is_the_launchs_outcome(worker: Worker) -> None:
    launch = loaded(worker, load_order(fault="raise"))
    assert launch.outcome == Outcome(
        kind=OutcomeKind.ERROR, reason="the first inference failed: ScriptedFault: the script asked for an error"
    )
    assert [part.name for part in launch.parts] == ["import", "session", "voices", "phonemiser"]


def test_a_refusal_is_the_launchs_outcome(worker: Worker) -> None:
    launch = loaded(worker, load_order(fault="refuse"))
    assert launch.outcome == Outcome(kind=OutcomeKind.REFUSED, reason="the script asked for a refusal")
    assert launch.rss_loaded is None


def test_an_engine_that_is_not_installed_there_is_an_outcome(worker: Worker) -> None:
    order = replace(load_order(), engine=EngineOrder(engine="absent"))
    outcome = loaded(worker, order).outcome
    assert outcome.kind is OutcomeKind.REFUSED
    assert outcome.reason.startswith("this environment has no engine 'absent'; it has ")


def test_speaking_before_loading_is_an_outcome(worker: Worker) -> None:
    assert spoken(worker).outcome == Outcome(kind=OutcomeKind.ERROR, reason="nothing is loaded")


def test_audio_is_kept_where_it_is_ordered(worker: Worker, tmp_path: Path) -> None:
    loaded(worker)
    path = tmp_path / "first.npy"
    found = spoken(worker, speak_order(450, stream=True, audio_path=str(path)))
    kept = np.load(path)
    assert (kept.dtype, kept.shape) == (np.float32, (756_000,))
    assert sum(chunk.frames for chunk in found.chunks) == 756_000


@pytest.fixture
def dialogue(worker: Worker) -> Callable[[list[bytes]], list[Answer]]:
    def synthesise(lines: list[bytes]) -> list[Answer]:
        answers = io.BytesIO()
        serve(worker, iter(lines), answers)
        return [read_answer(line) for line in answers.getvalue().splitlines(keepends=True)]

    return synthesise


def test_every_line_is_answered_and_a_foreign_one_does_not_end_the_dialogue(
    dialogue: Callable[[list[bytes]], list[Answer]],
) -> None:
    said = dialogue([write_order(load_order()), b"sing\n", write_order(speak_order())])
    assert said[0].launch is not None
    assert said[1].error.startswith("not an order of protocol")
    assert said[2].repetition is not None
    assert said[2].repetition.end_ns == 283 * MS


def test_a_canary_order_needs_no_engine(dialogue: Callable[[list[bytes]], list[Answer]]) -> None:
    (said,) = dialogue([write_order(CanaryOrder(rounds=1))])
    # The scripted clock does not move while NumPy works.
    assert said.canary is not None
    assert (said.canary.numpy_ns, said.canary.graph_ns) == (0, 0)


def test_every_answer_is_given_at_rest() -> None:
    probes = RestlessProbes()
    made = Worker(clock=ScriptedClock(), probes=probes)
    for done, order in enumerate((load_order(), speak_order(), speak_order()), start=1):
        made.answer(order)
        assert probes.rests == done
