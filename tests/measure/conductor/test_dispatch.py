"""What the conductor asks of a worker at its desk, and what it learns from the answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from harness.core.records.repetition import AudioFeatures, Outcome, OutcomeKind, Phase, Repetition
from harness.core.records.scenario import Arm, Mode, Scenario
from harness.measure.conductor.dispatch import SHORTEST_SLICE_S, SLICES_A_TEXT, Dispatcher, Step
from harness.measure.conductor.requests import concurrent_order, concurrent_timeout, synthesis_order
from harness.measure.conductor.worker_factory import ArmFiles, WorkerFactory
from harness.measure.conductor.workers import ActiveWorker
from harness.measure.system.thread_states import SLEEP, WORKING, Snapshot
from harness.measure.worker.handle import Overdue, WorkerHandle
from harness.measure.worker.observed_synthesis import ThreadObservations
from harness.measure.worker.place import HERE
from harness.measure.worker.protocol import ConcurrentAnswer, ConcurrentOrder, SynthesisOrder
from harness.measure.worker.slicing_checks import Slicing
from harness.measure.worker.time_slicing import SlicedSynthesis
from harness.measure.worker.worker_lost import WorkerLost
from harness.plan.matrix import LaunchPolicy, Plan
from tests.measure.conducting import DERIVED, ORIGINAL, TEXTS, plan, scenario

LONG, SHORT = TEXTS["long"][0], TEXTS["short"][0]
ONE, OTHER = scenario(ORIGINAL, "long"), scenario(DERIVED, "long")
SLICED = LaunchPolicy(slice_s=0.1)
LOST = WorkerLost(OutcomeKind.CRASHED, "killed by SIGSEGV")


@dataclass
class Halter:
    """Counts what its engine loops, as it is told."""

    looped_ns: int = 5


@dataclass
class Hand:
    """A worker that answers with what it is told to."""

    answers: list[Repetition | WorkerLost] = field(default_factory=list)
    concurrent: ConcurrentAnswer = field(default_factory=ConcurrentAnswer)
    spoken: list[tuple[SynthesisOrder, float]] = field(default_factory=list)
    attended: list[tuple[ConcurrentOrder, float, Overdue | None]] = field(default_factory=list)
    pauser: Halter = field(default_factory=Halter)

    def synthesise(self, order: SynthesisOrder, *, timeout_s: float) -> Repetition:
        self.spoken.append((order, timeout_s))
        answer = self.answers.pop(0)
        if isinstance(answer, WorkerLost):
            raise answer
        return answer

    def run_concurrent(
        self, order: ConcurrentOrder, *, timeout_s: float, overdue: Overdue | None = None
    ) -> ConcurrentAnswer:
        self.attended.append((order, timeout_s, overdue))
        return self.concurrent

    def begin(self, order: SynthesisOrder) -> None: ...

    def poll(self, order: SynthesisOrder, *, within_s: float) -> Repetition | None: ...

    def give_up(self, order: SynthesisOrder, *, after_s: float) -> None: ...


def active(arm: Arm = ORIGINAL, *answers: Repetition | WorkerLost, launch: int = 2) -> tuple[ActiveWorker, Hand]:
    hand = Hand(answers=list(answers))
    return ActiveWorker(arm=arm, worker=cast("WorkerHandle", hand), launch=launch), hand


def record(of: Scenario, *, ms: int = 800, seconds: float = 7.0, kind: OutcomeKind = OutcomeKind.VALID) -> Repetition:
    audio = AudioFeatures(
        sample_rate=1_000, frames=round(seconds * 1_000), sha256="", finite=True, peak=0.1, rms_dbfs=-20.0,
        clipped_share=0.0, onset_frame=0,
    )  # fmt: skip
    return Repetition(
        scenario_id=of.id, launch=2, block=4, position=1, phase=Phase.MEASURED, variant=0, characters=100,
        started_at=0.0, end_ns=ms * 1_000_000, audio=audio,
        outcome=Outcome(kind=kind, reason="" if kind is OutcomeKind.VALID else "wrong"),
    )  # fmt: skip


def worker_factory() -> WorkerFactory:
    def start(_: object) -> WorkerHandle:
        raise AssertionError

    return WorkerFactory(
        start=start,
        place=lambda _: HERE,
        files=lambda _: ArmFiles(),
        audio=lambda of, launch: f"{of.text_class}-{launch}",
    )


def dispatcher(what: Plan | None = None, *, launch_policy: LaunchPolicy | None = None) -> Dispatcher:
    return Dispatcher(what or plan(), worker_factory(), Slicing(launch_policy) if launch_policy else None)


STEP = Step(utterance=LONG, block=4, position=1, phase=Phase.MEASURED)


class TestOneText:
    def test_it_is_ordered_as_its_turn_says_and_given_up_in_time(self) -> None:
        at, hand = active(ORIGINAL, record(ONE))
        assert dispatcher().repetitions(ONE, at, STEP) == [record(ONE)]
        order = synthesis_order(
            ONE, LONG, launch=2, block=4, position=1, phase=Phase.MEASURED, original_seconds=None, audio_path=""
        )
        # 5 s and a quarter of a second for each of 100 characters.
        assert hand.spoken == [(order, 30.0)]

    @pytest.mark.parametrize(
        ("characters", "left_s", "given_s"),
        [
            (100, 0.0, 5.0),  # an engine may be slow to answer
            (100, 999.0, 30.0),
            (1_000_000, 0.0, 3.0),  # a tenth of the budget
            (1_000_000, 20.0, 20.0),
        ],
    )
    def test_what_no_engine_speaks_in_time_gets_what_is_left_of_the_budget(
        self, characters: int, left_s: float, given_s: float
    ) -> None:
        at, hand = active(ORIGINAL, record(ONE))
        limits = replace(plan().run_limits, timeout_s=5.0, budget_s=30.0)
        asked = Dispatcher(replace(plan(), run_limits=limits), worker_factory(), budget_left_s=lambda: left_s)
        asked.repetitions(ONE, at, replace(STEP, utterance=replace(LONG, text="x" * characters)))
        assert [timeout_s for _, timeout_s in hand.spoken] == [given_s]

    def test_audio_is_kept_where_an_arm_opens_its_launch(self) -> None:
        at, hand = active(ORIGINAL, record(ONE), record(ONE))
        asked = dispatcher()
        asked.repetitions(ONE, at, replace(STEP, first_block_arms=frozenset({ORIGINAL, DERIVED})))
        asked.repetitions(ONE, at, replace(STEP, first_block_arms=frozenset({DERIVED})))
        assert [order.audio_path for order, _ in hand.spoken] == ["long-2", ""]

    def test_a_derived_model_is_held_against_its_original(self) -> None:
        asked = dispatcher()
        at, _ = active(ORIGINAL, record(ONE, seconds=6.5))
        other, hand = active(DERIVED, record(OTHER), record(OTHER))
        asked.repetitions(OTHER, other, STEP)
        asked.repetitions(ONE, at, STEP)
        asked.repetitions(OTHER, other, STEP)
        assert [order.original_seconds for order, _ in hand.spoken] == [None, 6.5]

    def test_a_worker_that_is_lost_is_told(self) -> None:
        at, _ = active(ORIGINAL, LOST)
        with pytest.raises(WorkerLost, match="SIGSEGV"):
            dispatcher().repetitions(ONE, at, STEP)


class TestManyTexts:
    server = Arm(engine="endpoint", provider="", url="http://127.0.0.1:1")
    concurrent = Scenario(arm=server, mode=Mode.ENDPOINT, text_class="short", voice="v", variant=None, concurrency=2)
    plan = replace(plan([concurrent], seed=7), concurrent_pool={"short": TEXTS["short"] * 4})

    @pytest.mark.parametrize(("phase", "place"), [(Phase.MEASURED, 4), (Phase.WARMUP, -3)])
    def test_they_are_ordered_from_the_runs_seed_and_not_what_the_warm_up_asked_for(
        self, phase: Phase, place: int
    ) -> None:
        at, hand = active(self.server)
        hand.concurrent = ConcurrentAnswer(repetitions=(record(self.concurrent), record(self.concurrent)), began_at=3.0)
        found = dispatcher(self.plan).repetitions(self.concurrent, at, replace(STEP, phase=phase))
        assert found == hand.concurrent.repetitions
        texts = self.plan.concurrent_texts(self.concurrent, place)
        order = concurrent_order(self.concurrent, texts, launch=2, block=4, phase=phase, seed=11)
        assert hand.attended == [(order, concurrent_timeout(self.concurrent, texts, self.plan.run_limits), None)]

    def test_whoever_waits_is_told_that_it_takes_longer(self) -> None:
        at, hand = active(self.server)
        overdue = cast("Overdue", object())
        assert (
            dispatcher(self.plan).concurrent(self.concurrent, at, block=0, phase=Phase.MEASURED, overdue=overdue)
            is hand.concurrent
        )
        assert hand.attended[0][2] is overdue


@dataclass
class Pairs:
    """Instead of speaking, in slices or at once: notes how it was asked, and fills in what is found."""

    found: list[Repetition | WorkerLost] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)
    sides: list[Sequence[SlicedSynthesis]] = field(default_factory=list)
    loops_ns: tuple[int, int] = (0, 0)

    def synthesise(self, name: str) -> Callable[..., tuple[Repetition | WorkerLost, ...]]:
        def synthesise(sides: Sequence[SlicedSynthesis], **given: float) -> tuple[Repetition | WorkerLost, ...]:
            self.calls.append({"how": name} | given)
            self.sides.append(sides)
            found = tuple(self.found.pop(0) for _ in sides)
            for side, one, more_ns in zip(sides, found, self.loops_ns, strict=True):
                side.result = one
                side.pauses += [Snapshot(main=SLEEP), Snapshot(main=WORKING)]
                cast("Halter", side.pauser).looped_ns += more_ns
            return found

        return synthesise


@pytest.fixture
def pairs(monkeypatch: pytest.MonkeyPatch) -> Pairs:
    made = Pairs()
    monkeypatch.setattr("harness.measure.conductor.dispatch.synthesise_in_slices", made.synthesise("slices"))
    monkeypatch.setattr("harness.measure.conductor.dispatch.synthesise_in_parallel", made.synthesise("at once"))
    return made


class TestTogether:
    def both(self, asked: Dispatcher, step: Step = STEP) -> tuple[Repetition | WorkerLost, ...]:
        return asked.run_together((ONE, OTHER), (active(ORIGINAL)[0], active(DERIVED, launch=3)[0]), step)

    def test_both_sides_speak_one_text_in_slices(self, pairs: Pairs) -> None:
        pairs.found = [record(ONE), record(OTHER)]
        assert self.both(dispatcher(launch_policy=SLICED)) == (record(ONE), record(OTHER))
        # Each has the machine half of the time: twice 5 s and 100 characters of 0.25 s.
        assert pairs.calls == [{"how": "slices", "slice_s": 0.1, "timeout_s": 60.0}]
        ((one, other),) = pairs.sides
        assert [(side.order.scenario_id, side.order.position, side.order.launch) for side in (one, other)] == [
            (ONE.id, 1, 2), (OTHER.id, 2, 3),
        ]  # fmt: skip
        assert {(side.order.text, side.order.block) for side in (one, other)} == {(LONG.text, 4)}

    def test_what_warms_up_is_not_in_slices(self, pairs: Pairs) -> None:
        pairs.found = [record(ONE), record(OTHER)]
        self.both(dispatcher(launch_policy=SLICED), replace(STEP, phase=Phase.WARMUP))
        assert pairs.calls == [{"how": "at once", "timeout_s": 60.0}]

    def test_slices_are_shorter_where_the_faster_side_would_have_few(self, pairs: Pairs) -> None:
        asked = dispatcher(launch_policy=SLICED)
        assert (SLICES_A_TEXT, SHORTEST_SLICE_S) == (8, 0.025)
        # 0.8 s and 0.4 s: an eighth of the faster; then one that is faster still; then what failed, which says nothing.
        wrong = record(OTHER, ms=900, kind=OutcomeKind.INVALID_AUDIO)
        pairs.found = [
            record(ONE, ms=800), record(OTHER, ms=400), record(ONE, ms=40), record(OTHER, ms=400),
            record(ONE, ms=4_000), wrong, record(ONE, ms=4_000), record(OTHER, ms=4_000), LOST, LOST,
        ]  # fmt: skip
        for _ in range(5):
            self.both(asked)
        assert [call["slice_s"] for call in pairs.calls] == pytest.approx([0.1, 0.05, 0.025, 0.05, 0.1])

    def test_what_was_spoken_alone_tells_how_long_a_side_takes(self, pairs: Pairs) -> None:
        asked = dispatcher(launch_policy=SLICED)
        asked.repetitions(ONE, active(ORIGINAL, record(ONE, ms=480))[0], STEP)
        pairs.found = [record(ONE), record(OTHER)]
        self.both(asked)
        assert pairs.calls[0]["slice_s"] == pytest.approx(0.06)

    def test_it_learns_how_long_each_worked_and_looped(self, pairs: Pairs) -> None:
        slicing = Slicing(SLICED)
        asked = Dispatcher(plan(), worker_factory(), slicing)
        pairs.found = [record(ONE), record(OTHER, ms=500)]
        pairs.loops_ns = (30, 70)
        self.both(asked)
        seen = [slicing.of(each.arm.id) for each in (ONE, OTHER)]
        assert [(each.worked_ns, each.looped_ns) for each in seen] == [(800_000_000, 30), (500_000_000, 70)]
        assert [(each.pauses, dict(each.paused_waits)) for each in seen] == [(2, {"sleeps": 1})] * 2
        pairs.found = [record(ONE, kind=OutcomeKind.INVALID_AUDIO), LOST]
        assert self.both(asked)[1] is LOST
        assert [(each.worked_ns, each.looped_ns) for each in seen] == [(800_000_000, 30), (500_000_000, 70)]

    def test_the_original_is_a_measure_for_the_derived_one_from_then_on(self, pairs: Pairs) -> None:
        asked = dispatcher(launch_policy=SLICED)
        pairs.found = [record(ONE, seconds=6.25), record(OTHER)] * 2
        self.both(asked)
        self.both(asked)
        assert [other.order.original_seconds for _, other in pairs.sides] == [None, 6.25]


class TestWatched:
    def watch(self, monkeypatch: pytest.MonkeyPatch, found: Repetition | WorkerLost) -> list[float]:
        timeouts: list[float] = []

        def synthesise(side: SlicedSynthesis, *, timeout_s: float) -> ThreadObservations:
            timeouts.append(timeout_s)
            side.result = found
            cast("Halter", side.pauser).looped_ns += 40
            return ThreadObservations()

        monkeypatch.setattr("harness.measure.conductor.dispatch.synthesise_observed", synthesise)
        monkeypatch.setattr(ThreadObservations, "states", lambda _: [SLEEP, WORKING])
        return timeouts

    def test_a_side_is_looked_at_and_learned_of(self, monkeypatch: pytest.MonkeyPatch) -> None:
        timeouts = self.watch(monkeypatch, record(ONE))
        slicing = Slicing(SLICED)
        assert Dispatcher(plan(), worker_factory(), slicing).observed(ONE, active()[0], STEP) == [record(ONE)]
        seen = slicing.of(ONE.arm.id)
        assert timeouts == [30.0]
        assert (seen.observations, dict(seen.waits), seen.worked_ns, seen.looped_ns) == (
            2,
            {"sleeps": 1},
            800_000_000,
            40,
        )

    def test_one_that_is_lost_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.watch(monkeypatch, LOST)
        with pytest.raises(WorkerLost, match="SIGSEGV"):
            dispatcher(launch_policy=SLICED).observed(ONE, active()[0], STEP)


def test_without_slices_a_pair_is_asked_for_none(pairs: Pairs) -> None:
    pairs.found = [record(ONE), record(OTHER)]
    dispatcher().run_together((ONE, OTHER), (active(ORIGINAL)[0], active(DERIVED)[0]), STEP)
    assert pairs.calls[0]["slice_s"] == 0.0
