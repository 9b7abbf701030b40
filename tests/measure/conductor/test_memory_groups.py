"""Which arms are there together where the memory does not hold them all, and what a run makes of it."""

from collections import defaultdict
from dataclasses import replace
from itertools import pairwise

import pytest

from harness.core.records.environment import Conditions, Machine, Subject
from harness.core.records.run import RunData, RunRecord, Setting
from harness.core.records.scenario import Mode, Scenario
from harness.measure.conductor.events import Grouped
from harness.measure.conductor.memory_groups import arrange_groups, describe_groups, references_by_arm, time_shares
from harness.metrics.derive import scenario_values
from harness.metrics.values import log_ratios_through, paired_log_ratios
from tests.measure.conducting import DERIVED, FOUR, LOADS, ORIGINAL, Played, perform, plan, scenario

MIB = 1 << 20
ONE, TWO, THREE = (replace(ORIGINAL, threads=threads) for threads in (1, 2, 3))
SENTENCES = replace(ORIGINAL, engine="kokoro-sentences")
POOL = replace(SENTENCES, session_options=(("sessions", "2"),))
OTHER = replace(ORIGINAL, model=replace(ORIGINAL.model, name="other", sha256="d" * 64))  # type: ignore[type-var]
SIX = (*FOUR, *(scenario(arm, "short") for arm in (ONE, TWO, THREE)), scenario(ONE, "long"))


def by_arms(groups: object) -> list[tuple[list[str], list[str]]]:
    assert isinstance(groups, tuple)
    return [([arm.id for arm in group.arms], [arm.id for arm in group.kept]) for group in groups]


def apart(scenarios: tuple[Scenario, ...] = SIX, *, memory: int) -> list[tuple[list[str], list[str]]]:
    return by_arms(arrange_groups(scenarios, needs=lambda _arm: 100, memory=memory))


class TestArranging:
    def test_what_fits_is_one_group_in_the_order_of_the_plan(self) -> None:
        (group,) = arrange_groups(SIX, needs=lambda _arm: 100, memory=500)
        assert group.scenarios == SIX
        assert group.arms == (ORIGINAL, DERIVED, ONE, TWO, THREE)
        assert (group.kept, group.needs) == ((), 500)
        assert arrange_groups(SIX, needs=lambda _arm: 1 << 40, memory=None)[0].scenarios == SIX

    def test_nothing_is_no_group(self) -> None:
        assert arrange_groups((), needs=lambda _arm: 100, memory=1) == ()

    def test_what_the_others_are_held_against_stays_through_all_groups(self) -> None:
        o, d, one, two, three = (arm.id for arm in (ORIGINAL, DERIVED, ONE, TWO, THREE))
        assert apart(memory=300) == [([o, d, one], []), ([two, three], [o])]
        assert apart(memory=200) == [([o, d], []), ([one], [o]), ([two], [o]), ([three], [o])]

    def test_whoever_stays_plays_only_what_it_has_in_common_with_those_who_come(self) -> None:
        first, second = arrange_groups(SIX, needs=lambda _arm: 100, memory=300)
        assert first.scenarios == (*FOUR, scenario(ONE, "short"), scenario(ONE, "long"))
        assert second.scenarios == (scenario(ORIGINAL, "short"), scenario(TWO, "short"), scenario(THREE, "short"))

    def test_no_group_needs_more_than_it_may_and_every_scenario_is_played(self) -> None:
        needs = {ORIGINAL: 90, DERIVED: 30, ONE: 60, TWO: 40, THREE: 10}
        groups = arrange_groups(SIX, needs=needs.__getitem__, memory=150)
        assert all(group.needs <= 150 for group in groups)
        assert all(group.needs == sum(needs[arm] for arm in (*group.kept, *group.arms)) for group in groups)
        assert {each for group in groups for each in group.scenarios} == set(SIX)
        assert sum(len(group.arms) for group in groups) == 5
        for before, after in pairwise(groups):
            assert set(after.kept) <= {*before.kept, *before.arms}, "one process through all groups"

    def test_an_arm_that_does_not_fit_is_played_beside_what_it_is_held_against(self) -> None:
        o, d, one, two, three = (arm.id for arm in (ORIGINAL, DERIVED, ONE, TWO, THREE))
        assert apart(memory=50) == [([o, d], []), ([one], [o]), ([two], [o]), ([three], [o])]

    def test_a_reference_that_few_need_does_not_wait_for_them(self) -> None:
        streamed = [scenario(arm, "short", Mode.STREAM) for arm in (SENTENCES, POOL)]
        groups = apart((*SIX, *streamed, scenario(SENTENCES, "short")), memory=300)
        o, d, one, two, three, s, pool = (arm.id for arm in (ORIGINAL, DERIVED, ONE, TWO, THREE, SENTENCES, POOL))
        assert groups == [([s, o, pool], []), ([d, one], [o]), ([two, three], [o])]


class TestReferences:
    def test_of_each_request_the_plainest_and_of_a_variant_its_original(self) -> None:
        variant = replace(DERIVED, model=replace(DERIVED.model, parent="d" * 64))  # type: ignore[type-var]
        found = references_by_arm([scenario(arm, "short") for arm in (TWO, variant, OTHER, ORIGINAL)])
        assert found == {TWO: (OTHER,), variant: (OTHER,), OTHER: (), ORIGINAL: (OTHER,)}
        found = references_by_arm([scenario(arm, "short") for arm in (ORIGINAL, variant, OTHER)])
        assert found == {ORIGINAL: (), variant: (ORIGINAL, OTHER), OTHER: (ORIGINAL,)}

    def test_what_a_reference_is_held_against_is_there_as_well(self) -> None:
        scenarios = [scenario(ORIGINAL, "short"), *(scenario(SENTENCES, name) for name in ("short", "long"))]
        found = references_by_arm([*scenarios, scenario(POOL, "long")])
        assert found[POOL] == (SENTENCES, ORIGINAL)


class TestShares:
    def test_groups_have_time_in_proportion_to_the_characters_that_they_speak(self) -> None:
        groups = arrange_groups(SIX, needs=lambda _arm: 100, memory=300)
        # 2 × 110 of two arms, 110 of one; then 3 × 10.
        assert time_shares(groups, plan(SIX)) == pytest.approx([330 / 360, 1.0])

    def test_a_soak_takes_as_much_as_all_the_rest(self) -> None:
        soak = replace(scenario(TWO, "short", variant=None), repeats=1_000)
        what = (*FOUR, soak)
        groups = arrange_groups(what, needs=lambda _arm: 100, memory=200)
        assert [len(group.scenarios) for group in groups] == [4, 1]
        assert time_shares(groups, plan(what)) == pytest.approx([0.5, 1.0])

    def test_one_group_has_it_all(self) -> None:
        assert time_shares(arrange_groups(SIX, needs=lambda _arm: 1, memory=9), plan(SIX)) == (1.0,)
        assert time_shares((), plan(SIX)) == ()


def told(played: Played) -> list[Grouped]:
    return [event for event in played.events if isinstance(event, Grouped)]


def observed(played: Played, scenarios: tuple[Scenario, ...]) -> RunData:
    head = RunRecord(
        id="r", started_at=0.0, seed=0, selection="full", machine=Machine(
            key="m", system="", architecture="", cpu="", logical_cpus=1, physical_cpus=1, memory=1
        ), conditions=Conditions(taken_at=0.0), subject=Subject(), setting=Setting(corpus="", protocol=1),
        scenarios=scenarios, budget_s=1.0, pid=1, boot="",
    )  # fmt: skip
    return RunData(
        run=head,
        launches=tuple(played.launches),
        blocks=tuple(event.block for event in played.blocks),
        repetitions=(*played.warm_ups, *(each for event in played.blocks for each in event.repetitions)),
    )


class TestTakingTurns:
    """Unmeasured an arm is taken to need 120 MiB; one that spoke the long text held 350 MiB, 220 after the short."""

    def test_a_run_that_fits_plays_as_without_a_bound(self) -> None:
        assert perform(plan(SIX, memory=10**12)).events == perform(plan(SIX)).events

    def test_the_original_is_at_work_through_all_groups_of_a_launch_in_one_process(self) -> None:
        played = perform(plan(SIX, launches=1, memory=370 * MIB))
        assert played.conductor.complete
        loads = [order.arm_id for order in played.agency.loads]
        assert len(loads) == len(set(loads)) == 5
        most = max(int(name.rpartition(" ")[2]) for what, name in played.agency.log if what == "load")
        assert most == 3, "two others and the canary"
        assert [(event.block.group, len(event.block.order)) for event in played.blocks] == [
            (0, 6),
            (0, 6),
            (1, 3),
            (1, 3),
        ]
        assert [event.block.block for event in played.blocks] == [0, 1, 2, 3]
        assert all(ORIGINAL.id in " ".join(event.block.order) for event in played.blocks)

    def test_every_worker_is_ended_as_soon_as_no_later_group_needs_it(self) -> None:
        log = perform(plan(SIX, launches=1, blocks=1, memory=370 * MIB)).agency.log
        ended = [name for what, name in log if what == "close"]
        assert set(ended[:2]) == {DERIVED.id, ONE.id}
        assert set(ended[2:5]) == {TWO.id, THREE.id, ORIGINAL.id}

    def test_arms_are_warmed_up_when_they_come_and_not_again(self) -> None:
        warm = perform(plan(SIX, launches=1, memory=370 * MIB)).warm_ups
        assert sorted(each.scenario_id for each in warm) == sorted(each.id for each in SIX)

    def test_what_was_held_decides_from_the_second_launch_on(self) -> None:
        played = perform(plan(SIX, launches=2, blocks=1, memory=700 * MIB))
        # 1.05 × (350 + 350 + 350 + 220 + 220) MiB; unmeasured all five fit.
        (second,) = told(played)
        assert (second.launch, len(second.groups)) == (1, 4)
        assert second.needed == pytest.approx(1.05 * 1_490 * MIB, rel=0.1)
        assert second.unfit == (ORIGINAL.id, DERIVED.id, ONE.id)

    def test_groups_speak_the_same_texts_in_the_same_round(self) -> None:
        what = tuple(scenario(arm, "short", variant=None) for arm in (ORIGINAL, DERIVED, ONE))
        played = perform(plan(what, launches=2, blocks=2, memory=250 * MIB))
        spoken = defaultdict(list)
        for event in played.blocks:
            spoken[event.block.launch, event.block.group].append({each.variant for each in event.repetitions})
        assert spoken == {
            (0, 0): [{0}, {1}], (0, 1): [{0}, {1}], (1, 0): [{2}, {0}], (1, 1): [{2}, {0}],
        }  # fmt: skip

    def test_audio_is_kept_of_an_arms_first_block_alone(self) -> None:
        what = plan(tuple(scenario(arm, "short") for arm in (ORIGINAL, DERIVED, ONE)), launches=1, memory=250 * MIB)
        played = perform(what, audio=lambda each, _launch: f"/nowhere/{each.arm.id}")
        kept = [order.audio_path.rpartition("/")[2] for order in played.agency.spoken if order.audio_path]
        assert sorted(kept) == sorted([ORIGINAL.id, DERIVED.id, ONE.id])

    def test_every_group_ends_within_its_part_of_the_launch(self) -> None:
        # Of 60 s a launch has 30, and of these the first group, which speaks 330 of 360 characters, 27.5.
        played = perform(plan(SIX, launches=2, blocks=100, budget_s=60.0, memory=370 * MIB))
        groups = [(event.block.launch, event.block.group) for event in played.blocks]
        assert set(groups) >= {(0, 0), (0, 1), (1, 0)}
        ends = {
            place: event.block.started_at + event.block.wall_ns / 1e9
            for place, event in zip(groups, played.blocks, strict=True)
        }
        began = played.blocks[0].block.started_at
        assert ends[0, 0] - began < 27.5 < ends[0, 1] - began + 10
        assert played.conductor.complete

    def test_each_group_plays_a_block_whatever_the_budget(self) -> None:
        played = perform(plan(SIX, launches=2, blocks=9, budget_s=0.001, memory=50 * MIB))
        assert {event.block.launch for event in played.blocks} == {0, 1}
        assert all(len([b for b in played.blocks if b.block.launch == launch]) == 4 for launch in (0, 1))

    def test_a_group_that_has_settled_ends_alone(self) -> None:
        asked = iter(["narrow", "", "", "narrow"])
        played = perform(plan(SIX, launches=1, blocks=4, memory=370 * MIB), settled=lambda: next(asked))
        assert [event.block.group for event in played.blocks] == [0, 1, 1, 1]
        assert played.conductor.reason == "narrow after 1 of at most 4 blocks; narrow after 3 of at most 4 blocks"

    def test_start_ups_are_not_part_of_any_group(self) -> None:
        played = perform(plan((*LOADS, *SIX), launches=1, blocks=1, memory=370 * MIB))
        assert sum(each.dedicated for each in played.launches) == 2
        assert all(not name.startswith("load-") for event in played.blocks for name in event.block.order)

    def test_every_arm_is_paired_with_the_original_and_all_with_one_another_through_it(self) -> None:
        speed = {arm.id: 1 / factor for arm, factor in ((ONE, 1.5), (TWO, 2.0), (THREE, 3.0))}
        played = perform(plan(SIX, launches=2, blocks=3, memory=250 * MIB), speed=speed)
        data = observed(played, SIX)
        assert all(len(event.block.order) < 5 for event in played.blocks)
        latency = {arm: scenario_values(scenario(arm, "short"), data)["latency"] for arm in (ORIGINAL, ONE, TWO, THREE)}
        for arm in (ONE, TWO, THREE):
            assert [len(launch) for launch in paired_log_ratios(latency[arm], latency[ORIGINAL])] == [3, 3]
        assert paired_log_ratios(latency[THREE], latency[ONE]) == ()
        through = log_ratios_through(latency[THREE], latency[ONE], latency.values())
        assert [len(launch) for launch in through] == [3, 3]
        direct = perform(plan(SIX, launches=2, blocks=3), speed=speed)
        whole = {arm: scenario_values(scenario(arm, "short"), observed(direct, SIX))["latency"] for arm in (ONE, THREE)}
        (expected, *_), *_ = paired_log_ratios(whole[THREE], whole[ONE])
        assert [ratio for launch in through for ratio in launch] == pytest.approx([expected] * 6)


class TestSentence:
    def test_it_says_how_many_took_turns_and_why(self) -> None:
        first = Grouped(launch=0, arms=27, groups=(4, 5), needed=24_100_000_000, allowed=5_200_000_000)
        assert describe_groups([first]) == (
            "memory: the workers of 27 arms need about 24.1 GB, the limit is 5.2 GB (--workers-memory); "
            "arms ran in groups: 2 groups in launch 1, each with its reference arms"
        )
        second = replace(first, launch=1, groups=(4,), needed=5_300_000_000, unfit=("a", "b"))
        assert describe_groups([first, second]) == (
            "memory: the workers of 27 arms need about 24.1 GB (5.3 GB as measured in launch 1), the limit is "
            "5.2 GB (--workers-memory); arms ran in groups: 2 groups in launch 1, each with its reference arms; "
            "above the limit, and run anyway: a, b"
        )
        assert "arms ran in groups: 2 groups in each of 2 launches, each" in describe_groups(
            [first, replace(first, launch=1)]
        )
        assert describe_groups([]) == ""
