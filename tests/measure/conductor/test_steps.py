"""Both sides of a duel at the same time: what the conductor makes of it, with workers that only seem to be halted."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from threading import Barrier, Event, current_thread, main_thread
from typing import NoReturn, cast

import pytest

from harness.core.clock import ScriptedClock
from harness.core.records.repetition import Launch, OutcomeKind, Repetition
from harness.core.records.scenario import Scenario
from harness.measure.conductor.events import BlockDone
from harness.measure.conductor.warm_ups import MOST_OBSERVED
from harness.measure.system.thread_states import SLEEP, SOCKET, WORKING, Snapshot, State
from harness.measure.worker.observed_synthesis import OBSERVE_EVERY_S
from harness.measure.worker.pause import ProcessPauser, WorkerActivity
from harness.measure.worker.place import WorkerPlace
from harness.measure.worker.protocol import LoadOrder, SynthesisOrder
from harness.measure.worker.slicing_checks import (
    CANNOT_DETERMINE,
    CANNOT_PAUSE,
    ENOUGH_OBSERVATIONS,
    STATES_UNAVAILABLE,
)
from harness.measure.worker.worker_lost import WorkerLost
from harness.plan.matrix import LaunchPolicy
from tests.measure.conducting import (
    DERIVED,
    ORIGINAL,
    Agency,
    Hand,
    Played,
    Rule,
    brief,
    lose,
    perform,
    plan,
    scenario,
)

PAIRS = (
    scenario(ORIGINAL, "short"),
    scenario(DERIVED, "short"),
    scenario(ORIGINAL, "long"),
    scenario(DERIVED, "long"),
)

ONE_THREAD = tuple(replace(each, arm=replace(each.arm, threads=1)) for each in PAIRS)
PATIENCE_S = 240.0
IN_SLICES = LaunchPolicy(slice_s=0.025, otherwise=LaunchPolicy(launches=2))


@dataclass
class FakeHalter:
    """Writes down who is halted when."""

    log: list[str]
    name: Callable[[], str]
    states: Callable[[str], State]
    paused: bool = False
    observable: bool = True
    doing: WorkerActivity = WorkerActivity.SYNTHESIS
    looped_ns: int = 0
    observations: int = 0
    follows: bool = False
    server: int = 0

    def pause_clocks(self) -> None:
        self.follows = True

    def observe(self, *, all_threads: bool = False) -> Snapshot:
        del all_threads
        self.observations += 1
        return Snapshot(main=self.states(self.name()))

    def pause(self, *, instead: object = None) -> None:
        del instead
        if not self.paused:
            self.paused = True
            self.log.append(f"halt {self.name()}")

    def resume(self) -> None:
        if self.paused:
            self.paused = False
            self.log.append(f"go on {self.name()}")


class HaltableHand(Hand):
    """A scripted worker that answers in its first slice."""

    def __init__(self, agency: "SlicedAgency") -> None:
        super().__init__(agency)
        self.order: SynthesisOrder | None = None
        self.fake = FakeHalter(agency.pauses, lambda: self.name, agency.states, observable=agency.observable)

    @property
    def pauser(self) -> ProcessPauser | None:
        return cast("ProcessPauser", self.fake)

    def begin(self, order: SynthesisOrder) -> None:
        # What is measured begins with its slice; what warms up, at once.
        assert self.fake.paused == (order.phase == "measured")
        self.order = order

    def poll(self, order: SynthesisOrder, *, within_s: float) -> Repetition | None:
        assert order is self.order
        assert not self.fake.paused
        agency = cast("SlicedAgency", self.agency)
        if within_s <= OBSERVE_EVERY_S:
            # It is watched, and speaks until it has been looked at often enough.
            if self.fake.observations < agency.observations:
                return None
        else:
            agency.parts.append(within_s)
        return self.synthesise(order, timeout_s=within_s)

    def give_up(self, order: SynthesisOrder, *, after_s: float) -> NoReturn:
        raise WorkerLost(OutcomeKind.TIMEOUT, f"{order.text_summary}: {after_s}")


@dataclass
class SlicedAgency(Agency):
    pauses: list[str] = field(default_factory=list)
    parts: list[float] = field(default_factory=list)
    able: bool = True
    observable: bool = True
    observations: int = ENOUGH_OBSERVATIONS
    states: Callable[[str], State] = lambda _arm: WORKING
    """Arm id → what its worker does, whenever it is looked at."""

    def start(self, _place: WorkerPlace) -> Hand:
        hand = HaltableHand(self) if self.able else Hand(self)
        self.open.append(hand)
        return hand


def run(*, rule: Rule = lambda _order: None, **run_limits: float) -> tuple[Played, SlicedAgency]:
    agency = SlicedAgency(ScriptedClock(), rule=rule)
    return perform(plan(PAIRS, launch_policy=IN_SLICES, **run_limits), agency=agency), agency


def spoken(block: BlockDone) -> list[str]:
    return [brief(each.scenario_id) for each in block.repetitions]


def test_each_text_is_spoken_by_both_before_the_next() -> None:
    played, agency = run(launches=2, blocks=3)
    assert len(played.blocks) == 6
    for block in played.blocks:
        one, other, third, fourth = spoken(block)
        assert {one.split()[1], third.split()[1]} == {"short", "long"}
        assert one.split()[1] == other.split()[1]
        assert third.split()[1] == fourth.split()[1]
        assert block.block.slice_ns == 25_000_000
        assert [each.position for each in block.repetitions] == [0, 1, 2, 3]
    assert agency.pauses.count("halt scripted.cpu.tdefault") == agency.pauses.count("go on scripted.cpu.tdefault")
    assert not any(cast("HaltableHand", hand).fake.paused for hand in agency.open)


def test_three_arms_speak_a_text_in_turns_of_which_the_first_is_shorter() -> None:
    arms = (ORIGINAL, DERIVED, replace(ORIGINAL, threads=2))
    three = tuple(scenario(arm, "short") for arm in arms)
    agency = SlicedAgency(ScriptedClock())
    played = perform(plan(three, launch_policy=IN_SLICES, launches=1, blocks=2), agency=agency)
    for block in played.blocks:
        assert {each.scenario_id for each in block.repetitions} == {each.id for each in three}
        assert [each.position for each in block.repetitions] == [0, 1, 2]
        assert block.block.slice_ns == 25_000_000
    # Two thirds of a turn, then a whole one; the last arm is alone then, and has all the time that is left.
    first, second, alone = agency.parts[-3:]
    assert (first, second) == pytest.approx((0.05 / 3, 0.025))
    assert alone > 1
    halts = [sum(each.startswith(what) for each in agency.pauses) for what in ("halt", "go on")]
    assert halts[0] == halts[1] > 0


def test_who_begins_is_turned_round_with_the_block() -> None:
    played, _ = run(launches=1, blocks=4)
    first = [spoken(block)[0].split()[0] for block in played.blocks]
    assert first[0] != first[1]
    assert first[2] != first[3]


def whole(agency: SlicedAgency, reason: str, **run_limits: float) -> Played:
    """A run that is to be played one side after the other, for this reason, with as many launches as that has."""
    played = perform(plan(PAIRS, launch_policy=IN_SLICES, launches=8, **run_limits), agency=agency)
    assert {(each.block.slice_ns, each.block.launch) for each in played.blocks} == {(0, 0), (0, 1)}
    assert {each.block.whole for each in played.blocks} == {reason}
    assert all(len(each.repetitions) == 4 for each in played.blocks)
    assert not agency.pauses
    return played


def test_workers_that_cannot_be_halted_speak_one_after_the_other() -> None:
    whole(SlicedAgency(ScriptedClock(), able=False), CANNOT_PAUSE)


def test_workers_that_do_not_tell_what_they_wait_for_speak_one_after_the_other() -> None:
    first = "scripted.cpu.tdefault"
    reasons = [
        CANNOT_DETERMINE.format(arm=name, why=STATES_UNAVAILABLE) for name in (first, "scripted-8bit.cpu.tdefault")
    ]
    agency = SlicedAgency(ScriptedClock(), observable=False)
    played = perform(plan(PAIRS, launch_policy=IN_SLICES, launches=3), agency=agency)
    assert {each.block.whole for each in played.blocks} <= set(reasons)
    assert {each.block.slice_ns for each in played.blocks} == {0}


def test_workers_that_are_hardly_seen_speak_one_after_the_other() -> None:
    agency = SlicedAgency(ScriptedClock(), observations=0)
    played = perform(plan(PAIRS, launch_policy=IN_SLICES, launches=3), agency=agency)
    assert all("its texts take too little time" in each.block.whole for each in played.blocks)
    assert {each.block.slice_ns for each in played.blocks} == {0}
    # Each text was spoken as often as may be, to see more of it.
    assert len([each for each in played.warm_ups if each.launch == 0]) == 4 * MOST_OBSERVED


def test_a_side_that_waits_in_its_warm_up_is_not_halted() -> None:
    def states(arm: str) -> State:
        return SLEEP if "8bit" in arm else WORKING

    arm = "scripted-8bit.cpu.tdefault"
    agency = SlicedAgency(ScriptedClock(), states=states)
    played = whole(agency, f"{arm} sleeps for about 100 % of its time, which would pass while it is paused", blocks=2)
    assert len(played.warm_ups) == 8
    # Later launches are those of a run without slices: one side loads after the other, and speaks its first text.
    assert all(order.speak_first for order in agency.loads)


def test_an_engines_clocks_follow_its_process_only_where_that_may_be_halted() -> None:
    for states, launches in ((lambda _arm: WORKING, 3), (lambda _arm: SLEEP, 1)):
        followed: list[bool] = []

        class Noted(HaltableHand):
            def load(self, order: LoadOrder, *, timeout_s: float, told: list[bool] = followed) -> Launch:
                told.append(self.fake.follows)
                return super().load(order, timeout_s=timeout_s)

        class Agents(SlicedAgency):
            def start(self, _place: WorkerPlace, kind: type[HaltableHand] = Noted) -> Hand:
                self.open.append(kind(self))
                return self.open[-1]

        perform(plan(PAIRS, launch_policy=IN_SLICES, launches=3), agency=Agents(ScriptedClock(), states=states))
        assert followed.count(True) == 2 * launches


def test_a_wait_that_is_found_at_the_halts_ends_the_slices() -> None:
    """It works while it warms up, and waits at every halt from the second block on."""
    blocks: list[int] = []

    def states(arm: str) -> State:
        return SOCKET if "8bit" in arm and blocks[-1:] and blocks[-1] else WORKING

    def rule(order: object) -> None:
        if isinstance(order, SynthesisOrder) and order.phase == "measured":
            blocks.append(order.block)

    agency = SlicedAgency(ScriptedClock(), rule=rule, states=states)
    played = perform(plan(PAIRS, launch_policy=IN_SLICES, launches=1, blocks=8), agency=agency)
    told = [each.block.whole for each in played.blocks]
    first = next(number for number, reason in enumerate(told) if reason)
    assert first > 0
    assert all("waits for a socket" in reason for reason in told[first:])
    assert [bool(each.block.slice_ns) for each in played.blocks] == [number <= first for number in range(8)]


def test_who_is_lost_over_it_costs_itself_alone() -> None:
    def rule(order: object) -> None:
        if isinstance(order, SynthesisOrder) and order.phase == "measured" and brief(order.scenario_id) == "8bit long":
            lose(OutcomeKind.CRASHED, "killed by SIGSEGV")

    played, _ = run(launches=2, blocks=2, rule=rule)
    first, *others = played.blocks
    assert {brief(each.scenario_id): each.outcome.kind for each in first.repetitions} == {
        "fp32 short": OutcomeKind.VALID,
        "8bit short": OutcomeKind.VALID,
        "fp32 long": OutcomeKind.VALID,
        "8bit long": OutcomeKind.CRASHED,
    }
    lost = next(each for each in first.repetitions if not each.outcome.valid)
    beside = next(each for each in first.repetitions if brief(each.scenario_id) == "fp32 long")
    assert {lost.position, beside.position} in ({0, 1}, {2, 3})
    assert lost.variant == beside.variant
    for block in others:
        assert sorted(spoken(block)) == ["8bit short", "fp32 long", "fp32 short"]


def test_a_short_text_has_shorter_turns() -> None:
    """Of 10 characters the faster side takes 115 ms, of 100 ten times as long; the first turn is half a one."""
    for slice_s, expected in ((0.4, {0.0125, 1.123 / 8 / 2}), (0.06, {0.0125, 0.03}), (0.02, {0.01})):
        agency = SlicedAgency(ScriptedClock())
        perform(plan(PAIRS, launch_policy=LaunchPolicy(slice_s=slice_s), launches=1, blocks=1), agency=agency)
        # Who is left has the time that is left, which is seconds.
        assert {round(seconds, 4) for seconds in agency.parts if seconds < 1} == {round(each, 4) for each in expected}


def test_both_sides_of_a_later_launch_load_at_once() -> None:
    """In the first, whose loading is told, one after the other."""
    meeting = Barrier(2)

    def rule(order: object) -> None:
        if not isinstance(order, LoadOrder):
            return
        assert order.speak_first == (order.launch == 0)
        if order.launch:
            meeting.wait(PATIENCE_S)
        else:
            assert current_thread() is main_thread()

    played, agency = run(launches=3, blocks=1, rule=rule)
    assert [order.launch for order in agency.loads] == [0, 0, 1, 1, 2, 2]
    assert [launch.launch for launch in played.launches] == [0, 0, 1, 1, 2, 2]
    assert len(played.blocks) == 3
    assert not meeting.broken


def test_a_side_that_does_not_load_again_costs_itself_alone() -> None:
    def rule(order: object) -> None:
        if isinstance(order, LoadOrder) and order.launch and "8bit" in order.arm_id:
            lose(OutcomeKind.CRASHED, "killed by SIGKILL")

    played, _ = run(launches=2, blocks=1, rule=rule)
    assert {brief(name): outcome.reason for name, outcome in played.lost.items()} == dict.fromkeys(
        ("8bit short", "8bit long"), "killed by SIGKILL"
    )
    assert [len(block.repetitions) for block in played.blocks] == [4, 2]


def test_a_run_that_is_ended_while_both_load_leaves_no_worker_behind() -> None:
    """The second worker's start is interrupted while the first loads: the first hears of its end, and is awaited."""
    loading, closed = Event(), Event()

    class Waiting(HaltableHand):
        def load(self, order: LoadOrder, *, timeout_s: float) -> Launch:
            if not order.launch:
                return super().load(order, timeout_s=timeout_s)
            loading.set()
            assert closed.wait(PATIENCE_S)
            raise WorkerLost(OutcomeKind.CRASHED, "closed")

        def close(self) -> None:
            if loading.is_set():
                closed.set()
            super().close()

    class Interrupted(SlicedAgency):
        def start(self, _place: WorkerPlace) -> Hand:
            if loading.is_set():
                raise KeyboardInterrupt
            if len(self.log) > 2:
                # The later launch's first: the canary and both of the first launch have been there.
                hand = Waiting(self)
                self.open.append(hand)
                return hand
            return super().start(_place)

    agency = Interrupted(ScriptedClock())
    with pytest.raises(KeyboardInterrupt):
        perform(plan(PAIRS, launch_policy=LaunchPolicy(slice_s=0.025), launches=2, blocks=1), agency=agency)
    assert closed.is_set()
    assert not agency.open


def warm_ups_begun(scenarios: tuple[Scenario, ...]) -> list[list[str]]:
    """What each warm-up was begun beside: those that had been begun and not heard of."""
    begun: list[list[str]] = []
    waiting: list[str] = []

    class Noted(HaltableHand):
        def begin(self, order: SynthesisOrder) -> None:
            super().begin(order)
            if order.phase == "warmup":
                begun.append(list(waiting))
                waiting.append(self.name)

        def poll(self, order: SynthesisOrder, *, within_s: float) -> Repetition | None:
            if self.name in waiting:
                waiting.remove(self.name)
            return super().poll(order, within_s=within_s)

    class Agents(SlicedAgency):
        def start(self, _place: WorkerPlace) -> Hand:
            hand = Noted(self)
            self.open.append(hand)
            return hand

    agency = Agents(ScriptedClock())
    played = perform(plan(scenarios, launch_policy=LaunchPolicy(slice_s=0.025), launches=2, blocks=1), agency=agency)
    assert len(played.warm_ups) == 8
    return begun


def test_sides_of_one_thread_are_warmed_up_at_once_once_they_have_been_looked_at() -> None:
    begun = warm_ups_begun(ONE_THREAD)
    assert [len(others) for others in begun] == [0] * 4 + [0, 1] * 2


def test_sides_that_want_every_core_are_warmed_up_one_after_the_other() -> None:
    """In the first launch each is looked at meanwhile; later ones are only ordered to speak, and begin nothing."""
    assert warm_ups_begun(PAIRS) == [[]] * 4


def test_a_side_that_is_lost_over_its_warm_up_costs_itself_alone() -> None:
    def rule(order: object) -> None:
        if isinstance(order, SynthesisOrder) and order.phase == "warmup" and brief(order.scenario_id) == "8bit short":
            lose(OutcomeKind.CRASHED, "killed by SIGSEGV")

    agency = SlicedAgency(ScriptedClock(), rule=rule)
    played = perform(
        plan(ONE_THREAD, launch_policy=LaunchPolicy(slice_s=0.025), launches=1, blocks=1, warmups=2), agency=agency
    )
    assert [brief(name) for name in played.lost] == ["8bit short"]
    assert [sorted(spoken(block)) for block in played.blocks] == [["8bit long", "fp32 long", "fp32 short"]]
