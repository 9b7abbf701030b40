"""The conductor on a scripted clock: every order, every nanosecond."""

from dataclasses import replace
from pathlib import Path

from harness.core.clock import SCRIPTED_EPOCH, ScriptedClock
from harness.core.records.repetition import Canary, Outcome, OutcomeKind, Phase
from harness.core.records.scenario import Mode
from harness.engines.protocol import EngineOrder
from harness.measure.conductor.conductor import Conductor
from harness.measure.conductor.events import BlockDone, Event, ScenarioLost, WarmedUp
from harness.measure.worker.protocol import LoadOrder
from tests.measure.conducting import (
    BLOCK_MS,
    DERIVED,
    FIRST_NS,
    FOUR,
    LATENCY_MS,
    LOADS,
    MS,
    ORIGINAL,
    Agency,
    brief,
    perform,
    plan,
    scenario,
)


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
            engine=EngineOrder(
                engine="scripted",
                model="scripted",
                model_path="m",
                voices_path="v",
                voice="af_heart",
                provider="cpu",
                threads=2,
                session_options={"arena": "off"},
                seed=3_001,
                script={"noise": "0"},
            ),
        )

    def test_all_arms_of_a_launch_share_a_seed_that_no_other_launch_has(self) -> None:
        loads = perform(plan(launches=3, seed=2)).agency.loads
        assert {(order.launch, order.engine.seed) for order in loads} == {(0, 2_001), (1, 2_002), (2, 2_003)}

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

    def test_either_of_two_equals_comes_last_in_some_launch(self) -> None:
        equals = tuple(replace(FOUR[0], arm=replace(FOUR[0].arm, side=side)) for side in ("", "reference"))
        played = perform(plan(equals, launches=8, blocks=1, budget_s=1000.0))
        last = {each.launch: each.scenario_id for each in played.warm_ups}
        assert set(last.values()) == {each.id for each in equals}

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


def test_audio_is_kept_of_the_first_block_of_each_launch(tmp_path: Path) -> None:
    clock = ScriptedClock()
    agency = Agency(clock)
    worker_factory = replace(
        agency.worker_factory(),
        audio=lambda each, launch: str(tmp_path / f"{each.text_class}-{launch}") if launch < 2 else "",
    )
    Conductor(plan(FOUR[2:], launches=3), worker_factory=worker_factory, clock=clock, emit=lambda _event: None).run()
    kept = [(order.block, Path(order.audio_path).name) for order in agency.spoken if order.audio_path]
    # Two arms, two blocks a launch: the first block of the first two launches, and no warm-up.
    assert kept == [(0, "short-0"), (0, "short-0"), (2, "short-1"), (2, "short-1")]


def test_an_arm_that_is_refused_is_not_started_and_the_others_play() -> None:
    clock = ScriptedClock()
    agency = Agency(clock)
    events: list[Event] = []
    worker_factory = replace(agency.worker_factory(), refusals={DERIVED.id: "no space"})
    conductor = Conductor(plan((*FOUR, LOADS[1])), worker_factory=worker_factory, clock=clock, emit=events.append)
    conductor.run()
    assert {order.arm_id for order in agency.loads} == {ORIGINAL.id}
    lost = {event.scenario_id: event.outcome for event in events if isinstance(event, ScenarioLost)}
    assert lost.keys() == {each.id for each in (FOUR[1], FOUR[3], LOADS[1])}
    assert set(lost.values()) == {Outcome(kind=OutcomeKind.REFUSED, reason="no space")}
    assert conductor.complete
