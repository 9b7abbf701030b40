"""The conductor on a scripted clock: every order, every loss, every nanosecond."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from harness.clock import SCRIPTED_EPOCH, Clock, ScriptedClock
from harness.measure.conductor import Conductor, Watch, never
from harness.measure.events import BlockDone, Event, Launched, Progress, ScenarioLost, WarmedUp
from harness.measure.handle import HERE, ScriptedHandle, WorkerLost, WorkerPlace
from harness.measure.messages import CanaryOrder, LoadOrder, SpeakOrder
from harness.measure.staff import ArmFiles, Staff
from harness.plan.matrix import Pace, Plan
from harness.records.repetition import Canary, Launch, Outcome, OutcomeKind, Phase, Repetition
from harness.records.scenario import Arm, Mode, ModelVariant, Scenario, Utterance

MS = 1_000_000
ORIGINAL = Arm(engine="scripted", model=ModelVariant(name="scripted", sha256="a" * 64, size=1, origin="scripted"))
DERIVED = Arm(
    engine="scripted",
    model=ModelVariant(name="scripted-8bit", sha256="b" * 64, size=1, origin="scripted", parent="a" * 64),
)
TEXTS = {
    name: tuple(
        Utterance(text_class=name, variant=number, text=letter * characters) for number, letter in enumerate("xyz")
    )
    for name, characters in (("short", 10), ("long", 100))
}
LATENCY_MS = {
    ("scripted", "short"): 143,
    ("scripted", "long"): 1403,
    ("scripted-8bit", "short"): 115,
    ("scripted-8bit", "long"): 1123,
}
"""Without noise: 3 ms, and 0.2 s (0.16 s for the 8-bit model) for each second of 0.07 s a character."""
BLOCK_MS = 50 + sum(LATENCY_MS.values())
"""A round of all four, and the canary's 50 ms."""
FIRST_NS = {"scripted": 171_000_000, "scripted-8bit": 137_400_000}
"""The first inference: 12 characters."""


def scenario(arm: Arm, text_class: str, mode: Mode = Mode.WHOLE, variant: int | None = 0) -> Scenario:
    return Scenario(arm=arm, mode=mode, text_class=text_class, voice="af_heart", variant=variant)


FOUR = (
    scenario(ORIGINAL, "long"),
    scenario(DERIVED, "long"),
    scenario(ORIGINAL, "short"),
    scenario(DERIVED, "short"),
)
LOADS = (scenario(ORIGINAL, "", Mode.LOAD_WARM), scenario(DERIVED, "", Mode.LOAD_COLD))


def plan(scenarios: Sequence[Scenario] = FOUR, **pace: float) -> Plan:
    given = {"budget_s": 1_000.0, "launches": 2, "blocks": 2, "warmups": 1, "timeout_s": 5.0, "seed": 0, **pace}
    return Plan(
        scenarios=tuple(scenarios),
        utterances=TEXTS,
        pace=Pace(**given),  # type: ignore[arg-type]
        corpus_digest="c" * 64,
        script={"noise": "0"},
    )


Rule = Callable[[LoadOrder | SpeakOrder | CanaryOrder], None]
"""Raises WorkerLost, or whatever else, where a worker is to end."""


@dataclass
class Agency:
    """Starts scripted workers, and writes down everything that happens to them."""

    clock: Clock
    rule: Rule = lambda _order: None
    log: list[tuple[str, str]] = field(default_factory=list)
    loads: list[LoadOrder] = field(default_factory=list)
    spoken: list[SpeakOrder] = field(default_factory=list)
    timeouts: list[float] = field(default_factory=list)
    open: list["Hand"] = field(default_factory=list)
    startable: bool = True
    speed: dict[str, float] = field(default_factory=dict)
    """Arm id → how much faster its engine speaks than it should."""

    def start(self, _place: WorkerPlace) -> "Hand":
        if not self.startable:
            raise WorkerLost(OutcomeKind.CRASHED, "cannot start python: gone")
        hand = Hand(self)
        self.open.append(hand)
        return hand

    def staff(self) -> Staff:
        return Staff(
            start=self.start, place=lambda _arm: HERE, files=lambda _arm: ArmFiles(model_path="m", voices_path="v")
        )


class Hand(ScriptedHandle):
    def __init__(self, agency: Agency) -> None:
        super().__init__(agency.clock)
        self.agency = agency
        self.name = "canary"

    def load(self, order: LoadOrder, *, timeout_s: float) -> Launch:
        self.name = order.arm_id
        others = [hand.name for hand in self.agency.open if hand is not self]
        self.agency.log.append(("dedicated" if order.dedicated else "load", f"{order.arm_id} beside {len(others)}"))
        self.agency.loads.append(order)
        self.agency.rule(order)
        return super().load(order, timeout_s=timeout_s)

    def speak(self, order: SpeakOrder, *, timeout_s: float) -> Repetition:
        self.agency.spoken.append(order)
        self.agency.timeouts.append(timeout_s)
        self.agency.rule(order)
        return super().speak(
            replace(order, speed=order.speed * self.agency.speed.get(self.name, 1.0)), timeout_s=timeout_s
        )

    def canary(self, order: CanaryOrder, *, timeout_s: float) -> Canary:
        self.agency.rule(order)
        return super().canary(order, timeout_s=timeout_s)

    def close(self) -> None:
        self.agency.log.append(("close", self.name))
        self.agency.open.remove(self)
        super().close()


@dataclass
class Played:
    """What one run said and did."""

    conductor: Conductor
    agency: Agency
    events: list[Event]

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def blocks(self) -> list[BlockDone]:
        return [event for event in self.events if isinstance(event, BlockDone)]

    @property
    def launches(self) -> list[Launch]:
        return [event.launch for event in self.events if isinstance(event, Launched)]

    @property
    def warm_ups(self) -> list[Repetition]:
        return [event.repetition for event in self.events if isinstance(event, WarmedUp)]

    @property
    def lost(self) -> dict[str, Outcome]:
        return {event.scenario_id: event.outcome for event in self.events if isinstance(event, ScenarioLost)}


def perform(
    what: Plan,
    *,
    rule: Rule = lambda _order: None,
    enough: Callable[[], str] = never,
    settled: Callable[[], str] = never,
    startable: bool = True,
    speed: dict[str, float] | None = None,
) -> Played:
    clock = ScriptedClock()
    agency = Agency(clock, rule, startable=startable, speed=speed or {})
    events: list[Event] = []
    watch = Watch(ends_run=enough, ends_launch=settled)
    conductor = Conductor(what, staff=agency.staff(), clock=clock, emit=events.append, watch=watch)
    conductor.play()
    assert agency.open == []
    return Played(conductor, agency, events)


def brief(scenario_id: str) -> str:
    """`scripted-8bit.cpu.tdefault/whole/long/af_heart` → `8bit long`."""
    arm, _, rest = scenario_id.partition("/")
    return f"{'8bit' if '8bit' in arm else 'fp32'} {rest.split('/')[1] if rest.count('/') else rest}"


class TestOrder:
    def test_the_seed_decides_the_order_of_every_block(self) -> None:
        orders = [[brief(name) for name in event.block.order] for event in perform(plan()).blocks]
        assert orders == [
            ["8bit long", "8bit short", "fp32 short", "fp32 long"],
            ["fp32 long", "fp32 short", "8bit short", "8bit long"],
            ["8bit short", "fp32 short", "8bit long", "fp32 long"],
            ["fp32 long", "8bit long", "fp32 short", "8bit short"],
        ]

    def test_the_same_seed_gives_the_same_events(self) -> None:
        assert perform(plan(seed=7)).events == perform(plan(seed=7)).events

    def test_another_seed_gives_other_orders(self) -> None:
        first, second = ([event.block.order for event in perform(plan(seed=seed)).blocks] for seed in (1, 2))
        assert first != second

    def test_the_order_of_a_block_does_not_depend_on_what_was_drawn_before(self) -> None:
        with_loads = perform(plan((*LOADS, *FOUR), launches=1))
        assert [event.block.order for event in with_loads.blocks] == [
            event.block.order for event in perform(plan(launches=1)).blocks
        ]

    def test_every_scenario_plays_once_in_every_block(self) -> None:
        for event in perform(plan()).blocks:
            assert sorted(event.block.order) == sorted(each.id for each in FOUR)
            assert [each.scenario_id for each in event.repetitions] == list(event.block.order)
            assert [each.position for each in event.repetitions] == [0, 1, 2, 3]

    def test_every_other_block_of_a_launch_turns_the_one_before_round(self) -> None:
        orders = [(event.block.launch, event.block.order) for event in perform(plan(blocks=5, launches=2)).blocks]
        for number in (0, 2):
            for (_, first), (_, second) in (orders[number : number + 2], orders[5 + number : 7 + number]):
                assert second == first[::-1]
        launches = {launch: {order for of, order in orders if of == launch} for launch in (0, 1)}
        assert len(launches[0] | launches[1]) > 6

    def test_over_many_blocks_every_scenario_comes_first_and_last(self) -> None:
        orders = [event.block.order for event in perform(plan(blocks=30, launches=1)).blocks]
        assert {order[0] for order in orders} == {order[-1] for order in orders} == {each.id for each in FOUR}


class TestBlocks:
    def test_blocks_are_numbered_through_the_launches(self) -> None:
        blocks = [event.block for event in perform(plan(launches=3)).blocks]
        assert [(block.launch, block.block) for block in blocks] == [(0, 0), (0, 1), (1, 2), (1, 3), (2, 4), (2, 5)]

    def test_a_block_lasts_from_its_canary_to_its_last_answer(self) -> None:
        played = perform(plan(launches=1))
        assert [event.block.wall_ns for event in played.blocks] == [BLOCK_MS * MS] * 2
        assert [event.block.canary for event in played.blocks] == [Canary(numpy_ns=20_000_000, graph_ns=30_000_000)] * 2
        # Before the first: the canary's own warm-up, both loads, and one warm-up of each scenario.
        began_ns = 50 * MS + 2 * 1_250 * MS + sum(FIRST_NS.values()) + (BLOCK_MS - 50) * MS
        assert played.blocks[0].block.started_at == SCRIPTED_EPOCH + began_ns / 1e9

    def test_repetitions_carry_the_stamps_of_the_worker(self) -> None:
        for event in perform(plan(launches=1)).blocks:
            for each in event.repetitions:
                arm, text_class = each.scenario_id.split(".")[0], each.scenario_id.split("/")[2]
                assert each.end_ns == LATENCY_MS[arm, text_class] * MS
                assert each.phase is Phase.MEASURED
                assert each.block == event.block.block

    def test_the_time_out_grows_with_the_text(self) -> None:
        agency = perform(plan(launches=1, blocks=1)).agency
        assert {(len(order.text), limit) for order, limit in zip(agency.spoken, agency.timeouts, strict=True)} == {
            (10, 7.5),
            (100, 30.0),
        }

    def test_variants_take_turns_where_a_scenario_goes_through_them(self) -> None:
        rotating = scenario(ORIGINAL, "short", variant=None)
        agency = perform(plan([rotating], launches=1, blocks=5)).agency
        measured = [order for order in agency.spoken if order.phase == "measured"]
        assert [order.text[0] for order in measured] == ["x", "y", "z", "x", "y"]
        assert [order.variant for order in measured] == [0, 1, 2, 0, 1]


class TestLaunches:
    def test_every_arm_is_launched_anew_and_ended_in_every_launch(self) -> None:
        agency = perform(plan(launches=3, blocks=1)).agency
        started = [(order.arm_id, order.launch) for order in agency.loads]
        assert sorted(started) == [
            (arm, launch) for arm in ("scripted-8bit.cpu.tdefault", "scripted.cpu.tdefault") for launch in range(3)
        ]
        closed = [name for what, name in agency.log if what == "close"]
        assert sorted(closed) == ["canary", *["scripted-8bit.cpu.tdefault"] * 3, *["scripted.cpu.tdefault"] * 3]

    def test_what_an_arm_is_loaded_with(self) -> None:
        arm = replace(ORIGINAL, threads=2, session_options=(("arena", "off"),), slowdown=0.05)
        (order,) = perform(plan([scenario(arm, "short")], launches=1, seed=3)).agency.loads
        assert order == LoadOrder(
            arm_id="scripted.cpu.t2.arena=off.slowed-0.05",
            launch=0,
            page_cache="warm",
            slowdown=0.05,
            engine={
                "engine": "scripted",
                "model": "scripted",
                "model_path": "m",
                "voices_path": "v",
                "voice": "af_heart",
                "provider": "cpu",
                "threads": 2,
                "provider_options": {},
                "session_options": {"arena": "off"},
                "url": "",
                "seed": 3_001,
                "script": {"noise": "0"},
            },
        )

    def test_all_arms_of_a_launch_share_a_seed_that_no_other_launch_has(self) -> None:
        loads = perform(plan(launches=3, seed=2)).agency.loads
        assert {(order.launch, order.engine["seed"]) for order in loads} == {(0, 2_001), (1, 2_002), (2, 2_003)}

    def test_every_launch_is_said(self) -> None:
        launches = perform(plan(launches=2)).launches
        assert sorted((each.launch, each.arm_id) for each in launches) == [
            (0, "scripted-8bit.cpu.tdefault"),
            (0, "scripted.cpu.tdefault"),
            (1, "scripted-8bit.cpu.tdefault"),
            (1, "scripted.cpu.tdefault"),
        ]
        assert all(each.outcome.valid and not each.dedicated for each in launches)


class TestWarmUps:
    def test_they_go_from_short_to_long_originals_first(self) -> None:
        played = perform(plan(launches=1, warmups=2))
        assert [brief(each.scenario_id) for each in played.warm_ups] == [
            *["fp32 short"] * 2,
            *["fp32 long"] * 2,
            *["8bit short"] * 2,
            *["8bit long"] * 2,
        ]

    def test_they_are_marked_and_belong_to_no_block(self) -> None:
        played = perform(plan())
        assert {(each.phase, each.block) for each in played.warm_ups} == {(Phase.WARMUP, -1)}
        assert len(played.warm_ups) == 2 * 4
        measured = [each for event in played.blocks for each in event.repetitions]
        assert {each.phase for each in measured} == {Phase.MEASURED}

    def test_they_precede_every_block_of_their_launch(self) -> None:
        kinds = [type(event).__name__ for event in perform(plan()).events if isinstance(event, BlockDone | WarmedUp)]
        assert kinds == [*["WarmedUp"] * 4, "BlockDone", "BlockDone"] * 2


class TestTruncation:
    def test_a_derived_model_is_held_against_its_original(self) -> None:
        agency = perform(plan(launches=1, blocks=1)).agency
        derived = {(len(order.text), order.original_seconds) for order in agency.spoken if "8bit" in order.scenario_id}
        assert derived == {(10, 0.7), (100, 7.0)}
        assert {order.original_seconds for order in agency.spoken if "8bit" not in order.scenario_id} == {None}

    def test_one_that_leaves_text_out_is_found(self) -> None:
        played = perform(plan(launches=1, blocks=1), speed={"scripted-8bit.cpu.tdefault": 1 / 0.6})
        outcomes = {brief(each.scenario_id): each.outcome for each in played.blocks[0].repetitions}
        assert outcomes["fp32 long"].valid
        assert outcomes["8bit long"].kind is OutcomeKind.INVALID_AUDIO
        assert outcomes["8bit long"].reason == (
            "The audio is truncated: 4.20 s are 60 % of the original's 7.00 s, less than 75 %."
        )
        assert played.lost == {}

    def test_another_text_mode_or_speed_is_no_measure(self) -> None:
        played = perform(plan([scenario(ORIGINAL, "long"), scenario(DERIVED, "long", Mode.STREAM)], blocks=1))
        assert {order.original_seconds for order in played.agency.spoken} == {None}

    def test_a_text_that_was_first_heard_in_a_block_counts_from_then_on(self) -> None:
        scenarios = [scenario(ORIGINAL, "short", variant=None), scenario(DERIVED, "short", variant=None)]
        agency = perform(plan(scenarios, launches=1, blocks=6)).agency
        later = [order for order in agency.spoken if "8bit" in order.scenario_id and order.block >= 3]
        assert {order.variant for order in later} == {0, 1, 2}
        assert {order.original_seconds for order in later} == {0.7}


def lose(kind: OutcomeKind, reason: str) -> None:
    raise WorkerLost(kind, reason, f"stderr of {reason}")


def crash_on_long(order: object) -> None:
    """The 8-bit model dies of each measured long text."""
    if isinstance(order, SpeakOrder) and order.phase == "measured" and brief(order.scenario_id) == "8bit long":
        lose(OutcomeKind.CRASHED, "killed by SIGSEGV")


class TestLosses:
    def test_a_lost_scenario_costs_only_itself(self) -> None:
        played = perform(plan(launches=2), rule=crash_on_long)
        lost_id = scenario(DERIVED, "long").id
        outcome = Outcome(
            kind=OutcomeKind.CRASHED, reason="killed by SIGSEGV", stderr_tail="stderr of killed by SIGSEGV"
        )
        assert played.lost == {lost_id: outcome}
        first = played.blocks[0]
        assert {brief(each.scenario_id): each.outcome.kind for each in first.repetitions} == {
            "fp32 long": OutcomeKind.VALID,
            "8bit long": OutcomeKind.CRASHED,
            "fp32 short": OutcomeKind.VALID,
            "8bit short": OutcomeKind.VALID,
        }
        failed = next(each for each in first.repetitions if each.scenario_id == lost_id)
        assert (failed.outcome, failed.phase, failed.block, failed.launch) == (outcome, Phase.MEASURED, 0, 0)
        for event in played.blocks[1:]:
            assert lost_id not in event.block.order
            assert len(event.repetitions) == 3
        assert played.conductor.complete

    def test_a_new_process_of_a_lost_arm_is_a_launch_of_its_own_and_warmed_up_again(self) -> None:
        played = perform(plan(launches=2), rule=crash_on_long)
        assert [(each.arm_id, each.launch) for each in played.launches if "8bit" in each.arm_id] == [
            ("scripted-8bit.cpu.tdefault", 0),
            ("scripted-8bit.cpu.tdefault", 2),
            ("scripted-8bit.cpu.tdefault", 1),
        ]
        assert [brief(each.scenario_id) for each in played.warm_ups if each.launch == 2] == ["8bit short"]
        after = [
            each.launch
            for event in played.blocks
            for each in event.repetitions
            if brief(each.scenario_id) == "8bit short" and event.block.block == 1
        ]
        assert after == [2]

    def test_a_hang_takes_the_time_of_its_time_out(self) -> None:
        what = plan([scenario(ORIGINAL, "short"), scenario(ORIGINAL, "long")], launches=1, blocks=1)
        played = perform(replace(what, script={"noise": "0", "fault": "hang", "fault_text": "100"}))
        (outcome,) = played.lost.values()
        assert outcome.kind is OutcomeKind.TIMEOUT
        (failed,) = [each for each in played.warm_ups if not each.outcome.valid]
        assert failed.end_ns == 30_000 * MS

    def test_an_arm_that_cannot_be_loaded_costs_its_scenarios(self) -> None:
        def refuse(order: object) -> None:
            if isinstance(order, LoadOrder) and "8bit" in order.arm_id:
                lose(OutcomeKind.CRASHED, "the worker ended while loading: exit code 7")

        played = perform(plan(), rule=refuse)
        assert set(played.lost) == {scenario(DERIVED, "long").id, scenario(DERIVED, "short").id}
        failed = [each for each in played.launches if not each.outcome.valid]
        assert [(each.arm_id, each.launch, each.outcome.stderr_tail) for each in failed] == [
            ("scripted-8bit.cpu.tdefault", 0, "stderr of the worker ended while loading: exit code 7")
        ]
        assert all(len(event.repetitions) == 2 for event in played.blocks)
        assert len(played.blocks) == 4

    def test_a_refusal_of_the_engine_costs_its_scenarios_too(self) -> None:
        played = perform(replace(plan(), script={"fault": "refuse"}))
        assert len(played.lost) == 4
        assert {outcome.kind for outcome in played.lost.values()} == {OutcomeKind.REFUSED}
        assert played.blocks == []
        assert (played.conductor.complete, played.conductor.reason) == (False, "every scenario was lost")

    def test_an_arm_that_is_lost_too_often_is_given_up(self) -> None:
        classes = [f"text-{number}" for number in range(6)]
        scenarios = [scenario(ORIGINAL, name) for name in classes]
        what = replace(
            plan(scenarios, launches=1),
            utterances={name: (Utterance(text_class=name, variant=0, text="x" * 20),) for name in classes},
            script={"fault": "crash", "fault_text": "20"},
        )
        played = perform(what)
        reasons = [outcome.reason for outcome in played.lost.values()]
        given_up = "the arm's worker was lost 4 times; it is not started again in this run"
        assert reasons.count(given_up) == 2
        assert len(reasons) == 6
        assert len(played.agency.loads) == 1 + 3
        # Nothing happened to the two that were given up, but each has a record that says why there is no more of it.
        assert [each.outcome.reason for each in played.warm_ups].count(given_up) == 2
        assert {each.scenario_id for each in played.warm_ups if not each.outcome.valid} == set(played.lost)

    def test_where_no_worker_can_be_started_everything_is_lost_with_the_reason(self) -> None:
        played = perform(plan((*LOADS, *FOUR)), startable=False)
        assert {outcome.reason for outcome in played.lost.values()} == {"cannot start python: gone"}
        assert len(played.lost) == 6
        assert {(each.outcome.kind, each.parts) for each in played.launches} == {(OutcomeKind.CRASHED, ())}

    def test_a_run_that_lost_everything_says_so_and_is_not_complete(self) -> None:
        played = perform(replace(plan(), script={"fault": "crash", "fault_text": "10"}))
        assert (played.conductor.complete, played.conductor.reason) == (False, "every scenario was lost")

    def test_no_worker_is_left_behind_by_an_exception(self) -> None:
        spoken = 0

        def interrupt(order: object) -> None:
            nonlocal spoken
            spoken += isinstance(order, SpeakOrder)
            if isinstance(order, SpeakOrder) and spoken == 7:
                raise KeyboardInterrupt

        agency = Agency(ScriptedClock(), interrupt)
        events: list[Event] = []
        conductor = Conductor(plan(), staff=agency.staff(), clock=agency.clock, emit=events.append)
        with pytest.raises(KeyboardInterrupt):
            conductor.play()
        assert agency.open == []
        assert not conductor.complete

    def test_no_worker_is_left_behind_by_an_exception_while_loading(self) -> None:
        def interrupt(order: object) -> None:
            if isinstance(order, LoadOrder):
                raise KeyboardInterrupt

        agency = Agency(ScriptedClock(), interrupt)
        conductor = Conductor(plan(), staff=agency.staff(), clock=agency.clock, emit=lambda _event: None)
        with pytest.raises(KeyboardInterrupt):
            conductor.play()
        assert agency.open == []


class TestCanary:
    def test_one_that_cannot_start_costs_its_readings_alone(self) -> None:
        def lost(order: object) -> None:
            if isinstance(order, CanaryOrder):
                lose(OutcomeKind.CRASHED, "no memory")

        played = perform(plan(), rule=lost)
        assert {event.block.canary for event in played.blocks} == {
            Canary(numpy_ns=None, graph_ns=None, reason="no memory")
        }
        assert played.conductor.complete
        assert played.lost == {}

    def test_one_that_is_lost_on_the_way_is_unknown_from_then_on(self) -> None:
        read = 0

        def lost(order: object) -> None:
            nonlocal read
            read += isinstance(order, CanaryOrder)
            if isinstance(order, CanaryOrder) and read == 3:
                lose(OutcomeKind.CRASHED, "killed by SIGKILL")

        played = perform(plan(), rule=lost)
        assert [event.block.canary.reason for event in played.blocks] == ["", *["killed by SIGKILL"] * 3]
        assert read == 3
        assert played.conductor.complete

    def test_it_is_read_fully_in_every_block(self) -> None:
        orders: list[CanaryOrder] = []

        def note(order: object) -> None:
            if isinstance(order, CanaryOrder):
                orders.append(order)

        perform(plan(), rule=note)
        assert [order.rounds for order in orders] == [1, 3, 3, 3, 3]


class TestStartUp:
    def test_each_has_workers_of_its_own_while_no_other_is_there(self) -> None:
        agency = perform(plan((*LOADS, *FOUR), launches=2, blocks=1)).agency
        dedicated = [name for what, name in agency.log if what == "dedicated"]
        assert sorted(dedicated) == [
            *["scripted-8bit.cpu.tdefault beside 1"] * 2,
            *["scripted.cpu.tdefault beside 1"] * 2,
        ]
        order = [what for what, name in agency.log if not name.startswith("canary")]
        start_ups, launch = ["dedicated", "close"] * 4, ["load", "load", "close", "close"]
        assert order == [*start_ups, *launch, *launch]

    def test_they_belong_to_the_launch_of_their_round(self) -> None:
        played = perform(plan((*LOADS, *FOUR), launches=3, blocks=1))
        assert [each.launch for each in played.launches if each.dedicated] == [0, 0, 1, 1, 2, 2]

    def test_a_third_round_is_made_where_a_launchs_part_of_the_budget_has_time_for_it(self) -> None:
        # 0.05 s, then rounds of 2.8084 s: three end at 8.4752 s, which must be within a third of the budget.
        need_s = 3 * (0.05 + 3 * (2.5 + 0.3084))
        what = (*LOADS, scenario(ORIGINAL, "short"))
        enough = perform(plan(what, launches=3, blocks=1, budget_s=need_s + 0.003))
        assert sum(each.dedicated for each in enough.launches) == 6
        assert (enough.conductor.complete, enough.conductor.reason) == (True, "")
        short = perform(plan(what, launches=3, blocks=1, budget_s=need_s - 0.003))
        assert sum(each.dedicated for each in short.launches) == 4
        assert not short.conductor.complete
        assert short.conductor.reason == f"the budget of {need_s - 0.003:g} s had no time for more than 2 start-ups"

    def test_two_rounds_are_made_whatever_the_budget(self) -> None:
        assert sum(each.dedicated for each in perform(plan((*LOADS, *FOUR), launches=3, budget_s=0.001)).launches) == 4

    def test_alone_they_have_the_whole_budget(self) -> None:
        need_s = 0.05 + 3 * (2.5 + 0.3084)
        assert len(perform(plan(LOADS, launches=3, budget_s=need_s + 0.001)).launches) == 6
        assert len(perform(plan(LOADS, launches=3, budget_s=need_s - 0.001)).launches) == 4

    def test_what_they_leave_of_the_budget_is_parted_among_the_launches(self) -> None:
        # After 2 rounds 24.3332 s are left of 30 s, a launch's half ends at 17.8334 s. Its start takes until 11.2592 s,
        # two blocks until 16.9272 s; without the start-ups' 5.6168 s a half that ended at 15 s would hold one.
        played = perform(plan((*LOADS, *FOUR), budget_s=30.0, launches=2, blocks=100))
        assert [event.block.launch for event in played.blocks].count(0) == 2

    def test_the_page_cache_is_as_the_scenario_has_it(self) -> None:
        played = perform(plan((*LOADS, *FOUR), launches=1, blocks=1))
        assert {(each.arm_id, each.page_cache) for each in played.launches if each.dedicated} == {
            ("scripted.cpu.tdefault", "warm"),
            ("scripted-8bit.cpu.tdefault", "cold"),
        }
        assert {each.page_cache for each in played.launches if not each.dedicated} == {"warm"}

    def test_they_stand_in_no_block(self) -> None:
        played = perform(plan((*LOADS, *FOUR), launches=1))
        assert {name for event in played.blocks for name in event.block.order} == {each.id for each in FOUR}

    def test_a_run_of_nothing_else_is_complete(self) -> None:
        played = perform(plan(LOADS, launches=3))
        assert played.conductor.complete
        assert played.blocks == []
        assert len(played.launches) == 6

    def test_one_that_fails_is_lost_and_not_tried_again(self) -> None:
        played = perform(replace(plan(LOADS, launches=3), script={"fault": "exit-at-load"}))
        assert len(played.launches) == 2
        assert set(played.lost) == {each.id for each in LOADS}
        assert (played.conductor.complete, played.conductor.reason) == (False, "every scenario was lost")


class TestFirstRequests:
    """Three texts of a class, of 10 characters each."""

    FIRST = scenario(ORIGINAL, "short", Mode.WARM_UP, variant=None)

    def test_each_text_is_asked_for_and_then_each_again_of_a_process_that_has_spoken_nothing(self) -> None:
        played = perform(plan((self.FIRST,), launches=2))
        assert played.conductor.complete
        assert [(each.launch, each.phase, each.variant, each.block) for each in played.warm_ups] == [
            (launch, phase, variant, -1)
            for launch in (0, 1)
            for phase in (Phase.WARMUP, Phase.MEASURED)
            for variant in (0, 1, 2)
        ]
        assert [[part.name for part in each.parts] for each in played.launches] == [
            ["import", "session", "voices", "phonemiser"]
        ] * 2
        assert {each.scenario_id for each in played.warm_ups} == {self.FIRST.id}
        assert all(each.end_ns == 143 * MS for each in played.warm_ups)

    def test_they_come_before_every_launch_while_no_other_worker_is_there(self) -> None:
        played = perform(plan((self.FIRST, *FOUR), launches=2, blocks=1))
        what = [(what, name) for what, name in played.agency.log if not name.startswith("canary")]
        assert [each for each, _ in what[:4]] == ["dedicated", "close"] * 2
        assert what[0][1] == "scripted.cpu.tdefault beside 1", "the canary alone"
        assert {name for event in played.blocks for name in event.block.order} == {each.id for each in FOUR}
        assert all(order.speak_first is not order.dedicated for order in played.agency.loads)

    def test_one_whose_worker_is_lost_costs_only_itself(self) -> None:
        def crash(order: LoadOrder | SpeakOrder | CanaryOrder) -> None:
            if isinstance(order, SpeakOrder) and order.scenario_id == self.FIRST.id and order.variant == 1:
                raise WorkerLost(OutcomeKind.CRASHED, "gone")

        played = perform(plan((self.FIRST, *FOUR), blocks=1), rule=crash)
        assert {name: outcome.reason for name, outcome in played.lost.items()} == {self.FIRST.id: "gone"}
        assert [each.outcome.reason for each in played.warm_ups if each.scenario_id == self.FIRST.id] == ["", "gone"]
        assert len(played.blocks) == 2


class TestSoak:
    """Texts of 143 ms one after the other."""

    def turns(self, **pace: float) -> list[int]:
        soak = replace(scenario(ORIGINAL, "short", variant=None), repeats=1_000)
        return [len(event.repetitions) for event in perform(plan((soak,), launches=2, blocks=1, **pace)).blocks]

    def test_all_turns_are_spoken_where_a_launchs_half_has_time_for_them(self) -> None:
        assert self.turns(budget_s=4 * 143.0 + 0.1) == [1_000, 1_000]

    def test_else_as_many_as_it_has_time_for(self) -> None:
        assert self.turns(budget_s=4 * 14.3 + 0.1) == [100, 100]

    def test_fifty_are_spoken_whatever_the_budget(self) -> None:
        assert self.turns(budget_s=0.001) == [50, 50]


class TestBudget:
    """One launch of FOUR: 2.5 s and 0.3084 s of loading, 2.784 s of warm-ups, then blocks of 2.834 s."""

    LAUNCH_S = 2.5 + 0.3084 + 2.784
    BLOCK_S = BLOCK_MS / 1000

    def test_two_launches_of_one_block_are_played_whatever_it_is(self) -> None:
        played = perform(plan(budget_s=0.001, launches=5, blocks=4))
        assert [(event.block.launch, event.block.block) for event in played.blocks] == [(0, 0), (1, 1)]
        assert not played.conductor.complete
        assert played.conductor.reason == "the budget of 0.001 s was spent after 2 launches"

    def test_a_launch_plays_blocks_up_to_its_share(self) -> None:
        # 30 s for 2 launches: the first has 15 s, of which its start takes 5.6424 s; three blocks end at 14.1444 s.
        played = perform(plan(budget_s=30.0, launches=2, blocks=100))
        assert [event.block.launch for event in played.blocks].count(0) == 3
        assert played.conductor.complete
        assert played.conductor.reason == "the budget of 30 s was spent"

    def test_a_launch_that_played_all_its_blocks_has_not_ended_early(self) -> None:
        asked = iter(["", ""])
        played = perform(plan(launches=2, blocks=2), settled=lambda: next(asked))
        assert len(played.blocks) == 4
        assert (played.conductor.complete, played.conductor.reason) == (True, "")

    def test_launches_that_would_take_too_much_of_the_budget_are_fewer_and_longer(self) -> None:
        # Half of 30 s is room for two launches of 5.5924 s; each then has 15 s, as in the test above.
        played = perform(plan(budget_s=30.0, launches=4, blocks=100, launching=0.5))
        assert [event.block.launch for event in played.blocks] == [0, 0, 0, 1, 1, 1]
        assert played.conductor.complete
        # Half of 12 s has room for one: two are needed all the same.
        short = perform(plan(budget_s=12.0, launches=4, blocks=100, launching=0.5))
        assert [event.block.launch for event in short.blocks] == [0, 1]

    def test_launches_that_would_have_hardly_a_block_are_fewer(self) -> None:
        # 45 s have room for seven launches of 5.5924 s, but for two with four blocks of 2.834 s each.
        played = perform(plan(budget_s=45.0, launches=4, blocks=100, launching=0.9))
        assert [event.block.launch for event in played.blocks].count(0) == 5
        assert {event.block.launch for event in played.blocks} == {0, 1}
        # Launches that are asked for outright are made.
        asked_for = perform(plan(budget_s=45.0, launches=4, blocks=100))
        assert {event.block.launch for event in asked_for.blocks} == {0, 1, 2, 3}

    def test_a_further_launch_is_begun_only_where_it_would_end_in_time(self) -> None:
        # 0.05 s, then launches of 5.5924 s with one block of 2.834 s each: two end at 16.9028 s, three at 25.3292 s.
        need_s = 0.05 + 3 * (self.LAUNCH_S + self.BLOCK_S)
        enough = perform(plan(budget_s=need_s + 0.001, launches=3, blocks=1))
        assert [event.block.launch for event in enough.blocks] == [0, 1, 2]
        assert (enough.conductor.complete, enough.conductor.reason) == (True, "")
        short = perform(plan(budget_s=need_s - 0.001, launches=3, blocks=1))
        assert [event.block.launch for event in short.blocks] == [0, 1]
        assert not short.conductor.complete

    def test_enough_ends_the_run_after_the_block_that_sufficed(self) -> None:
        asked = iter(["", "", "decided after 3 blocks"])
        played = perform(plan(launches=3), enough=lambda: next(asked))
        assert len(played.blocks) == 3
        assert played.conductor.complete
        assert played.conductor.reason == "decided after 3 blocks"

    def test_a_settled_launch_ends_early_and_the_next_is_played(self) -> None:
        asked = iter(["", "narrow", "", "narrow", "narrow"])
        played = perform(plan(launches=3, blocks=4), settled=lambda: next(asked))
        assert [event.block.launch for event in played.blocks] == [0, 0, 1, 1, 2]
        assert played.conductor.complete
        assert played.conductor.reason == (
            "narrow after 2 of at most 4 blocks (2 launches); narrow after 1 of at most 4 blocks"
        )


class TestProgress:
    def test_it_grows_and_knows_what_remains_once_a_block_is_done(self) -> None:
        played = perform(plan(launches=2, blocks=3))
        said = [event for event in played.events if isinstance(event, Progress)]
        assert all(0.0 <= event.share <= 1.0 for event in said)
        first_block = next(number for number, event in enumerate(played.events) if isinstance(event, BlockDone))
        before = [event for event in played.events[:first_block] if isinstance(event, Progress)]
        after = [event for event in played.events[first_block:] if isinstance(event, Progress)]
        assert {event.remaining_s for event in before} == {None}
        assert before[0].budget_left_s == pytest.approx(1_000.0, abs=0.1)
        assert [event.budget_left_s for event in said] == sorted((event.budget_left_s for event in said), reverse=True)
        remaining = [event.remaining_s for event in after]
        assert all(left is not None for left in remaining)
        assert remaining == sorted(remaining, key=lambda left: -(left or 0.0))
        # The last thing that is begun is the last repetition of the last block.
        last = played.blocks[-1].repetitions[-1]
        assert remaining[-1] == pytest.approx(last.end_ns / 1e9, abs=0.051)
        assert after[-1].doing == last.scenario_id


def test_what_is_played_whatever_the_budget_is_part_of_what_remains() -> None:
    played = perform(plan(budget_s=1.0, launches=3, blocks=4))
    first, last = (event.block for event in played.blocks)
    left = [
        event.remaining_s for event in played.events if isinstance(event, Progress) and event.remaining_s is not None
    ]
    until = (last.started_at - first.started_at) + last.wall_ns / 1e9 - first.wall_ns / 1e9
    assert left[0] == pytest.approx(until, abs=0.1)


def test_audio_is_kept_of_the_first_block_of_each_launch(tmp_path: Path) -> None:
    clock = ScriptedClock()
    agency = Agency(clock)
    staff = replace(
        agency.staff(), audio=lambda each, launch: str(tmp_path / f"{each.text_class}-{launch}") if launch < 2 else ""
    )
    Conductor(plan(FOUR[2:], launches=3), staff=staff, clock=clock, emit=lambda _event: None).play()
    kept = [(order.block, Path(order.audio_path).name) for order in agency.spoken if order.audio_path]
    # Two arms, two blocks a launch: the first block of the first two launches, and no warm-up.
    assert kept == [(0, "short-0"), (0, "short-0"), (2, "short-1"), (2, "short-1")]


def test_an_arm_that_is_refused_is_not_started_and_the_others_play() -> None:
    clock = ScriptedClock()
    agency = Agency(clock)
    events: list[Event] = []
    staff = replace(agency.staff(), refusals={DERIVED.id: "no space"})
    conductor = Conductor(plan((*FOUR, LOADS[1])), staff=staff, clock=clock, emit=events.append)
    conductor.play()
    assert {order.arm_id for order in agency.loads} == {ORIGINAL.id}
    lost = {event.scenario_id: event.outcome for event in events if isinstance(event, ScenarioLost)}
    assert lost.keys() == {each.id for each in (FOUR[1], FOUR[3], LOADS[1])}
    assert set(lost.values()) == {Outcome(kind=OutcomeKind.REFUSED, reason="no space")}
    assert conductor.complete
