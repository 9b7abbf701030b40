"""The conductor of loads, with workers that answer at once."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from harness.core.clock import ScriptedClock
from harness.core.records.repetition import Block, Launch, LoadNote, OutcomeKind, Phase, Repetition, ServerFigures
from harness.core.records.scenario import Arm, Arrivals, Mode, Scenario, Traffic
from harness.measure.conductor.events import BlockDone, Event, Progress, ScenarioLost
from harness.measure.conductor.load_runs import LoadConductor
from harness.measure.conductor.worker_factory import ArmFiles, WorkerFactory
from harness.measure.worker.handle import Overdue
from harness.measure.worker.place import HERE, WorkerPlace
from harness.measure.worker.protocol import ConcurrentAnswer, ConcurrentOrder, LoadOrder
from harness.measure.worker.scripted_handle import ScriptedHandle
from harness.measure.worker.worker_lost import WorkerLost
from harness.plan.corpus import Corpus
from harness.plan.matrix import RunLimits, make_plan

ARM = Arm(engine="endpoint", provider="", url="http://127.0.0.1:1")
PACE = RunLimits(budget_s=1e6, launches=1, blocks=2, warmups=1, timeout_s=5.0, seed=7)


def load(level: float) -> Scenario:
    traffic = Traffic(arrivals=Arrivals.POISSON, level=level, seconds=10, warm_up_s=3, cool_down_s=1)
    return Scenario(arm=ARM, mode=Mode.ENDPOINT, text_class="chars-12", voice="v", variant=None, traffic=traffic)


class Hand(ScriptedHandle):
    """Bears everything, or is lost at a level."""

    def __init__(self, clock: ScriptedClock, orders: list[ConcurrentOrder], *, lost_at: float) -> None:
        super().__init__(clock)
        self._time = clock
        self._orders = orders
        self._lost_at = lost_at

    def load(self, order: LoadOrder, *, timeout_s: float) -> Launch:
        del timeout_s
        return Launch(arm_id=order.arm_id, launch=order.launch, started_at=0.0, page_cache="warm")

    def run_concurrent(
        self, order: ConcurrentOrder, *, timeout_s: float, overdue: Overdue | None = None
    ) -> ConcurrentAnswer:
        del timeout_s, overdue
        assert order.traffic is not None
        self._orders.append(order)
        if order.traffic.level == self._lost_at:
            raise WorkerLost(OutcomeKind.CRASHED, "killed by SIGKILL")
        began = self._time.wall()
        self._time.sleep(14.0)
        made = Repetition(
            scenario_id=order.scenario_id, launch=order.launch, block=order.block, position=0, phase=Phase.MEASURED,
            variant=0, characters=12, started_at=began + 3, end_ns=1,
        )  # fmt: skip
        return ConcurrentAnswer(repetitions=(made,), began_at=began, note=LoadNote(server_cpu_ns=5))

    def status(self, *, timeout_s: float) -> ServerFigures:
        del timeout_s
        return ServerFigures(figures=(("requests", 1.0),))


def played(
    levels: Sequence[float], *, lost_at: float = 0.0, borne_up_to: float = 1e9
) -> tuple[list[Event], list[ConcurrentOrder], LoadConductor]:
    clock, events, orders = ScriptedClock(), list[Event](), list[ConcurrentOrder]()

    def start(_place: WorkerPlace) -> Hand:
        return Hand(clock, orders, lost_at=lost_at)

    def holds(scenario: Scenario, _block: Block, repetitions: Sequence[Repetition]) -> bool:
        assert repetitions
        return scenario.traffic is not None and scenario.traffic.level <= borne_up_to

    conductor = LoadConductor(
        make_plan([load(level) for level in levels], corpus=Corpus(), run_limits=PACE),
        worker_factory=WorkerFactory(start=start, place=lambda _arm: HERE, files=lambda _arm: ArmFiles()),
        clock=clock,
        emit=events.append,
        holds=holds,
    )
    conductor.run()
    return events, orders, conductor


def test_what_is_left_is_the_loads_to_come_with_the_longest_that_their_answers_are_waited_for() -> None:
    events, _, _ = played((4, 1))
    said = [each for each in events if isinstance(each, Progress)]
    assert all(each.at_most for each in said)
    # Each of 14 s and up to 30 s for its answers, two levels, two rounds; the canary comes before each load.
    left = [each.remaining_s for each in said if "/poisson-" in each.doing]
    assert left == [176, 132, 88, 44]
    assert said[0].remaining_s == 176
    assert [each.share for each in said if "/poisson-" in each.doing] == [0, 0.25, 0.5, 0.75]


def test_that_last_answers_are_waited_for_is_said_with_the_time_that_it_may_take() -> None:
    class Slow(Hand):
        def run_concurrent(
            self, order: ConcurrentOrder, *, timeout_s: float, overdue: Overdue | None = None
        ) -> ConcurrentAnswer:
            assert overdue is not None
            assert overdue.after_s == pytest.approx(14, abs=1)
            overdue.call()
            return super().run_concurrent(order, timeout_s=timeout_s)

    clock, events = ScriptedClock(), list[Event]()
    LoadConductor(
        make_plan([load(1)], corpus=Corpus(), run_limits=replace(PACE, blocks=1)),
        worker_factory=WorkerFactory(
            start=lambda _place: Slow(clock, [], lost_at=0.0), place=lambda _arm: HERE, files=lambda _arm: ArmFiles()
        ),
        clock=clock,
        emit=events.append,
    ).run()
    last = [each for each in events if isinstance(each, Progress)][-1]
    assert last.doing.endswith("poisson-1: waiting for its last answers")
    assert last.remaining_s == 30


def test_loads_go_from_light_to_heavy_in_each_round_and_have_a_block_and_a_window_each() -> None:
    events, orders, conductor = played((4, 1, 2))
    assert [order.traffic.level for order in orders if order.traffic] == [1, 2, 4, 1, 2, 4]
    blocks = [each.block for each in events if isinstance(each, BlockDone)]
    assert [block.block for block in blocks] == list(range(6))
    assert [block.order for block in blocks[:3]] == [(load(level).id,) for level in (1, 2, 4)]
    assert all(block.wall_ns == 10_000_000_000 for block in blocks)
    assert blocks[1].started_at - blocks[0].started_at > 14
    assert blocks[0].load == LoadNote(server_cpu_ns=5)
    assert blocks[0].servers == ((ARM.id, ServerFigures(figures=(("requests", 1.0),))),)
    assert conductor.complete
    assert not conductor.reason


def test_arrivals_are_drawn_anew_in_each_round_from_the_runs_seed() -> None:
    _, orders, _ = played((1,))
    assert [order.seed for order in orders] == [7, 8]
    assert orders[0].texts[0] != orders[1].texts[0]


def test_what_is_heavier_than_a_load_that_was_not_borne_is_not_tried_and_the_run_says_so() -> None:
    _, orders, conductor = played((1, 2, 4, 8), borne_up_to=1)
    assert [order.traffic.level for order in orders if order.traffic] == [1, 2, 1, 2]
    assert conductor.reason == "poisson-4, poisson-8: not tried, since poisson-2 did not meet every target"


def test_a_client_that_is_lost_costs_its_load_and_the_others_go_on() -> None:
    events, orders, conductor = played((1, 2, 4), lost_at=2)
    assert [order.traffic.level for order in orders if order.traffic] == [1, 2, 4, 1, 4]
    (lost,) = (each for each in events if isinstance(each, ScenarioLost))
    assert lost.scenario_id == load(2).id
    assert lost.outcome.reason == "killed by SIGKILL"
    assert conductor.complete


def test_a_load_that_is_interrupted_keeps_what_was_measured_of_it() -> None:
    clock, events, orders = ScriptedClock(), list[Event](), list[ConcurrentOrder]()

    class Cut(Hand):
        def run_concurrent(
            self, order: ConcurrentOrder, *, timeout_s: float, overdue: Overdue | None = None
        ) -> ConcurrentAnswer:
            self._whole = super().run_concurrent(order, timeout_s=timeout_s, overdue=overdue)
            self._time.elapsed_ns -= 6_000_000_000
            raise KeyboardInterrupt

        def cut_short(self) -> ConcurrentAnswer | None:
            return self._whole

    conductor = LoadConductor(
        make_plan([load(1.0)], corpus=Corpus(), run_limits=PACE),
        worker_factory=WorkerFactory(
            start=lambda _: Cut(clock, orders, lost_at=0.0), place=lambda _: HERE, files=lambda _: ArmFiles()
        ),
        clock=clock,
        emit=events.append,
    )
    with pytest.raises(KeyboardInterrupt):
        conductor.run()
    (done,) = [each for each in events if isinstance(each, BlockDone)]
    assert len(done.repetitions) == 1
    # 8 of its 14 s had passed, 3 of them warm-up.
    assert done.block.wall_ns == 5_000_000_000
