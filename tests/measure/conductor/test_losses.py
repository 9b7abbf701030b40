"""What a lost worker costs, and what it does not."""

from dataclasses import replace

import pytest

from harness.core.clock import ScriptedClock
from harness.core.records.repetition import Canary, Outcome, OutcomeKind, Phase
from harness.core.records.scenario import Utterance
from harness.measure.conductor.conductor import Conductor
from harness.measure.conductor.events import Event
from harness.measure.worker.protocol import CanaryOrder, LoadOrder, SynthesisOrder
from tests.measure.conducting import (
    DERIVED,
    FOUR,
    LOADS,
    MS,
    ORIGINAL,
    Agency,
    brief,
    lose,
    perform,
    plan,
    scenario,
)


def crash_on_long(order: object) -> None:
    """The 8-bit model dies of each measured long text."""
    if isinstance(order, SynthesisOrder) and order.phase == "measured" and brief(order.scenario_id) == "8bit long":
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
            spoken += isinstance(order, SynthesisOrder)
            if isinstance(order, SynthesisOrder) and spoken == 7:
                raise KeyboardInterrupt

        agency = Agency(ScriptedClock(), interrupt)
        events = list[Event]()
        conductor = Conductor(plan(), worker_factory=agency.worker_factory(), clock=agency.clock, emit=events.append)
        with pytest.raises(KeyboardInterrupt):
            conductor.run()
        assert agency.open == []
        assert not conductor.complete

    def test_no_worker_is_left_behind_by_an_exception_while_loading(self) -> None:
        def interrupt(order: object) -> None:
            if isinstance(order, LoadOrder):
                raise KeyboardInterrupt

        agency = Agency(ScriptedClock(), interrupt)
        conductor = Conductor(
            plan(), worker_factory=agency.worker_factory(), clock=agency.clock, emit=lambda _event: None
        )
        with pytest.raises(KeyboardInterrupt):
            conductor.run()
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
