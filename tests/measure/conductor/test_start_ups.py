"""Start-ups that are measured as such, and the first requests of a process."""

from dataclasses import replace

from harness.core.records.repetition import OutcomeKind, Phase
from harness.core.records.scenario import Mode
from harness.measure.worker.protocol import CanaryOrder, LoadOrder, SynthesisOrder
from harness.measure.worker.worker_lost import WorkerLost
from tests.measure.conducting import (
    FOUR,
    LOADS,
    MS,
    ORIGINAL,
    perform,
    plan,
    scenario,
)


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

    def test_a_third_round_is_made_where_a_quarter_of_the_budget_has_time_for_it(self) -> None:
        # 0.05 s, then rounds of 2.8084 s: three end at 8.4752 s, which must be within a quarter of the budget.
        need_s = 4 * (0.05 + 3 * (2.5 + 0.3084))
        what = (*LOADS, scenario(ORIGINAL, "short"))
        enough = perform(plan(what, launches=3, blocks=1, budget_s=need_s + 0.003))
        assert sum(each.dedicated for each in enough.launches) == 6
        assert (enough.conductor.complete, enough.conductor.reason) == (True, "")
        short = perform(plan(what, launches=3, blocks=1, budget_s=need_s - 0.003))
        assert sum(each.dedicated for each in short.launches) == 4
        assert not short.conductor.complete
        assert short.conductor.reason == f"the budget of {need_s - 0.003:g} s had no time for more than 2 start-ups"

    def test_one_round_is_made_whatever_the_budget_and_two_where_nothing_else_is_measured(self) -> None:
        assert sum(each.dedicated for each in perform(plan((*LOADS, *FOUR), launches=3, budget_s=0.001)).launches) == 2
        assert sum(each.dedicated for each in perform(plan(LOADS, launches=3, budget_s=0.001)).launches) == 4

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
        def crash(order: LoadOrder | SynthesisOrder | CanaryOrder) -> None:
            if isinstance(order, SynthesisOrder) and order.scenario_id == self.FIRST.id and order.variant == 1:
                raise WorkerLost(OutcomeKind.CRASHED, "gone")

        played = perform(plan((self.FIRST, *FOUR), blocks=1), rule=crash)
        assert {name: outcome.reason for name, outcome in played.lost.items()} == {self.FIRST.id: "gone"}
        assert [each.outcome.reason for each in played.warm_ups if each.scenario_id == self.FIRST.id] == ["", "gone"]
        assert len(played.blocks) == 2
