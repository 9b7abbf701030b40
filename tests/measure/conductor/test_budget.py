"""How far a run goes within its budget, and what it says of what remains."""

from dataclasses import replace

import pytest

from harness.measure.conductor.events import BlockDone, Progress
from harness.plan.matrix import LaunchPolicy
from tests.measure.conducting import (
    BLOCK_MS,
    ORIGINAL,
    perform,
    plan,
    scenario,
)


class TestSoak:
    """Texts of 143 ms one after the other."""

    def turns(self, **run_limits: float) -> list[int]:
        soak = replace(scenario(ORIGINAL, "short", variant=None), repeats=1_000)
        return [len(event.repetitions) for event in perform(plan((soak,), launches=2, blocks=1, **run_limits)).blocks]

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

    def test_where_nothing_is_compared_one_launch_is_enough(self) -> None:
        played = perform(plan(budget_s=0.001, launches=5, blocks=4, launch_policy=LaunchPolicy(needed_launches=1)))
        assert [(event.block.launch, event.block.block) for event in played.blocks] == [(0, 0)]

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
        played = perform(plan(budget_s=30.0, launches=4, blocks=100, launch_policy=LaunchPolicy(launching=0.5)))
        assert [event.block.launch for event in played.blocks] == [0, 0, 0, 1, 1, 1]
        assert played.conductor.complete
        # Half of 12 s has room for one: two are needed all the same.
        short = perform(plan(budget_s=12.0, launches=4, blocks=100, launch_policy=LaunchPolicy(launching=0.5)))
        assert [event.block.launch for event in short.blocks] == [0, 1]

    def test_launches_that_would_have_hardly_a_block_are_fewer(self) -> None:
        # 45 s have room for seven launches of 5.5924 s, but for two with four blocks of 2.834 s each.
        played = perform(
            plan(budget_s=45.0, launches=4, blocks=100, launch_policy=LaunchPolicy(launching=0.9, fewest_blocks=4))
        )
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
